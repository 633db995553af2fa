"""Reading journals, whoever wrote them: a torn or garbled tail ends a read, it never breaks one."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator

import msgspec

from agentops.journal.format import FRAME, FRAME_BYTES_MAX, MAGIC, Record, checksum, decode_record, decode_value

__all__ = ["end_of", "read", "writer_is_alive"]

_CHUNK_BYTES = 1 << 20
_SMALL_BYTES = 64 << 10
#: No process leaves more than this between two records; a journal of garbage is not searched for ever.
_GARBAGE_BYTES_MAX = 4 << 20
_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, RecursionError, OverflowError)
_NOT_ZERO = re.compile(rb"[^\0]")


def writer_is_alive(descriptor: int) -> bool:
    """Whether somebody holds the writer's lock on an open journal."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def read(descriptor: int, offset: int, dead: bool = True) -> Iterator[tuple[int, Record | None]]:
    """The records of an open journal from `offset` on.

    Args:
        descriptor: of the open file.
        offset: where to begin; 0 or one that this gave.
        dead: nobody writes it any more, so a place that holds no record is skipped, not waited for.

    Yields:
        The offset after each record, with the record; None for bytes that were skipped: a process that was
        killed may leave a hole or half a record between two whole ones of its threads.
    """
    if offset == 0:
        if os.pread(descriptor, len(MAGIC), 0) != MAGIC:
            return
        offset = len(MAGIC)
    buffer, start = b"", 0  # `buffer[start:]` begins at `offset` of the file
    unpack, size = FRAME.unpack_from, FRAME.size
    while True:
        have = len(buffer) - start
        if have >= size:
            length, check = unpack(buffer, start)
            end = start + size + length
            if end <= len(buffer):
                payload = buffer[start + size : end]
                if length and checksum(payload) & 0xFFFFFFFF == check:
                    offset += size + length
                    start = end
                    yield offset, _decoded(payload)  # whole, but perhaps not one of ours: the next may be
                    continue
            else:
                length = min(length, FRAME_BYTES_MAX)
                more = os.pread(descriptor, max(_CHUNK_BYTES, size + length - have), offset + have)
                if more:
                    buffer, start = buffer[start:] + more, 0
                    continue
        elif more := os.pread(descriptor, _CHUNK_BYTES, offset + have):
            buffer, start = buffer[start:] + more, 0
            continue
        found = _next_record(descriptor, offset) if dead else None
        if found is None:
            return
        yield found, None
        offset, buffer, start = found, b"", 0


def end_of(descriptor: int, offset: int) -> int:
    """Where the records of an open journal end now, as far as their lengths tell."""
    offset = offset or len(MAGIC)
    while True:
        buffer = os.pread(descriptor, _CHUNK_BYTES, offset)
        at, last = 0, len(buffer) - FRAME.size
        while at <= last:
            length = FRAME.unpack_from(buffer, at)[0]
            if not length:
                return offset + at
            at += FRAME.size + length
        if not buffer or not at:
            return offset
        offset += at


def _decoded(payload: bytes) -> Record | None:
    try:
        record: Record = decode_record(payload)
        return record
    except _UNREADABLE:
        pass
    try:  # a part of it may be what cannot be read, such as a mapping with mappings for keys
        parts = msgspec.msgpack.decode(payload, type=list[msgspec.Raw])
        record = decode_record(msgspec.msgpack.encode([_readable(part) for part in parts]))
        return record
    except _UNREADABLE:
        return None


def _readable(part: msgspec.Raw) -> object:
    try:
        decode_value(part)
        return part
    except _UNREADABLE:
        pass
    try:
        items = msgspec.msgpack.decode(part, type=dict[str, msgspec.Raw])
        return {key: _readable(item) for key, item in items.items()}
    except _UNREADABLE:
        return "<cannot be read back>"


def _next_record(descriptor: int, offset: int) -> int | None:
    """Where after `offset` the next whole record begins; None if there is none."""
    size = os.fstat(descriptor).st_size
    looked = 0
    while offset < size and looked < _GARBAGE_BYTES_MAX:
        buffer = os.pread(descriptor, _CHUNK_BYTES + _SMALL_BYTES, offset)
        start = 1
        while (nonzero := _NOT_ZERO.search(buffer, start)) is not None and nonzero.start() < _CHUNK_BYTES:
            # A length's first byte is never zero in a record of less than 256 bytes, but may be in others.
            for place in range(max(start, nonzero.start() - 3), nonzero.start() + 1):
                if _whole_record(descriptor, buffer, place, offset, size):
                    return offset + place
            start = nonzero.start() + 1
            looked += 1
        offset += _CHUNK_BYTES
    return None


def _whole_record(descriptor: int, buffer: bytes, start: int, offset: int, size: int) -> bool:
    if len(buffer) - start < FRAME.size:
        return False
    length, check = FRAME.unpack_from(buffer, start)
    if not 2 <= length <= size - offset - start - FRAME.size:
        return False
    if start + FRAME.size + length > len(buffer):
        buffer, start = os.pread(descriptor, FRAME.size + length, offset + start), 0
    payload = buffer[start + FRAME.size : start + FRAME.size + length]
    return checksum(payload) & 0xFFFFFFFF == check and _decoded(payload) is not None
