"""Hooks: whatever a user's function does with the spans that it is shown, the program goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import agentops
from agentops import on_span_end, span


@pytest.fixture(autouse=True)
def never_raising(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOPS_RAISE", "0")


def test_a_hook_sees_what_was_set_on_the_span(spans: Any) -> None:
    seen: list[Any] = []
    on_span_end(lambda s: seen.append((s.name, s.kind, s.status, s.output, s.attributes)))
    with pytest.raises(ValueError), span("pay", kind="tool") as s:
        s.output = {"paid": 1}
        s.set_attribute("n", 1)
        s.set_attribute("list", ["a", "b"])
        raise ValueError
    agentops.flush()
    assert seen == [("pay", "tool", "error", {"paid": 1}, {"n": 1, "list": ["a", "b"]})]


def test_attributes_are_what_was_set(spans: Any) -> None:
    value = {"k": [1]}
    with span("x") as s:
        s.set_attribute("mapping", value)
        value["k"].append(2)
        assert s.attributes == {"mapping": {"k": [1]}}


HANGING = """
import os, sys, threading
import agentops
from agentops import on_span_end, span

@on_span_end
def hook(ended):
    {body}

with span("a"):
    pass
flushing = threading.Thread(target=agentops.flush, daemon=True)
flushing.start()
flushing.join(3)
print("hangs" if flushing.is_alive() else "came back", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("body", ["sys.exit()", "raise KeyboardInterrupt", "agentops.flush()", "agentops.shutdown()"])
def test_flush_comes_back_whatever_a_hook_does(program: Any, body: str) -> None:
    done = program(HANGING.format(body=body), AGENTOPS_RAISE="0", PYTHONWARNINGS="default")
    assert done.stdout == "came back\n", done.stderr


def test_a_hook_that_ends_its_thread_does_not_end_the_next_call(program: Any) -> None:
    done = program(
        """
        import os, sys, threading
        from agentops import flush, on_span_end, span
        seen = []
        @on_span_end
        def hook(ended):
            seen.append(ended.name)
            if ended.name == "first": sys.exit()
        for name in ("first", "second"):
            with span(name): pass
        flushing = threading.Thread(target=flush, daemon=True)
        flushing.start()
        flushing.join(3)
        print(*seen, flush=True)
        os._exit(0)
        """,
        AGENTOPS_RAISE="0",
    )
    assert done.stdout == "first second\n", done.stderr


def test_what_a_slow_hook_cannot_see_in_time_is_counted_and_nobody_waits(program: Any) -> None:
    done = program(
        """
        import threading
        import agentops.trace.hooks
        agentops.trace.hooks.WAITING_MAX = 5
        from agentops import flush, on_span_end, span
        from agentops.safety import counts
        go, seen = threading.Event(), []
        @on_span_end
        def slow(ended):
            go.wait()
            seen.append(ended.name)
        for n in range(20):
            with span(f"s-{n}"): pass
        go.set()
        flush()
        print(len(seen) < 20, len(seen) + counts["spans not shown to hooks"])
        """
    )
    assert done.stdout == "True 20\n", done.stderr


def test_a_decorator_for_hooks_gives_the_function_back() -> None:
    def hook(ended: agentops.Span) -> None: ...

    assert on_span_end(hook) is hook
