"""One journal, being written: a file under a lock, and the way to append to it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable

from agentops.journal.format import CLOSED, HEAD, MAGIC, ROTATED, checksum, encode, frame, pack_frame
from agentops.journal.names import journal_name
from agentops.recorder.capture import Capture
from agentops.recorder.plain import Redactor
from agentops.safety import failed

__all__ = ["ROTATE_BYTES", "Journal", "ShortWrite"]

FORMAT = 1
ROTATE_BYTES = 8 << 20


class ShortWrite(OSError):
    """The system took only a part of a record."""


class Journal:
    """A journal that this process writes.

    The file is locked before it has its name, so nobody takes it for a dead process's. It is closed, and
    with that unlocked, when the last thread lets go of it. `append` needs no lock: one `write` to a file
    opened for appending is one piece.

    Args:
        folder: the folder of journals; it has to be there.
        process: random number of this process, and when it began to record (ns since 1970).
        sequence: of this journal among the process's.
        redact: see `Capture`.
        full: called with the journal once it holds ROTATE_BYTES.

    Raises:
        OSError: if the file cannot be made, locked or written.
    """

    __slots__ = ("_full", "bytes", "capture", "descriptor", "path")

    def __init__(
        self,
        folder: str,
        process: tuple[int, int],
        sequence: int,
        redact: Redactor | None,
        full: Callable[[Journal], None],
    ) -> None:
        self.descriptor = -1
        self.capture = Capture(redact, failed)
        self._full = full
        number, started_ns = process
        self.path = os.path.join(folder, journal_name(started_ns, number, sequence))
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        unnamed = self.path + ".new"
        self.descriptor = os.open(unnamed, flags, 0o600)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.bytes = os.write(
                self.descriptor, MAGIC + frame(encode((HEAD, FORMAT, number, sequence, os.getpid(), time.time_ns())))
            )
            os.rename(unnamed, self.path)
        except BaseException:
            os.unlink(unnamed)
            raise

    def append(self, payload: bytes) -> None:
        """Append one record in one write.

        Raises:
            OSError: it is not in the journal, or not in full; the journal must not be used any more.
        """
        size = len(payload) + 8
        if os.write(self.descriptor, pack_frame(size - 8, checksum(payload) & 0xFFFFFFFF) + payload) != size:
            raise ShortWrite("a record was written in part")
        self.bytes += size
        if self.bytes > ROTATE_BYTES:
            self._full(self)

    def leave(self, final: bool) -> None:
        """Say that the process goes on in another journal, or ends."""
        self.append(encode((CLOSED if final else ROTATED,)))

    def abandon(self) -> None:
        """Close at once: for a forked child, which must not keep its parent's lock."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.abandon()
