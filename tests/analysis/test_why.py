"""`why` on agents that go wrong in known ways, and on those that do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.trace import Status, StatusCode

import agentops
from agentops import span
from agentops.analysis.why import headline, why
from agentops.cli.main import main
from agentops.store.reader import Reader
from tests.analysis.planted import PLANTED, chat, healthy, step


@pytest.fixture
def said(store: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """What `agentops why latest` prints."""

    def said() -> list[str]:
        assert agentops.flush()
        assert main(["why", "latest"]) == 0
        return capsys.readouterr().out.splitlines()

    return said


@pytest.mark.parametrize("name", PLANTED)
def test_the_span_at_fault_is_named_in_the_first_five_lines(name: str, said: Callable[[], list[str]]) -> None:
    cause = PLANTED[name]()
    lines = said()
    named = cause[:8] if len(cause) == 16 else cause
    assert any(named in line for line in lines[:5]), "\n".join(lines)
    assert len(lines) <= 20 and max(map(len, lines)) <= 160


def test_in_a_run_that_went_well_nothing_is_suspect(store: Path, said: Callable[[], list[str]]) -> None:
    with span("assistant", kind="agent", input="hello") as run:
        healthy(6)
        step("list_orders", "tool", {"of": "Ann"}, {"orders": [{"id": 1, "error": None}], "errors": 0})
        step("save", "tool", {"a": 1}, None)
        step("search", "retrieval", "exceptions", ["Error handling in Python uses exceptions.", "Failed logins lock."])
        for n in range(6):  # one tool for each of many things is no loop
            step("get_user", "tool", {"user_id": f"u-{n}"}, {"name": f"user {n}", "plan": "pro"})
            chat(f"and {n}?", "Yes.")
        run.output = "Good morning"
    lines = said()
    assert lines[0].endswith("assistant ended ok: nothing failed"), "\n".join(lines)
    with Reader(str(store)) as reader:
        trace = reader.trace("latest")
        assert why(reader, trace).cause is None and headline(reader, trace) is None


def test_an_error_that_did_not_come_again_is_told_as_such(said: Callable[[], list[str]]) -> None:
    with span("shopper", kind="agent"):
        healthy(1)
        for attempt in range(2):
            try:
                with span("pay", kind="tool", input={"order": 7}) as s:
                    if not attempt:
                        raise TimeoutError("no answer")
                    s.output = "paid"
            except TimeoutError:
                pass
    assert "ended ok; worked when tried again: pay (tool) raised TimeoutError" in said()[0]


def test_a_headline_names_the_span_and_the_type_of_the_error(store: Path) -> None:
    with pytest.raises(TimeoutError), span("answer ticket", kind="agent"), span("refund", kind="tool"):
        raise TimeoutError("payment service did not answer")
    assert agentops.flush()
    with Reader(str(store)) as reader:
        assert headline(reader, reader.trace("latest")) == ("refund", "TimeoutError")


def test_a_program_that_ended_badly_without_an_error_of_its_own(said: Callable[[], list[str]]) -> None:
    with span("python agent.py", kind="chain") as run:
        healthy(1)
        with suppress(OSError), span("save report", kind="tool", input="r.md"):
            raise OSError("disk is full")
        healthy(1, 3)
        run.set_attribute("process.exit.code", 3)
        run.set_status(Status(StatusCode.ERROR))
    lines = said()
    assert lines[0].endswith("python agent.py failed: exit code 3")
    assert any("save report (tool) raised OSError: disk is full" in line for line in lines[:5])


def test_the_type_of_an_error_is_told_without_its_modules(store: Path) -> None:
    with suppress(ValueError), span("parse", kind="agent"):
        json.loads("{")
    assert agentops.flush()
    with Reader(str(store)) as reader:
        assert headline(reader, reader.trace("latest")) == ("parse", "JSONDecodeError")


def test_ctrl_c_is_told_as_such_and_no_earlier_step_is_its_cause(said: Callable[[], list[str]]) -> None:
    with suppress(KeyboardInterrupt), span("assistant", kind="agent"):
        chat("what next?", "fetch it")
        with span("fetch", kind="tool", input={"n": 1}):
            raise KeyboardInterrupt
    first, *others = said()
    assert first.endswith("assistant was interrupted by Ctrl-C (SIGINT) while fetch (tool) ran")
    assert not [line for line in others if line.split()[0] == "cause"]


@pytest.mark.parametrize(
    "card", ["<CREDIT_CARD>", "<CREDIT_CARD:d76661683797>", "**** **** **** 4444", "************4444"]
)
def test_what_redaction_put_in_is_no_trace_of_a_value(card: str, said: Callable[[], list[str]]) -> None:
    with suppress(OSError), span("shop", kind="agent", input="I want to pay"):
        step("profile", "tool", {"of": "Ann"}, {"card": card})
        step("charge", "tool", {"card": card}, {"paid": False})
        with span("pay", kind="tool", input={"card": card}):
            raise OSError(f"card {card} was declined")
    lines = said()
    assert "pay (tool) raised OSError" in lines[0]
    assert not [line for line in lines if line.split()[0] == "cause"], "\n".join(lines)


def test_no_call_asked_for_the_memory_that_ran_out(said: Callable[[], list[str]]) -> None:
    with suppress(MemoryError), span("assistant", kind="agent"):
        chat("what next?", "load it")
        with span("load", kind="tool", input={"n": 1}):
            raise MemoryError
    lines = said()
    assert "load (tool) raised MemoryError" in lines[0]
    assert not [line for line in lines if line.split()[0] == "cause"], "\n".join(lines)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(["error", "content", "type", "role", "status"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.tuples(_VALUES, _VALUES), min_size=1, max_size=6), error=st.text(max_size=200))
def test_whatever_was_recorded_something_can_be_said(store: Path, values: list[Any], error: str) -> None:
    kinds: list[Any] = ["llm", "tool", "retrieval", "chain"]
    try:
        with span("run", kind="agent", input=values[0][0]):
            for n, (given_, gives) in enumerate(values):
                with span(f"step {n % 2}", kind=kinds[n % 4], input=given_) as s:
                    s.output = gives
            with span("end", kind="tool", input=values[-1][1]):
                raise ValueError(error)
    except ValueError:
        pass
    assert agentops.flush()
    with Reader(str(store)) as reader:
        found = why(reader, reader.trace("latest"))
    assert found.failed and found.headline.startswith("run failed: end (tool) raised ValueError")
