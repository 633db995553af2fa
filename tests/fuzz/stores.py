"""Stores as nobody of ours would write them: what is changed in a good one, as bytes and as rows."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import zstandard
from hypothesis import strategies as st

from agentops.journal.format import BLOB, LIST, TEMPLATE, encode, reference
from tests.fuzz.journals import ANY, FACT, LINKS, NUMBER, ODD, TEXT, VALUE

#: Tables and columns that hold what somebody recorded, or say where it is.
COLUMNS = {
    "traces": (
        "trace_id root name kind status start_ns end_ns spans errors open llm_calls input_tokens output_tokens "
        "cost_usd session user tags metadata unpriced"
    ),
    "spans": (
        "span_id parent_id name kind status start_ns end_ns input output model input_tokens output_tokens cost_usd "
        "error body"
    ),
    "events": "span_id time_ns name body",
    "scores": "trace_id span_id name number label comment time_ns",
    "names": "text",
    "fresh": "form data indexed",
    "blocks": "first last data",
    "uses": "content trace",
    "keeps": "content trace",
    "fresh_text": "text",
    "orphans": "content",
    "instructions": "content",
    "journals": "name position contents rotated done",
    "open_spans": "process trace span_id",
    "meta": "value",
    "losses": "time_ns what records bytes",
    "parts": "part documents",
    "targets": "name redactor sent again refused withheld sampled_out removed sent_ns failed_ns failure",
    "outbox": "target trace span_id under_way",
    "exporting": "journal target",
    "calls": (
        "trace span_id kind provider model start_ns tier fresh_input cache_read cache_write_5m cache_write_1h "
        "audio_input output thinking audio_output web_searches tool_requests marks cost price saved"
    ),
    "prices": "source entry rates",
}
#: Of formats after the first.
NEWER_TABLES = ("losses", "keeps", "orphans", "parts", "targets", "outbox", "exporting", "calls", "prices")
PLACE = st.sampled_from([(table, column) for table, columns in COLUMNS.items() for column in columns.split()])


def squeezed(data: bytes) -> bytes:
    """`data` as a zstandard frame."""
    return zstandard.ZstdCompressor(level=1).compress(data)


def _bomb() -> bytes:
    """A frame of a few KB that becomes half a gigabyte, and does not say so."""
    compressor = zstandard.ZstdCompressor(level=1, write_content_size=False).compressobj()
    zeros = bytes(1 << 20)
    return b"".join(compressor.compress(zeros) for _ in range(512)) + compressor.flush()


BOMB = _bomb()


def doubled(levels: int) -> list[tuple[int, int, bytes]]:
    """Contents each of which refers twice to the one before."""
    return [(n, TEMPLATE, encode([reference(n - 1), reference(n - 1)])) for n in range(2, levels)]


LOW = st.integers(-1, 40)
ITEM = st.tuples(
    LOW | NUMBER,
    st.sampled_from([BLOB, LIST, TEMPLATE, 7, -1]),
    VALUE.map(encode)
    | st.tuples(LOW, st.lists(LOW.map(lambda n: reference(max(n, 0))), max_size=4)).map(encode)
    | st.lists(LOW.map(lambda n: reference(max(n, 0))), max_size=4).map(encode)
    | st.sampled_from(ODD),
)
BLOCK = st.one_of(
    st.lists(ITEM, max_size=40).map(lambda items: squeezed(encode(items))),
    ANY.map(lambda value: squeezed(encode(value))),
    st.sampled_from(ODD).map(squeezed),
    st.sampled_from([BOMB, squeezed(bytes(1 << 28)), squeezed(encode(doubled(60))), b"", b"\x28\xb5\x2f\xfd"]),
)
BODY = st.fixed_dictionaries(
    {}, optional={"a": ANY | FACT, "s": ANY | FACT, "l": ANY | LINKS, "x": ANY, "i": VALUE, "o": VALUE, "n": ANY}
).map(encode)
ANYTHING = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-2, 40),
    st.floats(),
    TEXT,
    st.binary(max_size=12),
    st.sampled_from(["99", "[", "[1, {}]", "{}", "null", "1", "NaN", "-", "[[[[", "\ud7ff", "9" * 30]),
    BODY,
    BLOCK,
    st.sampled_from(ODD),
    VALUE.map(encode),
)
#: Which row (None for all of them), where in it, and what stands there then.
ROWS = st.lists(st.tuples(PLACE, st.none() | st.integers(0, 12), ANYTHING), min_size=1, max_size=6)
#: The same for the places that are decoded.
HELD = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([("spans", "body"), ("events", "body")]), st.none() | st.integers(0, 12), BODY),
        st.tuples(st.just(("blocks", "data")), st.none() | st.integers(0, 2), BLOCK),
        st.tuples(st.just(("fresh", "data")), st.none() | st.integers(0, 12), ITEM.map(lambda item: item[2])),
        st.tuples(st.just(("fresh", "form")), st.none() | st.integers(0, 12), st.integers(-1, 4)),
        st.tuples(st.just(("spans", "parent_id")), st.none() | st.integers(0, 12), st.just("span_id")),
        st.tuples(st.just(("spans", "input")), st.none() | st.integers(0, 12), LOW),
    ),
    min_size=1,
    max_size=6,
)


def put_rows(store: Path, changes: list[tuple[tuple[str, str], int | None, Any]]) -> None:
    """Change rows of `store` as `ROWS` or `HELD` say."""
    connection = sqlite3.connect(store, isolation_level=None)
    try:
        for (table, column), which, value in changes:
            keys = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[5]]
            key = ", ".join(keys)
            where = "" if which is None else f"WHERE ({key}) IN (SELECT {key} FROM {table} LIMIT 1 OFFSET {which})"
            if value == "span_id":  # its own parent, or one below it
                sql = "UPDATE spans SET parent_id = (SELECT max(span_id) FROM spans AS other WHERE trace = spans.trace)"
                connection.execute(f"{sql} {where}")
                continue
            with contextlib.suppress(sqlite3.Error, UnicodeEncodeError):  # a column that must not be empty
                connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ? {where}", (value,))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.close()


def make_old(store: Path) -> None:
    """Make it a store of the first format, which is brought up to date when it is opened."""
    connection = sqlite3.connect(store, isolation_level=None)
    try:
        parts = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE sql LIKE '%USING fts5%'")]
        for statement in (
            *(f"DROP TABLE {name}" for name in [*parts, *NEWER_TABLES]),
            "ALTER TABLE traces DROP COLUMN unpriced",
            "DROP INDEX uses_trace",
            "DELETE FROM meta WHERE name != 'content'",
            "PRAGMA user_version = 1",
            "PRAGMA wal_checkpoint(TRUNCATE)",
        ):
            connection.execute(statement).fetchall()
    finally:
        connection.close()
