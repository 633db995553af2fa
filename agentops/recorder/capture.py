"""Values by value: what was given is encoded at once, and large parts are written once a journal.

An agent sends its whole conversation again with every call. So a list continues the list of the call
before it (one comparison of encoded bytes), a message that was seen is a number, and bytes grow with what
is new. Everything that reaches a journal is made bytes by `Capture.encode`: there is no other way in.
"""

from __future__ import annotations

import itertools
import os
import resource
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import xxhash

from agentops.journal.format import (
    BLOB,
    LIST,
    TEMPLATE,
    decode_value,
    reference,
)
from agentops.recorder.plain import DEPTH_MAX, DEPTH_SAFE, Redactor, plain, simple

__all__ = ["FAILED", "LARGE", "Capture", "Lists", "New", "watch_memory"]

#: Values whose encoding is shorter stand in the record itself.
INLINE_BYTES = 128
#: Texts of more characters go the careful way.
LARGE = 1 << 20
#: A list is compared with at most this many earlier lists of its trace.
LISTS_MAX = 4
#: What lies deeper stays in one piece with what it stands in: requests, messages and their blocks are above.
PARTS_DEPTH_MAX = 6
#: ... and this many traces have theirs kept.
TRACES_MAX = 64
#: Shown instead of what a redactor could not check.
FAILED = "<withheld: the redactor failed>"

#: Encoded items, their count and the list's number, of the latest lists of one trace in one journal.
Lists = list[tuple[bytes, int, int]]


class New:
    """What one record brings along. It may be referred to only once that record is written."""

    __slots__ = ("contents", "depth", "fresh", "lists", "seed", "whose")

    def __init__(self, whose: bytes = b"", seed: int = 0) -> None:
        self.whose = whose  # what lists are compared within, if it is not their trace
        self.seed = seed or _SEED  # of digests
        self.contents: list[tuple[int, int, bytes]] = []  # number, form, data
        self.fresh: dict[bytes, int] = {}  # digest to number
        self.lists: Lists = []
        self.depth = 0  # of taking values apart


_SEED = int.from_bytes(os.urandom(8), "little")  # nobody can prepare two texts that we take for one
_digest = xxhash.xxh3_128_digest
_encoder = msgspec.msgpack.Encoder(enc_hook=simple)
_encode = _encoder.encode
_encode_text = msgspec.msgpack.Encoder().encode
_KEYS = frozenset((str, int, float, bool, bytes, type(None)))
_OURS = (msgspec.Raw, msgspec.msgpack.Ext)


def watch_memory() -> None:
    """Where this process's memory is limited, encode so that a lack of it is an error.

    The encoder's own way (msgspec 0.22) ends the process then, by a segmentation fault; without a limit the system
    gives memory until the end.
    """
    global _encode
    _encode = _carefully if _memory_is_limited() else _encoder.encode


def _carefully(value: object) -> bytes:
    buffer = bytearray()
    _encoder.encode_into(value, buffer)
    return bytes(buffer)


def _memory_is_limited() -> bool:
    limits = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    if any(resource.getrlimit(limit)[0] != resource.RLIM_INFINITY for limit in limits):
        return True
    try:
        with open("/proc/sys/vm/overcommit_memory", "rb") as file:
            return file.read(1) == b"2"
    except OSError:
        return False


