"""What may hold something sensitive waits here, in memory alone, until the detectors have looked through it.

The program's thread asks one question of all bytes that it records: can anything sensitive be in there? What cannot is
in the journal at once. What can is named there by its number, and comes with a record of its own once it is redacted:
by a thread of ours, or by whoever must wait (a program that is faster than the detectors, `flush`, the end).
"""

from __future__ import annotations

import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from agentops.journal.format import BLOB, CONTENTS, decode_value, encode
from agentops.recorder.capture import FAILED
from agentops.recorder.suppression import suppressed

if TYPE_CHECKING:
    from agentops.recorder.writer import Journal
    from agentops.redaction.redactor import Redactor

__all__ = ["FULL", "OWN", "Screening"]

#: What waits, at most, in bytes.
WAITING_BYTES_MAX = 8 << 20
#: Recorded instead of what could not be looked through.
FULL = "<withheld: too much waited for the redactor>"
OWN = "<withheld: recorded by the redactor itself>"
_SPANS_MAX = 10_000
#: What nobody would take for a secret but under a key that says so.
_PROBE = "xk9-Qz7w"
_KEYS_MAX = 10_000
_IDLE_S = 5.0
#: At the program's end, what was not looked through is lost: loading the detectors may take a second or two.
_END_WAIT_S = 20.0
#: A fork waits so long, at most, while detectors are loaded: a child could not load them any more.
_LOADING_S = 20.0
#: Journal, number, form and data of a content, the session that its pseudonyms hold for, and the key it stands under.
_Item = tuple["Journal", int, int, bytes, str, "str | None"]


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
        self.by_session = redactor.by_session
        self.may_hold = redactor.may_hold
        self._failed = failed
        self._lost = lost
        self._sessions: OrderedDict[int, str] = OrderedDict()
        self._is_loaded = self._held = False
        self.may_start_threads = True  # see `Recorder`
        self._telling: dict[str, bool] = {}
        self._at: list[_Item] = []
        self._queue: deque[_Item] = deque()
        self._begin()

    def _begin(self) -> None:
        self._bytes = 0
        # A signal handler may record while its thread holds it.
        self._changed = threading.Condition(threading.RLock())
        self._loading = threading.RLock()
        self._thread: threading.Thread | None = None
        self._looking: set[int] = set()
        self._end_is_awaited = self._is_over = False
        self._is_warm = self._is_loaded

    # -- sessions, of which pseudonyms depend --------------------------------------------------------

    def begins(self, span: int, parent: int, session: str | None) -> None:
        """A span belongs to its own session, or to that of its parent."""
        known = self._sessions
        if not session and parent in known:
            session = known[parent]
            known.move_to_end(parent)
        if session:
            known[span] = session
            if len(known) > _SPANS_MAX:
                known.popitem(last=False)

    def session(self, trace: bytes, span: int) -> str:
        """What pseudonyms in a span hold for: its session, or the trace alone."""
        return (self._sessions.get(span) or trace.hex()) if self.by_session else ""

    # -- at once -------------------------------------------------------------------------------------

    def may(self, data: bytes) -> bool:
        """As `may_hold`; what cannot even be asked may hold anything."""
        try:
            return self.may_hold(data)
        except Exception as problem:  # noqa: BLE001 - a detector of the user's
            self._failed("redactor", problem)
            return True

    def tells(self, key: str) -> bool:
        """Whether a value is found for its key alone, so that both have to be looked at together."""
        known = self._telling.get(key)
        if known is None:
            if len(self._telling) >= _KEYS_MAX:
                self._telling.clear()
            try:
                finders = (getattr(one, "find_value", None) for one in self.redactor.detectors)
                known = any(find_value is not None and find_value(key, _PROBE) for find_value in finders)
            except Exception as problem:  # noqa: BLE001
                self._failed("redactor", problem)
                known = True
            self._telling[key] = known
        return known

    def text(self, text: str, session: str = "") -> str:
        """A short text, redacted at once; withheld if that fails."""
        return str(self._now(self.redactor.text, text, session))

    def identifier(self, text: str, session: str = "") -> str:
        """A text by which things are grouped, redacted at once."""
        return str(self._now(self.redactor.identifier, text, session))

    def value(self, value: Any, session: str = "") -> Any:
        """Plain data, redacted at once; withheld if that fails."""
        return self._now(self.redactor.value, value, session)

    def _now(self, redact: Callable[[Any, str], Any], given: Any, session: str) -> Any:
        me = threading.get_ident()
        if me in self._looking:  # a detector that records what it does would be asked about that, and so on
            return OWN
        if not self._may_be_in(given):
            return given  # and no detector has to be loaded
        self._looking.add(me)
        try:
            self._load()
            with suppressed():
                return redact(given, session)
        except Exception as problem:  # noqa: BLE001 - what cannot be checked is not recorded
            self._failed("redactor", problem)
            return FAILED
        finally:
            self._looking.discard(me)

    def _may_be_in(self, given: Any) -> bool:
        if isinstance(given, str):
            return self.may(given.encode("utf-8", "surrogatepass"))
        try:
            return self.may(encode(given))
        except Exception:  # noqa: BLE001 - what cannot be encoded can be walked through
            return True

    def warm_up(self) -> None:
        """Have the detectors loaded beside the program, which then does not wait for it."""
        if not self._is_warm and self._thread is None and self.may_start_threads and not self._is_over:
            self._is_warm = True
            self._start()

    def _load(self) -> None:
        """Have the detectors loaded by one thread alone, so that a fork can wait for it."""
        if not self._is_loaded:
            with self._loading:
                if not self._is_loaded:
                    self.redactor.warm()
                    self._is_loaded = True

    # -- later ---------------------------------------------------------------------------------------

    def put(self, journal: Journal, number: int, form: int, data: bytes, session: str, key: str | None) -> None:
        """Content `number` of a journal is written there once it was looked through."""
        size = len(data)
        if threading.get_ident() in self._looking:
            self._write(journal, number, BLOB, encode(OWN))
        elif self._is_over:
            self._look_through((journal, number, form, data, session, key))
        elif self._take((journal, number, form, data, session, key)):
            self._wake()
        elif self.redactor.when_full == "withhold":
            self._write(journal, number, BLOB, encode(FULL))
        elif size > WAITING_BYTES_MAX:
            self._look_through((journal, number, form, data, session, key))
        else:
            while not self._take((journal, number, form, data, session, key)):
                if not self._work():  # others are at the last ones
                    with self._changed:
                        if self._bytes + size > WAITING_BYTES_MAX:
                            self._changed.wait(_IDLE_S)
            self._wake()

    def _take(self, item: _Item) -> bool:
        """Let it wait, if there is room."""
        with self._changed:
            if self._bytes + len(item[3]) > WAITING_BYTES_MAX:
                return False
            self._bytes += len(item[3])
            self._queue.append(item)
            return True

    def _wake(self) -> None:
        if not self._end_is_awaited:
            self._await_end()
        with self._changed:
            if self._thread is not None:
                self._changed.notify_all()
                return
        self._start()

    def _await_end(self) -> None:
        """A process that was forked as a worker ends without what is registered with `atexit`."""
        self._end_is_awaited = True
        for name in ("multiprocessing.util", "billiard.util"):
            if (util := sys.modules.get(name)) is not None:
                util.Finalize(None, self.at_end, exitpriority=0)

    def at_end(self) -> None:
        """Look through all that waits, before this process ends; what comes later is looked through as it comes."""
        self._is_over = True
        self.drain(time.monotonic() + _END_WAIT_S)
        if self._loading.acquire(timeout=_LOADING_S):  # a thread that is stopped while it loads could take all down
            self._loading.release()

    def drain(self, deadline: float | None = None) -> bool:
        """Look through all that waits, on this thread too; True if nothing is left."""
        if threading.get_ident() in self._looking:
            return not self._queue
        while self._queue:
            if deadline is not None and time.monotonic() > deadline:
                return False
            self._work()
        with self._changed:  # a thread may be at the last one
            return self._changed.wait_for(
                lambda: not self._at, None if deadline is None else max(0.0, deadline - time.monotonic())
            )

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="agentops-redaction", daemon=True)
        with self._changed:
            if self._thread is not None:
                return
            self._thread = thread
        try:
            if not self.may_start_threads:
                raise RuntimeError
            Context().run(thread.start)  # it works for all spans, below none
        except RuntimeError:  # no more threads, or the program ends: then it is done here
            self._thread = None
            while self._work():
                pass

    def _run(self) -> None:
        me = threading.current_thread()
        try:
            self._load()
        except Exception as problem:  # noqa: BLE001 - said once, early; what may hold something is withheld then
            self._failed("redactor", problem)
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
            self._at.append(item)
        try:
            self._look_through(item)
        except BaseException:  # a signal's, while the program waited for it
            with self._changed:
                self._queue.appendleft(item)
                self._bytes += len(item[3])
            raise
        finally:
            with self._changed:
                self._bytes -= len(item[3])
                self._at.remove(item)
                self._changed.notify_all()
        return True

    def _look_through(self, item: _Item) -> None:
        journal, number, form, data, session, key = item
        me = threading.get_ident()
        self._looking.add(me)
        try:
            self._load()
            value = decode_value(data)
            with suppressed():
                redacted = self.redactor.value(value if key is None else {key: value}, session)
            data = encode(redacted if key is None else next(iter(redacted.values())))
        except BaseException as problem:  # what cannot be checked is not recorded
            if not isinstance(problem, Exception) and threading.current_thread() is not self._thread:
                raise
            self._failed("redactor", problem)
            form, data = BLOB, encode(FAILED)
        finally:
            self._looking.discard(me)
        self._write(journal, number, form, data)

    def _write(self, journal: Journal, number: int, form: int, data: bytes) -> None:
        payload = encode((CONTENTS, [(number, form, data)]))
        try:
            journal.append(payload)
        except (OSError, ValueError) as problem:
            self._lost(journal, problem if isinstance(problem, OSError) else OSError(str(problem)), len(payload))

    # -- fork ----------------------------------------------------------------------------------------

    def before_fork(self, wait_s: float) -> None:
        """End the thread; the next that waits starts one again. Nobody is loading detectors after this."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        self._held = self._loading.acquire(timeout=_LOADING_S)
        if thread is not None and thread is not threading.current_thread():
            thread.join(wait_s)

    def after_fork_in_parent(self) -> None:
        if self._held:
            self._held = False
            self._loading.release()

    def after_fork_in_child(self) -> None:
        """What waits is the parent's to write, and the locks of its journals are the parent's too."""
        waiting = [*self._at, *self._queue]
        self._at, self._queue = [], deque()
        self._begin()
        for item in waiting:
            item[0].abandon()
