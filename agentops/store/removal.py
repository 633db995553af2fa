"""Taking traces out of the store: what belongs to them alone goes with them, what others use stays.

`uses` and `keeps` say of each content which traces need it. What no trace needs goes, unless a program that runs may
still refer to it by its number in the journal: such a content is an orphan until that journal is done.
"""

from __future__ import annotations

import array
import bisect
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from agentops.store import words
from agentops.store.arrivals import Arrivals, key_of
from agentops.store.contents import BLOCK_BYTES, NUMBER_MAX, SOUND, Contents, fields, numbers, pack, texts
from agentops.store.plain_text import strings

__all__ = ["Removed", "make_anew", "recount", "remove", "remove_names", "remove_orphans", "tend"]

_Items = list[tuple[int, int, bytes]]
_DOOMED = "(SELECT no FROM temp.doomed)"
_LOOSE = "(SELECT content FROM temp.loose)"
#: A store from elsewhere may say anything.
_IS_ONE = "typeof(content) = 'integer' AND content > 0"
_USED = (
    "(EXISTS (SELECT 1 FROM uses WHERE content = loose.content) "
    "OR EXISTS (SELECT 1 FROM keeps WHERE content = loose.content))"
)


#: So much text is held in memory to be indexed.
_CHARACTERS_MAX = 16 << 20


class Removed(msgspec.Struct, frozen=True):
    """What went, and which parts of the index have documents that find nothing any more."""

    traces: int
    spans: int
    contents: int
    parts: frozenset[int]

    def plus(self, other: Removed) -> Removed:
        """Both together."""
        counts = (self.traces + other.traces, self.spans + other.spans, self.contents + other.contents)
        return Removed(*counts, self.parts | other.parts)


def remove(connection: sqlite3.Connection, contents: Contents, traces: Iterable[int]) -> Removed:
    """Take traces out, given by their numbers; inside of a transaction."""
    sql = connection.execute
    _tables(connection)
    connection.executemany("INSERT OR IGNORE INTO temp.doomed VALUES (?)", [(number,) for number in traces])
    # Numbers are not given twice: what others remember of a trace must not become another one's.
    sql("UPDATE meta SET value = max(value, (SELECT ifnull(max(no), 0) FROM traces)) WHERE name = 'trace'")
    sql("UPDATE meta SET value = value + 1 WHERE name = 'removals'")
    spans = sql(f"DELETE FROM spans WHERE trace IN {_DOOMED}").rowcount
    sql(f"DELETE FROM events WHERE trace IN {_DOOMED}")
    sql(f"DELETE FROM calls WHERE trace IN {_DOOMED}")
    sql(f"DELETE FROM scores WHERE trace_id IN (SELECT trace_id FROM traces WHERE no IN {_DOOMED})")
    sql(f"DELETE FROM open_spans WHERE trace IN {_DOOMED}")
    if sql("SELECT 1 FROM outbox LIMIT 1").fetchone():  # what was to be sent and is taken out is not sent any more
        sql(
            f"UPDATE targets SET removed = removed + (SELECT count(*) FROM outbox WHERE target = targets.id "
            f"AND trace IN {_DOOMED})"
        )
        sql(f"DELETE FROM outbox WHERE trace IN {_DOOMED}")
    gone = sql(f"DELETE FROM traces WHERE no IN {_DOOMED}").rowcount
    for table in ("uses", "keeps"):
        sql(f"INSERT OR IGNORE INTO temp.loose SELECT content FROM {table} WHERE trace IN {_DOOMED} AND {_IS_ONE}")
        sql(f"DELETE FROM {table} WHERE trace IN {_DOOMED}")
    _promote(connection)
    found = _remove_loose(connection, contents)
    return Removed(gone, spans, *found)


def remove_orphans(connection: sqlite3.Connection, contents: Contents) -> None:
    """Take out what was left because a journal might have referred to it, and none does; inside of a transaction."""
    if connection.execute("SELECT 1 FROM orphans LIMIT 1").fetchone():
        _tables(connection)
        _remove_loose(connection, contents)


def remove_names(connection: sqlite3.Connection) -> None:
    """Take out names that no span has; it reads all spans."""
    connection.execute(
        "DELETE FROM names WHERE id NOT IN (SELECT name FROM spans) "
        "AND id NOT IN (SELECT model FROM spans WHERE model IS NOT NULL) "
        "AND id NOT IN (SELECT model FROM calls WHERE model IS NOT NULL) "
        "AND id NOT IN (SELECT provider FROM calls WHERE provider IS NOT NULL)"
    )


def _tables(connection: sqlite3.Connection) -> None:
    for table in ("doomed (no INTEGER PRIMARY KEY)", "loose (content INTEGER PRIMARY KEY)"):
        connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table}")
        connection.execute(f"DELETE FROM temp.{table.partition(' ')[0]}")


