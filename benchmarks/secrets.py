"""Finding secrets: what is found on the fixtures of two scanners, and how long looking takes."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks._rows import Row, middle

DATA = Path(__file__).parents[2] / "shared" / "data"
ROUNDS = 9
PROSE = (
    "The quick brown fox in 2024 paid $1,299 for 3.14 miles at 12:30, order ZFA04Y: see chapter 12. Nothing else is "
    "to be said about the well-known matter, which Mr. Pickwick (1836) had read about in the coach to Ipswich. "
)
HARD = {"one run of letters and digits": "aB3x+/9Z" * 1_250_000, "one password after another": "password=" * 1_111_111}


def _lines(name: str) -> list[Any]:
    with gzip.open(DATA / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _messages() -> list[str]:
    """The different texts of the runs: messages, and what tools were called with."""
    texts: dict[str, None] = {}
    for run in _lines("tau_airline_runs.jsonl.gz"):
        for message in run["messages"]:
            if message.get("content"):
                texts[message["content"]] = None
            for call in message.get("tool_calls") or ():
                texts[call["function"]["arguments"]] = None
    return list(texts)


def _us_per_kB(look: Callable[[Any], object], texts: Sequence[Any]) -> tuple[float, tuple[float, float]]:
    size = sum(map(len, texts)) / 1000
    took = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for text in texts:
            look(text)
        took.append((time.process_time() - start) * 1e6 / size)
    return middle(took)


def rows() -> Iterator[Row]:
    if not DATA.exists():
        print("  not measured: the data sets are not beside this repository")
        return
    from agentops.redaction.secrets import Secrets

    secrets = Secrets()
    yield from _found(secrets)
    texts = _messages()
    false = [text for text in texts if secrets.find(text)]
    yield Row("findings on ordinary messages", len(false), "none", f"of {len(texts)} messages and calls", must=0)
    passed = sum(secrets.may_hold(text.encode()) for text in texts)
    note = f"of {len(texts)} messages and calls, none of which holds a secret"
    yield Row("messages that the gate lets through", passed / len(texts), "share", note)
    for name, chosen in (
        ("prose of 1 kB", [PROSE * 5] * 200),
        ("a prompt of 6 kB", [texts[0]] * 20),
        ("tool results in JSON", [text for text in texts if text[0] in "[{"][:300]),
        ("messages of people and models", [text for text in texts if text[0] not in "[{"][:600]),
    ):
        for what, look, shown in (
            ("gate", secrets.may_hold, [text.encode() for text in chosen]),
            ("find", secrets.find, chosen),
        ):
            took, spread = _us_per_kB(look, shown)
            size = sum(map(len, chosen)) / len(chosen)
            yield Row(f"{what}, {name}", took, "CPU time", f"a kB; {size:,.0f} bytes a text", spread, unit=" µs")
    for name, text in HARD.items():
        start = time.process_time()
        secrets.find(text)
        yield Row(f"10 MB: {name}", time.process_time() - start, "CPU time", "once", unit=" s")


def _found(secrets: Any) -> Iterator[Row]:
    lines = _lines("secrets_dev.jsonl.gz")
    found = {line["id"]: bool(secrets.find(line["text"])) for line in lines}
    labelled = [line for line in lines if line["label"] == "secret"]
    for name, source, must in (("detect-secrets", "detect_secrets", 36 / 38), ("gitleaks", "gitleaks", 0.9)):
        of_source = [line["id"] for line in labelled if line["source"].startswith(source)]
        missed = [id for id in of_source if not found[id]]
        note = f"{len(of_source) - len(missed)} of {len(of_source)}; missed: {_listed(missed)}"
        value = 1 - len(missed) / len(of_source)
        yield Row(f"recall, fixtures of {name}", value, "labels", note, must=must, at_least=True)
    true = sum(found[line["id"]] for line in labelled)
    false = [line["id"] for line in lines if line["label"] != "secret" and found[line["id"]]]
    note = f"found though labelled benign: {_listed(false)}"
    yield Row("precision, fixtures of both", true / (true + len(false)), "labels", note, must=0.9, at_least=True)


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(id.removeprefix("gitleaks_").removeprefix("detect_secrets_") for id in ids) or "none"
