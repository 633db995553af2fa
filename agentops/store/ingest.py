"""From journals into the store, each record exactly once, in large transactions.

How far a journal has been read is noted in the same transaction as what was read from it. Any process may
do this for any journal; whoever ends a dead process's journal says which of its spans were interrupted.
"""

from __future__ import annotations

import array
import contextlib
import itertools
import os
import sqlite3
import sys
import time
from collections.abc import Callable

from agentops.errors import StoreError
from agentops.journal.format import (
    BLOB,
    LIST,
    MAGIC,
    OK,
    Content,
    End,
    Event,
    Head,
    Lost,
    Record,
    Reference,
    Rotated,
    Score,
    Start,
    encode,
)
from agentops.journal.names import UNNAMED, journals
from agentops.journal.reading import Search, end_of, open_journal, read, writer_is_alive
from agentops.store.arrivals import no_longer_awaited
from agentops.store.batch import Batch
from agentops.store.contents import Contents
from agentops.store.damage import Unusable, identity, is_damage, set_aside
from agentops.store.destinations import export_from, no_longer_exported, targets_of
from agentops.store.location import NO_LOCKS, journal_folder
from agentops.store.packing import pack_and_index, reclaim, rest_while_busy
from agentops.store.removal import remove_orphans
from agentops.store.ring import Limits, keep_within, settle
from agentops.store.schema import begin, connect, signed, translate, wait_for_lock

__all__ = ["Ingester"]

