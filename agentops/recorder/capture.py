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
from typing import TYPE_CHECKING, Any

import msgspec
import xxhash

from agentops.conventions import IDENTIFIERS
from agentops.journal.format import (
    ABSENT,
    BLOB,
    END,
    EVENT,
    EXT_REFERENCE,
    LIST,
    LOST,
    PENDING,
    SCORE,
    START,
    TEMPLATE,
    UPDATE,
    End,
    Event,
    Lost,
    Score,
    Start,
    Update,
    decode_value,
    encode,
    reference,
)
from agentops.recorder.plain import DEPTH_MAX, DEPTH_SAFE, Redactor, plain, simple

if TYPE_CHECKING:
    from agentops.recorder.screening import Screening
    from agentops.recorder.writer import Journal

__all__ = ["FAILED", "LARGE", "Capture", "Lists", "New", "Postponed", "watch_memory"]

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


#: Where the fields of a record are.
_FIELDS = {
    tag: {name: n for n, name in enumerate(kind.__struct_fields__, 1)}
    for tag, kind in ((START, Start), (END, End), (EVENT, Event), (UPDATE, Update), (SCORE, Score), (LOST, Lost))
}
#: Where in a record its name, its value with its reference, contents and attributes are, and what comes after those.
_NOWHERE = 99
_PARTS = {
    START: (5, 7, 8, 9, 10, 11),
    END: (10, 6, 7, 8, 5, 9),
    EVENT: (4, 0, 0, 6, 5, _NOWHERE),  # without a value, but with something that is no reference to one
    UPDATE: (_NOWHERE, 4, 5, 6, 3, 7),
    SCORE: (3, _NOWHERE, _NOWHERE, _NOWHERE, _NOWHERE, 4),
    LOST: (1, _NOWHERE, _NOWHERE, _NOWHERE, _NOWHERE, _NOWHERE),
}
#: Names and keys that can hold nothing, remembered: programs have few.
_NAMES_MAX = 4_096
_WHOLE_NUMBERS_MAX = 10**8


class Postponed(bytes):
    """A record whose contents may hold something sensitive, and those contents: they are written after it."""

    screening: Screening
    contents: list[tuple[int, int, bytes, str, str | None]]  # number, form, data, session, key

    def hand_over(self, journal: Journal) -> None:
        """The record is written: its contents may follow."""
        for content in self.contents:
            self.screening.put(journal, *content)


