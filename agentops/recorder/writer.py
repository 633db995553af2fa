"""Journals being written: files under a lock, and the way to append to them.

`Journal` appends with one `write` a record. `MappedJournal` copies records into a mapping of the file: that
costs a tenth, and the caller does not give up the interpreter's lock, which a `write` does and may then wait
for. Both survive SIGKILL, since the page cache does. The space is written with zeros before it is mapped, so
a full disk is an error of that write; file systems that copy on write could still run out of space when the
page is written again, which would be a signal, so they are not mapped.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from agentops.errors import StoreError
from agentops.journal.draft import Draft, draft
from agentops.journal.format import CLOSED, FRAME, HEAD, MAGIC, ROTATED, checksum, encode, frame, pack_frame
from agentops.recorder.capture import Capture
from agentops.recorder.plain import Redactor
from agentops.recorder.screened import Postponed, ScreenedCapture
from agentops.safety import withheld
from agentops.store.location import NO_LOCKS, file_system, no_locks

if TYPE_CHECKING:
    from agentops.recorder.screening import Screening

__all__ = ["Journal", "MappedJournal", "Place", "ShortWrite", "open_journal"]

FORMAT = 1
ROTATE_BYTES = 4 << 20
#: The step in which a mapped journal grows, and how much of it is made ahead by a thread that has time.
STEP_BYTES = 64 << 10
AHEAD_BYTES = 2 << 20
#: Room at the end of a mapped journal for what has to be said on a full disk: what was lost, and the end.
RESERVE_BYTES = 4 << 10
#: MADV_POPULATE_WRITE of Linux: pages are there before somebody writes to them.
_POPULATE_WRITE = 23
#: What a system says where files cannot be mapped at all; anything else may pass.
_UNMAPPABLE = (errno.ENODEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
#: File systems on which a page that was written can be written again whatever happens.
_MAPPABLE = frozenset(("ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs"))


_ZEROS = memoryview(bytes(STEP_BYTES))


class ShortWrite(OSError):
    """The system took only a part of a record."""


class Place:
    """Where a process's journals go, and what they share.

    Args:
        folder: the folder of journals; it has to be there.
        process: random number of this process, and when it began to record (ns since 1970).
        redact: see `Capture`.
        full: called with a journal once it holds ROTATE_BYTES.
        screening: see `Capture`.
        targets: see `Head`.
    """

    def __init__(
        self,
        folder: str,
        process: tuple[int, int],
        redact: Redactor | None,
        full: Callable[[Journal], None],
        screening: Screening | None = None,
        targets: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.folder = folder
        self.process = process
        self.redact = redact
        self.screening = screening
        self.full = full
        self.targets = targets
        self.mappable = sys.platform == "linux" and file_system(folder) in _MAPPABLE


class Journal:
    """A journal that this process writes, with a `write` a record.

    The file is locked before it has its name, so nobody takes it for a dead process's. It is closed, and
    with that unlocked, when the last thread lets go of it. `append` needs no lock of ours: one `write` to a
    file opened for appending is one piece.

    Args:
        place: see `Place`.
        sequence: of this journal among the process's.
        shared: its file, where that is made already; another process has the descriptor, and with that the lock, too.

    Raises:
        OSError: if the file cannot be made, locked or written.
        StoreError: there are no locks here.
    """

    __slots__ = ("_full", "_is_shared", "capture", "descriptor", "path", "written")

    def __init__(self, place: Place, sequence: int, shared: Draft | None = None) -> None:
        self.descriptor = -1
        if place.screening is None:
            self.capture = Capture(place.redact, withheld)
        else:
            self.capture = ScreenedCapture(place.screening, withheld)
        self._full = place.full
        self._is_shared = shared is not None
        try:
            made = shared or draft(place.folder, place.process, sequence)
        except OSError as problem:
            if problem.errno in NO_LOCKS:
                raise StoreError(no_locks(place.folder)) from None
            raise
        self.path, self.descriptor = made
        try:
            about = (HEAD, FORMAT, place.process[0], sequence, os.getpid(), time.time_ns())
            head = MAGIC + frame(encode((*about, place.targets) if place.targets else about))
            self.written = os.write(self.descriptor, head)
            self._prepare()
            made.name()
        except BaseException:
            made.drop()
            self.descriptor = -1
            self.abandon()
            raise

    def _prepare(self) -> None:
        """What has to be there before the journal has its name."""
        fcntl.fcntl(self.descriptor, fcntl.F_SETFL, os.O_APPEND)

    def append(self, payload: bytes) -> None:
        """Append one record.

        Raises:
            OSError: it is not in the journal, or not in full; the journal must not be used any more.
        """
        size = len(payload) + 8
        if os.write(self.descriptor, pack_frame(size - 8, checksum(payload) & 0xFFFFFFFF) + payload) != size:
            raise ShortWrite("a record was written in part")
        self.written += size
        if type(payload) is Postponed:
            payload.hand_over(self)
        if self.written > ROTATE_BYTES:
            self._full(self)

    def make_room(self) -> None:
        """Prepare for what comes, on a thread that has time."""

    def note(self, payload: bytes) -> None:
        """Append something short for which there should be room whatever has happened.

        Raises:
            OSError: there is none.
        """
        self.append(payload)

    def leave(self, final: bool) -> None:
        """Say that the process goes on in another journal, or ends."""
        self.note(encode((CLOSED if final else ROTATED,)))

    def is_gone(self) -> bool:
        """Whether the file is not at its path any more."""
        try:
            return not os.path.samestat(os.stat(self.path), os.fstat(self.descriptor))
        except OSError:
            return True

    def is_deleted(self) -> bool:
        """Whether the file has no path any more, so that nobody will read it."""
        return os.fstat(self.descriptor).st_nlink == 0

    def records_since(self, offset: int) -> int:
        """How many records it holds after `offset`."""
        data = os.pread(self.descriptor, max(0, self.written - offset), offset)
        found = at = 0
        while at + FRAME.size <= len(data) and (length := FRAME.unpack_from(data, at)[0]):
            at += FRAME.size + length
            found += 1
        return found

    def abandon(self) -> None:
        """Close at once: for a forked child, which must not keep its parent's lock."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        if self.descriptor >= 0 and self._is_shared:
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)  # nobody writes it any more, whoever has it open
        self.abandon()


