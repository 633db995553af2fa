"""Finding personal data: what is found, and how long it takes beside presidio's own engine."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks._rows import Row, middle, ratios
from benchmarks._texts import Texts

DATA = Path(__file__).parents[2] / "shared" / "data"
ROUNDS = 5
#: The least share of what is labelled that has to be found, by kind.
RECALL = {
    "CREDIT_CARD": 0.98,
    "EMAIL_ADDRESS": 1.0,
    "IBAN_CODE": 1.0,
    "IP_ADDRESS": 1.0,
    "PHONE_NUMBER": 0.9,
    "URL": 1.0,
    "US_SSN": 1.0,
}
PROSE = (
    "The quick brown fox in 2024 paid $1,299 for 3.14 miles at 12:30, order ZFA04Y: see chapter 12. Nothing else is "
    "to be said about the well-known matter, which Mr. Pickwick (1836) had read about in the coach to Ipswich. "
)


def lines(name: str) -> list[Any]:
    with gzip.open(DATA / name, "rt") as file:
        return [json.loads(line) for line in file]


def messages() -> list[str]:
    """The different texts of the runs: messages and what tools were called with."""
    texts: dict[str, None] = {}
    for run in lines("tau_airline_runs.jsonl.gz"):
        for message in run["messages"]:
            if message.get("content"):
                texts[message["content"]] = None
            for call in message.get("tool_calls") or ():
                texts[call["function"]["arguments"]] = None
    return list(texts)


def engine(kinds: frozenset[str]) -> Any:
    """presidio's analyzer with the recognisers that find these kinds, and spaCy without a model."""
    import presidio_analyzer.predefined_recognizers as predefined
    import spacy
    import tldextract
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    class Blank(SpacyNlpEngine):
        def load(self) -> None:
            self.nlp: Any = {"en": spacy.blank("en")}

    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    names = (
        "CreditCard",
        "Crypto",
        "Email",
        "Iban",
        "Ip",
        "MacAddress",
        "Phone",
        "UsItin",
        "UsPassport",
        "UsSsn",
        "Url",
    )
    made = [getattr(predefined, f"{name}Recognizer")() for name in names]
    nlp = Blank()
    nlp.load()
    registry = RecognizerRegistry(recognizers=[one for one in made if set(one.supported_entities) & kinds])
    return AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=["en"])


def seconds(find: Callable[[str], object], texts: Sequence[str]) -> float:
    start = time.process_time()
    for text in texts:
        find(text)
    return time.process_time() - start


def beside(name: str, texts: Sequence[str], must: float) -> Row:
    """Time against presidio's, both made anew in each round."""
    from agentops.redaction.pii import DEFAULT_KINDS, Pii

    ours, theirs = [], []
    for _ in range(ROUNDS):
        pii, analyzer = Pii(), engine(DEFAULT_KINDS)
        pii.warm()
        analyzer.analyze(PROSE + "phone 46 70 712 34 56, a@example.com", "en")  # what it loads at first use
        ours.append(seconds(pii.find, texts))
        theirs.append(seconds(lambda text, analyzer=analyzer: analyzer.analyze(text, "en"), texts))  # type: ignore[misc]
    value, spread = middle(ratios(ours, theirs))
    size = sum(map(len, texts)) / 1000
    note = (
        f"{len(texts)} texts, {size:.0f} kB: {min(ours) / size * 1e6:.0f} µs/kB against "
        f"{min(theirs) / size * 1e6:.0f}, processor time"
    )
    return Row(name, value, "presidio's analyzer, same recognisers", note, spread, must=must, reach=must / 2)


def rows() -> Iterator[Row]:
    if not DATA.exists():
        print("  not measured: the data is not here")
        return
    from agentops.redaction.pii import DEFAULT_KINDS, Pii

    labelled = lines("pii_synthetic.jsonl.gz")
    yield beside("messages of real runs, nothing seen before", messages(), 0.1)
    several = [line["text"] for line in labelled if sum(s["type"] in RECALL for s in line["spans"]) >= 2]
    yield beside("texts with several entities", several, 0.3)
    yield from found(labelled, Pii(DEFAULT_KINDS | {"URL"}))
    yield from gate(Pii())


def found(labelled: list[Any], pii: Any) -> Iterator[Row]:
    hits, labels = Counter[str](), Counter[str]()
    missed: dict[str, list[str]] = {kind: [] for kind in RECALL}
    wrong: list[str] = []
    right = 0
    for number, line in enumerate(labelled, 1):
        text = line["text"]
        spans = [(s["type"].replace("DOMAIN_NAME", "URL"), s["start"], s["end"]) for s in line["spans"]]
        findings = pii.find(text)
        for kind, start, end in spans:
            if kind in RECALL:
                labels[kind] += 1
                if any(f.kind == kind and f.start < end and start < f.end for f in findings):
                    hits[kind] += 1
                else:
                    missed[kind].append(f"line {number}")
        for f in findings:
            if any(f.kind == kind and f.start < end and start < f.end for kind, start, end in spans):
                right += 1
            else:
                wrong.append(f"{f.kind} in line {number}")
    for kind, least in RECALL.items():
        note = f"{hits[kind]} of {labels[kind]}" + (f"; missed: {', '.join(missed[kind])}" if missed[kind] else "")
        yield Row(
            f"found of what is labelled {kind}", hits[kind] / labels[kind], "labels", note, must=least, at_least=True
        )
    note = f"{right} of {right + len(wrong)}" + (f"; wrong: {', '.join(wrong)}" if wrong else "")
    yield Row(
        "right of what is found, all kinds", right / (right + len(wrong)), "labels", note, must=0.97, at_least=True
    )


def gate(pii: Any) -> Iterator[Row]:
    source = Texts(1)
    for name, text in (("words", source.text()), ("prose with numbers", (PROSE * 6)[:1024])):
        data = text.encode()
        times = []
        for _ in range(20):
            start = time.perf_counter()
            for _ in range(500):
                pii.may_hold(data)
            times.append((time.perf_counter() - start) / 500 * 1e6)
        note = "1 kB, wall clock, least of 20; the gate " + ("opens" if pii.may_hold(data) else "stays shut")
        yield Row(f"whether a text can hold anything: {name}", min(times), "time", note, unit=" µs")
