"""The recorder of this process: its journal, the thread that empties it into the store, its end."""

from __future__ import annotations

import atexit
import itertools
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from agentops import safety
from agentops.errors import AgentopsError
from agentops.journal.format import EVENT
from agentops.recorder.capture import Capture, New
from agentops.recorder.plain import Redactor
from agentops.recorder.watchdog import OpenSpan, Watchdog, facts, innermost
from agentops.recorder.writer import Journal, Place, open_journal
from agentops.settings import resolve
from agentops.store.location import find_store, journal_folder, prepare

if TYPE_CHECKING:
    from agentops.store.ingest import Ingester

__all__ = ["Nowhere", "Recorder", "recorder", "suppressed"]

#: The thread looks for news this often, in seconds: the first while there are some, the last when idle.
POLL_S, POLL_IDLE_S = 0.25, 4.0
#: It waits for a pause of the program before it ingests, but not longer than for this many bytes.
BACKLOG_BYTES = 4 << 20
#: Compressing and indexing cost more than ingest and wait for a pause, up to this many bytes.
UNPACKED_BYTES = 64 << 20
EXIT_WAIT_S = 0.5
MOVE_WAIT_S = 10.0
_RETRY_S = 5.0
#: Spans on which one look of the watchdog is noted.
_WATCHED_MAX = 8


class suppressed:
    """Inside, nothing that we read or write is traced, whatever is instrumented globally."""

    def __enter__(self) -> None:
        current = otel_context.get_current()
        values = {"suppress_instrumentation": True, otel_context._SUPPRESS_INSTRUMENTATION_KEY: True}
        self._token = otel_context.attach(otel_context.Context({**current, **values}))

    def __exit__(self, *_: object) -> None:
        otel_context.detach(self._token)


class _Nothing(dict[bytes, int]):
    """A dict that stays empty."""

    def __setitem__(self, key: bytes, value: int) -> None: ...


