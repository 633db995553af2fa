"""Reading journals, whoever wrote them: a torn or garbled tail ends a read, it never breaks one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import msgspec

from agentops.journal.format import FRAME, FRAME_BYTES_MAX, MAGIC, Record, checksum, decode_record

__all__ = ["read", "writer_is_alive"]

_CHUNK_BYTES = 1 << 20


def writer_is_alive(descriptor: int) -> bool:
    """Whether somebody holds the writer's lock on an open journal."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def read(descriptor: int, offset: int) -> Iterator[tuple[int, Record | None]]:
    """The records of an open journal from `offset` on.

    Yields:
        The offset after each record, with the record; None for bytes that are skipped because no whole
        record stands there although whole ones follow (a short write between two good ones).
        Ends at the end of the file, or before a record that is not there in full yet.
    """
    if offset == 0:
        if os.pread(descriptor, len(MAGIC), 0) != MAGIC:
            return
        offset = len(MAGIC)
    buffer, start = b"", 0  # `buffer[start:]` begins at `offset` of the file
    while True:
        need = FRAME.size
        if len(buffer) - start >= need:
            length, _ = FRAME.unpack_from(buffer, start)
            need += min(length, FRAME_BYTES_MAX)
        if len(buffer) - start < need:
            missing = need - (len(buffer) - start)
            more = os.pread(descriptor, max(_CHUNK_BYTES, missing), offset + len(buffer) - start)
            buffer, start = buffer[start:] + more, 0
            if len(buffer) < need and not more:
                found = _resync(buffer, FRAME.size)
                if found is None:
                    return
                yield offset + found, None
                offset, start = offset + found, found
            continue
        record = _record_at(buffer, start)
        if record is None:
            found = _resync(buffer[start:], 1)
            if found is None:
                return
            need = found
        offset += need
        start += need
        yield offset, record


def _record_at(buffer: bytes, start: int) -> Record | None:
    length, check = FRAME.unpack_from(buffer, start)
    payload = buffer[start + FRAME.size : start + FRAME.size + length]
    if len(payload) < length or not length or checksum(payload) & 0xFFFFFFFF != check:
        return None
    try:
        return decode_record(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError, UnicodeError, OverflowError):
        return None


def _resync(buffer: bytes, at_least: int) -> int | None:
    """Where in `buffer` the next whole record begins, looking for its checksum; None if there is none."""
    for start in range(at_least, min(len(buffer) - FRAME.size, _CHUNK_BYTES)):
        length, check = FRAME.unpack_from(buffer, start)
        end = start + FRAME.size + length
        if 0 < length <= len(buffer) - start - FRAME.size:
            if checksum(buffer[start + FRAME.size : end]) & 0xFFFFFFFF == check and _record_at(buffer, start):
                return start
    return None
