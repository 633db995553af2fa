"""A journal's file before it has its name: locked first, so that nobody takes it for a dead process's."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import NamedTuple

from agentops.journal.names import SUFFIX, UNNAMED, journal_name

__all__ = ["Draft", "draft"]


class Draft(NamedTuple):
    """The path that the file is to have, and a descriptor of it, which holds the lock."""

    path: str
    descriptor: int

    @property
    def unnamed(self) -> str:
        """Where the file is until it has its name."""
        return self.path.removesuffix(SUFFIX) + UNNAMED

    def name(self) -> None:
        """Put the file where others look for journals.

        Raises:
            OSError: the folder is gone.
        """
        os.rename(self.unnamed, self.path)

    def drop(self) -> None:
        """There will be no such journal."""
        with contextlib.suppress(OSError):
            os.unlink(self.unnamed)
        os.close(self.descriptor)


def draft(folder: str, process: tuple[int, int], sequence: int) -> Draft:
    """Make the file of a journal, and lock it.

    Args:
        folder: of journals; it has to be there.
        process: random number of the process, and when it began to record (ns since 1970).
        sequence: of this journal among the process's.

    Raises:
        OSError: it cannot be made or locked.
    """
    number, started_ns = process
    made = Draft(os.path.join(folder, journal_name(started_ns, number, sequence)), -1)
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
    made = made._replace(descriptor=os.open(made.unnamed, flags, 0o600))
    try:
        fcntl.flock(made.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        made.drop()
        raise
    return made
