"""The journal's format: framed, checksummed msgpack records, safe to read whoever wrote them.

A file is the magic, then frames: length (u32, little endian) of the payload, the low 32 bits of its
xxh3 checksum, and the payload: a msgpack array whose first item says what it is. The first record is a
`Head`. Numbers in a record that refer to content are counted within its journal.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec
import xxhash

MAGIC: Final = b"AGENTOPS-JOURNAL-1\n"
FRAME: Final = struct.Struct("<II")
#: A reader takes no larger record: the store could not hold it, and SQLite ends at a billion bytes.
FRAME_BYTES_MAX: Final = 1 << 29

HEAD, START, END, EVENT, UPDATE, SCORE, ROTATED, CLOSED, LOST, CONTENTS = range(10)

#: Status of a span, in journal and store.
RUNNING, OK, ERROR, INTERRUPTED = range(4)
STATUS: Final = ("running", "ok", "error", "interrupted")

#: How content is held: a plain value; a value with references inside; a list that continues another; and one that was
#: not looked at yet: it comes with a record of its own, redacted, or never if the program dies before.
BLOB, TEMPLATE, LIST, PENDING = range(4)
#: What is read where a content never came.
WITHHELD: Final = "<withheld: the program ended before this was looked at>"

#: msgpack extension codes of ours.
EXT_REFERENCE, EXT_TEXT, EXT_INTEGER = 1, 2, 3

#: What is given for a value that is not there (None is a value).
ABSENT: Final = -1

#: Hexadecimal; Python refuses to print a number of more than 4,300 decimal ones.
_DIGITS_MAX: Final = 3_500

checksum = xxhash.xxh3_64_intdigest
pack_frame = FRAME.pack


class Head(msgspec.Struct, array_like=True, tag=HEAD, gc=False):
    """Who writes this journal."""

    version: int
    process: int  # random, one for all journals of a process
    sequence: int  # of this journal among them
    pid: int
    time_ns: int
    #: Where its spans are exported to: a target's name, and that of the function that they have to pass.
    targets: list[tuple[str, str]] = []


class Content(msgspec.Struct, array_like=True, gc=False):
    """A large value on its first appearance in a journal."""

    number: int
    form: int
    data: bytes


class Start(msgspec.Struct, array_like=True, tag=START, gc=False):
    """A span begins. `reference` is ABSENT (no input), 0 (the input is `value`) or the content's number."""

    span_id: int
    trace_id: bytes
    parent_id: int
    time_ns: int
    name: str
    kind: int
    reference: int = ABSENT
    value: Any = None
    contents: list[Content] | None = None
    attributes: dict[str, Any] | None = None
    scope: dict[str, Any] | None = None
    links: list[tuple[bytes, int, dict[str, Any]]] | None = None
    nearest: int = 0  # nearest ancestor of ours, where the parent may be recorded by nobody


class End(msgspec.Struct, array_like=True, tag=END, gc=False):
    """A span ends. `reference` as in Start, for the output."""

    span_id: int
    trace_id: bytes
    time_ns: int
    status: int
    attributes: dict[str, Any] | None = None
    reference: int = ABSENT
    value: Any = None
    contents: list[Content] | None = None
    error: tuple[str, str, str] | None = None  # exception's type, message, traceback
    name: str | None = None
    scope: dict[str, Any] | None = None
    links: list[tuple[bytes, int, dict[str, Any]]] | None = None


class Event(msgspec.Struct, array_like=True, tag=EVENT, gc=False):
    """Something happened on an open span."""

    span_id: int
    trace_id: bytes
    time_ns: int
    name: str
    attributes: dict[str, Any] | None = None
    contents: list[Content] | None = None


class Update(msgspec.Struct, array_like=True, tag=UPDATE, gc=False):
    """What was set on an open span since its last record."""

    span_id: int
    trace_id: bytes
    attributes: dict[str, Any] | None = None
    reference: int = ABSENT
    value: Any = None
    contents: list[Content] | None = None
    input_reference: int = ABSENT
    input_value: Any = None


class Score(msgspec.Struct, array_like=True, tag=SCORE, gc=False):
    """A judgement about a trace (`span_id` 0) or a span."""

    trace_id: bytes
    span_id: int
    name: str
    value: float | int | bool | str
    comment: str | None
    time_ns: int


class Rotated(msgspec.Struct, array_like=True, tag=ROTATED, gc=False):
    """The process goes on in its next journal: this one's open spans are not interrupted."""


class Closed(msgspec.Struct, array_like=True, tag=CLOSED, gc=False):
    """The process said goodbye."""


class Lost(msgspec.Struct, array_like=True, tag=LOST, gc=False):
    """Records that could not be written: of which kind and why, how many, and when the first of them was lost."""

    what: str
    records: int
    bytes: int
    time_ns: int


class Added(msgspec.Struct, array_like=True, tag=CONTENTS, gc=False):
    """Contents that were PENDING."""

    contents: list[Content]


Record = Head | Start | End | Event | Update | Score | Rotated | Closed | Lost | Added


class Reference:
    """A place inside a value whose content stands elsewhere."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and other.number == self.number

    def __hash__(self) -> int:
        return hash(self.number)


class Text(str):
    """A text that UTF-8 cannot hold (lone surrogates), as it was read: it is written again the same way."""


class Integer(int):
    """A whole number of more than 64 bits, as it was read."""


def reference(number: int) -> msgspec.msgpack.Ext:
    """The extension value that stands for content `number`."""
    return msgspec.msgpack.Ext(EXT_REFERENCE, number.to_bytes((number.bit_length() + 7) // 8 or 1, "big"))


def _extension(code: int, data: memoryview) -> object:
    if code == EXT_REFERENCE:
        return Reference(int.from_bytes(data[:8], "big"))
    if code == EXT_TEXT:
        return Text(bytes(data).decode("utf-8", "surrogatepass"))
    if code == EXT_INTEGER:
        if len(data) > _DIGITS_MAX:
            return "0x" + bytes(data).decode("ascii")
        return Integer(bytes(data).decode("ascii"), 16)
    return bytes(data)


def _encode_other(value: object) -> object:
    if isinstance(value, Reference):
        return reference(value.number)
    if isinstance(value, str):
        return msgspec.msgpack.Ext(EXT_TEXT, value.encode("utf-8", "surrogatepass"))
    if isinstance(value, int):
        return msgspec.msgpack.Ext(EXT_INTEGER, format(value, "x").encode())
    raise TypeError(f"cannot encode {type(value)!r}")


encode = msgspec.msgpack.Encoder(enc_hook=_encode_other).encode
decode_record = msgspec.msgpack.Decoder(Record, ext_hook=_extension).decode
decode_value = msgspec.msgpack.Decoder(ext_hook=_extension).decode


def frame(payload: bytes) -> bytes:
    """`payload` with length and checksum in front."""
    return FRAME.pack(len(payload), checksum(payload) & 0xFFFFFFFF) + payload