class Capture:
    """What one journal holds already, and the way into it.

    Args:
        redact: called with every text that is to be recorded; its result is recorded instead.
        on_failure: called with the exception when `redact` raises; the value is withheld then.
    """

    __slots__ = ("_lists", "_next", "_on_failure", "_redact", "fast", "hurries", "seen")

    #: Whether `stays` is to be asked.
    some_stay = False

    def __init__(self, redact: Redactor | None, on_failure: Callable[[str, BaseException], None]) -> None:
        self._redact = redact
        #: `record` for the hot path: it may raise, and then `record` does not.
        self.fast: Callable[[Any], bytes] = _encode if redact is None else self.record
        #: Whether a text may be captured without a call.
        self.hurries = redact is None
        self._on_failure = on_failure
        self._next = itertools.count(1).__next__
        self.seen: dict[bytes, int] = {}
        self._lists: dict[bytes, Lists] = {}

    def new(self, trace: bytes, span_id: int, parent_id: int = 0, scope: Mapping[str, Any] | None = None) -> New:
        """For what a record of a span brings along; its parent and scope are given as it starts."""
        return New()

    def stays(self, key: object) -> bool:
        """Whether what stands under this key in a mapping is not to be taken out of it."""
        return False

    def remember(self, new: New, trace: bytes) -> None:
        """The record that brought `new` is written: others may refer to it from now on."""
        self.seen.update(new.fresh)
        trace = new.whose or trace
        if new.lists:
            lists = self._lists.get(trace)
            if lists is None:
                if len(self._lists) >= TRACES_MAX:
                    self._lists.pop(next(iter(self._lists)), None)
                lists = self._lists[trace] = []
            lists.extend(new.lists)
            del lists[:-LISTS_MAX]

    def encode(self, value: object) -> bytes:
        """`value` as bytes for the journal, redacted. Never raises."""
        if self._redact is None:
            try:
                return _encode(value)
            except Exception:  # noqa: BLE001 - surrogates, cycles, large numbers: the careful road takes them
                pass
        return self._scrubbed(value)

    def record(self, record: tuple[Any, ...]) -> bytes:
        """One record as bytes: the contents in it are bytes already, all other text is redacted. Never raises."""
        if self._redact is None:
            try:
                return self.fast(record)
            except Exception:  # noqa: BLE001 - as in `encode`
                pass
        return _encode(self._plain(record))

    def _plain(self, record: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple([self._field(field) for field in record])

    def _field(self, field: Any) -> Any:
        if isinstance(field, str):
            return _name(self.scrub(str.__str__(field)))
        if type(field) is dict:  # what is encoded in it was by us, and redacted
            return {
                _name(self.scrub(key)): item if type(item) in _OURS else self.scrub(item) for key, item in field.items()
            }
        if type(field) is tuple and field and type(field[0]) is str:  # an error
            return [_name(self.scrub(text)) for text in field]
        if type(field) is list and field and type(field[0][-1]) is dict:  # links
            return [
                (trace, span, {_name(self.scrub(key)): self.scrub(item) for key, item in facts.items()})
                for trace, span, facts in field
            ]
        return field

    def _scrubbed(self, value: object) -> bytes:
        try:
            return _encode(self.scrub(value))
        except Exception:  # noqa: BLE001 - too deep for the encoder from where the program is
            return _encode(self.scrub(value, DEPTH_SAFE))

    def scrub(self, value: object, depth_max: int = DEPTH_MAX) -> Any:
        """`value` as plain data, every text in it redacted."""
        try:
            return plain(value, self._redact, depth_max)
        except Exception as problem:  # noqa: BLE001 - the user's redactor
            self._on_failure("redactor", problem)
            return FAILED

    def value(self, value: object, new: New, trace: bytes) -> tuple[int, Any]:
        """What a record says of a value: (0, the value) if it is small, else (number of the content, None).

        Args:
            value: anything.
            new: gets what the record has to bring along.
            trace: the trace's id: a list is compared with the latest of its trace in this journal.
        """
        kind = type(value)
        if kind is str:
            if len(value) < INLINE_BYTES and self._redact is None and value.isascii():  # type: ignore[arg-type, attr-defined]
                return 0, value
        elif value is None or kind is int or kind is float or kind is bool:
            return 0, value if kind is not int or -(2**63) <= value < 2**64 else self._inline(value)  # type: ignore[operator]
        elif kind in _OURS:
            value = self.scrub(value)
        elif kind is not dict and kind is not list:
            value = self._builtin(value)
        if type(value) is dict and not _KEYS.issuperset(map(type, value)):
            value = self.scrub(value)  # the encoder takes such keys, and nothing can read them
        given, value = value, value if self._redact is None else self.scrub(value)
        data = self._try(value)
        if data is None and self._redact is None:
            value = self.scrub(given)
            data = self._try(value)
        if data is None:
            value = self.scrub(given, DEPTH_SAFE)
            data = _encode(value)
        if len(data) < INLINE_BYTES:
            return 0, msgspec.Raw(data)
        lists = self._lists.get(new.whose or trace, [])
        try:
            if isinstance(value, list):
                return self._list(value, data, new, lists), None
            return self._content(value, data, new, lists), None
        except RecursionError:  # too deep to be taken apart: whole, then
            number = self._next()
            new.contents.append((number, BLOB, data))
            return number, None

    def unchanging(self, value: object, new: New, trace: bytes) -> tuple[int, Any]:
        """As `value`, for what is given again and again and does not grow (tools): a list is one content."""
        if type(value) is list and self._redact is None:
            data = self._try(value)
            if data is not None and len(data) >= INLINE_BYTES:
                return self._content(value, data, new, []), None
        return self.value(value, new, trace)

    @staticmethod
    def _try(value: object) -> bytes | None:
        try:
            return _encode(value)
        except Exception:  # noqa: BLE001
            return None

    def hurried(
        self, attributes: Mapping[str, Any], but: frozenset[str]
    ) -> tuple[dict[str, Any], list[tuple[int, int, bytes]], list[bytes]]:
        """Attributes that are plain scalars and texts, taken the shortest way; only where nothing is redacted.

        Args:
            attributes: by name.
            but: names that need more care.

        Returns:
            The attributes with references for large texts, contents that are new, and their digests: once the record
            is written, they are to be put into `seen`.

        Raises:
            ValueError: one of them needs more care.
        """
        found: dict[str, Any] = {}
        contents: list[tuple[int, int, bytes]] = []
        digests: list[bytes] = []
        for key, value in attributes.items():
            kind = type(value)
            if kind is str:
                if len(value) >= INLINE_BYTES:
                    if len(value) >= LARGE:
                        raise ValueError
                    data = _encode_text(value)
                    digest = _digest(data, seed=_SEED)
                    number = self.seen.get(digest)
                    if number is None:
                        number = self._next()
                        contents.append((number, BLOB, data))
                        digests.append(digest)
                    value = reference(number)
            elif kind is not int and kind is not float and kind is not bool:
                raise ValueError
            found[key] = value
        if not but.isdisjoint(found):
            raise ValueError
        return found, contents, digests

    def _inline(self, value: object) -> msgspec.Raw:
        return msgspec.Raw(_encode(self.scrub(value)))

    def _builtin(self, value: object) -> object:
        """The same value made of dict and list, so that its large parts are found."""
        try:
            return decode_value(_encode(value))
        except Exception:  # noqa: BLE001
            return self.scrub(value)

    def _content(self, value: object, data: bytes, new: New, lists: Lists) -> int:
        digest = _digest(data, seed=new.seed)
        number = self.seen.get(digest) or new.fresh.get(digest)
        if number is None:
            form = BLOB
            if type(value) is dict and new.depth < PARTS_DEPTH_MAX:
                new.depth += 1
                parts = self._parts(value, new, lists)
                new.depth -= 1
                if parts is not value:
                    form, data = TEMPLATE, _encode(parts)
            number = self._next()
            new.contents.append((number, form, data))
            new.fresh[digest] = number
        return number

    def _parts(self, value: dict[Any, Any], new: New, lists: Lists) -> dict[Any, Any]:
        """A mapping with references for its large parts; the same object if it has none.

        Lists and mappings become contents of their own. A text does where it was seen before (a tool's
        answer that now stands in a message) or where its mapping holds a list (a request's system prompt
        beside its messages); elsewhere a message stays in one piece.
        """
        found: dict[Any, Any] | None = None
        holds_list = list in map(type, value.values())
        for key, item in value.items():
            kind = type(item)
            if self.some_stay and self.stays(key):
                continue
            if kind is str:
                if len(item) < INLINE_BYTES:
                    continue
                data = _encode(item)
                digest = _digest(data, seed=new.seed)
                number = self.seen.get(digest) or new.fresh.get(digest)
                if number is None:
                    if not holds_list:
                        continue
                    number = self._content(item, data, new, lists)
            elif kind is list or kind is dict:
                data = _encode(item)
                if len(data) < INLINE_BYTES:
                    continue
                make = self._list if kind is list else self._content
                number = make(item, data, new, lists)
            else:
                continue
            if found is None:
                found = dict(value)
            found[key] = reference(number)
        return value if found is None else found

    def _list(self, value: list[Any], data: bytes, new: New, lists: Lists) -> int:
        if new.depth >= PARTS_DEPTH_MAX:
            number = self._next()
            new.contents.append((number, BLOB, data))
            return number
        count = len(value)
        header = 1 if count < 16 else 3 if count < 65536 else 5
        previous, known = 0, 0
        for items, length, number in reversed(lists):
            same = length < count or (length == count and len(items) == len(data) - header)
            if same and data.startswith(items, header):
                previous, known = number, length
                break
        if known == count and previous:
            return previous
        parts: list[object] = []
        new.depth += 1
        for item in value[known:]:
            encoded = _encode(item)
            if len(encoded) < INLINE_BYTES:
                parts.append(msgspec.Raw(encoded))
            else:
                parts.append(reference(self._content(item, encoded, new, lists)))
        new.depth -= 1
        number = self._next()
        new.contents.append((number, LIST, _encode((previous, parts))))
        new.lists.append((data[header:], count, number))
        return number


def _name(text: object) -> str:
    """A text that has to be one in every record: what UTF-8 cannot hold is escaped."""
    if isinstance(text, msgspec.msgpack.Ext):
        text = bytes(text.data).decode("utf-8", "surrogatepass")
    elif isinstance(text, bytes):
        text = text.decode("utf-8", "surrogatepass")
    return str(text).encode("utf-8", "backslashreplace").decode()
