"""Whichever door it comes in by, and however it is wrapped: no byte on disk holds what the redactor finds."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.redaction.recording import PLACES, TEXTS, VALUES
from tests.redaction.scanning import brought_in, held, spellings, words

needs_presidio = pytest.mark.skipif(
    importlib.util.find_spec("presidio_analyzer") is None, reason="personal data is found with presidio: .[pii]"
)
PROGRAM = Path(__file__).with_name("recording.py")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def card(chance: random.Random) -> str:
    digits = "4" + "".join(chance.choices("0123456789", k=14))
    doubled = [int(d) * (2 - n % 2) for n, d in enumerate(digits)]
    digits += str(-sum(d // 10 + d % 10 for d in doubled) % 10)
    between = chance.choice(["", " ", "-"])
    return between.join(digits[n : n + 4] for n in range(0, 16, 4))


def mail(chance: random.Random) -> str:
    one, two, house = ("".join(chance.choices(LETTERS, k=7)) for _ in range(3))
    return f"{one}.{two}@{house}-mail.{chance.choice(['example', 'com', 'co.uk'])}"


def iban(chance: random.Random) -> str:
    account = "".join(chance.choices("0123456789", k=18))
    return f"DE{98 - int(account + '131400') % 97:02}{account}"


def secret(chance: random.Random) -> str:
    turns = "".join(chance.choice(LETTERS) + chance.choice("0123456789") for _ in range(18))
    return f"ghp_{turns}" if chance.random() < 0.5 else f"xoxb-{chance.randrange(10**11, 10**12)}-{turns[:24]}"


CANARIES: dict[str, Callable[[random.Random], str]] = {"card": card, "mail": mail, "iban": iban, "secret": secret}


@st.composite
def examples(draw: st.DrawFn) -> tuple[str, str, str]:
    """A door, a place in what comes in there, and what must not get in."""
    kind = draw(st.sampled_from(sorted(CANARIES)))
    text = CANARIES[kind](random.Random(draw(st.integers(0, 2**64))))
    if kind == "card" and draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(VALUES)), "number", text.replace(" ", "").replace("-", "")
    return draw(st.sampled_from(VALUES + TEXTS)), draw(st.sampled_from(sorted(PLACES))), text


def recorded(folder: Path, given: list[tuple[str, str, str]], beside: bool, dies_after: int) -> Path:
    """Record all examples in one process; gives the store, with whatever else it left beside it."""
    store = folder / "left" / "traces.db"
    store.parent.mkdir()
    said = folder / "examples.json"
    said.write_text(json.dumps({"examples": given, "beside": beside, "dies_after": dies_after}))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTOPS_", "OTEL_"))}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(said)],
        env={**kept, "AGENTOPS_STORE": str(store), "AGENTOPS_REDACT": "pii"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    (store.parent / "printed").write_text(done.stdout + done.stderr)
    assert done.returncode == (0 if dies_after < 0 else -9), done.stderr
    return store


def leaks(store: Path, examples: list[tuple[str, str, str]]) -> list[str]:
    """The examples of which something is on disk: as the program left it, as it came in, and packed."""
    raw = held(store)
    brought_in(store)
    raw += held(store)
    known = words(store)
    return [
        f"{text} by {door}, {place}"
        for door, place, text in examples
        if any(spelling in raw for spelling in spellings(text)) or text.lower() in known
    ]


def check(read: Any, given: list[tuple[str, str, str]], beside: bool, dies: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = recorded(Path(folder), given, beside, dies)
        assert leaks(store, given) == []
        assert {f"example-{n}" for n in range(dies + 1)} <= {one["name"] for one in read(store)}


ONE_PROCESS = {
    "given": st.lists(examples(), min_size=70, max_size=90, unique=True),
    "beside": st.booleans(),
    "dies": st.integers(30, 69),
}
HOW = {"deadline": None, "phases": [Phase.generate], "suppress_health_check": list(HealthCheck)}


@needs_presidio
@settings(max_examples=2, **HOW)  # type: ignore[arg-type]
@given(**ONE_PROCESS)  # type: ignore[arg-type]
def test_no_door_lets_a_finding_reach_the_disk_where_the_program_is_killed(
    read: Any, given: list[tuple[str, str, str]], beside: bool, dies: int
) -> None:
    check(read, given, beside, dies)


@needs_presidio
@pytest.mark.proof
@settings(max_examples=40, **HOW)  # type: ignore[arg-type]
@given(**ONE_PROCESS)  # type: ignore[arg-type]
def test_thousands_of_texts_find_no_door(read: Any, given: list[tuple[str, str, str]], beside: bool, dies: int) -> None:
    check(read, given, beside, dies)


@needs_presidio
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside an SDK"])
def test_each_door_and_each_place(tmp_path: Path, read: Any, beside: bool) -> None:
    chance = random.Random(7 + beside)
    kinds = [CANARIES[name] for name in sorted(CANARIES)]
    doors, places = VALUES + TEXTS, sorted(PLACES)
    given = [
        (door, places[(n + step + beside) % len(places)], kinds[(n + step) % 4](chance))
        for n, door in enumerate(doors)
        for step in range(0, len(places), 5)
    ]
    store = recorded(tmp_path, given, beside, -1)
    assert leaks(store, given) == []
    assert {f"example-{n}" for n in range(len(given))} <= {one["name"] for one in read(store)}
    assert b"clean words" in held(store)
    assert not beside or b"<EMAIL_ADDRESS>" in (store.parent / "exported").read_bytes()
