"""One trace in several journals: full ones, a child's, and those before and after a shutdown. Values stay whole."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import agentops
from agentops import span
from agentops.recorder.recorder import recorder
from agentops.recorder.writer import Journal, MappedJournal, Place

LONG = 70_000  # characters of a message: some sixty fill a journal


def message(n: int, length: int = 200) -> dict[str, str]:
    return {"role": "user", "content": f"{n} " + os.urandom(length // 2).hex()}


def chats(spans: Callable[[], list[dict[str, Any]]]) -> list[Any]:
    return [record["input"] for record in spans() if record["name"] == "chat"]


@pytest.fixture(params=["mapped", "plain"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Journal]:
    """Both kinds of journal: mapped, and plain as on a file system that copies on write."""
    if request.param == "mapped":
        return MappedJournal
    made = Place.__init__

    def on_another_file_system(self: Place, *arguments: Any) -> None:
        made(self, *arguments)
        self.mappable = False

    monkeypatch.setattr(Place, "__init__", on_another_file_system)
    return Journal


def test_a_conversation_longer_than_a_journal_comes_back_whole_at_every_turn(
    store: Path, spans: Any, kind: type[Journal]
) -> None:
    messages: list[Any] = []
    expected = []
    with span("run"):
        for n in range(70):
            messages.append(message(n, LONG))
            with span("chat", input=messages):
                pass
            expected.append(list(messages))
    assert type(recorder.journal) is kind
    assert recorder._journals_opened > 1
    assert chats(spans) == expected


def test_a_conversation_goes_on_after_a_shutdown(spans: Any) -> None:
    messages = [message(n) for n in range(3)]
    with span("run"):
        with span("chat", input=messages):
            pass
        agentops.shutdown()
        with span("other", input=[message(-1), message(-2), message(-3)]):  # the new journal's first contents
            pass
        messages.append(message(3))
        with span("chat", input=messages):
            pass
    assert chats(spans) == [messages[:3], messages]


def test_a_conversation_goes_on_in_a_forked_child(store: Path, spans: Any) -> None:
    messages = [message(n) for n in range(4)]
    with span("run"):
        with span("chat", input=messages[:3]):
            pass
        child = os.fork()
        if child == 0:
            with span("other", input=[message(-1), message(-2), message(-3)]):
                pass
            with span("chat", input=messages):
                pass
            os._exit(0)
        os.waitpid(child, 0)
    assert chats(spans) == [messages[:3], messages]


def test_a_conversation_goes_on_after_recording_was_off(spans: Any) -> None:
    messages = [message(n) for n in range(4)]
    with span("run"):
        agentops.init(enabled=False)
        with span("chat", input=messages[:3]):
            pass
        agentops.init(enabled=True)
        with span("other", input=[message(-1), message(-2), message(-3)]):
            pass
        with span("chat", input=messages):
            pass
    assert chats(spans) == [messages]


def test_threads_of_one_trace_that_fill_journals_keep_their_values_apart(
    store: Path, spans: Any, kind: type[Journal]
) -> None:
    shared = [os.urandom(2_000).hex() for _ in range(20)]
    expected: dict[str, Any] = {}

    def work(k: int) -> None:
        messages: list[Any] = []
        for n in range(30):
            messages = [*messages[-10:], {"role": "tool", "content": shared[(k + n) % 20]}, message(n, 12_000)]
            with span("step", input=messages) as step:
                step.output = {"answer": shared[(k * n) % 20], "n": n}
            expected[step.span_id] = (messages, step.output)

    with span("run"):
        threads = [threading.Thread(target=contextvars.copy_context().run, args=(work, k)) for k in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert recorder._journals_opened > 1
    found = {r["span_id"]: (r["input"], r["output"]) for r in spans() if r["name"] == "step"}
    assert found == expected


def test_a_span_of_a_full_journal_may_end_in_the_next(spans: Any) -> None:
    with span("outer", input=["first"]) as outer:
        outer.set_attribute("early", 1)
        opened = recorder._journals_opened
        while recorder._journals_opened == opened:
            with span("filler", input=os.urandom(100_000).hex()):
                pass
        outer.set_attribute("late", 2)
        outer.output = "done"
    record = next(record for record in spans() if record["name"] == "outer")
    assert (record["status"], record["input"], record["output"]) == ("ok", ["first"], "done")
    assert record["attributes"] == {"early": 1, "late": 2}


def test_a_value_larger_than_a_journal_is_one_record(spans: Any, kind: type[Journal]) -> None:
    value = os.urandom(6 << 20).hex()
    for name in ("one", "two", "three"):
        with span(name, input=value):
            pass
    assert [record["input"] == value for record in spans()] == [True] * 3


def test_journals_that_are_in_the_store_are_deleted(store: Path, spans: Any) -> None:
    for _ in range(60):
        with span("big", input=os.urandom(90_000).hex()):
            pass
    assert len(spans()) == 60
    assert len(list((store.parent / "traces.journal").iterdir())) == 1  # the one that is being written
    agentops.shutdown()
    assert len(spans()) == 60
    assert list((store.parent / "traces.journal").iterdir()) == []
