"""Contents in the store: large values, each once, first as they came, later packed in blocks.

A block is one zstandard frame over a msgpack list of (id, form, data). Ids grow in the order of arrival,
so what belongs together is compressed together.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from typing import Any

import msgspec
import zstandard

from agentops.journal.format import BLOB, LIST, TEMPLATE, WITHHELD, Reference, decode_value, encode
from agentops.store.plain_text import strings

__all__ = [
    "BLOCK_BYTES",
    "NUMBER_MAX",
    "SOUND",
    "Contents",
    "Missing",
    "fields",
    "numbers",
    "pack",
    "references",
    "texts",
]

BLOCK_BYTES = 64 << 10
#: Of a fresh content: it is what ingest writes, and not what a store from elsewhere may hold.
SOUND = "typeof(form) = 'integer' AND typeof(data) = 'blob'"
_LEVEL = 3
_CACHED_BLOCKS = 128
_CACHED_BYTES = 32 << 20
_DEPTH_MAX = 64
#: What one value may be made of, in encoded bytes; each reference counts as some of them. A store from elsewhere may
#: have contents that refer twice to each other, sixty times over: one that refers to others counts as many when it is
#: met again.
_VALUE_BYTES_MAX = 1 << 30
_REFERENCE_BYTES, _AGAIN_BYTES = 256, 64 << 10
NUMBER_MAX = 2**63 - 1
_WITHHELD = encode(WITHHELD)
_NESTED = frozenset((Reference, dict, list))
_Items = list[tuple[int, int, bytes]]
_decode_block = msgspec.msgpack.Decoder(_Items).decode
_encode = msgspec.msgpack.Encoder().encode
#: As large as the largest record, and what stands before it; a hostile store must not fill the memory.
_BLOCK_BYTES_MAX = (1 << 29) + (1 << 20)


class Missing:
    """Stands in a value where its content is not in the store (any more)."""

    def __repr__(self) -> str:
        return "<content not in the store>"


def pack(items: _Items) -> bytes:
    """A block's bytes."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(_encode(items))


def texts(form: int, data: bytes) -> list[str]:
    """The texts that stand in a content itself, not in what it refers to."""
    try:
        value = decode_value(data)
        return strings(value[1] if form == LIST else value)
    except (msgspec.MsgspecError, ValueError, TypeError, LookupError, RecursionError):
        return []


def fields(body: Any) -> dict[str, Any]:
    """What stands in the body of a span or an event; nothing if it cannot be read."""
    try:
        value = decode_value(body) if body else {}
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return {}
    return value if type(value) is dict else {}


def references(form: int, data: bytes) -> tuple[int, list[int]]:
    """What a content refers to: the list that it continues (0 for none), and the contents that stand in it."""
    if form == BLOB:
        return 0, []
    try:
        value = decode_value(data)
        previous, value = value if form == LIST else (0, value)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return 0, []
    return (previous if type(previous) is int else 0), numbers(value)


def numbers(value: Any) -> list[int]:
    """Numbers of the contents that `value` refers to."""
    found: list[int] = []
    todo = [value]
    while todo:
        item = todo.pop()
        if type(item) is Reference:
            found.append(item.number)
        elif type(item) is dict:
            todo.extend(item.values())
        elif type(item) is list:
            todo.extend(item)
    return found


