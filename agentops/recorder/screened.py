"""The way into a journal where a redactor looks at everything: see `agentops.recorder.screening`."""

from __future__ import annotations

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
    LOST,
    PENDING,
    SCORE,
    START,
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
from agentops.recorder import capture
from agentops.recorder.capture import _SEED, FAILED, INLINE_BYTES, Capture, New

if TYPE_CHECKING:
    from agentops.recorder.screening import Screening
    from agentops.recorder.writer import Journal

__all__ = ["Postponed", "ScreenedCapture"]

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


class ScreenedCapture(Capture):
    """What can hold nothing sensitive is captured as ever; what can is redacted at once if it is short, or comes later.

    Args:
        screening: looks through what has to be.
        on_failure: called with the exception where that cannot be done; the value is withheld then.
    """

    __slots__ = ("_names", "_screening")

    def __init__(self, screening: Screening, on_failure: Callable[[str, BaseException], None]) -> None:
        super().__init__(None, on_failure)
        self._screening = screening
        self._names: set[str] = set()
        self.fast = self._screened
        self.hurries = not screening.by_session

    def new(self, trace: bytes, span_id: int, parent_id: int = 0, scope: Mapping[str, Any] | None = None) -> New:
        """For what a record of a span brings along; its parent and scope are given as it starts.

        Contents that get pseudonyms are the same only within a session.
        """
        screening = self._screening
        if not screening.by_session:
            return New()
        screening.begins(span_id, parent_id, (scope or {}).get("session"))
        session = screening.session(trace, span_id)
        digest = xxhash.xxh3_128_digest(session.encode("utf-8", "replace"), seed=_SEED)
        return New(digest, int.from_bytes(digest[:8], "little"))

    def stays(self, key: object) -> bool:
        """Whether the key says what stands under it: apart, nothing would be found in that."""
        return type(key) is str and self._screening.tells(key)

    def record(self, record: tuple[Any, ...]) -> bytes:
        """As everywhere, and without what may hold something sensitive."""
        try:
            return self._screened(record)
        except Exception:  # noqa: BLE001 - as in `encode`
            return self._screened(self._plain(record))

    def _screened(self, record: tuple[Any, ...]) -> bytes:
        """As `record`, and it may raise: what may hold something sensitive is taken out of it."""
        screening = self._screening
        payload = capture._encode(record)
        if screening.by_session and record[0] in (START, END):
            scope = record[11] if len(record) > 11 else None
            screening.begins(record[1], record[3] if record[0] == START else 0, (scope or {}).get("session"))
        try:
            if self._is_clean(record):
                return payload
            return self._without(record)
        except Exception as problem:  # noqa: BLE001 - a detector of the user's, or a program that is deep in itself
            self._on_failure("redactor", problem)
        try:
            return self._without(record)
        except Exception:  # noqa: BLE001
            return _withheld(record)

    def _is_clean(self, record: tuple[Any, ...]) -> bool:
        """Whether nothing sensitive can be in a record: asked of its parts, since its ids look like anything."""
        name, reference, value, contents, attributes, rest = _PARTS[record[0]]
        may_hold = self._screening.may_hold
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
                elif inline is not None and may_hold(capture._encode(inline)):
                    return False
        if attributes < count and record[attributes] is not None:
            for key, fact in record[attributes].items():
                if key not in names and not self._is_name(key):
                    return False
                if type(fact) is int and -_WHOLE_NUMBERS_MAX < fact < _WHOLE_NUMBERS_MAX:
                    continue
                if type(fact) is not float and type(fact) is not bool and may_hold(capture._encode({key: fact})):
                    return False
        if rest < count:
            for part in record[rest:]:
                if part and may_hold(capture._encode(part)):
                    return False
        return True

    def _is_name(self, text: str) -> bool:
        """Whether nothing sensitive can be in a name or a key; it is remembered."""
        if self._screening.may_hold(text.encode()):
            return False
        if len(self._names) < _NAMES_MAX:
            self._names.add(text)
        return True

    def _without(self, record: tuple[Any, ...]) -> bytes:
        """A record without what may hold something sensitive: short texts redacted, contents left for later."""
        screening = self._screening
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
                data = capture._encode(fields[at[value]])
                if screening.may(data):
                    fields[at[name]], fields[at[value]] = postponed(BLOB, data), None
        if "attributes" in here:
            fields[at["attributes"]] = facts = {}
            for key, value in record[at["attributes"]].items():
                name = screening.text(key, session)
                while name in facts:  # two keys became the same one
                    name += "'"
                facts[name] = self._fact(key, value, session, postponed)
        if "scope" in here:
            fields[at["scope"]] = {
                key: identifiers(value, screening, session) if key in IDENTIFIERS else screening.value(value, session)
                for key, value in decode_value(capture._encode(fields[at["scope"]])).items()
            }
        if "links" in here:
            fields[at["links"]] = [
                (to, span, _mapping(screening.value(decode_value(capture._encode(facts)), session)))
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

    def _fact(self, key: str, value: Any, session: str, postponed: Callable[..., int]) -> Any:
        screening = self._screening
        if key in IDENTIFIERS:
            return identifiers(decode_value(capture._encode(value)), screening, session)
        if type(value) is msgspec.msgpack.Ext and value.code == EXT_REFERENCE:
            return value
        data = capture._encode({key: value})  # the key may say what the value is
        if not screening.may(data):
            return value
        data = capture._encode(value)
        if len(data) < INLINE_BYTES:
            redacted = screening.value({key: decode_value(data)}, session)
            return next(iter(redacted.values())) if type(redacted) is dict else redacted
        return reference(postponed(BLOB, data, None, key))


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
                fields[n] = [(number, BLOB, capture._encode(FAILED)) for number, *_ in fields[n]]
    return capture._encode(fields)


def identifiers(value: Any, screening: Screening, session: str) -> Any:
    """Names that things are found by, so that what differed still differs."""
    if isinstance(value, str):
        return screening.identifier(value, session)
    if isinstance(value, list):
        return [identifiers(item, screening, session) for item in value]
    return screening.value(value, session)
