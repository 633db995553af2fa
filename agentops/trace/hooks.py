"""Functions of the user's that see each span at its end, off the thread that made it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, TypeVar

from agentops import safety
from agentops.recorder.recorder import recorder
from agentops.recorder.suppression import suppressed

if TYPE_CHECKING:
    from agentops.trace.span import Span

__all__ = ["on_span_end"]

F = TypeVar("F", bound="Callable[[Span], object]")

WAITING_MAX = 10_000


class _Runner:
    """One thread that calls all hooks; what does not fit in its queue is dropped and counted."""

    def __init__(self) -> None:
        self.after_fork_in_child()

    def after_fork_in_child(self) -> None:
        self._waiting: queue.Queue[Span | threading.Event] = queue.Queue(WAITING_MAX)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def put(self, span: Span) -> None:
        if not recorder.may_start_threads:
            safety.counts["spans not shown to hooks"] += 1
            return
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="agentops hooks", daemon=True)
                    Context().run(self._thread.start)  # it works for all spans, below none
        try:
            self._waiting.put_nowait(span)
        except queue.Full:
            safety.counts["spans not shown to hooks"] += 1

    def flush(self, deadline: float | None) -> bool:
        if self._thread is None or self._thread is threading.current_thread():
            return True  # nothing waits, or a hook itself asks, which cannot wait for its own end
        mark = threading.Event()
        try:
            self._waiting.put(mark, timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except queue.Full:
            return False
        return mark.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        with suppressed():
            while True:
                item = self._waiting.get()
                if isinstance(item, threading.Event):
                    item.set()
                    continue
                for hook in recorder.hooks:
                    try:
                        hook(item)
                    except BaseException as problem:  # noqa: BLE001 - the user's function; sys.exit() too ends it alone
                        safety.failed(f"hook {getattr(hook, '__name__', hook)!r}", problem, lost=0)


def on_span_end(function: F) -> F:
    """Call `function` with each span after its end, on a thread of ours; usable as a decorator.

    Args:
        function: gets the ended span. What it raises is logged once and counted. If it is slower than the
            spans come, at most 10,000 wait and the rest is not shown to it (counted).

    Returns:
        `function` itself.
    """
    if recorder.hook_runner is None:
        recorder.hook_runner = _Runner()
    recorder.hooks = (*recorder.hooks, function)
    return function
