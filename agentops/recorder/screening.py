"""What may hold something sensitive waits here, in memory alone, until the detectors have looked through it.

The program's thread asks one question of all bytes that it records: can anything sensitive be in there? What cannot is
in the journal at once. What can is named there by its number, and comes with a record of its own once it is redacted:
by a thread of ours, or by whoever must wait (a program that is faster than the detectors, `flush`, the end).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agentops.journal.format import BLOB, CONTENTS, decode_value, encode
from agentops.recorder.suppression import suppressed

if TYPE_CHECKING:
    from agentops.recorder.writer import Journal
    from agentops.redaction.redactor import Redactor

__all__ = ["FAILED", "FULL", "Screening"]

#: What waits, at most, in bytes.
WAITING_BYTES_MAX = 8 << 20
#: Recorded instead of what could not be looked through.
FAILED = "<withheld: the redactor failed>"
FULL = "<withheld: too much waited for the redactor>"
_SESSIONS_MAX = 10_000
_IDLE_S = 5.0
_Item = tuple["Journal", int, int, bytes, str]


class Screening:
    """The redactor at work in this process.

    Args:
        redactor: finds what is sensitive.
        failed: told of what went wrong.
        lost: called with a journal and the error when a record cannot be written to it.
    """

    def __init__(
        self,
        redactor: Redactor,
        failed: Callable[[str, BaseException], None],
        lost: Callable[[Any, OSError, int], None],
    ) -> None:
        self.redactor = redactor
        self.may_hold = redactor.may_hold
        self._failed = failed
        self._lost = lost
        self._sessions: OrderedDict[bytes, str] = OrderedDict()
        self.after_fork_in_child()

    def after_fork_in_child(self) -> None:
        """What waited is the parent's to write, and so is its thread."""
        self._queue: deque[_Item] = deque()
        self._bytes = 0
        self._busy = 0
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._stop = False

    # -- sessions, of which pseudonyms depend --------------------------------------------------------

    def in_session(self, trace: bytes, session: str | None) -> None:
        """A trace belongs to a session."""
        if session:
            self._sessions[trace] = session
            if len(self._sessions) > _SESSIONS_MAX:
                self._sessions.popitem(last=False)

    def session(self, trace: bytes) -> str:
        """What pseudonyms in a trace hold for: its session, or the trace alone."""
        return (self._sessions.get(trace) or trace.hex()) if self.redactor.by_session else ""

    # -- at once -------------------------------------------------------------------------------------

    def text(self, text: str, trace: bytes = b"") -> str:
        """A short text, redacted at once; withheld if that fails."""
        try:
            return self.redactor.text(text, self.session(trace))
        except Exception as problem:  # noqa: BLE001 - what cannot be checked is not recorded
            self._failed("redactor", problem)
            return FAILED

    def identifier(self, text: str, trace: bytes = b"") -> str:
        """A text by which things are grouped, redacted at once."""
        try:
            return self.redactor.identifier(text, self.session(trace))
        except Exception as problem:  # noqa: BLE001
            self._failed("redactor", problem)
            return FAILED

    def value(self, value: Any, trace: bytes = b"") -> Any:
        """Plain data, redacted at once; withheld if that fails."""
        try:
            return self.redactor.value(value, self.session(trace))
        except Exception as problem:  # noqa: BLE001
            self._failed("redactor", problem)
            return FAILED

    # -- later ---------------------------------------------------------------------------------------

    def put(self, journal: Journal, number: int, form: int, data: bytes, trace: bytes) -> None:
        """Content `number` of a journal is written there once it was looked through."""
        item = (journal, number, form, data, self.session(trace))
        if self._bytes + len(data) > WAITING_BYTES_MAX:
            if self.redactor.when_full == "withhold":
                self._write(journal, number, BLOB, encode(FULL))
                return
            while self._queue and self._bytes + len(data) > WAITING_BYTES_MAX:
                self._work()
            if len(data) > WAITING_BYTES_MAX:
                self._look_through(item)
                return
        with self._changed:
            self._queue.append(item)
            self._bytes += len(data)
            thread = self._thread
            if thread is not None:
                self._changed.notify_all()
        if thread is None:
            self._start()

    def drain(self, deadline: float | None = None) -> bool:
        """Look through all that waits, on this thread too; True if nothing is left."""
        with suppressed():
            while self._queue:
                if deadline is not None and time.monotonic() > deadline:
                    return False
                self._work()
        with self._changed:  # a thread may be at the last one
            return self._changed.wait_for(
                lambda: not self._busy, None if deadline is None else max(0.0, deadline - time.monotonic())
            )

    def stop(self, wait_s: float) -> None:
        """End the thread, before a fork; the next that waits starts one again."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(wait_s)

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="agentops-redaction", daemon=True)
        with self._changed:
            if self._thread is not None:
                return
            self._thread = thread
        try:
            thread.start()
        except RuntimeError as problem:  # no more threads: flush and the end of the program do it
            self._thread = None
            self._failed("starting the redactor's thread", problem)

    def _run(self) -> None:
        me = threading.current_thread()
        with suppressed():
            while self._thread is me:
                if not self._work():
                    with self._changed:
                        idle = not self._queue and self._thread is me and not self._changed.wait(_IDLE_S)
                        if idle and not self._queue and self._thread is me:
                            self._thread = None
                            return

    def _work(self) -> bool:
        """Look through what waits longest; False if nothing waits."""
        with self._changed:
            if not self._queue:
                return False
            item = self._queue.popleft()
            self._busy += 1
        try:
            self._look_through(item)
        finally:
            with self._changed:
                self._bytes -= len(item[3])
                self._busy -= 1
                self._changed.notify_all()
        return True

    def _look_through(self, item: _Item) -> None:
        journal, number, form, data, session = item
        try:
            value = decode_value(data)
            redacted = self.redactor.value(value, session)
            data = encode(redacted)
        except Exception as problem:  # noqa: BLE001 - what cannot be checked is not recorded
            self._failed("redactor", problem)
            form, data = BLOB, encode(FAILED)
        self._write(journal, number, form, data)

    def _write(self, journal: Journal, number: int, form: int, data: bytes) -> None:
        payload = encode((CONTENTS, [(number, form, data)]))
        try:
            journal.append(payload)
        except (OSError, ValueError) as problem:
            self._lost(journal, problem if isinstance(problem, OSError) else OSError(str(problem)), len(payload))
