"""presidio-analyzer, loaded without a model, a download or a socket.

Its engine reads a whole text with spaCy and then runs every pattern over it, milliseconds for each thousand
characters. Here its recognisers are made and asked one by one, about the few characters that can be something;
what its engine does with their answers (words nearby make them surer) is done here for these few.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agentops.errors import UsageError
from agentops.redaction import loading
from agentops.redaction.findings import Finding
from agentops.redaction.gates import KINDS

__all__ = ["Presidio", "missing"]

#: What presidio adds to a score when a word nearby supports it, and the least that it then is.
_MORE, _LEAST = 0.35, 0.4
#: Words before a match that are looked at, the one it stands in among them.
_WORDS = 6
_BEFORE, _AFTER = 240, 64
#: With these begins a number of another country, in one of them.
_ABROAD = ("00", "011", "0014", "0015")
_BLANK = re.compile(r"\s")
#: Words, signs between them, and breaks of lines, which spaCy takes for words.
_WORD = re.compile(r"\w+(?:[-'’./@]\w+)*|[^\w\s]+|(?:[^\S\n]*\n)+[^\S\n]*| {2,}")
#: presidio's words are looked for inside others, where `us` is in `user` and `itin` in `itinerary`: these are not.
_WHOLE = {
    "US_ITIN": ("itin", "itins", "taxpayer", "tin"),
    "US_PASSPORT": ("passport", "passports"),
}
#: What readers of whole texts get at once, and how much of the end of it they get again.
_PART, _OVERLAP = 50_000, 500


def missing() -> UsageError | None:
    """The error to raise if presidio is not installed."""
    if importlib.util.find_spec("presidio_analyzer") is None:
        return UsageError("finding personal data needs presidio: pip install 'agentops-recorder[pii]'")
    return None


class Presidio:
    """Recognisers of presidio by kind, and how sure their answers are.

    Args:
        kinds: the kinds to find.
        languages: two-letter codes; the words that make a finding surer are in these.
        extra: recognisers of the user's.
        model: a spaCy model that is installed, by name or path, for names and places.

    Raises:
        UsageError: presidio is not installed, a kind has no recogniser, or the model is not installed.
    """

    def __init__(self, kinds: frozenset[str], languages: Sequence[str], extra: Sequence[Any], model: str | None):
        problem = missing()
        if problem:
            raise problem
        self.kinds = kinds
        self._engine = loading.engine(languages, model)
        self._extract = loading.extract()
        self._stop = {language: nlp.Defaults.stop_words for language, nlp in self._engine.nlp.items()}
        self._top_level: dict[str, int] = {}
        self.by_kind: dict[str, list[Any]] = {}
        self.readers = list(extra)
        self.iban_countries = loading.iban_countries()
        for recogniser in loading.predefined(languages, self._engine, model is not None):
            mine = set(recogniser.supported_entities) & kinds
            for kind in mine & KINDS:
                self.by_kind.setdefault(kind, []).append(recogniser)
            if mine - KINDS:
                self.readers.append(recogniser)
        for recogniser in self.readers:
            loading.take_offline(recogniser, self.is_public)
        unknown = kinds - set(self.by_kind) - {kind for one in self.readers for kind in one.supported_entities}
        if unknown:
            raise UsageError(
                f"no recogniser finds {', '.join(sorted(unknown))} in {', '.join(languages)}: see presidio's list of "
                "entities, or give a recogniser of your own; names and places need a model"
            )

    def ask(self, kind: str, text: str, start: int, end: int, margin: int) -> list[Finding]:
        """What the recognisers of a kind say of `text[start:end]`, seen with `margin` characters to each side."""
        first = max(0, start - margin)
        window = text[first : end + margin]
        found = []
        for recogniser in self.by_kind[kind]:
            for one in recogniser.analyze(window, [kind], None):
                found.append(self.finding(text, first + one.start, first + one.end, kind, one.score, recogniser))
        return found

    def finding(self, text: str, start: int, end: int, kind: str, score: float, recogniser: Any = None) -> Finding:
        """A finding, surer if a word before it supports it."""
        for one in [recogniser] if recogniser is not None else self.by_kind[kind]:
            words = _WHOLE.get(kind)
            raised = self._raised(text, start, score, words or one.context, one.supported_language, words is not None)
            if raised != score:
                return Finding(start, end, kind, raised)
        return Finding(start, end, kind, score)

    def phones(self, text: str, start: int, end: int) -> list[Finding]:
        """As its recogniser for phones, but no further country is asked once one takes the whole stretch."""
        import phonenumbers

        first = max(0, start - 1)
        window = text[first : end + 1]
        number = text[start:end]
        found: dict[tuple[int, int], Finding] = {}
        for recogniser in self.by_kind["PHONE_NUMBER"]:
            for region in recogniser.supported_regions:
                if number.isdecimal() and not number.startswith(_ABROAD) and len(number) not in _lengths(region):
                    continue  # its matcher would say so too, in fifty times the time
                for match in phonenumbers.PhoneNumberMatcher(window, region, leniency=recogniser.leniency):
                    place = first + match.start, first + match.end
                    if place not in found and place[1] > start and place[0] < end:
                        found[place] = self.finding(text, *place, "PHONE_NUMBER", recogniser.SCORE, recogniser)
                if any(begin <= start and stop >= end for begin, stop in found):
                    break
        return list(found.values())

    def is_possible_phone(self, number: str) -> bool:
        """Whether a number with `+` has a country and a length that the country uses."""
        import phonenumbers

        try:
            return bool(phonenumbers.is_possible_number(phonenumbers.parse(number)))
        except phonenumbers.NumberParseException:
            return False

    def is_public(self, email: str) -> bool:
        """Whether the host of an address is below a name of the public suffix list that tldextract brings."""
        return bool(self._extract(email).fqdn)

    def top_level(self, rest: str) -> int:
        """How long the top-level name is that `rest` begins with, 0 if with none; the first that presidio lists."""
        if not self._top_level:
            self._top_level = loading.top_level()
        lengths = [n for n in range(2, len(rest) + 1) if rest[:n] in self._top_level]
        return min(lengths, key=lambda n: self._top_level[rest[:n]], default=0)

    def by_reading(self, text: str) -> list[Finding]:
        """What the recognisers find that have to read a whole text: those of the user's, names, rare kinds."""
        found: list[Finding] = []
        if not self.readers:
            return found
        for first, part in _parts(text):
            read = {language: self._engine.process_text(part, language) for language in self._engine.nlp}
            for one in self.readers:
                language = one.supported_language
                if language not in read:
                    continue
                raw = one.analyze(part, self._kinds_of(one), read[language]) or []
                raw = one.enhance_using_context(part, raw, [], read[language], None) if raw else raw
                for result in raw:
                    if result.entity_type in self.kinds:
                        score = self._raised(part, result.start, result.score, one.context, language)
                        found.append(Finding(first + result.start, first + result.end, result.entity_type, score))
        return found

    def _kinds_of(self, recogniser: Any) -> list[str]:
        return [kind for kind in recogniser.supported_entities if kind in self.kinds]

    def _raised(
        self, text: str, start: int, score: float, words: Iterable[str] | None, language: str, whole: bool = False
    ) -> float:
        """The score of a finding, raised if one of `words` stands before it, as presidio does."""
        if not words or score >= 1:
            return score
        before = max(0, start - _BEFORE)
        near = text[before : start + _AFTER].lower()
        likely = [word for word in (word.lower() for word in words) if word in near]
        if not likely:
            return score
        if before:  # no word is cut
            blank = _BLANK.search(text, before, start)
            before = blank.end() if blank else start
        blank = _BLANK.search(text, start, start + _AFTER)
        end = blank.start() if blank else min(len(text), start + _AFTER)
        if not self._supported(text[before:end].lower(), len(text[before:start].lower()), likely, language, whole):
            return score
        return min(1.0, max(score + _MORE, _LEAST))

    def _supported(self, near: str, start: int, words: list[str], language: str, whole: bool) -> bool:
        """Whether one of the last words up to `start` has one of `words` in it.

        spaCy would cut the text into the same words, and keep each for as long as the process lives.
        """
        tokens: list[str] = []
        for token in _WORD.finditer(near):
            tokens.append(token[0])
            if token.end() > start:
                break
        stop = self._stop[language]
        left = _WORDS
        for name in reversed(tokens):
            if name in stop or all(unicodedata.category(c)[0] == "P" for c in name):
                continue
            if name in words or (not whole and any(word in name for word in words)):
                return True
            left -= 1
            if not left:
                return False
        return False


@functools.cache
def _lengths(region: str) -> frozenset[int]:
    """How many digits a number has that is written without anything between them and is one of a country's."""
    import phonenumbers

    plan = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
    if plan is None or plan.general_desc is None:
        return frozenset(range(20))
    before = {0, len(plan.national_prefix or ""), len(str(plan.country_code))}
    before.add(len(plan.national_prefix or "") + len(str(plan.country_code)))
    own = {*plan.general_desc.possible_length, *plan.general_desc.possible_length_local_only}
    return frozenset(size + more for size in own for more in before)


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Stretches of a text that spaCy takes, with a little of the one before, and where each begins."""
    for start in range(0, max(1, len(text)), _PART):
        first = max(0, start - _OVERLAP)
        yield first, text[first : start + _PART]
