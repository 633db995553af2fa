"""What is done to a whole store by hand: take runs out, make a user forgotten, copy it."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from agentops.errors import StoreBusy, StoreError, UsageError
from agentops.journal.names import journals
from agentops.redaction.redactor import recorded_as
from agentops.store.contents import Contents, fields
from agentops.store.filters import Filter
from agentops.store.location import ask_for_rotation, journal_folder
from agentops.store.packing import reclaim
from agentops.store.reader import Reader
from agentops.store.removal import Removed, make_anew, remove_names, remove_orphans
from agentops.store.ring import Limits, keep_within, remove_now, settle
from agentops.store.rows import TraceRow
from agentops.store.schema import begin, connect, translate

if TYPE_CHECKING:
    from agentops.store.rewriting import Rewriter, Rewritten

__all__ = ["Forgotten", "Store", "backup"]

#: After pruning by hand no part of the index has more than a tenth that finds nothing.
_LIVE = 0.9
_STEP_TRACES, _STEP_SPANS = 2_000, 20_000
#: An idle program looks every four seconds whether it is asked for another journal.
_ROTATION_S = 10.0
_POLL_S = 0.05


class Forgotten(NamedTuple):
    """What `forget` has taken out, and what it could not.

    removed: what went.
    running: traces that are still being recorded, and stay.
    held: journals of running programs that did not let go of them, and may still have some of it.
    """

    removed: Removed
    running: int
    held: list[str]


class Store:
    """A store, open for upkeep. What programs have recorded so far is brought in first.

    Args:
        path: of the database file.

    Raises:
        NotFound: there is no store.
        StoreError: it cannot be read or written.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.reader = Reader(path)
        self._connection = connect(path)
        self._contents = Contents(self._connection)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self.reader.close()

    def prune(self, filter: Filter) -> Removed:
        """Take out the traces that `filter` selects, those that are still being recorded left out."""
        removed: Removed = self._guarded(self._prune, filter)
        return removed

    def keep_within(self, given: Limits, are_set: bool) -> Removed:
        """Take out what is over the store's bounds now; see `agentops.store.ring.settle` for the arguments."""
        removed: Removed = self._guarded(self._keep_within, given, are_set)
        return removed

    def forget(self, *, user: str | None = None, session: str | None = None, filter: Filter | None = None) -> Forgotten:
        """Take out all traces of a user or a session, or that a filter selects, so that nothing is left on disk.

        Whole traces go: also those in which only one span says that user or session. Running programs are asked to
        go on in new journals first, since what they have recorded stands in theirs.
        """
        forgotten: Forgotten = self._guarded(self._forget, user, session, filter)
        return forgotten

    def redact(self, rewriter: Rewriter) -> tuple[Rewritten, list[str]]:
        """Write the whole store anew through a redactor, so that nothing of what it finds is left on disk.

        Running programs are asked to go on in new journals first. Stopped in the middle, it can be called again.

        Returns:
            How much was changed, and the journals of running programs that did not let go of them.
        """
        from agentops.store.rewriting import rewrite

        held = self._let_go()
        rewritten = self._guarded(rewrite, self._connection, self._contents, rewriter, self._transaction)
        self._guarded(self._write_file_anew)
        return rewritten, held

    def selected(
        self, *, user: str | None = None, session: str | None = None, filter: Filter | None = None
    ) -> tuple[int, int, int]:
        """What `forget` would take out: traces, spans, and how many others have spans in those traces."""
        traces = list(self._of(user, session) if filter is None else self.reader.iter_traces(filter))
        if user is None and session is None:
            return len(traces), sum(trace.spans for trace in traces), 0
        column, given = ("user", user) if session is None else ("session", session)
        own = set(self._names_of(str(given)))
        others: set[str] = set()
        for trace in traces:
            rows = self._connection.execute(
                "SELECT body FROM spans WHERE trace = ? AND instr(body, ?)", (trace.no, column.encode())
            )
            found = (_scope(body).get(column) for (body,) in rows)
            others.update(str(name) for name in found if name is not None and str(name) not in own)
        return len(traces), sum(trace.spans for trace in traces), len(others)

    # -- how -----------------------------------------------------------------------------------------

    def _names_of(self, name: str) -> list[str]:
        """What a user or session may be called here."""
        return recorded_as(name, os.path.dirname(os.path.abspath(self.path)))

    def _ended(self, traces: Iterable[TraceRow]) -> Iterator[TraceRow]:
        running = {number for (number,) in self._connection.execute("SELECT DISTINCT trace FROM open_spans")}
        return (trace for trace in traces if trace.no not in running)

    def _keep_within(self, given: Limits, are_set: bool) -> Removed:
        limits = settle(self._connection, given, are_set)
        removed = keep_within(self._connection, self._contents, limits) or _NOTHING
        reclaim(self._connection)
        return removed

    def _prune(self, filter: Filter) -> Removed:
        removed = _NOTHING
        for group in _groups(list(self._ended(self.reader.iter_traces(filter)))):
            removed = removed.plus(remove_now(self._connection, self._contents, group, _LIVE))
        self._transaction(remove_names, self._connection)
        reclaim(self._connection)
        return removed

    def _forget(self, user: str | None, session: str | None, filter: Filter | None) -> Forgotten:
        held = self._let_go()
        selected = list(self._of(user, session) if filter is None else self.reader.iter_traces(filter))
        ended = list(self._ended(selected))
        return Forgotten(self._take_out(ended), len(selected) - len(ended), held)

    def _take_out(self, traces: list[TraceRow]) -> Removed:
        """Take traces out so that nothing of them is left on disk."""
        removed = _NOTHING
        for group in _groups(traces):
            removed = removed.plus(remove_now(self._connection, self._contents, group, 0))
        self._transaction(remove_orphans, self._connection, self._contents)
        self._transaction(remove_names, self._connection)
        # What an export target said of a span may hold something of it.
        self._transaction(self._connection.execute, "UPDATE targets SET failure = NULL")
        for part in sorted(removed.parts):
            self._transaction(make_anew, self._connection, self._contents, part)
        self._write_file_anew()
        return removed

    def _write_file_anew(self) -> None:
        """What SQLite deletes stays in its pages until they are written anew, also what was taken out before."""
        _room_for_another(self.path)
        self._connection.execute("VACUUM")
        self._truncate_log()

    def _truncate_log(self) -> None:
        until = time.monotonic() + _ROTATION_S
        while self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > until:
                raise StoreBusy(
                    f"{self.path} is being read by another program, and its log {self.path}-wal still has what was "
                    "taken out: close what reads it, and run this again"
                )
            time.sleep(_POLL_S)

    def _let_go(self) -> list[str]:
        """Bring in and delete all journals that there are now; gives the names of those that programs hold."""
        folder = journal_folder(self.path)
        before = set(journals(folder))
        if not before:
            return []
        try:
            ask_for_rotation(self.path)
        except OSError as problem:
            raise StoreError(f"{folder} cannot be written: {problem.strerror}") from problem
        until = time.monotonic() + _ROTATION_S
        while True:
            self.reader.refresh()
            left = before.intersection(journals(folder))
            if not left or time.monotonic() > until:
                return sorted(left)
            time.sleep(_POLL_S)

    def _of(self, user: str | None, session: str | None) -> Iterator[TraceRow]:
        """Traces of a user or session: their own, or that of any of their spans."""
        column, given = ("user", user) if session is None else ("session", session)
        own: set[int] = set()
        for value in self._names_of(str(given)):
            rows = self._connection.execute(f"SELECT no FROM traces WHERE {column} = ?", (value,))
            own.update(number for (number,) in rows)
            inside = self._connection.execute(
                "SELECT trace, body FROM spans WHERE instr(body, ?)", (value.encode("utf-8", "surrogatepass"),)
            )
            own.update(trace for trace, body in inside if trace not in own and str(_scope(body).get(column)) == value)
        return (trace for trace in self.reader.iter_traces() if trace.no in own)

    def _transaction(self, work: Any, *arguments: Any) -> Any:
        begin(self._connection)
        try:
            result = work(*arguments)
            self._connection.execute("COMMIT")
            return result
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _guarded(self, work: Any, *arguments: Any) -> Any:
        try:
            return work(*arguments)
        except sqlite3.Error as problem:
            raise translate(problem, self.path) from problem


