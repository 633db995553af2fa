"""The store is a ring: bounded in bytes and in age. The oldest clean traces go first, failed and scored ones last."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator

import msgspec

from agentops.store.contents import Contents
from agentops.store.removal import Removed, remove, remove_names, tend
from agentops.store.schema import begin, connect, translate
from agentops.store.words import parts

__all__ = ["LEAVES", "Limits", "keep_within", "limits_of", "remove_now", "settle", "used_bytes", "used_bytes_of"]

#: One transaction's worth. Each writes much of the table of the contents' keys: they stand there in no order.
_STEP_SPANS, _STEP_TRACES, _STEP_LEAST = 50_000, 8_000, 4
#: What is left of the room when it was used up, so that it is not always used up: about that much. Some traces are
#: larger than others, and a last step for a little more would cost as much as a full one.
LEAVES, _ENOUGH = 0.95, 0.97
#: Of each part of the index that has no more than this left, what is left is indexed anew. A store of few parts cannot
#: wait so long: one part is much of it.
_LIVE, _LIVE_OF_FEW, _FEW_PARTS = 0.1, 0.5, 3
#: More names than these are not a program's: somebody puts what varies into them, and nobody needs those that went.
_NAMES_MAX = 10_000
#: The newest tenth of the traces stays whatever its size: nobody wants a run to vanish that has just ended.
_NEWEST = 10

_ENDED = "no NOT IN (SELECT trace FROM open_spans)"
_CLEAN = "errors = 0 AND status = 1 AND NOT EXISTS (SELECT 1 FROM scores WHERE scores.trace_id = traces.trace_id)"


class Limits(msgspec.Struct, frozen=True):  # a named tuple is made by `eval`: at exit that would hide a Ctrl-C
    """The bounds of a store.

    max_bytes: of the store's file; 0 for none.
    max_age_ns: of a trace, from its start; 0 for none.
    """

    max_bytes: int
    max_age_ns: int


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the store, without what is free in its file."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def used_bytes_of(store: str) -> int:
    """The same of a store by its path."""
    connection = connect(store)
    try:
        return used_bytes(connection)
    except sqlite3.Error as problem:
        raise translate(problem, store) from problem
    finally:
        connection.close()


def limits_of(connection: sqlite3.Connection) -> Limits | None:
    """The bounds that a program has set for this store; None if none has, and the default holds."""
    found = dict(
        connection.execute("SELECT name, value FROM meta WHERE name IN ('max_bytes', 'max_age_ns')").fetchall()
    )
    are_numbers = all(type(value) is int for value in found.values())  # in a store from elsewhere, anything may stand
    return Limits(found["max_bytes"], found["max_age_ns"]) if len(found) == 2 and are_numbers else None


def settle(connection: sqlite3.Connection, given: Limits, are_set: bool) -> Limits:
    """The bounds that hold: those that a program has set, now or before, or `given` if none ever has."""
    before = limits_of(connection)
    if not are_set:
        return before or given
    if before != given:
        rows = list(msgspec.structs.asdict(given).items())
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
    return given


def keep_within(
    connection: sqlite3.Connection, contents: Contents, limits: Limits, go_on: Callable[[], bool] | None = None
) -> Removed | None:
    """Take out what is over the bounds, in transactions of its own; what went, None for nothing.

    Args:
        connection: the store.
        contents: its contents.
        limits: the bounds.
        go_on: asked between transactions; None for always.
    """
    total: Removed | None = None
    used = used_bytes(connection)
    full = bool(limits.max_bytes) and used > limits.max_bytes
    if not full and not (limits.max_age_ns and _over_age(connection, limits)):
        return None
    (count,) = connection.execute("SELECT count(*) FROM traces").fetchone()

    def over() -> int:
        """About as many traces as are too many, by what a trace of this store needs on average."""
        now = used_bytes(connection) if full else 0
        if now <= limits.max_bytes * _ENOUGH:
            return 0
        return max(_STEP_LEAST, int((now - limits.max_bytes * LEAVES) * count / used))

    live = _LIVE if len(parts(connection)) > _FEW_PARTS else _LIVE_OF_FEW
    for traces in _victims(connection, limits, over):
        step = remove_now(connection, contents, traces, live)
        total = step if total is None else total.plus(step)
        if go_on is not None and not go_on():
            break
    if connection.execute("SELECT count(*) FROM names").fetchone()[0] > _NAMES_MAX:
        remove_names(connection)
    return total


def remove_now(connection: sqlite3.Connection, contents: Contents, traces: list[int], live: float) -> Removed:
    """Take traces out in one transaction; for `live` see `tend`."""
    begin(connection)
    try:
        removed = remove(connection, contents, traces)
        tend(connection, contents, removed.parts, live)
        connection.execute("COMMIT")
        return removed
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _over_age(connection: sqlite3.Connection, limits: Limits) -> bool:
    row = connection.execute("SELECT 1 FROM traces WHERE start_ns < ? LIMIT 1", (_oldest(limits),)).fetchone()
    return row is not None


def _oldest(limits: Limits) -> int:
    return time.time_ns() - limits.max_age_ns


def _victims(connection: sqlite3.Connection, limits: Limits, too_many: Callable[[], int]) -> Iterator[list[int]]:
    """What is to go next, again and again until nothing is over the bounds."""
    if limits.max_age_ns:
        yield from _groups(connection, f"{_ENDED} AND start_ns < ?", _oldest(limits), lambda: _STEP_TRACES)
    row = connection.execute(
        f"SELECT start_ns FROM traces ORDER BY start_ns DESC LIMIT 1 OFFSET (SELECT count(*) / {_NEWEST} FROM traces)"
    ).fetchone()
    if row is not None:
        for condition in (f"{_ENDED} AND {_CLEAN}", _ENDED):
            yield from _groups(connection, f"{condition} AND start_ns < ?", row[0], too_many)


def _groups(
    connection: sqlite3.Connection, condition: str, start_ns: int, wanted: Callable[[], int]
) -> Iterator[list[int]]:
    after = (-(1 << 63), 0)
    while most := min(wanted(), _STEP_TRACES):
        rows = connection.execute(
            f"SELECT no, CAST(spans AS INTEGER), start_ns FROM traces WHERE (start_ns, no) > (?, ?) AND {condition} "
            f"ORDER BY start_ns, no LIMIT ?",
            (*after, start_ns, most),
        ).fetchall()
        group: list[int] = []
        spans = 0
        for number, count, begun in rows:
            group.append(number)
            spans += count
            after = (begun, number)
            if spans >= _STEP_SPANS:
                break
        if not group:
            return
        yield group