class _Forgetful(Capture):
    """Captures for nobody, and keeps nothing."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None, safety.failed)
        self.seen = _Nothing()

    def remember(self, new: New, trace: bytes) -> None: ...


class Nowhere:
    """Stands in for a journal while there is none: recording is off, or no journal can be made."""

    written = 0

    def __init__(self, lost: str | None, until: float) -> None:
        self.capture = _Forgetful()
        self.until = until
        self._lost = lost

    def append(self, payload: bytes) -> None:
        if self._lost is not None:
            safety.counts[self._lost] += 1
            if time.monotonic() > self.until:
                recorder.try_again(self)

    def make_room(self) -> None: ...

    def leave(self, final: bool) -> None: ...

    def abandon(self) -> None: ...


class Recorder:
    """Everything that this process records goes through this one object.

    `journal` is what hot code reads: the open journal, or None before the first record, after a fork and
    after a failure; `open()` then gives one. Ids come from a generator of our own, since the user's
    `random.seed` must not make them repeat.
    """

    def __init__(self) -> None:
        self.journal: Journal | Nowhere | None = None
        self.store: str | None = None
        self.redact: Redactor | None = None
        self.given: dict[str, object] = {}
        self.hooks: tuple[Callable[[Any], object], ...] = ()
        self.hook_runner: Any = None
        #: Trace and span id of the program's own span (`agentops run`): it stands above spans without a parent.
        self.root = _of_run(os.environ.get("AGENTOPS_RUN", ""))
        #: The span that each thread began last, for the watchdog; of threads that are over too, until it looks.
        self.latest: dict[int, int] = {}
        self._at_exit = False
        self._begin()

    def _begin(self) -> None:
        """State of a process that has recorded nothing yet."""
        self.epoch = object()
        seed = random.Random(os.urandom(32))  # noqa: S311 - ids, not secrets
        self.random_bits = seed.getrandbits
        self.process = (seed.getrandbits(63), time.time_ns())
        self._sequence = itertools.count(1)
        self._place: Place | None = None
        self._lock = threading.RLock()
        self._ingest_lock = threading.Lock()
        self._ingester: Ingester | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._journals_opened = 0
        self._let_go_bytes = 0
        self._watchdog: Watchdog | None = None
        self._watched = (0.0, False)  # what it is asked for
        self.latest.clear()
        #: What had been written, and when (monotonic), as records last were brought into the store.
        self._brought = (0, time.monotonic())

    def configure(self, redact: Redactor | None, **given: object) -> None:
        """What `init()` was given; what was recorded so far stays where it is."""
        with self._lock:
            resolve({**self.given, **given})  # wrong values are said here and now
            self.given.update({name: value for name, value in given.items() if value is not None})
            if redact is not None:
                self.redact = redact
                notes = sys.modules.get("_agentops_notes")
                if notes is not None:  # under `agentops run`: what is printed is not looked through
                    notes.forget_lines()
            moved = self.store is not None and find_store(self._given_store()) != self.store
            if moved:
                self.flush(MOVE_WAIT_S)  # what comes later goes into the other store
                self._ingester = None
            self.store = self._place = None  # before the next journal: it is made from these
            if self.journal is not None:
                self._let_go()

    def _given_store(self) -> str | None:
        store = self.given.get("store")
        return None if store is None else str(store)

    def open(self) -> Journal | Nowhere:
        """The open journal, made if need be. Never raises."""
        with self._lock:
            if self.journal is not None:
                return self.journal
            try:
                self.journal = self._make()
            except (OSError, AgentopsError) as problem:
                safety.failed("opening a journal", problem)
                self.journal = Nowhere("records lost without a journal", time.monotonic() + _RETRY_S)
            return self.journal

    def _make(self) -> Journal | Nowhere:
        values = resolve(self.given)
        if not values["enabled"].value:
            return Nowhere(None, float("inf"))
        store = self.store or find_store(self._given_store())  # found once: the working directory may change
        prepare(store)
        if self._place is None:
            self._place = Place(journal_folder(store), self.process, self.redact, self._full)
        journal = open_journal(self._place, next(self._sequence))
        self._journals_opened += 1
        if self.store is None:
            self.store = store
            if self._journals_opened == 1 and not values["quiet"].value and sys.stderr and sys.stderr.isatty():
                print(f"agentops: recording to {store}", file=sys.stderr)
        if not self._at_exit:
            self._at_exit = True
            atexit.register(self.at_exit)
        self._watched = (float(values["watch_after"].value), bool(values["watch_memory"].value))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(self._stop,), name="agentops", daemon=True)
            self._thread.start()
        return journal

    def lost(self, journal: Journal | Nowhere, problem: OSError) -> None:
        """A record could not be written: count it, and try another journal for the next one."""
        safety.failed("writing to the journal", problem)
        with self._lock:
            if self.journal is journal:
                self.journal = Nowhere("records lost without a journal", time.monotonic() + _RETRY_S)

    def try_again(self, nowhere: Nowhere) -> None:
        """It is some time since no journal could be made: the next record tries anew."""
        with self._lock:
            if self.journal is nowhere:
                self.journal = None

    def _full(self, journal: Journal) -> None:
        with self._lock:
            if self.journal is journal:
                self._let_go()

    def _let_go(self) -> None:
        """Go on in another journal. Other threads may still be writing their record to this one."""
        journal, self.journal = self.journal, None
        if journal is None:
            return
        self._let_go_bytes += journal.written
        self.open()
        try:
            journal.leave(final=False)
        except OSError as problem:
            safety.failed("writing to the journal", problem)

    # -- into the store ------------------------------------------------------------------------------

    def _run(self, stop: threading.Event) -> None:
        seen = done = packed = -1
        delay = POLL_S
        with suppressed():
            while True:
                journal = self.journal
                if journal is not None:
                    journal.make_room()
                journal = None  # while somebody refers to it, it is locked
                if self._rest(stop, delay):
                    return
                size = self._bytes()
                if size == done:
                    delay = min(delay * 2, POLL_IDLE_S)
                    continue
                delay = POLL_S
                quiet = size == seen
                if quiet or size - done > BACKLOG_BYTES:
                    pack = quiet or size - packed > UNPACKED_BYTES
                    self._ingest(None, pack=pack, polite=True)
                    done = size
                    packed = size if pack else packed
                seen = size

    def _rest(self, stop: threading.Event, delay: float) -> bool:
        """Wait until it is time to look for news, and watch over the program meanwhile; True if it is over."""
        until = time.monotonic() + delay
        while (rest := until - time.monotonic()) > 0:
            if stop.wait(min(rest, self._watchdog.period_s if self._watchdog else rest)):
                return True
            try:
                self._watch()
            except Exception as problem:  # noqa: BLE001
                self._watched = (0.0, False)
                safety.failed("watching over the program", problem)
        return stop.is_set()

    def _watch(self) -> None:
        dog = self._watchdog
        if dog is None or (dog.after_s, dog.of_memory) != self._watched:
            dog = self._watchdog = Watchdog(*self._watched)
        held = dog.memory()
        size, when = self._brought
        if dog.after_s and time.monotonic() - when > dog.after_s / 2 and size != self._bytes():
            self._ingest(None, pack=False, polite=True)  # a busy program may make no pause for it
        late = dog.due(self._open_spans(), time.time_ns())
        if not held and not late:
            return
        self._ingest(None, pack=False, polite=True)  # what has ended since is not open
        spans = set(innermost(self._open_spans()))
        wanted = [(span, "stacks") for span in late if span in spans]
        if held:
            wanted += [(span, "memory") for span in spans]
            if not spans and self.root is not None:
                wanted.append(((*self.root, 0, time.time_ns()), "memory"))
        journal = self.journal
        if not wanted or journal is None:
            return
        known = facts(self.latest)
        alive = {thread["id"] for thread in known["threads"]}
        for (trace, span_id, _, start_ns), name in wanted[:_WATCHED_MAX]:
            now = time.time_ns()
            said = {"open_s": round((now - start_ns) / 1e9, 1), **known}
            thread = self._thread_of(trace, span_id, alive)
            if thread is not None:
                said["thread"] = thread
            payload = journal.capture.record((EVENT, span_id, trace, now, name, said))
            try:
                journal.append(payload)
            except OSError as problem:
                self.lost(journal, problem)
                return

    def _open_spans(self) -> list[OpenSpan]:
        """What this process has open, as far as it was brought in."""
        if self._ingester is None or not self._ingest_lock.acquire(blocking=False):
            return []
        try:
            return [] if self._ingester is None else self._ingester.open_spans(self.process[0])
        finally:
            self._ingest_lock.release()

    def _thread_of(self, trace: bytes, span_id: int, alive: set[int]) -> int | None:
        """The thread that began a span, or the last of the spans below it; None if that is not one thread."""
        latest = {thread: span for thread, span in list(self.latest.items()) if thread in alive}
        on = [thread for thread, span in latest.items() if span == span_id]
        if not on and self._ingester is not None and self._ingest_lock.acquire(blocking=False):
            try:
                ingester = self._ingester
                on = [thread for thread, span in latest.items() if ingester and span_id in ingester.path(trace, span)]
            finally:
                self._ingest_lock.release()
        return on[0] if len(on) == 1 else None

    def _bytes(self) -> int:
        journal = self.journal
        return self._let_go_bytes + (0 if journal is None else journal.written)

    def _pulse(self) -> int:
        """What polite ingest looks at between its steps; the caller must not have to make room itself meanwhile."""
        if self.journal is not None:
            self.journal.make_room()
        return self._bytes()

    def _ingest(self, deadline: float | None, pack: bool, polite: bool = False) -> bool:
        """Bring this process's journals into the store; True if all of it is in."""
        if self.store is None:
            return True
        wait = -1 if deadline is None else max(0.0, deadline - time.monotonic())
        if not self._ingest_lock.acquire(timeout=wait):
            return False
        # Under `agentops run`, it is told that somebody waits for this.
        notes: Any = None if polite else sys.modules.get("_agentops_notes")
        try:
            self._brought = (self._bytes(), time.monotonic())
            if notes is not None:
                notes.doing(notes.INGESTS)
            from agentops.store.ingest import Ingester  # not needed before there is something to ingest

            if self._ingester is None:
                self._ingester = Ingester(self.store)
            written = self._pulse if polite else None
            return self._ingester.run(process=self.process[0], deadline=deadline, pack=pack, written=written)
        except Exception as problem:  # noqa: BLE001 - the journal keeps what is not in the store
            safety.failed("ingest", problem)
            self._ingester = None
            return False
        finally:
            if notes is not None:
                notes.doing(notes.RESTS)
            self._ingest_lock.release()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was recorded is readable; True if it is."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with suppressed():
            done = self._ingest(deadline, pack=False)
            if self.journal is not None:
                self.journal.make_room()
        if self.hook_runner is not None:
            done = self.hook_runner.flush(deadline) and done
        return done

    def shutdown(self, timeout: float | None = None) -> bool:
        """Bring everything into the store, packed and indexed, and close; a later span opens a new journal."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self._close()
        with suppressed():
            done = self._ingest(deadline, pack=True)
            if done and self._ingester is not None:
                with self._ingest_lock:
                    self._ingester.close(tidy=True)
                    self._ingester = None
        if self.hook_runner is not None:
            done = self.hook_runner.flush(deadline) and done
        return done

    def at_exit(self) -> None:
        """The program ends: what can be ingested at once is; the rest waits for the next reader."""
        if self.store is None:
            return
        self._close()
        deadline = time.monotonic() + EXIT_WAIT_S
        with suppressed():
            self._ingest(deadline, pack=False)
        if self.hook_runner is not None:
            self.hook_runner.flush(deadline)

    def _close(self) -> None:
        with self._lock:
            self._stop.set()
            self._stop = threading.Event()
            self._thread = None
            journal, self.journal = self.journal, None
            if isinstance(journal, Journal):
                try:
                    journal.leave(final=True)
                except OSError as problem:
                    safety.failed("writing to the journal", problem)

    # -- fork ----------------------------------------------------------------------------------------

    def after_fork_in_child(self) -> None:
        """A child has a journal, ids and threads of its own, and does not keep its parent's lock."""
        if self.journal is not None:
            self.journal.abandon()
        self._left_behind = self._ingester  # closing an inherited SQLite connection would hurt the parent
        self.journal = None
        safety.reset_after_fork()
        self._begin()
        if self.hook_runner is not None:
            self.hook_runner.after_fork_in_child()


def _of_run(traceparent: str) -> tuple[bytes, int] | None:
    """The program's span that `agentops run` told this process of (form: https://www.w3.org/TR/trace-context/)."""
    try:
        _, trace, span, _ = traceparent.split("-")
        return (bytes.fromhex(trace), int(span, 16)) if len(trace) == 32 and int(trace, 16) else None
    except ValueError:
        return None


recorder = Recorder()
os.register_at_fork(after_in_child=recorder.after_fork_in_child)
