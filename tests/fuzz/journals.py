"""Journals as nobody of ours would write them: bytes, and how to make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from agentops.journal.format import (
    END,
    EVENT,
    EXT_INTEGER,
    EXT_REFERENCE,
    EXT_TEXT,
    FRAME,
    HEAD,
    MAGIC,
    ROTATED,
    SCORE,
    START,
    UPDATE,
    encode,
    frame,
    reference,
)
from agentops.journal.names import journal_name
from agentops.store.location import journal_folder, prepare

TRACE = b"t" * 16
WITNESS = b"w" * 16


def ext(code: int, data: bytes) -> msgspec.Raw:
    """An extension value as msgpack has it, whatever the code and the data say."""
    return msgspec.Raw(b"\xc9" + len(data).to_bytes(4, "big") + (code & 0xFF).to_bytes(1, "big") + data)


def whole(*records: Any, number: int = 7) -> bytes:
    """A journal of `records` (tuples are encoded, bytes are payloads)."""
    framed = [frame(one if isinstance(one, bytes) else encode(one)) for one in records]
    return MAGIC + frame(encode((HEAD, 1, number, 1, 1, 1))) + b"".join(framed)


def put(store: Path, data: bytes, number: int = 7, sequence: int = 1, started: int = 1_000) -> Path:
    """Lay a journal beside `store`."""
    prepare(str(store))
    path = Path(journal_folder(str(store))) / journal_name(started, number, sequence)
    path.write_bytes(data)
    return path


def put_witness(store: Path) -> None:
    """A good journal that is brought in after all others."""
    put(store, whole((START, 1, WITNESS, 0, 5, "witness", 0), (END, 1, WITNESS, 6, 1), number=8), 8, started=2**62)


#: What msgpack can say and our encoder never does.
ODD = [
    b"\xc1",
    b"\x91" * 300 + b"\xc0",
    b"\x91" * 990 + b"\xc0",
    b"\x91" * 5_000 + b"\xc0",
    b"\x81\xa1k" * 400 + b"\xc0",
    b"\x81\xa1k\x91" * 450 + b"\xc0",
    b"\xa3\xff\xfe\xfd",
    b"\xd9\x03\xed\xa0\x80",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\x7f\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\x81\x80\xc0",
    b"\x81\x81\x01\x02\xc0",
    b"\x82\xa1a\x01\xa1a\x02",
    b"\x81\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\xc0",
    b"\x81\xc0\xc3",
    b"\xd6\xff\xff\xff\xff\xff",
    b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xc7\x0c\xff\x00\x00\x00\x01\x7f\xff\xff\xff\xff\xff\xff\xff",
]
NUMBER = st.integers(-(2**63), 2**64 - 1) | st.sampled_from([0, 1, 2, 3, -1, 2**31, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
TEXT = st.text(max_size=6) | st.sampled_from(
    ["", "needle", "needle in a haystack", "a\0b", "\x1b[2J", "\u202e", "%_\\", '"', "x" * 70_000, "ｗ字", "\U0010ffff"]
)
EXT = st.builds(
    ext,
    st.sampled_from([EXT_REFERENCE, EXT_TEXT, EXT_INTEGER, 0, 4, 127, -1, -128]),
    st.binary(max_size=12)
    | st.sampled_from([b"f" * 5_000, b"-1_0", b"7" * 40, b"\xed\xa0\x80", b"\xff" * 8, b"\xff" * 20]),
)
ODD_RAW = st.sampled_from(ODD).map(msgspec.Raw)
LEAF = (
    st.none()
    | st.booleans()
    | NUMBER
    | st.floats()
    | TEXT
    | st.binary(max_size=8)
    | st.integers(-1, 8).map(lambda n: reference(max(n, 0)))
    | EXT
    | ODD_RAW
)
KEY = TEXT | NUMBER | st.binary(max_size=3) | st.none() | st.floats()
ANY = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=3), max_leaves=6
)
KNOWN = st.sampled_from(
    [
        "scope", "session", "user", "tags", "metadata", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens",
        "gen_ai.request.model", "gen_ai.response.model", "gen_ai.input.messages", "gen_ai.output.messages",
        "gen_ai.response.finish_reasons", "gen_ai.operation.name", "openinference.span.kind", "llm.cost.total",
        "input.value", "output.value", "error.type", "exception.type", "exception.stacktrace", "role", "content",
        "system", "messages", "tool_calls", "stop_reason", "code.filepath", "agentops.code",
    ]
)  # fmt: skip
MESSAGE = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("role", "content", "type", "text", "tool_use_id", "name", "input", "is_error"), ANY)
)
FACT = st.none() | st.dictionaries(TEXT | KNOWN, ANY | st.lists(MESSAGE, max_size=3), max_size=4) | ODD_RAW
ID = st.sampled_from([1, 2, 3, 4, 0, -1, 2**63, 2**64 - 1]) | NUMBER
IN_TRACE = st.sampled_from([TRACE, TRACE, TRACE, b"u" * 16, b"", b"short", b"l" * 40]) | st.binary(max_size=17)
VALUE = ANY | st.lists(MESSAGE, max_size=3)
DATA = (
    st.binary(max_size=6)
    | VALUE.map(lambda value: encode(value))
    | st.tuples(st.integers(-1, 8), st.lists(VALUE, max_size=3)).map(encode)
    | st.sampled_from([encode(["needle " + "x" * 200]), encode({"role": "system", "content": "y" * 200}), *ODD])
)
CONTENTS = (
    st.none()
    | st.lists(st.tuples(st.integers(-2, 8) | NUMBER | st.just(70_000), st.integers(-1, 3), DATA), max_size=3)
    | ODD_RAW
)
AT = st.integers(-1, 8) | NUMBER
TIME = NUMBER | st.integers(10**18, 2 * 10**18)
LINKS = st.none() | st.lists(st.tuples(IN_TRACE, ID, FACT), max_size=2) | ODD_RAW
ERRORS = st.none() | st.tuples(TEXT, TEXT, TEXT) | st.tuples(TEXT) | ANY
RECORD = st.one_of(
    st.tuples(st.just(START), ID, IN_TRACE, ID, TIME, TEXT, NUMBER | st.integers(0, 10), AT, VALUE, CONTENTS, FACT, FACT, LINKS, ID),  # noqa: E501
    st.tuples(st.just(END), ID, IN_TRACE, TIME, st.integers(-1, 4) | NUMBER, FACT, AT, VALUE, CONTENTS, ERRORS, st.none() | TEXT, FACT, LINKS),  # noqa: E501
    st.tuples(st.just(EVENT), ID, IN_TRACE, TIME, TEXT, FACT, CONTENTS),
    st.tuples(st.just(UPDATE), ID, IN_TRACE, FACT, AT, VALUE, CONTENTS, AT, VALUE),
    st.tuples(st.just(SCORE), IN_TRACE, ID, TEXT, st.floats() | NUMBER | TEXT | st.booleans() | EXT, st.none() | TEXT, TIME),  # noqa: E501
    st.tuples(st.just(HEAD), NUMBER, NUMBER, NUMBER, NUMBER, NUMBER),
    st.tuples(st.just(ROTATED)),
    st.lists(ANY, max_size=5),
)  # fmt: skip
GARBAGE = st.one_of(
    st.binary(max_size=40),
    st.integers(0, 70_000).map(bytes),
    st.builds(FRAME.pack, st.sampled_from([0, 1, 2, 255, 2**20, 2**30, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1)),
    RECORD.map(lambda one: frame(encode(one))[:-3]),
)
PIECES = st.lists(
    RECORD.map(lambda one: frame(encode(one))) | GARBAGE | st.sampled_from(ODD).map(frame), min_size=1, max_size=8
)
#: Where in a file something is changed (a share of its length), how, and with what.
CHANGES = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True) | st.integers(0, 200),
        st.sampled_from(["set", "flip", "cut", "insert", "copy", "zeros", "end"]),
        st.binary(min_size=1, max_size=12) | st.sampled_from([b"\0", b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\x80"]),  # noqa: E501
    ),
    min_size=1,
    max_size=8,
)  # fmt: skip


def changed(data: bytes, changes: list[tuple[float, str, bytes]]) -> bytes:
    """`data` after `changes`."""
    made = bytearray(data)
    for place, how, what in changes:
        at = place if isinstance(place, int) else int(place * len(made))
        at = min(at, max(0, len(made) - 1))
        if how == "set":
            made[at : at + len(what)] = what
        elif how == "flip" and made:
            made[at] ^= what[0] or 1
        elif how == "cut":
            del made[at : at + what[0]]
        elif how == "insert":
            made[at:at] = what
        elif how == "copy":
            made[at : at + 512] = made[at // 2 : at // 2 + 512]
        elif how == "zeros":
            made[at : at + 16 * len(what)] = bytes(16 * len(what))
        elif how == "end":
            del made[at:]
    return bytes(made)


def sealed(data: bytes) -> bytes:
    """`data` with the checksum of each frame made right again, as far as the lengths lead."""
    from agentops.journal.format import checksum

    made = bytearray(data)
    at = len(MAGIC)
    while at + FRAME.size <= len(made):
        (length, _) = FRAME.unpack_from(made, at)
        if not 0 < length <= len(made) - at - FRAME.size:
            break
        payload = bytes(made[at + FRAME.size : at + FRAME.size + length])
        FRAME.pack_into(made, at, length, checksum(payload) & 0xFFFFFFFF)
        at += FRAME.size + length
    return bytes(made)
