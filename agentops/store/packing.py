"""Compressing and indexing what ingest brought in: later and in bulk, since it costs most."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from operator import itemgetter

from agentops.store import words
from agentops.store.contents import BLOCK_BYTES, SOUND, Contents, pack, texts
from agentops.store.schema import begin

__all__ = ["index_words", "pack_and_index", "reclaim", "rest_while_busy"]

_ROWS = 1_000
#: Contents stay as they came until there are this many bytes of them.
_WAITING_BYTES = 4 * BLOCK_BYTES
_REMAINDER_BYTES = 16 << 10
_SPARE_FROM = 16 << 20


def pack_and_index(
    connection: sqlite3.Connection,
    contents: Contents,
    everything: bool = False,
    deadline: float | None = None,
    written: Callable[[], int] | None = None,
) -> bool:
    """Index what is not indexed, and pack contents into blocks; True if that is done.

    Args:
        connection: the store.
        contents: its contents.
        everything: also what would wait for more to come.
        deadline: on the monotonic clock.
        written: makes this polite, see `Ingester.run`.
    """
    if not everything:
        (waiting,) = connection.execute(
            "SELECT coalesce(sum(length(data)), 0) FROM (SELECT data FROM fresh LIMIT 1000)"
        ).fetchone()
        if waiting < _WAITING_BYTES:
            return True
    for step in (_index_some, _pack_some):
        while step(connection, everything, _ROWS):
            if deadline is not None and time.monotonic() > deadline:
                return False
            if written:
                rest_while_busy(written)
    return True


def index_words(connection: sqlite3.Connection) -> None:
    """Index all that is not indexed yet: before a search."""
    while _index_some(connection, True, _ROWS):
        pass


def rest_while_busy(written: Callable[[], int]) -> None:
    """Wait until the program does not record any more; `written` as for `Ingester.run`."""
    before = written()
    time.sleep(0.002)
    while written() != before:
        before = written()
        time.sleep(0.004)


def _index_some(connection: sqlite3.Connection, everything: bool, rows: int) -> bool:
    begin(connection)
    try:
        fresh = connection.execute(
            "SELECT id, form, data FROM fresh WHERE NOT indexed ORDER BY id LIMIT ?", (rows,)
        ).fetchall()
        spans = connection.execute(
            "SELECT id, iif(typeof(text) = 'text', text, '') FROM fresh_text ORDER BY id LIMIT ?", (rows,)
        ).fetchall()
        documents = [(number, own) for number, form, data in fresh if (own := texts(form, data))]
        documents += [(number, [text]) for number, text in spans]
        documents.sort(key=itemgetter(0))
        words.add(connection, documents)
        connection.executemany("UPDATE fresh SET indexed = 1 WHERE id = ?", [row[:1] for row in fresh])
        connection.executemany("DELETE FROM fresh_text WHERE id = ?", [row[:1] for row in spans])
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise
    return len(fresh) == rows or len(spans) == rows


def _pack_some(connection: sqlite3.Connection, everything: bool, rows: int) -> bool:
    begin(connection)
    try:
        fresh = connection.execute(
            f"SELECT id, form, data, indexed FROM fresh WHERE {SOUND} ORDER BY id LIMIT ?", (rows,)
        ).fetchall()
        packed: list[tuple[int, int, bytes]] = []
        for items, full in _in_blocks(fresh):
            # More may come, and one large block is smaller than two.
            if full or (everything and len(fresh) < rows and sum(len(i[2]) for i in items) > _REMAINDER_BYTES):
                packed += items
                connection.execute("INSERT INTO blocks VALUES (?, ?, ?)", (items[0][0], items[-1][0], pack(items)))
        connection.executemany("DELETE FROM fresh WHERE id = ?", [item[:1] for item in packed])
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise
    return bool(packed) and len(fresh) == rows


def _in_blocks(rows: list[tuple[int, int, bytes, int]]) -> Iterator[tuple[list[tuple[int, int, bytes]], bool]]:
    """Rows in groups, and whether a group is as large as it will be.

    What is not indexed yet, or still to come, divides them: no block may begin inside of another one.
    """
    items: list[tuple[int, int, bytes]] = []
    size = 0
    for number, form, data, indexed in rows:
        if indexed == 1:
            items.append((number, form, data))
            size += len(data)
        if size >= BLOCK_BYTES or (indexed != 1 and items):
            yield items, size > _REMAINDER_BYTES
            items, size = [], 0
    if items:
        yield items, False


def reclaim(connection: sqlite3.Connection, spare: bool = False) -> None:
    """Give pages that are free back to the file system, and shorten the write-ahead log.

    With `spare` a large store keeps up to a quarter of its pages free: what keeping it within its bounds has freed is
    needed again at once, and each page given back is another one moved.
    """
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    if not spare or pages * size < _SPARE_FROM or free > pages // 4:
        connection.executescript("PRAGMA incremental_vacuum")  # `execute` would free one page
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
