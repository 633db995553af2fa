"""Arguments of types that nobody expects harm neither the program nor the record of its other spans."""

from __future__ import annotations

import dataclasses
import enum
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy
import pytest
from opentelemetry.trace import SpanContext, Status, StatusCode

import agentops
from agentops import UsageError, score, span


class Unreadable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Label(enum.StrEnum):
    PAY = "pay"


@dataclasses.dataclass(frozen=True)
class Point:
    x: int


class Frozen(msgspec.Struct, frozen=True):
    x: int


@pytest.fixture(autouse=True)
def never_raising(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a user's program: what goes wrong inside is not raised."""
    monkeypatch.setenv("AGENTOPS_RAISE", "0")


def during(use: Callable[[agentops.Span], object]) -> Callable[[], None]:
    def run() -> None:
        with span("odd") as s:
            use(s)

    return run


def enter(make: Callable[[], agentops.Span]) -> Callable[[], None]:
    def run() -> None:
        with make():
            pass

    return run


ODD: dict[str, Callable[[], None]] = {
    "a name that is a number": enter(lambda: span(5)),  # type: ignore[arg-type]
    "a name that is None": enter(lambda: span(None)),  # type: ignore[arg-type]
    "a name of bytes": enter(lambda: span(b"odd")),  # type: ignore[arg-type]
    "a name without a text": enter(lambda: span(Unreadable())),  # type: ignore[arg-type]
    "a name of an enum": enter(lambda: span(Label.PAY)),
    "a new name that is a number": during(lambda s: s.update_name(7)),  # type: ignore[arg-type]
    "an attribute's key that is a number": during(lambda s: s.set_attribute(5, "v")),  # type: ignore[arg-type]
    "an attribute's key that is a tuple": during(lambda s: s.set_attribute((1, 2), "v")),  # type: ignore[arg-type]
    "attributes with keys that are numbers": enter(lambda: span("odd", attributes={5: 1})),  # type: ignore[dict-item]
    "an event's name that is a number": during(lambda s: s.add_event(5)),  # type: ignore[arg-type]
    "an event's key that is a number": during(lambda s: s.add_event("e", {5: 1})),  # type: ignore[dict-item]
    "an event's time as a float": during(lambda s: s.add_event("e", None, time.time() * 1e9)),  # type: ignore[arg-type]
    "an event's time far away": during(lambda s: s.add_event("e", None, 2**70)),
    "an event's time before 1970": during(lambda s: s.add_event("e", None, -5)),
    "an end as a float": during(lambda s: s.end(time.time() * 1e9)),  # type: ignore[arg-type]
    "an end far away": during(lambda s: s.end(2**70)),
    "a link's key that is a number": during(lambda s: s.add_link(SpanContext(1, 2, False), {5: 1})),  # type: ignore[dict-item]
    "a status about a number": during(lambda s: s.set_status(StatusCode.ERROR, 5)),  # type: ignore[arg-type]
    "a status about an exception": during(lambda s: s.set_status(StatusCode.ERROR, ValueError("no"))),  # type: ignore[arg-type]
    "a status of another type": during(lambda s: s.set_status("error")),  # type: ignore[arg-type]
    "a status object": during(lambda s: s.set_status(Status(StatusCode.ERROR, "no"))),
    "metadata with keys that are tuples": enter(lambda: span("odd", metadata={(1, 2): 3, 5: object()})),  # type: ignore[dict-item]
    "tags in a set": enter(lambda: span("odd", tags={"a", 5})),  # type: ignore[arg-type]
    "a session that is a number": enter(lambda: span("odd", session=5, user=6)),  # type: ignore[arg-type]
    "a score's comment that is a number": during(lambda s: score("helpful", 1, comment=5)),  # type: ignore[arg-type]
    "a score's name that is a number": during(lambda s: score(5, 1)),  # type: ignore[arg-type]
    "a score of numpy": during(lambda s: score("helpful", numpy.float64(0.5))),
    "a score that is not a number": during(lambda s: score("helpful", float("nan"))),
    "a score of a huge number": during(lambda s: score("helpful", 10**400)),
    "an input that is encoded already": enter(lambda: span("odd", input=msgspec.Raw(b'{"a": 1}'))),
    "an input that holds what is encoded already": enter(lambda: span("odd", input=[msgspec.Raw(b"{}")])),
    "an extension of ours": enter(lambda: span("odd", input=msgspec.msgpack.Ext(3, b"no number"))),
    "an extension of somebody else": enter(lambda: span("odd", input=msgspec.msgpack.Ext(77, b"x"))),
    "a key that is a dataclass": enter(lambda: span("odd", input={Point(1): 1})),
    "a key that is a Struct": enter(lambda: span("odd", input=[{Frozen(1): 1}])),
    "a key that is a set": enter(lambda: span("odd", input={frozenset({1}): 1})),
    "an attribute with a key that is a dataclass": during(lambda s: s.set_attribute("a", {Point(1): 1})),
}


@pytest.mark.parametrize("use", ODD.values(), ids=ODD.keys())
def test_the_spans_before_and_after_are_on_record(spans: Any, use: Callable[[], None]) -> None:
    with span("before"):
        pass
    try:
        use()
    except UsageError:  # said to the caller: as good as recorded
        pass
    with span("after", input="next"):
        pass
    found = spans()  # of a program that still runs: its reader must not wait for it to end
    assert [record["status"] for record in found if record["name"] in ("before", "after")] == ["ok", "ok"]
    assert not [record["name"] for record in found if record["status"] == "running"]


@pytest.mark.parametrize(
    ("make", "name"), [(lambda: span(5), "5"), (lambda: span(Label.PAY), "pay")], ids=["number", "enum"]
)
def test_a_name_of_another_type_is_its_text(spans: Any, make: Callable[[], agentops.Span], name: str) -> None:
    with make():
        pass
    assert [record["name"] for record in spans()] == [name]


def test_a_key_of_another_type_is_its_text(spans: Any) -> None:
    with span("x") as s:
        s.set_attribute(5, "five")  # type: ignore[arg-type]
        s.add_event("e", {None: 1})  # type: ignore[dict-item]
    (record,) = spans()
    assert record["attributes"] == {"5": "five"}
    assert [list(event["attributes"]) for event in record["events"]] == [["None"]]


def test_a_mapping_with_dataclasses_for_keys_is_recorded(spans: Any) -> None:
    with span("x", input={Point(1): "one"}):
        pass
    (record,) = spans()
    assert list(record["input"].values()) == ["one"]


@pytest.mark.parametrize("make", ["Mock", "MagicMock"])
def test_a_stand_in_of_the_programs_own_tests_is_looked_at_and_let_be(program: Any, make: str) -> None:
    done = program(
        f"""
        import os, sys
        from unittest.mock import {make} as make
        from agentops import span
        calls = 0
        def count(*_):
            global calls
            calls += 1
            if calls > 50_000:              # a look at one takes some hundred
                os._exit(7)
        client = make()
        sys.setprofile(count)
        with span("x", input={{"client": client}}):
            pass
        """,
        AGENTOPS_RAISE="0",
    )
    assert done.returncode == 0, "it was taken apart without end"


def test_what_only_just_fits_on_the_programs_stack_still_runs(program: Any) -> None:
    done = program(
        """
        import sys
        from agentops import span
        def plain(n):
            return plain(n - 1) if n else "ok"
        def traced(n):
            if n: return traced(n - 1)
            with span("deep", input={"k": "v" * 200}) as s:
                s.set_attribute("list", [1])
                s.add_event("event", {"k": [1]})
                s.output = ["w" * 200]
            return "ok"
        sys.setrecursionlimit(400)
        traced(10)
        for n in range(300, 400):
            try: fits = plain(n + 10)         # what is written there needs some frames itself
            except RecursionError: break
            assert traced(n) == fits, n
        """,
        AGENTOPS_RAISE="0",
    )
    assert done.returncode == 0, done.stderr[-600:]


def test_a_value_without_end_is_recorded_as_its_type(spans: Any) -> None:
    class Endless:
        @property
        def model_dump(self) -> Any:
            return lambda **_: Endless()

    with span("x", input=Endless()):
        pass
    assert isinstance(spans()[0]["input"], str)
