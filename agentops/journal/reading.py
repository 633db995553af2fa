"""Reading journals, whoever wrote them: a torn or garbled tail ends a read, it never breaks one."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator

import msgspec

from agentops.journal.format import FRAME, FRAME_BYTES_MAX, MAGIC, Record, checksum, decode_record, decode_value

__all__ = ["Search", "end_of", "open_journal", "read", "writer_is_alive"]

_CHUNK_BYTES = 1 << 20
_SMALL_BYTES = 64 << 10
#: No process leaves more than this between two records; a journal of garbage is not searched for ever.
_GARBAGE_BYTES_MAX = 4 << 20
_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, RecursionError, OverflowError)
#: How a record begins, behind its frame: an array of at most 15 fields, and what it says.
_BEGINS = re.compile(rb"[\x91-\x9f][\x00-\x09]")
_READABLE_DEPTH_MAX = 8
#: What cannot be opened is left where it is; `agentops doctor` names it.
_NOT_OURS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO, errno.ENODEV)


class Search:
    """What may be spent on looking for records among garbage, in one journal: hostile bytes never come to an end."""

    __slots__ = ("left",)

    #: In bytes looked at; a place that has to be looked at costs as much as some hundred of them.
    PLACE = 512

    def __init__(self, left: int = 2 << 30) -> None:
        self.left = left

    def may(self, cost: int) -> bool:
        """Whether there is enough left for this; it is taken."""
        if cost > self.left:
            return False
        self.left -= cost
        return True


def open_journal(path: str) -> int | None:
    """A descriptor for reading the journal at `path`; None for a link, a pipe or whatever else is no file.

    Raises:
        OSError: the system cannot open it now.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as problem:
        if problem.errno in _NOT_OURS:
            return None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def writer_is_alive(descriptor: int) -> bool:
    """Whether somebody holds the writer's lock on an open journal."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def read(
    descriptor: int, offset: int, dead: bool = True, search: Search | None = None
) -> Iterator[tuple[int, Record | None]]:
    """The records of an open journal from `offset` on.

    Args:
        descriptor: of the open file.
        offset: where to begin; 0 or one that this gave.
        dead: nobody writes it any more, so a place that holds no record is skipped, not waited for.
        search: what may be spent on that, where it is read in several goes.

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
            elif length <= FRAME_BYTES_MAX and offset + size + length <= os.fstat(descriptor).st_size:
                more = os.pread(descriptor, max(_CHUNK_BYTES, size + length - have), offset + have)
                if more:
                    buffer, start = buffer[start:] + more, 0
                    continue
        elif more := os.pread(descriptor, _CHUNK_BYTES, offset + have):
            buffer, start = buffer[start:] + more, 0
            continue
        search = search or Search()
        found = _next_record(descriptor, offset, search) if dead else None
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


def _readable(part: msgspec.Raw, depth: int = 0) -> object:
    if depth > _READABLE_DEPTH_MAX:  # each level reads all below it once more
        return "<cannot be read back>"
    try:
        decode_value(part)
        return part
    except _UNREADABLE:
        pass
    try:
        items = msgspec.msgpack.decode(part, type=dict[str, msgspec.Raw])
        return {key: _readable(item, depth + 1) for key, item in items.items()}
    except _UNREADABLE:
        return "<cannot be read back>"


def _next_record(descriptor: int, offset: int, search: Search) -> int | None:
    """Where after `offset` the next whole record begins; None if there is none."""
    size = os.fstat(descriptor).st_size
    garbage, at = 0, offset + 1
    while at < size and garbage < _GARBAGE_BYTES_MAX:
        at = max(at, _data_from(descriptor, at))
        buffer = os.pread(descriptor, _CHUNK_BYTES + _SMALL_BYTES, at)
        if not buffer or not search.may(len(buffer)):
            return None
        for begins in _BEGINS.finditer(buffer, FRAME.size):
            start = begins.start() - FRAME.size
            if start >= _CHUNK_BYTES:
                break
            if not search.may(Search.PLACE):
                return None
            if _whole_record(descriptor, buffer, start, at, size, search):
                return at + start
        chunk = buffer[:_CHUNK_BYTES]
        garbage += len(chunk) - chunk.count(0)
        at += _CHUNK_BYTES
    return None


def _data_from(descriptor: int, offset: int) -> int:
    """Where after `offset` a file has something other than a hole: one may be larger than all disks."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except (OSError, AttributeError):  # nothing but a hole, or this system does not tell
        return offset


def _whole_record(descriptor: int, buffer: bytes, start: int, offset: int, size: int, search: Search) -> bool:
    length, check = FRAME.unpack_from(buffer, start)
    if not 2 <= length <= min(FRAME_BYTES_MAX, size - offset - start - FRAME.size) or not search.may(length):
        return False
    if start + FRAME.size + length > len(buffer):
        buffer, start = os.pread(descriptor, FRAME.size + length, offset + start), 0
    payload = buffer[start + FRAME.size : start + FRAME.size + length]
    return checksum(payload) & 0xFFFFFFFF == check and _decoded(payload) is not None