class Capture:
    """What one journal holds already, and the way into it.

    Args:
        redact: called with every text that is to be recorded; its result is recorded instead.
        on_failure: called with the exception when `redact` raises; the value is withheld then.
        screening: looks at the bytes of all records instead of `redact`, and redacts what it has to.
    """

    __slots__ = ("_lists", "_names", "_next", "_on_failure", "_redact", "_screening", "fast", "hurries", "seen")

    def __init__(
        self,
        redact: Redactor | None,
        on_failure: Callable[[str, BaseException], None],
        screening: Screening | None = None,
    ) -> None:
        self._redact = redact
        self._screening = screening
        self._names: set[str] = set()
        #: `record` for the hot path: it may raise, and then `record` does not.
        self.fast: Callable[[Any], bytes] = _encode if redact is None else self.record
        if screening is not None:
            self.fast = self._screened
        #: Whether a text may be captured without a call.
        self.hurries = redact is None and (screening is None or not screening.by_session)
        self._on_failure = on_failure
        self._next = itertools.count(1).__next__
        self.seen: dict[bytes, int] = {}
        self._lists: dict[bytes, Lists] = {}

    def new(self, trace: bytes, span_id: int, parent_id: int = 0, scope: Mapping[str, Any] | None = None) -> New:
        """For what a record of a span brings along; its parent and scope are given as it starts.

        Contents that get pseudonyms are the same only within a session.
        """
        screening = self._screening
        if screening is None or not screening.by_session:
            return New()
        screening.begins(span_id, parent_id, (scope or {}).get("session"))
        session = screening.session(trace, span_id)
        digest = _digest(session.encode("utf-8", "replace"), seed=_SEED)
        return New(digest, int.from_bytes(digest[:8], "little"))

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
        plain_record = tuple([self._field(field) for field in record])
        return _encode(plain_record) if self._screening is None else self._screened(plain_record)

    def _screened(self, record: tuple[Any, ...]) -> bytes:
        """As `record`, and it may raise: what may hold something sensitive is taken out of it."""
        screening = self._screening
        payload = _encode(record)
        if screening is None:
            return payload
        if screening.by_session and record[0] in (START, END):
            scope = record[11] if len(record) > 11 else None
            screening.begins(record[1], record[3] if record[0] == START else 0, (scope or {}).get("session"))
        try:
            if self._is_clean(record, screening):
                return payload
            return self._without(record, screening)
        except Exception as problem:  # noqa: BLE001 - a detector of the user's, or a program that is deep in itself
            self._on_failure("redactor", problem)
        try:
            return self._without(record, screening)
        except Exception:  # noqa: BLE001
            return _withheld(record)

    def _is_clean(self, record: tuple[Any, ...], screening: Screening) -> bool:
        """Whether nothing sensitive can be in a record: asked of its parts, since its ids look like anything."""
        name, reference, value, contents, attributes, rest = _PARTS[record[0]]
        may_hold = screening.may_hold
        names = self._names
        count = len(record)
        if name < count and record[name] not in names and record[name] is not None and not self._is_name(record[name]):
            return False
        if contents < count:
            if record[contents]:
                for content in record[contents]:
                    if may_hold(content[2]):
                        return False
            if not record[reference]:
                inline = record[value]
                if type(inline) is str:
                    if may_hold(inline.encode()):
                        return False
                elif inline is not None and may_hold(_encode(inline)):
                    return False
        if attributes < count and record[attributes] is not None:
            for key, fact in record[attributes].items():
                if key not in names and not self._is_name(key):
                    return False
                if type(fact) is int and -_WHOLE_NUMBERS_MAX < fact < _WHOLE_NUMBERS_MAX:
                    continue
                if type(fact) is not float and type(fact) is not bool and may_hold(_encode({key: fact})):
                    return False
        if rest < count:
            for part in record[rest:]:
                if part and may_hold(_encode(part)):
                    return False
        return True

    def _is_name(self, text: str) -> bool:
        """Whether nothing sensitive can be in a name or a key; it is remembered."""
        if self._screening is not None and self._screening.may_hold(text.encode()):
            return False
        if len(self._names) < _NAMES_MAX:
            self._names.add(text)
        return True

    def _without(self, record: tuple[Any, ...], screening: Screening) -> bytes:
        """A record without what may hold something sensitive: short texts redacted, contents left for later."""
        fields = list(record)
        at = _FIELDS.get(fields[0], {})
        session = screening.session(fields[at["trace_id"]], fields[at["span_id"]]) if "span_id" in at else ""
        here = {name: n for name, n in at.items() if n < len(fields) and fields[n] is not None}
        later: list[tuple[int, int, bytes, str, str | None]] = []

        def postponed(form: int, data: bytes, number: int | None = None, key: str | None = None) -> int:
            number = number or self._next()
            later.append((number, form, data, session, key))
            return number

        contents = []
        for number, form, data in fields[here["contents"]] if "contents" in here else ():
            if screening.may(data):
                postponed(form, data, number)
            else:
                contents.append((number, form, data))
        for name, value in (("reference", "value"), ("input_reference", "input_value")):
            if name in here and fields[at[name]] == 0 and value in here:
                data = _encode(fields[at[value]])
                if screening.may(data):
                    fields[at[name]], fields[at[value]] = postponed(BLOB, data), None
        if "attributes" in here:
            fields[at["attributes"]] = facts = {}
            for key, value in record[at["attributes"]].items():
                name = screening.text(key, session)
                while name in facts:  # two keys became the same one
                    name += "'"
                facts[name] = self._fact(key, value, screening, session, postponed)
        if "scope" in here:
            fields[at["scope"]] = {
                key: _identifiers(value, screening, session) if key in IDENTIFIERS else screening.value(value, session)
                for key, value in decode_value(_encode(fields[at["scope"]])).items()
            }
        if "links" in here:
            fields[at["links"]] = [
                (to, span, _mapping(screening.value(decode_value(_encode(facts)), session)))
                for to, span, facts in fields[at["links"]]
            ]
        if "error" in here:
            fields[at["error"]] = [screening.text(text, session) for text in fields[at["error"]]]
        for name in ("name", "comment", "what"):
            if name in here:
                fields[at[name]] = screening.text(fields[at[name]], session)
        if fields[0] == SCORE:
            fields[at["value"]] = screening.value(fields[at["value"]], session)
        if later:
            fields += [None] * (at["contents"] + 1 - len(fields))
            if "reference" in at and "reference" not in here and at["reference"] < at["contents"]:
                fields[at["reference"]] = ABSENT
            contents = [(number, PENDING, b"") for number, *_ in later] + contents
        if "contents" in at and at["contents"] < len(fields):
            fields[at["contents"]] = contents
        if not later:
            return encode(fields)
        payload = Postponed(encode(fields))
        payload.screening, payload.contents = screening, later
        return payload

    def _fact(self, key: str, value: Any, screening: Screening, session: str, postponed: Callable[..., int]) -> Any:
        if key in IDENTIFIERS:
            return _identifiers(decode_value(_encode(value)), screening, session)
        if type(value) is msgspec.msgpack.Ext and value.code == EXT_REFERENCE:
            return value
        data = _encode({key: value})  # the key may say what the value is
        if not screening.may(data):
            return value
        data = _encode(value)
        if len(data) < INLINE_BYTES:
            redacted = screening.value({key: decode_value(data)}, session)
            return next(iter(redacted.values())) if type(redacted) is dict else redacted
        return reference(postponed(BLOB, data, None, key))

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

    @staticmethod
    def _try(value: object) -> bytes | None:
        try:
            return _encode(value)
        except Exception:  # noqa: BLE001
            return None

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
        holds_list = any(type(item) is list for item in value.values())
        screening = self._screening
        for key, item in value.items():
            kind = type(item)
            if screening is not None and type(key) is str and screening.tells(key):
                continue  # apart, nothing would be found in it
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