def _promote(connection: sqlite3.Connection) -> None:
    """Words of instructions are found in one trace: if it went, in the next that has them."""
    rows = connection.execute(
        f"SELECT content, min(trace) FROM keeps WHERE content IN {_LOOSE} "
        "AND NOT EXISTS (SELECT 1 FROM uses WHERE uses.content = keeps.content) GROUP BY content"
    ).fetchall()
    connection.executemany("INSERT INTO uses VALUES (?, ?)", rows)
    connection.executemany("DELETE FROM keeps WHERE content = ? AND trace = ?", rows)


def _remove_loose(connection: sqlite3.Connection, contents: Contents) -> tuple[int, frozenset[int]]:
    """Of what stands in `loose` and of the orphans, take out what nobody needs; how much that was."""
    sql = connection.execute
    sql(f"INSERT OR IGNORE INTO temp.loose SELECT content FROM orphans WHERE {_IS_ONE}")
    sql(f"DELETE FROM temp.loose WHERE {_USED}")
    sql("DELETE FROM orphans")
    referred = _referred(connection)
    loose = [number for (number,) in sql("SELECT content FROM temp.loose")]
    left = [(number,) for number in loose if number in referred]
    connection.executemany("INSERT INTO orphans VALUES (?)", left)
    connection.executemany("DELETE FROM temp.loose WHERE content = ?", left)
    gone = set(loose).difference(number for (number,) in left)

    keys: list[tuple[int, int]] = []
    rows = sql(f"SELECT id, form, data FROM fresh WHERE id IN {_LOOSE} AND {SOUND}").fetchall()
    keys += [(key_of(form, data), number) for number, form, data in rows]
    sql(f"DELETE FROM fresh WHERE id IN {_LOOSE}")
    for block in _blocks_of(connection, gone, contents):
        keys += [(key_of(form, data), number) for number, (form, data) in block.items()]
    sql(f"DELETE FROM fresh_text WHERE id IN {_LOOSE}")
    sql(f"DELETE FROM instructions WHERE content IN {_LOOSE}")
    connection.executemany("DELETE FROM contents WHERE key = ? AND id = ?", sorted(keys))
    return len(gone), frozenset(map(words.part_of, gone))


