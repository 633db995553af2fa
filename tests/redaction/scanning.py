"""Every byte that a recording left, whatever it is packed in."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import struct
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import zstandard

from agentops.journal.format import encode
from agentops.store.ingest import Ingester

__all__ = ["brought_in", "held", "spellings", "words"]


def brought_in(store: Path) -> None:
    """Bring all journals into the store, packed and indexed."""
    ingester = Ingester(str(store))
    ingester.run(everything=True)
    ingester.close(tidy=True)


def held(store: Path) -> bytes:
    """All bytes of all files beside the store, and what is compressed in it, opened."""
    found = [path.read_bytes() for path in sorted(store.parent.rglob("*")) if path.is_file()]
    if store.exists():
        with closing(sqlite3.connect(store)) as connection:
            blocks = connection.execute("SELECT data FROM blocks").fetchall()
        found += [zstandard.ZstdDecompressor().decompress(block) for (block,) in blocks]
    return b"\n".join(found)


def words(store: Path) -> set[str]:
    """What the search index knows."""
    found: set[str] = set()
    with closing(sqlite3.connect(store)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%using fts5%'").fetchall()
        for n, (table,) in enumerate(tables):
            connection.execute(f"CREATE VIRTUAL TABLE temp.v{n} USING fts5vocab(main, '{table}', 'row')")
            found |= {word for (word,) in connection.execute(f"SELECT term FROM temp.v{n}")}
    return found


def spellings(text: str) -> Iterator[bytes]:
    """The ways in which it may stand in bytes."""
    data = text.encode()
    yield from {data, urllib.parse.quote(text).encode(), json.dumps(text)[1:-1].encode(), data.hex().encode()}
    for skipped in range(3):  # in the middle of something longer
        yield base64.b64encode(bytes(skipped) + data)[4 if skipped else 0 : -4]
    digits = re.sub(r"[ -]", "", text)
    if digits.isdecimal():
        yield from (digits.encode(), struct.pack(">Q", int(digits)), encode(int(digits)))