class Contents:
    """Reads contents by id, with the latest blocks kept open.

    Args:
        connection: the store.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._depth = self._left = self._cached = 0
        self._met: set[int] = set()  # in the value that is being made
        self._latest: dict[int, tuple[int, bytes]] = {}  # of the block that was asked last
        #: Bytes of all that was made into values.
        self.read_bytes = 0
        #: Contents in them that stand for others which were not looked at when the program wrote them.
        self.withheld: set[int] = set()
        self._blocks: OrderedDict[tuple[int, int], dict[int, tuple[int, bytes]]] = OrderedDict()

    def load(self, number: int) -> tuple[int, bytes] | None:
        """Form and bytes of content `number`; None if it is not there or its block is damaged."""
        if type(number) is not int or not 0 < number <= NUMBER_MAX:
            return None
        if number in self._latest:
            return self._latest[number]
        row = self._connection.execute("SELECT form, data FROM fresh WHERE id = ?", (number,)).fetchone()
        if row is not None:
            return (row[0], row[1]) if type(row[1]) is bytes else None
        row = self._connection.execute(
            "SELECT first, last FROM blocks WHERE first <= ? ORDER BY first DESC LIMIT 1", (number,)
        ).fetchone()
        if row is None or type(row[1]) is not int or number > row[1]:
            return None
        self._latest = self.block(*row)
        return self._latest.get(number)

    def block(self, first: int, last: int) -> dict[int, tuple[int, bytes]]:
        """Form and bytes of the contents of the block with the contents `first` to `last`; none if it is damaged."""
        block = self._blocks.get((first, last))
        if block is None:
            block = self._blocks[first, last] = self.read(first)
            self._cached += _size(block)
            while len(self._blocks) > 1 and (len(self._blocks) > _CACHED_BLOCKS or self._cached > _CACHED_BYTES):
                self._cached -= _size(self._blocks.popitem(last=False)[1])
            return block
        self._blocks.move_to_end((first, last))
        return block

    def read(self, first: int) -> dict[int, tuple[int, bytes]]:
        """As `block`, and it does not stay in memory."""
        (data,) = self._connection.execute("SELECT data FROM blocks WHERE first = ?", (first,)).fetchone()
        try:
            if zstandard.frame_content_size(data) > _BLOCK_BYTES_MAX:
                return {}
            items = _decode_block(zstandard.ZstdDecompressor().decompress(data, max_output_size=_BLOCK_BYTES_MAX))
        except (zstandard.ZstdError, msgspec.MsgspecError, ValueError, TypeError):
            return {}
        return {number: (form, content) for number, form, content in items}

    def forget(self) -> None:
        """Blocks were written anew: those that are open are not what the store has."""
        self._blocks.clear()
        self._latest = {}
        self._cached = 0

    def value(self, number: int) -> Any:
        """The whole value of content `number`, references followed."""
        if not self._depth:
            self._left = _VALUE_BYTES_MAX
            self._met.clear()
        if self._depth > _DEPTH_MAX:  # a store from elsewhere may refer in a circle
            return Missing()
        self._depth += 1
        try:
            return self._value(number)
        finally:
            self._depth -= 1

    def _value(self, number: int) -> Any:
        chain: list[list[Any]] = []
        seen: set[int] = set()
        while True:  # a list's beginning is another list's end: no recursion along a conversation
            found = self.load(number)
            if found is None or number in seen or self._left <= 0:
                tail: Any = [Missing()] if chain else Missing()
                break
            seen.add(number)
            form, data = found
            again = form != BLOB and number in self._met
            self._left -= len(data) + (_AGAIN_BYTES if again else _REFERENCE_BYTES)
            self._met.add(number)
            self.read_bytes += len(data)
            if data == _WITHHELD:
                self.withheld.add(number)
            try:
                value = decode_value(data)
                previous, items = value if form == LIST else (0, [])
                if type(previous) is not int or type(items) is not list:
                    raise ValueError("no list of ours")
            except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
                tail = [Missing()] if chain else Missing()
                break
            if form != LIST:
                tail = self.resolve(value) if form == TEMPLATE else value
                break
            chain.append(items)
            if not previous:
                tail = []
                break
            number = previous
        if not chain:
            return tail
        if type(tail) is not list:
            tail = [tail]
        for items in reversed(chain):
            tail += [self.resolve(item) for item in items]
        return tail

    def resolve(self, value: Any) -> Any:
        """`value` with the contents that it refers to in place of the references; without recursion over it."""
        kind = type(value)
        if kind not in _NESTED or (kind is dict and _NESTED.isdisjoint(map(type, value.values()))):
            return value
        top: list[Any] = [value]
        todo: list[tuple[Any, Any]] = [(top, 0)]
        while todo:
            place, at = todo.pop()
            item = place[at]
            if type(item) is Reference:
                place[at] = self.value(item.number)
            elif type(item) is dict:
                place[at] = made = dict(item)
                todo.extend((made, key) for key, inner in made.items() if type(inner) in _NESTED)
            elif type(item) is list:
                place[at] = items = list(item)
                todo.extend((items, n) for n, inner in enumerate(items) if type(inner) in _NESTED)
        return top[0]

    def text(self, number: int) -> list[str]:
        """The texts that stand in content `number` itself, not in what it refers to."""
        found = self.load(number)
        return [] if found is None else texts(*found)


def _size(block: dict[int, tuple[int, bytes]]) -> int:
    return sum(len(data) for _, data in block.values())
