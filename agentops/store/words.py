"""The index of words, in parts: each has the documents of one range of ids, so that it can go as a whole.

A document is a content, or the names and small values of a trace; its id is the row's. FTS5 cannot delete from
an index that keeps no text: what was removed stays in its part, where it finds nothing, until the part goes or is
made anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import groupby

from agentops.store.plain_text import indexable

__all__ = ["add", "drop", "matching", "needed", "part_of", "parts", "range_of", "stands", "used", "vocabularies"]

#: Ids of one part, as a number of bits: some tens of MB of index at most.
_PART_BITS = 16
#: SQLite takes no more than 500 SELECTs in one.
_SELECTS_MAX = 400


def part_of(number: int) -> int:
    """The part that has document `number`."""
    return number >> _PART_BITS


def range_of(part: int) -> tuple[int, int]:
    """The first and the last id of a part's documents."""
    return part << _PART_BITS, ((part + 1) << _PART_BITS) - 1


def parts(connection: sqlite3.Connection) -> list[int]:
    """The parts that there are."""
    return [int(part) for (part,) in connection.execute("SELECT part FROM parts ORDER BY part")]


def needed(connection: sqlite3.Connection) -> list[int]:
    """The parts in which something is to be found."""
    numbers = connection.execute("SELECT DISTINCT content >> ? FROM uses ORDER BY 1", (_PART_BITS,))
    return [part for (part,) in numbers if part >= 0]


def add(connection: sqlite3.Connection, documents: Iterable[tuple[int, list[str]]]) -> None:
    """Index documents, each an id and its texts, in the order of their ids; inside of a transaction."""
    for part, members in groupby(documents, key=lambda document: part_of(document[0])):
        connection.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS words_{part} USING fts5 (text, content='', columnsize=0, detail=none, "
            "tokenize='unicode61 remove_diacritics 2')"
        )
        rows = [(number, indexable(texts)) for number, texts in members]
        connection.executemany(f"INSERT INTO words_{part} (rowid, text) VALUES (?, ?)", rows)
        connection.execute(
            "INSERT INTO parts VALUES (?, ?) "
            "ON CONFLICT (part) DO UPDATE SET documents = documents + excluded.documents",
            (part, len(rows)),
        )


def drop(connection: sqlite3.Connection, part: int) -> None:
    """Take a part away; inside of a transaction."""
    connection.execute(f"DROP TABLE IF EXISTS words_{part}")
    connection.execute("DELETE FROM parts WHERE part = ?", (part,))


def used(connection: sqlite3.Connection, part: int) -> tuple[int, int]:
    """How many documents of a part are still there, orphans with them, and how many it has."""
    (live,) = connection.execute(
        "SELECT (SELECT count(DISTINCT content) FROM uses WHERE content BETWEEN ?1 AND ?2) "
        "+ (SELECT count(*) FROM orphans WHERE content BETWEEN ?1 AND ?2)",
        range_of(part),
    ).fetchone()
    row = connection.execute("SELECT CAST(documents AS INTEGER) FROM parts WHERE part = ?", (part,)).fetchone()
    return live, 0 if row is None else row[0]


def matching(connection: sqlite3.Connection, column: str) -> tuple[str, int]:
    """A condition that `column` is a document that an FTS query finds, and how often the query is its parameter."""
    found = parts(connection)
    selects = [f"SELECT rowid FROM words_{part} WHERE words_{part} MATCH ?" for part in found]
    groups = [selects[n : n + _SELECTS_MAX] for n in range(0, len(selects), _SELECTS_MAX)]
    return " OR ".join(f"{column} IN ({' UNION ALL '.join(group)})" for group in groups) or "0", len(found)


def stands(connection: sqlite3.Connection, query: str) -> bool:
    """Whether an FTS query finds a document that is still there."""
    return any(
        connection.execute(
            f"SELECT 1 FROM words_{part} AS words WHERE words_{part} MATCH ? "
            "AND EXISTS (SELECT 1 FROM uses WHERE content = words.rowid) LIMIT 1",
            (query,),
        ).fetchone()
        for part in parts(connection)
    )


def vocabularies(connection: sqlite3.Connection) -> str:
    """A query for all words of the index in the column `term`."""
    found = parts(connection)
    for part in found:
        connection.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.vocabulary_{part} USING fts5vocab('main', 'words_{part}', 'row')"
        )
    return (
        " UNION ".join(f"SELECT term FROM temp.vocabulary_{part}" for part in found[:_SELECTS_MAX]) or "SELECT '' term"
    )