class MappedJournal(Journal):
    """A journal that is written through a mapping of its file; what follows its records is zeros."""

    __slots__ = ("_lock", "_map", "_room", "_size")

    def _prepare(self) -> None:
        self._lock = threading.RLock()  # a signal handler may record while this thread is in `append`
        self._size = 0
        self._fill(STEP_BYTES - RESERVE_BYTES)
        self._map = mmap.mmap(self.descriptor, self._size)

    def append(self, payload: bytes) -> None:
        framed = pack_frame(len(payload), checksum(payload) & 0xFFFFFFFF) + payload
        size = len(framed)
        with self._lock:
            # A signal handler may record during a call: none stands between this look and the copy.
            while (end := self.written + size) > self._room:
                self._grow(end)
            start = self.written
            # The copy before the mark: an exception of a signal handler in between costs this record alone.
            self._map[start:end] = framed
            self.written = end
        if type(payload) is Postponed:
            payload.hand_over(self)
        if end > ROTATE_BYTES:
            self._full(self)

    def note(self, payload: bytes) -> None:
        framed = pack_frame(len(payload), checksum(payload) & 0xFFFFFFFF) + payload
        size = len(framed)
        with self._lock:
            while (end := self.written + size) > self._size:
                self._grow(end)
            start = self.written
            self._map[start:end] = framed
            self.written = end

    def _grow(self, end: int) -> None:
        before = self._size & -mmap.PAGESIZE
        self._fill(end)
        self._map.resize(self._size)
        with contextlib.suppress(
            OSError, ValueError
        ):  # not every kernel knows it: each page then costs its first writer
            self._map.madvise(_POPULATE_WRITE, before, self._size - before)

    def _fill(self, end: int) -> None:
        """Make the file longer, in whole steps, until `end` is in it and what is kept for the end."""
        start = self._size or self.written
        size = -(-(end + RESERVE_BYTES) // STEP_BYTES) * STEP_BYTES
        while start < size:
            start += os.pwrite(self.descriptor, _ZEROS[: min(STEP_BYTES, size - start)], start)
            start = max(start, self._size)  # a signal handler that had more to write was here
        self._size = max(size, self._size)
        self._room = self._size - RESERVE_BYTES

    def make_room(self) -> None:
        with contextlib.suppress(OSError):  # the record that needs the room will say so
            while self._size < min(self.written + AHEAD_BYTES, ROTATE_BYTES + STEP_BYTES):
                with self._lock:
                    self._grow(self._room + STEP_BYTES)

    def abandon(self) -> None:
        if hasattr(self, "_map"):
            with contextlib.suppress(BufferError, ValueError):
                self._map.close()
        super().abandon()


def open_journal(place: Place, sequence: int, shared: Draft | None = None) -> Journal:
    """A new journal of the kind that suits its file system; the arguments are those of `Journal`.

    Raises:
        OSError: it cannot be made.
        StoreError: there are no locks here.
    """
    if place.mappable:
        try:
            return MappedJournal(place, sequence, shared)
        except OSError as problem:  # no such space, no such call: smaller steps may do
            if problem.errno in _UNMAPPABLE:
                place.mappable, shared = False, None
    return Journal(place, sequence, shared)
