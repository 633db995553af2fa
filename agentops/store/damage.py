"""A store that SQLite cannot read any more: set aside under a dated name, never deleted, so that a new one can begin.

Only what is damaged for good is set aside, and only what was a store of ours: a lock, a full disk or a file that
cannot be opened pass, and a file of somebody else is not ours to rename.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time

from agentops.errors import StoreDamaged
from agentops.store.location import journal_folder

__all__ = ["Identity", "Unusable", "identity", "is_damage", "set_aside", "set_aside_files"]

APPLICATION_ID = 0x41474F50  # "AGOP"
_MARK = ".damaged-"
_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID_AT = 68  # https://www.sqlite.org/fileformat2.html#the_database_header
#: SQLITE_CORRUPT and SQLITE_NOTADB; an index of words that is damaged (SQLITE_CORRUPT_VTAB) leaves the rest readable.
_CORRUPT, _NOT_A_DATABASE, _CORRUPT_INDEX = 11, 26, 267

#: Which file a path means at a moment: its device and inode; None where there is none.
Identity = tuple[int, int] | None


class Unusable(StoreDamaged):
    """A store whose tables hold what no agentops writes there, so that nothing can be brought in."""


def identity(path: str) -> Identity:
    """The file that is at `path` now."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_damage(problem: BaseException | None) -> bool:
    """Whether the file itself is not a good database or no good store, and not that something passes."""
    if isinstance(problem, Unusable):
        return True
    code = getattr(problem, "sqlite_errorcode", 0)
    return isinstance(problem, sqlite3.Error) and code != _CORRUPT_INDEX and code & 0xFF in (_CORRUPT, _NOT_A_DATABASE)


def set_aside(path: str, which: Identity, problem: BaseException) -> None:
    """Rename the damaged store at `path`, with what belongs to it, and say so once.

    Several processes may find the damage at the same time: one of them renames the file, and the others see that
    another file stands there now, which may be good.

    Args:
        path: of the store.
        which: the file in which the damage was found.
        problem: what SQLite said.

    Raises:
        StoreDamaged: it is not ours, or cannot be renamed; it is untouched.
    """
    if not _ours(path):
        raise StoreDamaged(
            f"{path}: {problem}. It does not look like a store of agentops and nothing was changed: move it aside, or "
            "name another file with AGENTOPS_STORE"
        ) from problem
    aside = f"{path}{_MARK}{time.strftime('%Y%m%dT%H%M%S')}"
    try:
        os.makedirs(journal_folder(path), mode=0o700, exist_ok=True)
        folder = os.open(journal_folder(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if which is None or identity(path) != which:
                return
            while os.path.lexists(aside):
                aside += "x"
            # The log first: a new store that found it here would begin with it.
            for suffix in ("-wal", "-shm", ""):
                if suffix == "" or os.path.lexists(path + suffix):
                    os.rename(path + suffix, aside + suffix)
        finally:
            os.close(folder)
    except OSError as trouble:
        raise StoreDamaged(
            f"{path} is damaged ({problem}) and cannot be set aside ({trouble.strerror}), so nothing goes into it: "
            "move it away yourself and a new store is begun, or name another one with AGENTOPS_STORE"
        ) from problem
    from agentops import safety  # with it comes logging, which no listing waits for

    safety.said(
        "store damaged",
        f"the store {path} is damaged ({problem}). It was set aside as {aside} and a new store was begun; what the "
        f"journals still hold goes in. `sqlite3 '{aside}' .recover` may get back what was in it.",
    )


def set_aside_files(path: str) -> list[str]:
    """Paths of the damaged stores that were set aside beside the store `path`, the oldest first."""
    folder, name = os.path.split(path)
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return []
    return sorted(
        os.path.join(folder, found)
        for found in names
        if found.startswith(name + _MARK) and not found.endswith(("-wal", "-shm"))
    )


def _ours(path: str) -> bool:
    """Whether a damaged file was a store of ours, as far as its head tells; garbage is if it is named as stores are."""
    try:
        with open(path, "rb") as file:
            head = file.read(100)
    except OSError:
        return False
    if head.startswith(_MAGIC):
        return head[_APPLICATION_ID_AT : _APPLICATION_ID_AT + 4] == APPLICATION_ID.to_bytes(4, "big")
    return path.endswith(".db")