def _mapping(value: Any) -> Any:
    return value if isinstance(value, dict) else {"withheld": value}


def _withheld(record: tuple[Any, ...]) -> bytes:
    """A record of which nothing could be checked: that it was, when, and in which span."""
    fields: list[Any] = list(record)
    for name, n in _FIELDS.get(fields[0], {}).items():
        if n < len(fields) and fields[n] is not None:
            if name in ("name", "comment", "what") or (name in ("value", "input_value")):
                fields[n] = FAILED
            elif name in ("attributes", "scope", "links"):
                fields[n] = None
            elif name == "error":
                fields[n] = (FAILED, "", "")
            elif name == "contents":
                fields[n] = [(number, BLOB, _encode(FAILED)) for number, *_ in fields[n]]
    return _encode(fields)


def _identifiers(value: Any, screening: Screening, session: str) -> Any:
    if isinstance(value, str):
        return screening.identifier(value, session)
    if isinstance(value, list):
        return [_identifiers(item, screening, session) for item in value]
    return screening.value(value, session)


def _name(text: object) -> str:
    """A text that has to be one in every record: what UTF-8 cannot hold is escaped."""
    if isinstance(text, msgspec.msgpack.Ext):
        text = bytes(text.data).decode("utf-8", "surrogatepass")
    elif isinstance(text, bytes):
        text = text.decode("utf-8", "surrogatepass")
    return str(text).encode("utf-8", "backslashreplace").decode()
