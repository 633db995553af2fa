"""Contents on their way in: each gets its id in the store, which is that of the same content if it is there."""

from __future__ import annotations

import array
import json
import sqlite3
from typing import Any

import msgspec
import xxhash

from agentops.journal.format import (
    BLOB,
    LIST,
    PENDING,
    TEMPLATE,
    WITHHELD,
    Content,
    Record,
    Reference,
    decode_value,
    encode,
)
from agentops.store.contents import Contents, references, texts

__all__ = ["Arrivals", "is_awaited", "key_of", "no_longer_awaited"]

_KEY_BITS = 48
_CACHED_TRACES = 4_096
#: A message of the system's or the developer's, as msgpack: the key, then the value.
_INSTRUCTS = (b"\xa4role\xa6system", b"\xa4role\xa9developer")
_ROLE_BYTES = 256
#: Contents are numbered from 1 in each journal, and each takes some bytes there: a number is hardly above the offset.
_GAP_MAX = 1_000
#: What stands in a column of `fresh`: to be indexed, to be packed, and still to come from the journal.
_NOT_INDEXED, _AWAITED = 0, 2


class Arrivals:
    """The contents of one batch.

    Args:
        connection: the store, in a transaction.
        contents: reads its contents.
        ids: the store's id of each content of this journal by its number; extended here.
        seen: cache of the contents that each trace is known to use, for as long as no transaction fails.
    """

    def __init__(
        self, connection: sqlite3.Connection, contents: Contents, ids: array.array[int], seen: dict[int, set[int]]
    ) -> None:
        self._connection = connection
        self._sql = connection.execute
        self._many = connection.executemany
        self._contents = contents
        self._ids = ids
        self._seen = seen
        self._fresh: dict[int, tuple[int, bytes]] = {}
        self._awaited: set[int] = set()  # of those
        self._filled: dict[int, tuple[int, bytes]] = {}
        self._keys: dict[int, list[int]] = {}
        self._children: dict[int, tuple[int, ...]] = {}
        self._uses: list[tuple[int, int]] = []
        self._keeps: list[tuple[int, int]] = []
        self._blobs: dict[int, tuple[int, list[int]]] = {}
        self._instructions = {row[0] for row in self._sql("SELECT content FROM instructions")}
        self._orphaned = {row[0] for row in self._sql("SELECT content FROM orphans")} & self._instructions
        self._new_instructions: set[int] = set()
        # The note alone would do, if it were not for stores from elsewhere.
        (self._next,) = self._sql(
            "SELECT max(value, ifnull((SELECT max(id) FROM fresh), 0), ifnull((SELECT max(id) FROM fresh_text), 0), "
            "ifnull((SELECT max(first) FROM blocks), 0)) FROM meta WHERE name = 'content'"
        ).fetchone()

    def look_up(self, records: list[Record]) -> None:
        """Ask for all plain contents of the batch at once which of them the store may have."""
        blobs: dict[int, int] = {}
        for record in records:
            for content in getattr(record, "contents", None) or ():
                if content.form == BLOB:
                    blobs[content.number] = key_of(BLOB, content.data)
        if not blobs:
            return
        known: dict[int, list[int]] = {}
        keys = json.dumps(sorted(set(blobs.values())))
        for key, number in self._sql(
            "SELECT key, id FROM contents WHERE key IN (SELECT value FROM json_each(?))", (keys,)
        ):
            known.setdefault(key, []).append(number)
        self._blobs = {number: (key, known.get(key, [])) for number, key in blobs.items()}

    def store(self, contents: list[Content], offset: int) -> None:
        """Give each content its id in the store: that of the same content if it is there already.

        Args:
            contents: of one record.
            offset: where in the journal it ends.
        """
        ids = self._ids
        for content in contents:
            form, data = content.form, content.data
            if form == PENDING:
                self._give(content.number, self._await(), offset)
                continue
            children: tuple[int, ...] = ()
            candidates: list[int] | None = None
            if form == BLOB:
                key, candidates = self._blobs[content.number]
            else:
                data, children = self._translated(form, data)
                key = key_of(form, data)
            number = self._same_content(form, data, key, candidates)
            if number is None:
                self._next += 1
                number = self._next
                self._fresh[number] = (form, data)
                if form != LIST or not children:  # a longer list is hardly met again, and never by its key
                    self._keys.setdefault(key, []).append(number)
                if any(data.find(mark, 0, _ROLE_BYTES) >= 0 for mark in _INSTRUCTS):
                    self._new_instructions.add(number)
            if form != BLOB:
                self._children[number] = children
            if content.number == len(ids) <= offset:  # as nearly always
                ids.append(number)
            else:
                self._give(content.number, number, offset)

    def fill(self, contents: list[Content], offset: int) -> None:
        """Take in contents that were awaited; those that nobody awaits any more are left out."""
        for content in contents:
            number = self.id(content.number)
            if not number:  # it came before what refers to it
                self.store([content], offset)
                continue
            if number not in self._awaited and not self._is_awaited(number):
                continue
            form, data = content.form, content.data
            children: tuple[int, ...] = ()
            if form != BLOB:
                data, children = self._translated(form, data)
            key = key_of(form, data)
            same = self._same_content(form, data, key, None)
            if same is not None and same != number:  # its place is taken by a word of where it stands
                form, data, children = TEMPLATE, encode(Reference(same)), (same,)
            elif form != LIST or not children:
                self._keys.setdefault(key, []).append(number)
            self._awaited.discard(number)
            (self._fresh if number in self._fresh else self._filled)[number] = form, data
            self._children[number] = children
            traces = {trace for content, trace in self._uses + self._keeps if content == number}
            traces |= {
                trace
                for table in ("uses", "keeps")
                for (trace,) in self._sql(f"SELECT trace FROM {table} WHERE content = ?", (number,))
            }
            for trace in traces:
                for child in children:
                    self.use(trace, child)

    def _await(self) -> int:
        """A content of its own for what will come: what it will be like is not known yet."""
        self._next += 1
        number: int = self._next
        self._fresh[number] = BLOB, encode(WITHHELD)
        self._awaited.add(number)
        return number

    def _is_awaited(self, number: int) -> bool:
        return is_awaited(self._connection, number)

    def _give(self, number: int, id: int, offset: int) -> None:
        """Note a content's id in the store by its number in the journal."""
        ids = self._ids
        if not 0 < number <= offset + _GAP_MAX:
            return
        if number == len(ids):
            ids.append(id)
        else:
            ids.extend([0] * (number + 1 - len(ids)))
            ids[number] = id

    def id(self, number: int) -> int:
        return self._ids[number] if 0 < number < len(self._ids) else 0

    def _translated(self, form: int, data: bytes) -> tuple[bytes, tuple[int, ...]]:
        """A content with the store's ids in the place of the journal's numbers, and those ids."""
        children: list[int] = []
        try:
            value = decode_value(data)
            if form == LIST:
                previous, items = value
                previous = self.id(previous)
                if previous:
                    children.append(previous)
                return encode((previous, self._with_ids(items, children))), tuple(children)
            system = value.get("system") if type(value) is dict else None
            data = encode(self._with_ids(value, children))
            if type(system) is Reference and system.number in self._fresh:
                self._new_instructions.add(system.number)
            return data, tuple(children)
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            return encode("<damaged>"), ()

    def _with_ids(self, value: Any, children: list[int]) -> Any:
        kind = type(value)
        if kind is Reference:
            value.number = self.id(value.number)
            children.append(value.number)
        elif kind is dict:
            return {key: self._with_ids(item, children) for key, item in value.items()}
        elif kind is list:
            return [self._with_ids(item, children) for item in value]
        return value

    def _same_content(self, form: int, data: bytes, key: int, candidates: list[int] | None) -> int | None:
        for number in self._keys.get(key, ()):
            if (self._fresh.get(number) or self._filled.get(number)) == (form, data):
                return number
        if candidates is None:
            candidates = [row[0] for row in self._sql("SELECT id FROM contents WHERE key = ?", (key,))]
        for number in candidates:
            if self._contents.load(number) == (form, data):
                return number
        return None

    def use(self, trace: int, number: int) -> None:
        """Note that `trace` uses content `number` and all that it refers to: there its words are found.

        Instructions (system prompts) stand in every call of every run alike, so they count where they
        were new: a search for a word of them finds the run that first had them, not all runs. Those, and lists
        without words of their own, are only kept for the trace.
        """
        seen = self._seen.get(trace)
        if seen is None:
            if len(self._seen) > _CACHED_TRACES:
                self._seen.clear()
            seen = self._seen[trace] = set()
        todo = [number]  # below zero: only kept
        while todo:
            number = todo.pop()
            if not number or number in seen or (number < 0 and -number in seen):
                continue
            seen.add(number)
            told, number = number > 0, abs(number)
            if told and number in self._instructions:
                told = number in self._orphaned
                self._orphaned.discard(number)
            fresh = self._fresh.get(number) or self._filled.get(number)
            if fresh is not None:
                form, children = fresh[0], self._children.get(number, ())
            else:
                form, children = self._stored_children(number)
            if told and (form != LIST or self._has_words(number)):
                self._uses.append((number, trace))
            else:
                self._keeps.append((number, trace))
            if number in self._new_instructions:
                self._instructions.add(number)
            todo.extend(children if told else [-child for child in children])

    def _has_words(self, number: int) -> bool:
        """Whether texts stand in a list itself: short messages do."""
        found = self._fresh.get(number) or self._filled.get(number) or self._contents.load(number)
        return found is not None and bool(texts(*found))

    def _stored_children(self, number: int) -> tuple[int, tuple[int, ...]]:
        known = self._children.get(number)
        found = self._contents.load(number)
        if found is None or found[0] == BLOB:
            return BLOB, ()
        if known is not None:
            return found[0], known
        previous, children = references(*found)
        return found[0], (previous, *children)

    def write(self, spoken: dict[int, list[str]]) -> None:
        self._many(
            "INSERT INTO fresh VALUES (?, ?, ?, ?)",
            [
                (number, form, data, _AWAITED if self._awaited and number in self._awaited else _NOT_INDEXED)
                for number, (form, data) in self._fresh.items()
            ],
        )
        self._many(
            "UPDATE fresh SET form = ?, data = ?, indexed = ? WHERE id = ?",
            [(form, data, _NOT_INDEXED, number) for number, (form, data) in self._filled.items()],
        )
        self._many(
            "INSERT INTO contents VALUES (?, ?)",
            sorted((key, number) for key, numbers in self._keys.items() for number in numbers),
        )
        if self._awaited:
            self._sql(
                "INSERT OR REPLACE INTO meta VALUES ('awaited', 1)"
            )  # some are: how many is counted when it matters
        documents = []
        for trace, found in spoken.items():
            self._next += 1
            documents.append((self._next, "\n".join(dict.fromkeys(found)).encode("utf-8", "replace").decode()))
            self._uses.append((self._next, trace))
        self._many("INSERT INTO fresh_text VALUES (?, ?)", documents)
        self._many("INSERT OR IGNORE INTO uses VALUES (?, ?)", self._uses)
        self._many("INSERT OR IGNORE INTO keeps VALUES (?, ?)", self._keeps)
        unused = self._fresh.keys() - {number for number, _ in self._uses} - {number for number, _ in self._keeps}
        self._many("INSERT OR IGNORE INTO orphans VALUES (?)", [(number,) for number in unused])
        self._many("INSERT OR IGNORE INTO instructions VALUES (?)", [(number,) for number in self._new_instructions])
        self._sql("UPDATE meta SET value = ? WHERE name = 'content'", (self._next,))


def is_awaited(connection: sqlite3.Connection, number: int) -> bool:
    """Whether a content is still to come from a journal."""
    row = connection.execute("SELECT 1 FROM fresh WHERE id = ? AND indexed = ?", (number, _AWAITED)).fetchone()
    return row is not None


def no_longer_awaited(connection: sqlite3.Connection, ids: array.array[int]) -> None:
    """A journal has ended: what it has not brought of these will not come."""
    row = connection.execute("SELECT value FROM meta WHERE name = 'awaited'").fetchone()
    if row is None or not row[0]:
        return  # to look for them is to read all that is not packed yet
    awaited = {number for (number,) in connection.execute("SELECT id FROM fresh WHERE indexed = ?", (_AWAITED,))}
    ended = awaited.intersection(ids)
    connection.executemany("UPDATE fresh SET indexed = ? WHERE id = ?", [(_NOT_INDEXED, number) for number in ended])
    connection.execute("UPDATE meta SET value = ? WHERE name = 'awaited'", (len(awaited) - len(ended),))


def key_of(form: int, data: bytes) -> int:
    return xxhash.xxh3_64_intdigest(data, seed=form) >> (64 - _KEY_BITS)
