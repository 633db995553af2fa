"""What presidio brings, made so that it loads no model that is not there, and nothing from the network."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from agentops.errors import UsageError

__all__ = ["engine", "extract", "iban_countries", "predefined", "take_offline", "top_level"]


def engine(languages: Sequence[str], model: str | None) -> Any:
    import spacy
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    if model is not None and not (spacy.util.is_package(model) or pathlib.Path(model).is_dir()):
        raise UsageError(
            f"the spaCy model {model} is not installed, and nothing is downloaded: install it, or leave it out"
        )

    class Engine(SpacyNlpEngine):
        """presidio's engine for spaCy, that loads what is there and never downloads."""

        def load(self) -> None:
            nlps: dict[str, Any] = {language: spacy.blank(language) for language in languages}
            self.nlp: Any = nlps
            if model is not None:
                nlp = spacy.load(model)
                nlps[nlp.lang if nlp.lang in nlps else languages[0]] = nlp

    made: Any = Engine(models=[{"lang_code": language, "model_name": model or "blank"} for language in languages])
    made.load()
    return made


def predefined(languages: Sequence[str], engine: Any, model: bool) -> list[Any]:
    """presidio's own recognisers, those that it leaves out by default too."""
    import presidio_analyzer.predefined_recognizers as theirs
    from presidio_analyzer import PatternRecognizer
    from presidio_analyzer.recognizer_registry import RecognizerRegistry

    registry = RecognizerRegistry(supported_languages=list(languages))
    registry.load_predefined_recognizers(languages=list(languages), nlp_engine=engine)
    found = [one for one in registry.recognizers if model or type(one).__name__ != "SpacyRecognizer"]
    names = {type(one) for one in found}
    for name in theirs.__all__:
        kind = getattr(theirs, name)
        make: Any = kind
        if isinstance(kind, type) and issubclass(kind, PatternRecognizer) and kind not in names:
            for language in languages:
                try:
                    found.append(make(supported_language=language))
                except Exception:  # noqa: BLE001, S112 - one that needs more than a language
                    continue
    return found


def extract() -> Any:
    """tldextract with the list that it brings: without a download, and without a folder for one."""
    import tldextract

    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


def take_offline(recogniser: Any, is_public: Callable[[str], bool]) -> None:
    """A recogniser of mail addresses would download the list of public suffixes when it is first asked."""
    from presidio_analyzer.predefined_recognizers import EmailRecognizer

    if isinstance(recogniser, EmailRecognizer) and type(recogniser).validate_result is EmailRecognizer.validate_result:
        one: Any = recogniser
        one.validate_result = is_public


def top_level() -> dict[str, int]:
    """The top-level names that presidio takes for a web address, by their place in its pattern."""
    from presidio_analyzer.predefined_recognizers import UrlRecognizer

    names = re.findall(r"\(\?:([^()\[\]?\\/]+)\)", UrlRecognizer.BASE_URL_REGEX)
    return {name: place for place, name in reversed(list(enumerate(names)))}


def iban_countries() -> frozenset[str]:
    from presidio_analyzer.predefined_recognizers.generic.iban_patterns import regex_per_country

    return frozenset(regex_per_country)