def _referred(connection: sqlite3.Connection) -> set[int]:
    """Contents that records to come may refer to."""
    found: set[int] = set()
    for (data,) in connection.execute("SELECT CAST(contents AS BLOB) FROM journals WHERE NOT done"):
        found.update(array.array("Q", data[: len(data) // 8 * 8]))
    return found


def _blocks_of(
    connection: sqlite3.Connection, gone: set[int], contents: Contents
) -> Iterator[dict[int, tuple[int, bytes]]]:
    """Take `gone` out of the blocks; gives what was taken out of each. What is left of neighbours is put together."""
    rows = _blocks_with(connection, sorted(gone))
    waiting: _Items = []
    size = until = 0
    begins: int | None = None
    following: int | None = None

    def write() -> None:
        if waiting:
            connection.execute("INSERT INTO blocks VALUES (?, ?, ?)", (begins, until, pack(waiting)))

    for first, last, after in rows:
        block = contents.read(first)
        kept = [(number, *block.pop(number)) for number in block.keys() - gone]
        kept.sort()
        bytes_kept = sum(len(item[2]) for item in kept)
        connection.execute("DELETE FROM blocks WHERE first = ?", (first,))
        if begins is not None and (following != first or size + bytes_kept > BLOCK_BYTES):
            write()
            waiting, size, begins = [], 0, None
        if begins is None and kept:
            begins = first
        waiting = waiting + kept
        size, until, following = size + bytes_kept, last, after
        yield block
    write()


def _blocks_with(connection: sqlite3.Connection, numbers: list[int]) -> list[tuple[int, int, int | None]]:
    """First and last content of the blocks that have one of these, and the first of the block after it."""
    if not numbers:
        return []
    (begin,) = connection.execute("SELECT max(first) FROM blocks WHERE first <= ?", (numbers[0],)).fetchone()
    rows = connection.execute("SELECT first, last FROM blocks WHERE first >= ? ORDER BY first", (begin or 0,))
    found: list[tuple[int, int, int | None]] = []
    at, count = 0, len(numbers)
    block = next(rows, None)
    while block is not None and at < count:
        following = next(rows, None)
        first, last = block
        at = bisect.bisect_left(numbers, first, at)
        if at < count and type(last) is int and numbers[at] <= last:
            found.append((first, last, following and following[0]))
        block = following
    return found


# -- the index made anew -----------------------------------------------------------------------------


def tend(connection: sqlite3.Connection, contents: Contents, parts: Iterable[int], live: float) -> None:
    """Make parts of the index anew of which no more than a share `live` is still there; inside of a transaction."""
    for part in parts:
        left, documents = words.used(connection, part)
        if not left:
            words.drop(connection, part)
        elif left <= live * documents:
            make_anew(connection, contents, part)


def make_anew(connection: sqlite3.Connection, contents: Contents, part: int) -> int:
    """Make one part of the index from what is in the store; how many documents it has. In a transaction."""
    first, last = words.range_of(part)
    words.drop(connection, part)
    known: set[int] = set()
    documents: list[tuple[int, list[str]]] = []
    count = characters = 0

    def write() -> None:
        nonlocal count, characters
        count += len(documents)
        documents.sort(key=lambda document: document[0])
        words.add(connection, documents)
        documents.clear()
        characters = 0

    fresh = connection.execute(
        "SELECT id, form, data FROM fresh WHERE id BETWEEN ? AND ? AND indexed = 1", (first, last)
    ).fetchall()
    waiting = connection.execute(
        "SELECT id FROM fresh WHERE id BETWEEN ? AND ? AND indexed != 1 UNION ALL "
        "SELECT id FROM fresh_text WHERE id BETWEEN ? AND ?", (first, last, first, last)
    ).fetchall()  # fmt: skip
    blocks = connection.execute(
        "SELECT first FROM blocks WHERE last >= ? AND first <= ? ORDER BY first", (first, last)
    ).fetchall()
    known.update(number for (number,) in waiting)
    for block in [None, *(first for (first,) in blocks)]:
        items = fresh if block is None else [(n, *item) for n, item in contents.read(block).items()]
        for number, form, data in items:
            if first <= number <= last:
                known.add(number)
                if own := texts(form, data):
                    documents.append((number, own))
                    characters += sum(map(len, own))
            if characters > _CHARACTERS_MAX:  # mostly it is all at once, in the order of the numbers
                write()
    documents += _spoken(connection, known, first, last)
    write()
    return count


def _spoken(
    connection: sqlite3.Connection, contents: set[int], first: int, last: int
) -> Iterable[tuple[int, list[str]]]:
    """Names and small values of the traces that have a document in this part, all in the first of them."""
    rows = connection.execute("SELECT trace, content FROM uses WHERE content BETWEEN ? AND ?", (first, last)).fetchall()
    own: dict[int, list[int]] = {}
    for trace, number in rows:
        if type(number) is int and number not in contents:
            own.setdefault(trace, []).append(number)
    for trace, found in own.items():
        connection.executemany("DELETE FROM uses WHERE content = ? AND trace = ?", [(n, trace) for n in found[1:]])
        yield found[0], _texts_of(connection, trace)


def _texts_of(connection: sqlite3.Connection, trace: int) -> list[str]:
    """What ingest indexes of a trace's spans and events, contents left out."""
    found: dict[str, None] = {}
    for name, body in connection.execute(
        "SELECT names.text, body FROM spans JOIN names ON names.id = spans.name WHERE trace = ?", (trace,)
    ):
        found[str(name)] = None
        parts = fields(body)
        for key in ("i", "o", "s"):
            found.update(dict.fromkeys(strings(parts.get(key))))
        found.update(dict.fromkeys(_attribute_texts(parts.get("a"))))
        error = parts.get("x")
        if type(error) is list and error:
            found[": ".join(str(part) for part in error[:2] if part)] = None
    for name, body in connection.execute("SELECT name, body FROM events WHERE trace = ?", (trace,)):
        found[str(name)] = None
        found.update(dict.fromkeys(_attribute_texts(fields(body))))
    return list(found)


def _attribute_texts(attributes: Any) -> list[str]:
    return [text for value in attributes.values() for text in strings(value)] if type(attributes) is dict else []


def recount(connection: sqlite3.Connection) -> None:
    """Work out anew which trace needs which content, and make the index anew; inside of a transaction."""
    contents = Contents(connection)
    arrivals = Arrivals(connection, contents, array.array("Q"), {})
    for (trace,) in connection.execute("SELECT no FROM traces ORDER BY no").fetchall():
        for given, output, body in connection.execute(
            "SELECT input, output, body FROM spans WHERE trace = ? UNION ALL "
            "SELECT NULL, NULL, body FROM events WHERE trace = ?", (trace, trace)
        ).fetchall():  # fmt: skip
            for number in (given, output, *numbers(fields(body))):
                if type(number) is int and 0 < number <= NUMBER_MAX:
                    arrivals.use(trace, number)
        arrivals.write({})
    for part in words.needed(connection):
        make_anew(connection, contents, part)