_NOTHING = Removed(0, 0, 0, frozenset())


def backup(store: str, target: str) -> int:
    """Copy a store to the file `target`, consistent while programs write; its size in bytes.

    Args:
        store: path of the database file. What was recorded so far is brought in first.
        target: path of a file that is not there yet.

    Raises:
        UsageError: `target` is there, or cannot be written.
        NotFound, StoreError: the store is not there or cannot be read.
    """
    if os.path.exists(target):
        raise UsageError(f"{target} is there already: name another file, or delete it")
    with Reader(store):
        pass  # brings in what waits
    part = f"{target}.part"
    connection = connect(store)
    try:
        _room_for_another(store, os.path.dirname(os.path.abspath(target)))
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        connection.execute("VACUUM INTO ?", (part,))
        descriptor = os.open(part, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        os.rename(part, target)
    except FileExistsError:
        raise UsageError(f"{part} is there: another backup runs, or one was stopped; delete it then") from None
    except (OSError, sqlite3.Error) as problem:
        if os.path.exists(part):
            os.unlink(part)
        if isinstance(problem, OSError):
            raise UsageError(f"{target} cannot be written: {problem.strerror}") from problem
        raise translate(problem, store) from problem
    finally:
        connection.close()
    return os.path.getsize(target)


def _groups(traces: list[TraceRow]) -> Iterator[list[int]]:
    """Numbers of traces, a transaction's worth at a time, the oldest first."""
    group: list[int] = []
    spans = 0
    for trace in reversed(traces):
        group.append(trace.no)
        spans += trace.spans
        if len(group) >= _STEP_TRACES or spans >= _STEP_SPANS:
            yield group
            group, spans = [], 0
    if group:
        yield group


def _room_for_another(store: str, folder: str | None = None) -> None:
    folder = folder or os.path.dirname(store)
    room = os.statvfs(folder)
    free, size = room.f_bavail * room.f_frsize, os.path.getsize(store)
    if free < size * 1.1:
        raise StoreError(
            f"{folder} has {free / 1e6:.0f} MB free, and a copy of the store needs {size / 1e6:.0f} MB: free some "
            "room, and run this again"
        )


def _scope(body: Any) -> dict[str, Any]:
    scope = fields(body).get("s")
    return scope if type(scope) is dict else {}
