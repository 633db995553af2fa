"""What waits to be sent elsewhere: spans that have ended, in the order of their ends, once for each target.

Ingest puts a span there in the transaction that brings its end in, so it is there exactly once. Before it is sent it is
marked as under way; when the target has taken it, it is taken out. A mark that is found there later is of a process
that ended meanwhile, or of an answer that did not come: the span may have arrived, and is sent again and counted.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from agentops.errors import StoreDamaged
from agentops.store.contents import Contents
from agentops.store.damage import identity
from agentops.store.destinations import COUNTS, METRICS, named
from agentops.store.rows import STATUS, ScoreRow, SpanDetail
from agentops.store.schema import begin, connect, translate, wait_for_lock

__all__ = ["Facts", "Outbox", "State", "Waiting", "Whole", "discard", "states", "states_in", "waiting_for"]

_T = TypeVar("_T")

_FAILURE_CHARACTERS = 300


class Waiting(NamedTuple):
    """A span that waits, and what there is to know of its trace.

    `open`: spans of the trace that have not ended; `failed`: whether one of them went badly.
    """

    n: int
    target: int
    trace: int
    span_id: int
    trace_id: str
    open: int
    failed: bool
    duration_ns: int


class Facts(NamedTuple):
    """What is counted of a span; times in ns since 1970."""

    kind: str
    name: str
    failed: bool
    error_type: str | None
    model: str | None
    provider: str | None
    start_ns: int
    end_ns: int | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None


class Whole(NamedTuple):
    """A span that waits, whole. `size`: of what was read for it, in bytes; `awaited`: a content is yet to come."""

    row: Waiting
    detail: SpanDetail
    scores: list[ScoreRow]
    size: int
    awaited: bool


class State(NamedTuple):
    """How it stands with a target: see `agentops.store.models.Target`; `waiting` spans are to be sent."""

    name: str
    redactor: str
    waiting: int
    sent: int
    again: int
    refused: int
    withheld: int
    sampled_out: int
    removed: int
    sent_ns: int | None
    failed_ns: int | None
    failure: str | None


# -- for those who send ------------------------------------------------------------------------------


def states(store: str) -> list[State]:
    """How it stands with all targets that programs have exported to."""
    connection = connect(store)
    try:
        return states_in(connection)
    except sqlite3.Error as problem:
        raise translate(problem, store) from problem
    finally:
        connection.close()


def states_in(connection: sqlite3.Connection) -> list[State]:
    """The same of a store that is open."""
    numbers = ", ".join(f"CAST({name} AS INTEGER)" for name in (*COUNTS, "sent_ns", "failed_ns"))
    rows = connection.execute(
        "SELECT CAST(name AS TEXT), CAST(redactor AS TEXT), (SELECT count(*) FROM outbox WHERE target = targets.id), "
        f"{numbers}, CAST(failure AS TEXT) FROM targets ORDER BY id"
    ).fetchall()
    return [State._make(row) for row in rows]


def waiting_for(store: str, name: str, redactor: str) -> int:
    """How many spans wait for the target `name` that a program with the function `redactor` (or "") may send."""
    return sum(one.waiting for one in states(store) if (one.name, one.redactor) in ((name, redactor), (name, "")))


def discard(store: str, name: str) -> int:
    """Give up what waits for the target `name`, under whichever function, and its last trouble; gives how many spans.

    Raises:
        StoreError: the store cannot be written.
    """
    names = json.dumps([named(name), named(name + METRICS)])
    those = "(SELECT value FROM json_each(?))"
    connection = connect(store)
    try:
        begin(connection)
        connection.execute(
            "UPDATE targets SET removed = removed + (SELECT count(*) FROM outbox WHERE target = targets.id), "
            f"failed_ns = NULL, failure = NULL WHERE name IN {those}",
            (names,),
        )
        given_up = connection.execute(
            f"DELETE FROM outbox WHERE target IN (SELECT id FROM targets WHERE name IN {those})", (names,)
        ).rowcount
        connection.execute("COMMIT")
        return given_up
    except sqlite3.Error as problem:
        raise translate(problem, store) from problem
    finally:
        connection.close()


_THESE = "(SELECT value FROM json_each(?))"
_ROW = [int, int, int, int, str, int, int, int, int]


class Outbox:
    """Spans that wait, for one target. One thread at a time.

    Args:
        store: path of the database file.
        name: of the target.
        redactor: name of the function that spans pass on their way there, empty for none. What waits for another
            function is not seen here; what waits for none is.

    Raises:
        StoreError: the store cannot be opened.
    """

    def __init__(self, store: str, name: str, redactor: str = "") -> None:
        self._store = store
        self._name = named(name), named(redactor)
        self._which = identity(store)
        self._connection = connect(store)
        self._sql = self._connection.execute
        self._contents = Contents(self._connection)
        self._seen = -1

    def close(self) -> None:
        """Let go of the store."""
        self._connection.close()

    def wait_for_lock(self, seconds: float | None) -> None:
        """From now on wait no longer for a program that holds the store's lock; None: as long as is usual."""
        self._ask(lambda _: wait_for_lock(self._connection, seconds))

    @property
    def is_replaced(self) -> bool:
        """Whether another file stands where the store was."""
        return identity(self._store) != self._which

    def version(self) -> int:
        """A number that changes when others write to the store."""
        return int(self._ask(lambda sql: sql("PRAGMA data_version").fetchone()[0]))

    def rows(self, after: int, limit: int) -> list[Waiting]:
        """The next that wait, after the one numbered `after`."""
        ids = self._ids()
        question = (
            "SELECT n, target, trace, span_id, lower(hex(trace_id)), open, errors, status, start_ns, end_ns "
            f"FROM outbox LEFT JOIN traces ON no = trace WHERE target IN ({ids}) AND n > ? ORDER BY n LIMIT ?"
        )
        found: list[Waiting] = []
        while ids and not found:
            rows = self._all(question, after, limit)
            if not rows:
                break
            after = rows[-1][0]
            lost = []
            for row in rows:
                if [type(value) for value in row[:9]] != _ROW or len(row[4]) != 32:  # a store from elsewhere
                    lost.append(row[:1])
                    continue
                n, target, trace, span_id, trace_id, open, errors, status, start, end = row
                failed = errors > 0 or status in (STATUS.index("error"), STATUS.index("interrupted"))
                duration = end - start if type(end) is int else 0
                found.append(Waiting(n, target, trace, span_id, trace_id, open, failed, duration))
            if lost:
                self._drop(lost)
        return found

    def _drop(self, rows: list[tuple[int]]) -> None:
        self._write(lambda: self._connection.executemany("DELETE FROM outbox WHERE n = ?", rows))

    def any_row(self, chance: float) -> list[Waiting]:
        """One that waits, anywhere among them; `chance` from 0 to 1 says where."""
        ids = self._ids()
        low, high = (
            self._ask(lambda sql: sql(f"SELECT min(n), max(n) FROM outbox WHERE target IN ({ids})").fetchone())
            if ids
            else (None, None)
        )
        return [] if low is None else self.rows(low - 1 + int((high - low) * chance), 1)

    def whole(self, rows: Sequence[Waiting]) -> list[Whole]:
        """Spans, whole, of those that are still there; all as they are at one moment."""
        from agentops.store.details import details_of

        self._ask(lambda sql: sql("BEGIN"))
        try:
            version = self.version()
            if version != self._seen:  # blocks may have been written anew
                self._contents.forget()
                self._seen = version
            found = self._ask(lambda _: details_of(self._connection, self._contents, [row[2:4] for row in rows]))
        finally:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
        return [Whole(row, *one) for row, one in zip(rows, found, strict=True) if one is not None]

    def facts(self, rows: Sequence[Waiting]) -> list[Facts]:
        """What is to be counted of spans, of those that are still there."""
        from agentops.store.details import facts_of

        return self._ask(lambda _: facts_of(self._connection, [row[2:4] for row in rows]))

    def begin(self, rows: Sequence[Waiting]) -> list[Waiting]:
        """They are about to be sent; gives those that still wait. The others were taken out of the store."""

        def mark() -> list[Waiting]:
            there = self._there(rows)
            left = [row for row in rows if row.n in there]
            self._sql(f"UPDATE outbox SET under_way = 1 WHERE n IN {_THESE}", (json.dumps(list(there)),))
            self._count(again=sum(map(bool, there.values())))
            return left

        return self._write(mark)

    def end(self, rows: Sequence[Waiting], **counted: int) -> None:
        """They need not be sent any more; `counted` says why, as numbers for the columns of the target."""

        def delete() -> None:
            self._sql(f"DELETE FROM outbox WHERE n IN {_THESE}", (json.dumps(list(self._there(rows))),))
            self._count(**counted)
            if counted.get("sent"):
                self._set(sent_ns=time.time_ns())

        self._write(delete)

    def did_not_arrive(self, rows: Sequence[Waiting], failure: str, certainly: bool) -> None:
        """They were sent, or were to be, and the target has not taken them; `certainly`: it has none of them."""

        def note() -> None:
            if certainly:
                there = json.dumps(list(self._there(rows)))
                self._sql(f"UPDATE outbox SET under_way = 0 WHERE n IN {_THESE}", (there,))
            self._set(failed_ns=time.time_ns(), failure=named(failure)[:_FAILURE_CHARACTERS])

        self._write(note)

    def forget_target(self) -> None:
        """Take out the target itself and all that waits for it."""

        def delete() -> None:
            own = "(SELECT id FROM targets WHERE name = ? AND redactor = ?)"
            for table, column in (("outbox", "target"), ("exporting", "target"), ("targets", "id")):
                self._connection.execute(f"DELETE FROM {table} WHERE {column} IN {own}", self._name)

        self._write(delete)

    # -- how -----------------------------------------------------------------------------------------

    def _ids(self) -> str:
        """Ids of the targets whose spans may go there."""
        rows = self._ask(
            lambda sql: sql("SELECT id FROM targets WHERE name = ? AND redactor IN (?, '')", self._name).fetchall()
        )
        return ", ".join(str(int(number)) for (number,) in rows)

    def _there(self, rows: Sequence[Waiting]) -> dict[int, int]:
        """Those that still wait, by number, and whether they were under way: another row may have the number since."""
        given = {row.n: (row.trace, row.span_id) for row in rows}
        found = self._sql(
            f"SELECT n, trace, span_id, under_way FROM outbox WHERE n IN {_THESE}", (json.dumps(list(given)),)
        )
        return {n: under_way for n, trace, span_id, under_way in found if given[n] == (trace, span_id)}

    def _count(self, **counted: int) -> None:
        for column, number in counted.items():
            if number:
                self._connection.execute(
                    f"UPDATE targets SET {column} = {column} + ? WHERE name = ? AND redactor = ?", (number, *self._name)
                )

    def _set(self, **values: object) -> None:
        self._connection.execute(
            f"UPDATE targets SET {', '.join(f'{column} = ?' for column in values)} WHERE name = ? AND redactor = ?",
            (*values.values(), *self._name),
        )

    def _ask(self, question: Callable[[Any], _T]) -> _T:
        try:
            return question(self._connection.execute)
        except sqlite3.Error as problem:
            raise translate(problem, self._store) from problem

    def _all(self, question: str, *parameters: object) -> list[Any]:
        return self._ask(lambda sql: list(sql(question, parameters).fetchall()))

    def _write(self, work: Callable[[], _T]) -> _T:
        try:
            begin(self._connection)
            if self.is_replaced:
                raise StoreDamaged(f"{self._store} was replaced by another file")
            result = work()
            self._connection.execute("COMMIT")
            return result
        except sqlite3.Error as problem:
            raise translate(problem, self._store) from problem
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