#: A transaction's worth: what it holds in memory counts as the watched program's.
BATCH_RECORDS = 1_000
BATCH_BYTES = 4 << 20
#: So many transactions are in the order of 20 MB.
BETWEEN = 20
#: In a busy program: a rest after a transaction during which the program recorded something.
POLITE_REST_S = 0.004
#: A journal that has no name for so long was left by a process that was killed while it made it.
UNNAMED_S = 60.0
#: How often a store may be replaced by another one, in one run, before this gives up.
_REPLACED_MAX = 3
_ID_BITS = 2**64 - 1
_PATH_MAX = 200
#: A record that SQLite cannot hold, or not beside what is there, raises these, or an error of one of these kinds
#: (SQLITE_ERROR, such as a sum that is too large, TOOBIG, CONSTRAINT, MISMATCH and RANGE). All others are about the
#: store or the system.
_OF_A_RECORD = (sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
_CODES_OF_A_RECORD = (1, 18, 19, 20, 25)
#: What may be raised for any record at all, where a program calls us deep in a recursion or without memory.
_OF_THE_MOMENT = (MemoryError, RecursionError)
#: Nothing that is recorded is deeper, and what is needed of the stack to read it.
_DEPTH_MAX, _FRAMES = 200, 450


class _Replaced(Exception):
    """Another file stands where the store was: it was set aside or deleted, and what goes into it would be lost."""


class Ingester:
    """Brings journals into one store.

    Args:
        store: path of the database file; made if it is not there. A damaged one is set aside.
        deadline: on the monotonic clock, for opening it while another program holds its lock.

    Raises:
        StoreError: it cannot be opened.
    """

    def __init__(self, store: str, deadline: float | None = None) -> None:
        self._store = store
        self._cleaned = False
        self._open(deadline)

    def _open(self, deadline: float | None) -> None:
        self._connection = connect(self._store, create=True, busy_s=_until(deadline))
        self._which = identity(self._store)
        self._contents = Contents(self._connection)
        self._trace_numbers: dict[bytes, int] = {}
        self._seen: dict[int, set[int]] = {}
        self._removals = 0
        self._targets: list[int] = []  # of the journal that is being brought in

    def run(
        self,
        process: int | None = None,
        deadline: float | None = None,
        pack: bool = False,
        written: Callable[[], int] | None = None,
        everything: bool = False,
        between: Callable[[], None] | None = None,
    ) -> bool:
        """Ingest what the journals hold now.

        Args:
            process: only this process's journals; None takes all.
            deadline: on the monotonic clock, looked at between transactions.
            pack: also compress and index contents once there are enough of them.
            written: makes this polite: while what it gives changes, the program is busy and this rests.
            everything: pack and index whatever there is.
            between: called now and then while much comes in: what is over the store's bounds must not wait for the end.

        Returns:
            True if nothing was left when it ended. A journal that cannot be brought in is, and keeps no other from it.

        Raises:
            StoreError: the store cannot be written.
        """
        if not _descends(min(_FRAMES, sys.getrecursionlimit() // 2)):
            return False  # what is nested could not be told from what is garbled
        replaced = 0
        while True:
            try:
                wait_for_lock(self._connection, _until(deadline))
                return self._run(process, deadline, pack, written, everything, between)
            except BaseException as problem:
                self._forget()
                replaced += 1
                damaged = is_damage(problem)
                if replaced < _REPLACED_MAX and (damaged or isinstance(problem, _Replaced)):
                    self._connection.close()
                    if damaged:
                        set_aside(self._store, self._which, problem)
                    self._open(deadline)
                elif isinstance(problem, (sqlite3.Error, OSError)):
                    raise translate(problem, self._store) from problem
                elif isinstance(problem, _Replaced):
                    raise StoreError(f"{self._store} is replaced by another file again and again") from problem
                else:
                    raise

    def _run(
        self,
        process: int | None,
        deadline: float | None,
        pack: bool,
        written: Callable[[], int] | None,
        everything: bool,
        between: Callable[[], None] | None,
    ) -> bool:
        folder = journal_folder(self._store)
        if os.path.islink(folder):  # what is read there is deleted, and it would be somebody else's
            raise StoreError(f"{folder} is a symbolic link; nothing was read: name the store that it leads to")
        self._clean(folder)
        ends: dict[str, int] = {}
        done, taken = True, 0
        for name in journals(folder, process):
            path, search = os.path.join(folder, name), Search()
            try:
                while self._some_of(path, name, written, ends, search):
                    if deadline is not None and time.monotonic() > deadline:
                        return False
                    taken += 1
                    if between is not None and taken % BETWEEN == 0:
                        between()
            except Exception as problem:  # noqa: BLE001 - what keeps all from it is raised again
                self._leave(path, problem)
                done = False
        if pack or everything:
            done = pack_and_index(self._connection, self._contents, everything, deadline, written) and done
        return done

    def _leave(self, path: str, problem: Exception) -> None:
        """Say of one journal that it cannot be brought in. What keeps all journals from it is raised again."""
        of_the_system = isinstance(problem, (OSError, MemoryError))
        if (
            getattr(problem, "errno", None) in NO_LOCKS
            or isinstance(problem, (_Replaced, RecursionError))
            or not (of_the_system or _is_of_a_record(problem))
        ):
            raise problem
        self._forget()
        if not of_the_system:
            begin(self._connection)
            try:
                self._try_out()
            finally:
                self._forget()
        _say(f"{path} waits, and all others are brought in.", "bringing a journal in", problem)

    def _try_out(self) -> None:
        """Bring in what any store takes, and take it back; inside of a transaction.

        Raises:
            Unusable: the store is to blame for what it does not take.
        """
        trace, ids = os.urandom(16), array.array("Q")
        deep: object = "?"
        for _ in range(_DEPTH_MAX):
            deep = [deep]
        contents = [Content(1, BLOB, encode(os.urandom(16))), Content(2, LIST, encode((0, [Reference(1)])))]
        begins = Start(1, trace, 0, 1, "?", 0, 2, None, contents, {"deep": deep}, {"session": "?"})
        try:
            self._connection.execute("SAVEPOINT trial")
            batches: list[list[tuple[int, Record]]] = [
                [(1, begins)],
                [(2, Event(1, trace, 2, "?")), (3, Score(trace, 1, "?", 1, None, 3)), (4, End(1, trace, 4, OK))],
            ]
            for records in batches:
                Batch(self._connection, self._contents, ids, 0, {}, {}).apply(records)
            self._connection.execute("ROLLBACK TO trial")
            self._connection.execute("RELEASE trial")
        except Exception as problem:
            if isinstance(problem, _OF_THE_MOMENT) or not _is_of_a_record(problem):
                raise
            raise Unusable(f"{self._store} takes no records ({type(problem).__name__}: {problem})") from problem

    def _clean(self, folder: str) -> None:
        """Remove what processes left that were killed while they made a journal; looked for once."""
        if self._cleaned:
            return
        self._cleaned = True
        for name in journals(folder, suffix=UNNAMED):
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError):
                if time.time() - os.stat(path).st_mtime < UNNAMED_S:
                    continue
                descriptor = open_journal(path)
                if descriptor is None:
                    continue
                try:
                    if not writer_is_alive(descriptor):
                        os.unlink(path)
                finally:
                    os.close(descriptor)

    def keep_within(
        self,
        bounds: tuple[int, ...],
        are_set: bool,
        deadline: float | None = None,
        written: Callable[[], int] | None = None,
    ) -> None:
        """Take out what is over the store's bounds.

        Args:
            bounds: bytes and age in ns, 0 for none.
            are_set: somebody said so, and it holds for all that record here; else what was said before holds.
            deadline, written: as for `run`.

        Raises:
            StoreError: the store cannot be written.
        """

        def go_on() -> bool:
            if written is not None:
                rest_while_busy(written)
            return deadline is None or time.monotonic() < deadline

        try:
            limits = settle(self._connection, Limits(*bounds), are_set)
            keep_within(self._connection, self._contents, limits, go_on)
        except sqlite3.Error as problem:
            self._forget()
            raise translate(problem, self._store) from problem

    def open_spans(self, process: int) -> list[tuple[bytes, int, int, int]]:
        """Trace, span, parent and start (ns since 1970) of what a process has open, as far as it was brought in."""
        rows = self._connection.execute(
            "SELECT trace_id, spans.span_id, ifnull(parent_id, 0), spans.start_ns FROM open_spans "
            "JOIN spans USING (trace, span_id) JOIN traces ON traces.no = trace WHERE process = ? LIMIT 1000",
            (process,),
        )
        return [(trace, span & _ID_BITS, parent & _ID_BITS, start) for trace, span, parent, start in rows]

    def path(self, trace: bytes, span: int) -> list[int]:
        """A span and those above it, as far as they were brought in."""
        found = [span]
        while len(found) < _PATH_MAX:
            row = self._connection.execute(
                "SELECT ifnull(parent_id, 0) FROM spans WHERE trace = (SELECT no FROM traces WHERE trace_id = ?) "
                "AND span_id = ?",
                (trace, signed(found[-1])),
            ).fetchone()
            if row is None or not row[0]:
                break
            found.append(row[0] & _ID_BITS)
        return found

    def close(self, tidy: bool = False) -> None:
        """Close the store; `tidy` packs and indexes what is left and gives free pages back."""
        try:
            if tidy:
                pack_and_index(self._connection, self._contents, everything=True)
                reclaim(self._connection, spare=True)
        finally:
            self._connection.close()

    def _forget(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # a damaged store may not even let go
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        self._trace_numbers.clear()
        self._seen.clear()

    def _some_of(
        self,
        path: str,
        name: str,
        written: Callable[[], int] | None,
        ends: dict[str, int],
        search: Search,
        one_by_one: bool = False,
    ) -> bool:
        """One transaction's worth of one journal; True if there is more.

        `ends` keeps where the journals of living programs ended when this first saw them: a program that
        writes faster than this reads would keep its reader for ever. `search` is what may be spent on garbage.
        `one_by_one` leaves out records that cannot be brought in, which takes longer.
        """
        descriptor = open_journal(path)
        if descriptor is None:
            return False
        try:
            if os.pread(descriptor, len(MAGIC), 0) != MAGIC:  # somebody else's file: it stays where it is
                return False
            alive = writer_is_alive(descriptor)
            before = written() if written else 0
            begin(self._connection)
            if identity(self._store) != self._which:
                raise _Replaced
            self._notice_removals()
            if not os.path.exists(path):  # another reader has brought it in, deleted it, and forgotten it since
                self._connection.execute("ROLLBACK")
                return False
            position, contents, rotated, done = self._progress(name)
            if done:  # in the store already; whoever did that was stopped before it could delete it
                self._connection.execute("ROLLBACK")
                self._remove(path, name)
                return False
            if alive and name not in ends:
                ends[name] = end_of(descriptor, position)
            records: list[tuple[int, Record]] = []
            start = position
            for end, record in itertools.islice(read(descriptor, position, not alive, search), BATCH_RECORDS):
                position = end
                if isinstance(record, Rotated):
                    rotated = True
                elif isinstance(record, Head):
                    if record.targets and start == 0:
                        export_from(self._connection, name, record.targets)
                elif record is not None:
                    records.append((end, record))
                if position - start > BATCH_BYTES or position >= ends.get(name, position + 1):
                    break
            process = signed(int(name.split("-")[1], 16))
            self._targets = targets_of(self._connection, name)
            if position == start and alive:
                self._connection.execute("ROLLBACK")
                return False
            if one_by_one:
                self._apply_carefully(records, contents, process)
            else:
                try:
                    self._batch(contents, process).apply(records)
                except Exception as problem:
                    if not _is_of_a_record(problem):
                        raise
                    self._forget()
                    return self._some_of(path, name, written, ends, search, one_by_one=True)
            ended = position == start and not alive
            if ended and not rotated:
                self._batch(contents, process).interrupt_open_spans()
            self._connection.execute(
                "INSERT OR REPLACE INTO journals VALUES (?, ?, ?, ?, ?)",
                (name, position, contents.tobytes(), rotated, ended),
            )
            if ended:
                no_longer_exported(self._connection, name)
                no_longer_awaited(self._connection, contents)
                remove_orphans(self._connection, self._contents)
            self._connection.execute("COMMIT")
            if ended:
                if identity(self._store) != self._which:  # it is in a store that nobody looks at
                    raise _Replaced
                self._remove(path, name)
                return False
        finally:
            os.close(descriptor)
        if written and written() != before:
            time.sleep(POLITE_REST_S)
        return position < ends.get(name, position + 1)

    def _batch(self, contents: array.array[int], process: int) -> Batch:
        numbers, seen = self._trace_numbers, self._seen
        return Batch(self._connection, self._contents, contents, process, numbers, seen, self._targets)

    def _apply_carefully(self, records: list[tuple[int, Record]], contents: array.array[int], process: int) -> None:
        """Write what can be written of `records`, of which one at least cannot: a journal may come from elsewhere."""
        problems: list[Exception] = []
        todo = [records]
        while todo:  # halves, until those that are to blame stand alone
            some = todo.pop()
            before = contents[:]
            self._connection.execute("SAVEPOINT some")
            try:
                self._batch(contents, process).apply(some)
            except Exception as problem:
                if not _is_of_a_record(problem):
                    raise
                self._connection.execute("ROLLBACK TO some")
                self._trace_numbers.clear()
                self._seen.clear()
                contents[:] = before
                half = len(some) // 2
                if half:
                    todo += [some[half:], some[:half]]
                else:
                    problems.append(problem)
            self._connection.execute("RELEASE some")
        if not problems:
            return
        self._try_out()
        from agentops import safety  # with it comes logging, which no listing waits for

        why = safety.reason("a record in a journal that cannot be understood", problems[0])
        safety.said("ingesting a record", f"{why}. It is left out, and all others are brought in.")
        lost = Lost(why, len(problems), 0, time.time_ns())
        self._batch(contents, process).apply([(0, lost)])

    def _notice_removals(self) -> None:
        """What this remembers of traces does not hold when some were taken out since, by whomever."""
        (removals,) = self._connection.execute("SELECT value FROM meta WHERE name = 'removals'").fetchone()
        if removals != self._removals:
            self._trace_numbers.clear()
            self._seen.clear()
            self._removals = removals

    def _progress(self, name: str) -> tuple[int, array.array[int], bool, bool]:
        row = self._connection.execute(
            "SELECT position, contents, rotated, done FROM journals WHERE name = ?", (name,)
        ).fetchone()
        contents = array.array("Q")
        if row is None or type(row[0]) is not int or row[0] < 0 or type(row[1]) is not bytes or len(row[1]) % 8:
            return 0, contents, False, False
        contents.frombytes(row[1])
        return row[0], contents, bool(row[2]), bool(row[3])

    def _remove(self, path: str, name: str) -> None:
        """The journal is in the store for good: delete it, then the note that it was."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as problem:  # the note stays, and it is tried again
            _say(f"{path} is in the store and stays beside it.", "deleting a journal", problem)
            return
        self._connection.execute("DELETE FROM journals WHERE name = ? AND done", (name,))


def _descends(frames: int) -> bool:
    """Whether so many calls have room on this thread's stack: a program may call us deep in a recursion."""
    try:
        return frames == 0 or _descends(frames - 1)
    except RecursionError:
        return False


def _say(then: str, what: str, problem: Exception) -> None:
    from agentops import safety  # with it comes logging, which no listing waits for

    safety.failed(what, problem, lost=0, then=then)


def _is_of_a_record(problem: Exception) -> bool:
    """Whether what was raised is about the records that were brought in, not about the store or the system."""
    if isinstance(problem, sqlite3.Error) and not isinstance(problem, _OF_A_RECORD):
        return getattr(problem, "sqlite_errorcode", 0) & 0xFF in _CODES_OF_A_RECORD
    return not isinstance(problem, (StoreError, OSError))


def _until(deadline: float | None) -> float | None:
    """Seconds until a time on the monotonic clock."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())
