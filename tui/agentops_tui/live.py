"""Two threads beside the screen, each with a Reader of its own: one answers, one follows what is written.

Neither touches a widget: what they find goes out by `post`, as messages.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from textual.message import Message

from agentops.errors import AgentopsError
from agentops.store.reader import Reader
from agentops.store.rows import Changes, TraceRow
from agentops.store.schema import DatabaseError, translate
from agentops_tui.outline import Outline

__all__ = ["Changed", "Clerk", "Follower", "Removed", "Trouble"]

Post = Callable[[Message], object]
#: What answers with a message, or None.
Question = Callable[[Reader], Message | None]

_POLL_S = 0.25
#: A poll that takes long is not repeated at once: the screen needs the interpreter too.
_REST = 3
_AGAIN_S = 0.5


class Trouble(Message):
    """The store cannot be read, or a question went wrong; None: it can be again."""

    def __init__(self, problem: AgentopsError | None, opening: bool) -> None:
        super().__init__()
        self.problem = problem
        self.opening = opening


class Changed(Message):
    """What came into the store since the last such message; the first has the latest runs and those that run.

    Attributes:
        traces: the runs that something came into, as they are now.
        outlines: of the run that is open, its lines anew.
    """

    def __init__(self, traces: list[TraceRow], outlines: dict[int, Outline]) -> None:
        super().__init__()
        self.traces = traces
        self.outlines = outlines


class Removed(Message):
    """Runs were taken out of the store.

    Attributes:
        gone: the number of the run that is open, if it is one of them.
    """

    def __init__(self, gone: int | None) -> None:
        super().__init__()
        self.gone = gone


class Clerk:
    """Answers questions to the store in a thread, in order; of those for one slot, the latest alone.

    Args:
        store: path of the database file.
        post: takes the messages; may be called from any thread.
    """

    def __init__(self, store: str, post: Post) -> None:
        self._store = store
        self._post = post
        self._todo: dict[str, tuple[Question, Post]] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="agentops-clerk", daemon=True)
        self._thread.start()

    def ask(self, slot: str, question: Question, post: Post | None = None) -> None:
        """Answer `question` with its message to `post`, instead of what waits in `slot`."""
        with self._changed:
            self._todo[slot] = question, post or self._post
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(1)

    def _work(self) -> None:
        reader = _opened(self._store, self._post, lambda: self._stopped)
        if reader is None:
            return
        with reader:
            while True:
                with self._changed:
                    while not self._todo and not self._stopped:
                        self._changed.wait()
                    if self._stopped:
                        return
                    question, post = self._todo.pop(next(iter(self._todo)))
                try:
                    answer = question(reader)
                except Exception as problem:  # noqa: BLE001 - the next question still has its answer
                    self._post(Trouble(_as_ours(problem, self._store), opening=False))
                    continue
                if answer is not None:
                    post(answer)


class Follower:
    """Brings in what programs record, and says what changed.

    Args:
        store: path of the database file.
        post: takes the messages; may be called from any thread.
    """

    def __init__(self, store: str, post: Post) -> None:
        self._store = store
        self._post = post
        self._watched: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="agentops-follower", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def watch(self, trace: int | None) -> None:
        """From now on also give the lines of the run with this number."""
        self._watched = trace

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(1)

    def _work(self) -> None:
        reader = _opened(self._store, lambda _: None, self._stop.is_set)
        if reader is None:
            return
        with reader:
            seen: Changes | None = None
            failing = False
            while not self._stop.is_set():
                begun = time.monotonic()
                try:
                    seen = self._look(reader, seen)
                except Exception as problem:  # noqa: BLE001 - locked for a moment, or damaged: it looks again
                    if not failing:
                        self._post(Trouble(_as_ours(problem, self._store), opening=False))
                    failing = True
                else:
                    failing = False
                self._stop.wait(max(_POLL_S, _REST * (time.monotonic() - begun)))

    def _look(self, reader: Reader, seen: Changes | None) -> Changes:
        reader.refresh()
        watched = self._watched
        found = reader.changes(seen, of=() if watched is None else (watched,))
        if found.traces:
            traces = [trace for trace, _ in found.traces]
            outlines = {trace.no: Outline(trace, spans) for trace, spans in found.traces if trace.no == watched}
            self._post(Changed(traces, outlines))
        if seen is not None and seen.removals != found.removals:
            self._post(Removed(watched if watched is not None and not reader.has(watched) else None))
        return found


def _as_ours(problem: Exception, store: str) -> AgentopsError:
    if isinstance(problem, AgentopsError):
        return problem
    if isinstance(problem, DatabaseError):
        return translate(problem, store)
    return AgentopsError(f"{store} holds what the explorer does not understand: {type(problem).__name__}: {problem}")


def _opened(store: str, post: Post, stopped: Callable[[], bool]) -> Reader | None:
    """A reader, as soon as there is a store that can be read; says once what is in the way."""
    said = ""
    while not stopped():
        try:
            reader = Reader(store, ingest=not os.path.exists(store))
        except AgentopsError as problem:
            if str(problem) != said:
                said = str(problem)
                post(Trouble(problem, opening=True))
            time.sleep(_AGAIN_S)
        else:
            post(Trouble(None, opening=True))
            return reader
    return None
