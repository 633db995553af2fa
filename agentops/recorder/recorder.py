"""The recorder of this process: its journal, the thread that empties it into the store, its end."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from agentops import safety
from agentops.errors import AgentopsError, SettingError
from agentops.journal.draft import Draft
from agentops.journal.format import EVENT, LOST, MAGIC, encode
from agentops.journal.room import check_room
from agentops.recorder.above import above_process
from agentops.recorder.capture import FAILED, Capture, watch_memory
from agentops.recorder.exporting import EXIT_WAIT_S as EXPORT_WAIT_S
from agentops.recorder.exporting import Exporting
from agentops.recorder.forks import TELLS, epoch
from agentops.recorder.intake import Intake, Stopped
from agentops.recorder.nowhere import Nowhere
from agentops.recorder.plain import Redactor
from agentops.recorder.suppression import suppressed
from agentops.recorder.watching import Watching
from agentops.recorder.writer import Journal, Place, open_journal
from agentops.settings import GIVEN, Value, resolve
from agentops.store.location import find_store, journal_folder, prepare, rotation_asked

if TYPE_CHECKING:
    from agentops.exporters.target import Target
    from agentops.recorder.screening import Screening
    from agentops.redaction.redactor import Redactor as Screened

__all__ = ["Recorder", "recorder"]

#: The thread looks for news this often, in seconds: the first while there are some, the last when idle.
POLL_S, POLL_IDLE_S = 0.25, 4.0
#: It waits for a pause of the program before it ingests, but not longer than for this many bytes.
BACKLOG_BYTES = 4 << 20
#: Compressing and indexing cost more than ingest and wait for a pause, up to this many bytes.
UNPACKED_BYTES = 64 << 20
EXIT_WAIT_S = 0.5
#: Loading detectors takes a second or more: a program that lives longer than this should not have to wait for it.
WARM_S = 1.0
MOVE_WAIT_S = 10.0
#: A fork waits so long, at most, until nothing of ours is in the middle of something; mostly nothing is.
FORK_WAIT_S = 0.1
_RETRY_S = 5.0
#: How often the room that journals take is looked at.
_LOOK_S = 2.0
#: While nothing can be written, losses are noted in what is left of the last journal so often at most, ever more
#: rarely: its reserve must last until the end.
_NOTES_MAX = 64
_NOT_RECORDED = (
    "The program goes on, but what it does is not recorded while this lasts; what is lost is counted, in this process "
    "alone until it can be written down, and then `agentops doctor` shows it."
)


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
        self.screening: Screening | None = None
        self._redactor_name = "own"
        self.given: dict[str, object] = {}
        self.hooks: tuple[Callable[[Any], object], ...] = ()
        self.hook_runner: Any = None
        #: Trace and span id of what stands above spans without a parent: where this process was started, or the
        #: program's own span (`agentops run`), which stands beside it.
        self.root: tuple[bytes, int] | None
        self.root, self.program = (above and above[:2] for above in above_process(os.environ))
        #: The span that each thread began last, for the watchdog; of threads that are over too, until it looks.
        self.latest: dict[int, int] = {}
        self._at_exit = self._is_unsettled = self._is_quiet = False
        self._epoch = epoch[0]
        self._becoming: dict[int, threading.RLock] = {}  # by process, since a child may inherit a lock that is held
        self._begin()

    def _begin(self) -> None:
        """State of a process that has recorded nothing yet."""
        seed = random.Random(os.urandom(32))  # noqa: S311 - ids, not secrets
        self.random_bits = seed.getrandbits
        self.process = (seed.getrandbits(63), time.time_ns())
        self._sequence = itertools.count(1)
        self._place: Place | None = None
        self._draft: Draft | None = None
        self._lock = threading.RLock()
        self._intake = Intake(self.process[0])
        self._watching = Watching(self._intake, self.latest)
        self._exporting = Exporting(self.process[0], self._bytes)
        self._thread: threading.Thread | None = None
        #: False in a child that was forked without Python's hooks: it may wait for ever for a thread to begin, since
        #: nobody has put the interpreter's own locks in order (from 3.13 on).
        self.may_start_threads = True
        self._resting: Journal | None = None  # after a fork, until the next record
        self._stop = threading.Event()
        self._journals_opened = 0
        self._let_go_bytes = 0
        self._bounds: tuple[tuple[int, ...], bool] = ((0, 0), False)  # of the store, and whether somebody set them
        self._rotation_asked = 0
        self._stuck: Journal | None = None  # the last journal, while there is no other: it may have room for losses
        self._tries = 0  # to make one meanwhile
        self._looked = ("", 0)  # at which journal last, and how far it was written then
        self._look_again = 0.0
        self.latest.clear()
        #: What had been written, and when (monotonic), as records last were brought into the store.
        self._brought = (0, time.monotonic())

    def configure(self, redactor: Redactor | Screened | None, **given: object) -> None:
        """What `init()` was given; what was recorded so far stays where it is.

        Args:
            redactor: a function of text, called at once for each, or one whose detectors work beside the program.
            given: settings by name.
        """
        self.know_yourself()
        if self.screening is not None:
            self.screening.drain(time.monotonic() + MOVE_WAIT_S)  # its thread may need the lock
        with self._lock:
            values = resolve({**self.given, **given})  # wrong values are said here and now
            if values["export"].value:
                self._check_targets(values["export"])
            self.given.update({name: value for name, value in given.items() if value is not None})
            if given.get("prices") is not None:
                from agentops import prices

                prices.given = given["prices"]
                prices.forget_own()
            if redactor is not None or given.get("redact") is not None:
                redacted = self.redacts
                from agentops.redaction.redactor import Redactor as Screened

                self.screening, self.redact, self._redactor_name = None, None, "own"
                if isinstance(redactor, Screened):
                    self._screen(redactor)
                else:
                    self.redact = redactor
                if given.get("redact") not in (None, "off"):
                    self._screen_as(str(given["redact"]))
                self._tell_redaction()
                self._redaction_is_set(redacted)
            moved = self.store is not None and find_store(self._given_store()) != self.store
            if moved:
                self.flush(MOVE_WAIT_S)  # what comes later goes into the other store
                self._intake.leave_store()
            self.store = self._place = None  # before the next journal: it is made from these
            if self._resting is not None:
                self.open()
            if self.journal is not None:
                self._let_go()

    @property
    def redacts(self) -> bool:
        """Whether anything is looked through before it is recorded, or settings cannot be read and nobody can tell."""
        return self.redact is not None or self.screening is not None or self._is_unsettled

    def _screen(self, redactor: Screened) -> None:
        from agentops.recorder.screening import Screening

        self.screening = Screening(redactor, safety.withheld, self.lost)

    def _screen_as(self, named: str) -> None:
        from agentops.redaction.redactor import redactor_named

        self._screen(redactor_named(named))
        self._redactor_name = named

    def _tell_redaction(self) -> None:
        """Nothing that is said elsewhere may hold what is not recorded: neither our log nor a program's last lines."""
        safety.clean = self.cleaned if self.redacts else None
        notes = sys.modules.get("_agentops_notes")
        if self.redacts and notes is not None:  # under `agentops run`: what is printed is not looked through
            notes.forget_lines(self._redactor_name)

    def _redaction_is_set(self, redacted: bool) -> None:
        if self.screening is not None and self.given.get("enabled") is not False:
            self.screening.warm_up()
        if self.redacts and self._journals_opened and not redacted:
            safety.said(
                "redaction",
                "redaction begins only now: what was recorded before stands as it was. Call init(redact=...) before "
                "the first span; `agentops audit` finds what it would have taken out.",
            )

    def _begin_redaction(self, named: str) -> None:
        """Before anything is recorded or said: what settings say."""
        if named != "off" and not self.redacts:
            self._screen_as(named)
            self._tell_redaction()

    def _take_key(self, store: str) -> None:
        if self.screening is not None and not self.screening.redactor.key_is_given:
            from agentops.redaction.keys import key_of_folder

            self.screening.redactor.key = key_of_folder(os.path.dirname(store)) or self.screening.redactor.key

    def cleaned(self, value: Any, session: str = "") -> Any:
        """`value` (plain data) as it may go elsewhere than into the journal, redacted at once. Never raises.

        Args:
            value: a text, or anything made of such.
            session: that pseudonyms in it hold for; without one they hold for nothing.
        """
        screening = self.screening
        if self._is_unsettled and not screening and self.redact is None:
            return FAILED
        if screening is not None:
            if screening.by_session and not session:
                session = os.urandom(8).hex()
            return screening.value(value, session)
        return value if self.redact is None else Capture(self.redact, safety.withheld).scrub(value)

    def begin_in(self, draft: Draft, process: tuple[int, int]) -> None:
        """Before the first record: the first journal is a file that is made already, whose lock others hold too.

        Args:
            draft: the file.
            process: what it was made with.
        """
        self.process, self._draft = process, draft
        self._intake = Intake(process[0])
        self._watching = Watching(self._intake, self.latest)
        self._exporting = Exporting(process[0], self._bytes)

    def _given_store(self) -> str | None:
        store = self.given.get("store")
        return None if store is None else str(store)

    def open(self) -> Journal | Nowhere:
        """The open journal, made if need be. Never raises."""
        self.know_yourself()
        with self._lock:
            if self.journal is not None:
                return self.journal
            try:
                journal = self._make()
            except Exception as problem:  # noqa: BLE001 - no room, no right, no memory
                self._is_unsettled = isinstance(problem, SettingError)
                self._go_without(problem)
            else:
                self._is_unsettled = False
                self.journal = journal
                if isinstance(journal, Journal):
                    self._begun(journal)
            return self.journal or Nowhere()

    def current(self) -> Journal | Nowhere:
        """As `open`, for what is not hot: that looks at `forks.epoch` and `journal` itself."""
        self.know_yourself()
        return self.journal or self.open()

    def _begun(self, journal: Journal) -> None:
        """There is a journal again, or another one."""
        stuck, self._stuck = self._stuck, None
        self._tries = 0
        self._note_losses(journal)
        if stuck is not None:
            with contextlib.suppress(OSError):
                stuck.leave(final=False)
        if not self._at_exit:
            self._at_exit = True
            atexit.register(self.at_exit)
        self._start_thread()
        self._exporting.begin(self.may_start_threads)

    def _go_without(self, problem: Exception, lost: int = 0, size: int = 0) -> None:
        """Nothing can be recorded now: count what is lost, and try again after a while."""
        self.journal = Nowhere(safety.reason("recording", problem), time.monotonic() + _RETRY_S, self.try_again)
        self._tries += 1
        if self._stuck is not None and self._tries <= _NOTES_MAX and not self._tries & (self._tries - 1):
            self._note_losses(self._stuck)
        safety.failed("recording", problem, lost=lost, size=size, then=_NOT_RECORDED)

    def _note_losses(self, journal: Journal) -> None:
        """Write down what was lost, so that it is known after this process."""
        losses = safety.take_losses()
        while losses:
            try:
                journal.note(encode((LOST, *losses[-1])))
            except (OSError, ValueError):
                safety.give_back(losses)
                return
            losses.pop()

    def _make(self) -> Journal | Nowhere:
        if self._resting is not None:
            journal, self._resting = self._resting, None
            return journal
        if sys.is_finalizing():  # what Python takes apart has no files any more
            return Nowhere()
        values = resolve(self.given)
        self._begin_redaction(values["redact"].value)
        if not values["enabled"].value:
            return Nowhere()
        store = self.store or find_store(self._given_store())  # found once: the working directory may change
        prepare(store)
        if self._place is None:
            self._take_key(store)
            self._export_to(store, values["export"])
            names = self._exporting.names()
            self._place = Place(journal_folder(store), self.process, self.redact, self._full, self.screening, names)
        self._is_quiet = bool(values["quiet"].value)
        bounds = values["max_bytes"], values["max_age"]
        self._bounds = tuple(value.value for value in bounds), any(value.origin != "default" for value in bounds)
        self._rotation_asked = rotation_asked(store)
        check_room(self._place.folder, values["max_journal_bytes"].value)
        watch_memory()
        shared, self._draft = self._draft, None
        journal = open_journal(self._place, next(self._sequence), shared)
        self._journals_opened += 1
        if self.store is None:
            self.store = store
            if self._journals_opened == 1 and not values["quiet"].value and sys.stderr and sys.stderr.isatty():
                print(f"agentops: recording to {store}", file=sys.stderr)
        self._watching.asked = (float(values["watch_after"].value), bool(values["watch_memory"].value))
        return journal

    def _check_targets(self, value: Value) -> None:
        from agentops.recorder.exporting import missing

        problem = missing(self._targets_of(value))
        if problem is not None and value.origin == GIVEN:
            raise problem

    def _targets_of(self, value: Value) -> tuple[Target, ...]:
        """The targets that a setting names. A program is told of its own mistakes; whoever runs it is of theirs, and
        loses the export alone."""
        from agentops.exporters.target import targets_of

        try:
            return targets_of(value)
        except SettingError as problem:
            if value.origin == GIVEN:
                raise
            safety.said("export settings", f"{problem}. Nothing is exported; what is recorded stays here.")
            return ()

    def _export_to(self, store: str, value: Value) -> None:
        if value.value or self._exporting.targets:
            self._exporting.use(store, self._targets_of(value))

    def _start_thread(self) -> None:
        if self._thread is None and self.may_start_threads:
            thread = threading.Thread(target=self._run, args=(self._stop,), name="agentops", daemon=True)
            try:
                Context().run(thread.start)  # whatever the program is in just now is not what this thread is in
                self._thread = thread
            except RuntimeError as problem:  # no more threads: flush and the end of the program ingest
                safety.failed("starting the recorder's thread", AgentopsError(str(problem)), lost=0)

    def lost(self, journal: Journal | Nowhere, problem: OSError, size: int = 0) -> None:
        """A record of `size` bytes could not be written: count it, and try another journal after a while."""
        with self._lock:
            if self.journal is journal:
                if isinstance(journal, Journal):
                    self._stuck = journal
                self._go_without(problem, lost=1, size=size)
            else:
                safety.failed("recording", problem, size=size, then=_NOT_RECORDED)

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
        after = self.open()
        if isinstance(journal, Journal) and isinstance(after, Nowhere) and after.is_trouble:
            self._stuck = journal  # there is no other: it stays until there is
            return
        try:
            journal.leave(final=False)
        except OSError as problem:
            safety.failed("recording", problem, lost=0, then=_NOT_RECORDED)

    def _look(self) -> None:
        """Whether records still arrive somewhere: in a file that is at its place, in a folder with room."""
        journal = self.journal
        if isinstance(journal, Nowhere):
            if journal.is_over:
                self.try_again(journal)
                self.open()
            return
        if journal is None:
            return
        if journal.is_gone():
            self._start_anew(journal)
            return
        self._looked = (journal.path, journal.written)
        watch_memory()
        if safety.has_losses():
            self._note_losses(journal)
        if time.monotonic() > self._look_again and self._place is not None:
            self._look_again = time.monotonic() + _LOOK_S
            try:
                check_room(self._place.folder, resolve(self.given)["max_journal_bytes"].value)
            except AgentopsError as problem:
                with self._lock:
                    if self.journal is journal:
                        self._stuck = journal
                        self._go_without(problem)

    def _start_anew(self, journal: Journal) -> None:
        """Somebody has deleted the journal, or moved its folder away: go on in another one at the place it had."""
        with self._lock:
            if self.journal is not journal:
                return
            path, known = self._looked
            known = known if path == journal.path else 0
            self.journal = None
            if journal.is_deleted():
                records = journal.records_since(known or len(MAGIC))
                size = journal.written - known
                folder = os.path.dirname(journal.path)
                safety.lost("recording: the journal was deleted", records, size)
                safety.said(
                    "journal deleted",
                    f"{folder} was deleted while this program records into it: what it held is gone, and {records} "
                    "records that came since. A new one is begun there; `agentops doctor` shows the loss.",
                )
            else:
                with contextlib.suppress(OSError):
                    journal.leave(final=False)
            self._let_go_bytes += journal.written
            self.open()

    # -- into the store ------------------------------------------------------------------------------

    def _run(self, stop: threading.Event) -> None:
        seen = done = packed = -1
        delay = POLL_S if self._journals_opened <= 1 else 0.0  # begun anew after a fork: journals may wait already
        pulse = functools.partial(self._pulse, stop)
        warm_at = time.monotonic() + WARM_S
        with suppressed():
            while True:
                self._make_room()
                if self._rest(stop, delay):
                    return
                if self.screening is not None and time.monotonic() > warm_at:
                    self.screening.warm_up()
                store = self.store
                if store is not None and rotation_asked(store) != self._rotation_asked:
                    with self._lock:
                        self._let_go()
                self._look()
                size = self._bytes()
                if size == done:
                    self._exporting.wake(self.may_start_threads)  # others may have brought something in
                    delay = min(delay * 2, POLL_IDLE_S)
                    continue
                delay = POLL_S
                quiet = size == seen
                if quiet or size - done > BACKLOG_BYTES:
                    pack = quiet or size - packed > UNPACKED_BYTES
                    self._ingest(None, pack=pack, polite=pulse)
                    self._exporting.wake(self.may_start_threads)
                    done = size
                    packed = size if pack else packed
                seen = size

    def _rest(self, stop: threading.Event, delay: float) -> bool:
        """Wait until it is time to look for news, and watch over the program meanwhile; True if it is over."""
        until = time.monotonic() + delay
        while (rest := until - time.monotonic()) > 0:
            if stop.wait(self._watching.period_s(rest)):
                return True
            try:
                self._watch(stop)
            except Exception as problem:  # noqa: BLE001
                self._watching.asked = (0.0, False)
                safety.failed("watching over the program", problem)
        return stop.is_set()

    def _watch(self, stop: threading.Event) -> None:
        bring_in = functools.partial(self._ingest, None, pack=False, polite=functools.partial(self._pulse, stop))
        size, when = self._brought
        unread_s = 0.0 if size == self._bytes() else time.monotonic() - when
        for note in self._watching.notes(self.program, unread_s, bring_in):
            journal = self.journal
            if journal is None:
                return
            payload = journal.capture.record((EVENT, *note))
            try:
                journal.append(payload)
            except OSError as problem:
                self.lost(journal, problem)
                return

    def _bytes(self) -> int:
        journal = self.journal or self._resting
        return self._let_go_bytes + (0 if journal is None else journal.written)

    def _pulse(self, stop: threading.Event) -> int:
        """What polite ingest looks at between its steps; the caller must not have to make room itself meanwhile."""
        if stop.is_set():
            raise Stopped
        self._make_room()
        return self._bytes()

    def _make_room(self) -> None:
        """Apart from its callers, which wait: while one of them held a journal, nobody could take that for ended."""
        journal = self.journal
        if journal is not None:
            journal.make_room()

    def _ingest(self, deadline: float | None, pack: bool, polite: Callable[[], int] | None = None) -> bool:
        """Bring this process's journals into the store; True if all of it is in."""
        store = self.store  # `configure` may take it away meanwhile
        return store is None or self._intake.run(store, deadline, pack, polite, self._bounds, self._before_intake)

    def _before_intake(self) -> None:
        self._look()
        self._brought = (self._bytes(), time.monotonic())

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was recorded is readable; True if it is."""
        self.know_yourself()
        deadline = None if timeout is None else time.monotonic() + timeout
        looked_through = self._look_through(deadline)
        with suppressed():
            done = self._ingest(deadline, pack=False) and looked_through
            self._make_room()
        if self.hook_runner is not None:
            done = self.hook_runner.flush(deadline) and done
        return done

    def shutdown(self, timeout: float | None = None) -> bool:
        """Bring everything into the store, packed and indexed, and close; a later span opens a new journal."""
        self.know_yourself()
        deadline = None if timeout is None else time.monotonic() + timeout
        looked_through = self._look_through(deadline)
        self._close()
        with suppressed():
            done = self._ingest(deadline, pack=True) and looked_through
            if done:
                self._intake.close()
            done = self._exporting.finish(deadline, self.may_start_threads) and done
        if self.hook_runner is not None:
            done = self.hook_runner.flush(deadline) and done
        return done

    def at_exit(self) -> None:
        """The program ends: what can be ingested at once is; the rest waits for the next reader."""
        if self.store is None or not epoch[0]:
            return
        if self.screening is not None:
            self.screening.at_end()
        self._close()
        deadline = time.monotonic() + EXIT_WAIT_S
        with suppressed():
            all_in = self._ingest(deadline, pack=False)
            done = self._exporting.finish(time.monotonic() + EXPORT_WAIT_S, self.may_start_threads)
            if not (done and all_in) and not self._is_quiet:
                self._exporting.say_what_waits(all_in)
            self._intake.close(tidy=False, timeout=max(0.0, deadline - time.monotonic()))
        if self.hook_runner is not None:
            self.hook_runner.flush(time.monotonic() + EXIT_WAIT_S)
        safety.keep_interrupt()

    def _look_through(self, deadline: float | None) -> bool:
        """Redact all that waits for it; True if nothing is left."""
        return self.screening is None or self.screening.drain(deadline)

    def _close(self) -> None:
        with self._lock:
            self._stop.set()
            self._stop = threading.Event()
            self._thread = None
            journal, self.journal, self._resting = self.journal or self._resting, None, None
            if isinstance(journal, Nowhere):
                journal = self._for_the_end()
            stuck, self._stuck = self._stuck, None
            if isinstance(journal, Journal):
                try:
                    self._note_losses(journal)
                    journal.leave(final=True)
                except OSError as problem:
                    safety.failed("recording", problem, lost=0, then=_NOT_RECORDED)
            if stuck is not None and stuck is not journal:
                with contextlib.suppress(OSError):
                    stuck.leave(final=False)

    def _for_the_end(self) -> Journal | Nowhere | None:
        """Where to note what was lost, if nothing could be recorded to the end: a new journal, or the last one."""
        if not safety.has_losses():
            return self._stuck
        try:
            return self._make()
        except Exception:  # noqa: BLE001 - that was said
            return self._stuck

    # -- fork ----------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Stop the thread; the next record starts one again.

        A child inherits locks as they are, those inside of SQLite too, and there nobody would open them. Python
        says from 3.12 on that a process with threads should not fork: ours must not be the reason.
        """
        self.know_yourself()
        if self.screening is not None:
            self.screening.before_fork(FORK_WAIT_S)
        self._exporting.before_fork(FORK_WAIT_S)
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        stop, self._stop, self._thread = self._stop, threading.Event(), None
        stop.set()
        thread.join(FORK_WAIT_S)
        self._intake.rests(FORK_WAIT_S)  # a thread of the program's may be in `flush`; others fork too: it is not held

    def after_fork_in_parent(self) -> None:
        """Nothing that takes long: a program may fork many times.

        The threads stay away until the next record. Python looks for threads when this has returned (from 3.13 on)
        and would warn of ours, and each fork of many would wait for them to begin and to end.
        """
        if self.screening is not None:
            self.screening.after_fork_in_parent()
        with self._lock:
            if self._thread is None and isinstance(self.journal, Journal):
                self._resting, self.journal = self.journal, None

    def after_fork_in_child(self) -> None:
        """A child has a journal, ids and threads of its own, and does not keep its parent's lock."""
        if TELLS and epoch[0]:
            self.may_start_threads = True  # it has recorded in another's hook already, and noticed
            if self.screening is not None:
                self.screening.may_start_threads = True
            return
        for journal in (self.journal, self._resting, self._stuck):
            if journal is not None:
                journal.abandon()
        self._exporting.abandon()
        # Closing an inherited SQLite connection would hurt the parent.
        self._left_behind = self._intake, self._exporting
        self.journal = None
        safety.reset_after_fork()
        self._begin()
        if self.screening is not None:
            self.screening.after_fork_in_child()
        if self.hook_runner is not None:
            self.hook_runner.after_fork_in_child()
        self._epoch += 1
        epoch[0] = self._epoch

    def know_yourself(self) -> int:
        """Act as a child if this process is one that nobody has told so; gives the number of its epoch."""
        if not epoch[0]:
            with self._becoming.setdefault(os.getpid(), threading.RLock()):
                if not epoch[0]:
                    notes = sys.modules.get("_agentops_notes")
                    if notes is not None:
                        notes.after_fork()
                    self.after_fork_in_child()
                    self.may_start_threads = False
                    if self.screening is not None:
                        self.screening.may_start_threads = False
        return epoch[0]


recorder = Recorder()
os.register_at_fork(
    before=recorder.before_fork,
    after_in_parent=recorder.after_fork_in_parent,
    after_in_child=recorder.after_fork_in_child,
)
