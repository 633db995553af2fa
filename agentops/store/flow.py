"""What went in and out of each span of a trace, undecoded: for questions about all of them at once.

A value of 128 bytes or more is in the store once and here its number; a smaller one is here as its bytes. So
two values that are the same here are the same, and most questions need to decode few of them.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from agentops.journal.format import BLOB, LIST, decode_value
from agentops.store.contents import Contents
from agentops.store.details import jsonable

__all__ = ["Exchange", "Key", "attributes", "encoded_attributes", "exchanges", "own", "raws", "value"]

#: A content's number, or the encoded value itself.
Key = int | bytes

_NOTHING = msgspec.Raw()


class Exchange(NamedTuple):
    """A span's input and output (None where there is none), and the encoded rest of what it holds."""

    input: Key | None
    output: Key | None
    body: bytes


class _Body(msgspec.Struct, gc=False):
    i: msgspec.Raw = _NOTHING
    o: msgspec.Raw = _NOTHING


class _Attributes(msgspec.Struct, gc=False):
    a: msgspec.Raw = _NOTHING


class _EncodedAttributes(msgspec.Struct, gc=False):
    a: dict[str, msgspec.Raw] = {}


_decode = msgspec.msgpack.Decoder(_Body).decode
_decode_attributes = msgspec.msgpack.Decoder(_Attributes).decode
_decode_encoded = msgspec.msgpack.Decoder(_EncodedAttributes).decode
_tuple = tuple.__new__  # half of what calling the class costs, and there may be 10,000


def exchanges(rows: Iterable[tuple[int, int | None, int | None, bytes]]) -> dict[int, Exchange]:
    """By span, in the order of `rows`: span, input, output and body as the store has them."""
    found: dict[int, Exchange] = {}
    for span_id, given, output, body in rows:
        # The keys as they are encoded: where neither stands in the body, it need not be decoded.
        i: Key | None = given
        o: Key | None = output
        if (given is None and b"\xa1i" in body) or (output is None and b"\xa1o" in body):
            try:
                inline = _decode(body)
            except (msgspec.MsgspecError, ValueError, RecursionError):  # a store from elsewhere
                body = b""
            else:
                if given is None and inline.i:
                    i = bytes(inline.i)
                if output is None and inline.o:
                    o = bytes(inline.o)
        found[span_id] = _tuple(Exchange, (i, o, body))
    return found


def attributes(contents: Contents, body: bytes) -> dict[str, Any]:
    """The attributes in a span's body, as JSON would have them."""
    try:
        raw = _decode_attributes(body).a if body else _NOTHING
        found = contents.resolve(decode_value(raw)) if raw else {}
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return {}
    return jsonable(found) if isinstance(found, dict) else {}


def encoded_attributes(body: bytes) -> dict[str, bytes]:
    """The attributes in a span's body as they are encoded: keys of `value`, and the same where their values are."""
    try:
        return {name: bytes(raw) for name, raw in _decode_encoded(body).a.items()} if body else {}
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return {}


def value(contents: Contents, key: Key) -> Any:
    """The whole value of a key, as JSON would have it."""
    if isinstance(key, int):
        return jsonable(contents.value(key))
    try:
        return jsonable(contents.resolve(decode_value(key)))
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return None


def own(form: int, data: bytes) -> Any:
    """What stands in a content itself, not in what it refers to: of a list, what it adds to the one before."""
    try:
        found = decode_value(data)
        return jsonable(found[1] if form == LIST else found)
    except (msgspec.MsgspecError, ValueError, TypeError, LookupError, RecursionError):
        return None


def raws(connection: sqlite3.Connection, contents: Contents, keys: list[Key]) -> dict[Key, tuple[int, bytes]]:
    """Form and encoded bytes of what stands in each of `keys` itself; without those that are not there."""
    found: dict[Key, tuple[int, bytes]] = {key: (BLOB, key) for key in keys if isinstance(key, bytes)}
    numbers = sorted({key for key in keys if isinstance(key, int)})
    if not numbers:
        return found
    blocks = connection.execute(
        "SELECT first, last FROM blocks WHERE first <= ? AND last >= ? AND typeof(last) = 'integer' ORDER BY first",
        (numbers[-1], numbers[0]),
    ).fetchall()
    firsts = [first for first, _ in blocks]
    for number in numbers:
        at = bisect_right(firsts, number) - 1
        if at >= 0 and number <= blocks[at][1]:
            item = contents.block(*blocks[at]).get(number)
            if item is not None:
                found[number] = item
                continue
        fresh = contents.load(number)
        if fresh is not None:
            found[number] = fresh
    return found
