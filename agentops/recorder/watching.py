"""Watching over a program's open spans: when to look, at what, and what there is to note."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from agentops.recorder.intake import Intake
from agentops.recorder.watchdog import OpenSpan, Watchdog, facts, innermost

__all__ = ["Note", "Watching"]

#: Spans on which one look is noted.
_SPANS_MAX = 8


class Note(NamedTuple):
    """An event that a span gets."""

    span_id: int
    trace: bytes
    time_ns: int
    name: str
    facts: dict[str, Any]


class Watching:
    """Over one process; it looks on the recorder's thread.

    Args:
        intake: knows what is open.
        latest: the span that each thread began last.
    """

    def __init__(self, intake: Intake, latest: dict[int, int]) -> None:
        #: What is asked for: notes on spans that are open for so many seconds (0 for none), and on memory.
        self.asked = (0.0, False)
        self._intake = intake
        self._latest = latest
        self._dog: Watchdog | None = None

    def period_s(self, otherwise: float) -> float:
        """In how many seconds it wants to look again."""
        return otherwise if self._dog is None else min(otherwise, self._dog.period_s)

    def notes(self, root: tuple[bytes, int] | None, unread_s: float, bring_in: Callable[[], object]) -> Iterator[Note]:
        """Look, and give what there is to note; mostly nothing.

        Args:
            root: trace and id of the program's own span, which another process has open.
            unread_s: for how long records have been waiting to be brought in.
            bring_in: does that.
        """
        dog = self._dog
        if dog is None or (dog.after_s, dog.of_memory) != self.asked:
            dog = self._dog = Watchdog(*self.asked)
        held = dog.memory()
        if dog.after_s and unread_s > dog.after_s / 2:
            bring_in()  # a busy program may make no pause for it
        late = dog.due(self._intake.open_spans(), time.time_ns())
        if not held and not late:
            return
        bring_in()  # what has ended since is not open
        spans = set(innermost(self._intake.open_spans()))
        wanted: list[tuple[OpenSpan, str]] = [(span, "stacks") for span in late if span in spans]
        if held:
            wanted += [(span, "memory") for span in spans]
            if not spans and root is not None:
                wanted.append(((*root, 0, time.time_ns()), "memory"))
        if not wanted:
            return
        known = facts(self._latest)
        alive = {thread["id"] for thread in known["threads"]}
        for (trace, span_id, _, start_ns), name in wanted[:_SPANS_MAX]:
            now = time.time_ns()
            said = {"open_s": round((now - start_ns) / 1e9, 1), **known}
            thread = self._thread_of(trace, span_id, alive)
            if thread is not None:
                said["thread"] = thread
            yield Note(span_id, trace, now, name, said)

    def _thread_of(self, trace: bytes, span_id: int, alive: set[int]) -> int | None:
        """The thread that began a span, or the last of the spans below it; None if that is not one thread."""
        latest = {thread: span for thread, span in list(self._latest.items()) if thread in alive}
        on = [thread for thread, span in latest.items() if span == span_id]
        on = on or self._intake.below(trace, span_id, latest)
        return on[0] if len(on) == 1 else None
