"""Where the store is: one function for the program that writes and for everything that reads."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from agentops.errors import UsageError
from agentops.settings import resolve

__all__ = [
    "NO_LOCKS", "StorePath", "ask_for_rotation", "file_system", "find_store", "journal_folder", "no_locks", "prepare",
    "rotation_asked",
]  # fmt: skip

FOLDER = ".agentops"
FILE = "traces.db"
_ROTATE = "rotate"
#: What a system says where files cannot be locked.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class StorePath(str):
    """Path of the store's database file, with the reason why it is this one."""

    __slots__ = ("reason",)
    reason: str

    def __new__(cls, path: str, reason: str) -> StorePath:
        self = super().__new__(cls, path)
        self.reason = reason
        return self


def find_store(given: str | None = None, start: str | None = None) -> StorePath:
    """The store that a program started in `start` records into, and that a reader started there opens.

    Args:
        given: path of a database file, or of a folder for one, that a setting or an option names.
        start: folder to look from; the working directory if None.

    Returns:
        The first of: `given`; AGENTOPS_STORE; `store` of agentops.toml; `.agentops/` in the nearest folder
        upwards that belongs to this user; a new one beside the nearest `.git` or `pyproject.toml` (not above
        the home folder); one in `start`; and where that cannot be written, or is the root folder,
        `$XDG_STATE_HOME/agentops`.
        Nothing is created.

    Raises:
        UsageError: `given` is empty.
        SettingError: a setting cannot be used.
    """
    if given is not None:
        return StorePath(_as_file(given), "given")
    named, origin = resolve()["store"]
    if named:
        return StorePath(_as_file(named), origin)
    try:
        here = os.path.abspath(start or os.getcwd())
    except OSError:  # the working directory was removed
        return _state_store("the working directory is gone")
    for folder in _upwards(here):
        candidate = os.path.join(folder, FOLDER)
        try:
            if os.stat(candidate).st_uid == os.getuid() and os.path.isdir(candidate):
                return StorePath(os.path.join(candidate, FILE), f"nearest {FOLDER}/ upwards")
        except OSError:
            continue
    home = os.path.expanduser("~")
    place, reason = here, "working directory"
    for folder in _upwards(here):
        if any(os.path.exists(os.path.join(folder, mark)) for mark in (".git", "pyproject.toml")):
            place, reason = folder, "beside the project's root"
            break
        if folder == home:
            break
    if place == os.path.sep or not os.access(place, os.W_OK | os.X_OK):
        return _state_store(f"{place} cannot hold one")
    return StorePath(os.path.join(place, FOLDER, FILE), reason)


def journal_folder(store: str) -> str:
    """The folder beside the store `store` in which running programs keep their journals."""
    return os.path.splitext(store)[0] + ".journal"


def prepare(store: str) -> None:
    """Make the folders of `store`, readable by this user alone, and keep a `.agentops/` out of git.

    Raises:
        OSError: if they cannot be made.
    """
    folder = os.path.dirname(store)
    if not os.path.isdir(folder):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.path.basename(folder) == FOLDER:
        ignore = os.path.join(folder, ".gitignore")
        if not os.path.lexists(ignore):
            with open(os.open(ignore, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600), "w") as file:
                file.write("*\n")
    journals = journal_folder(store)
    os.makedirs(journals, mode=0o700, exist_ok=True)
    if os.path.islink(journals):  # nothing would be read there
        raise OSError(errno.ELOOP, "it is a symbolic link", journals)


def ask_for_rotation(store: str) -> None:
    """Ask all programs that record into `store` to go on in new journals, so that their old ones can go.

    Raises:
        OSError: the folder of journals cannot be written.
    """
    # Where a link or a pipe stands there, it is somebody else's doing.
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(os.path.join(journal_folder(store), _ROTATE), flags, 0o600)
    try:
        os.utime(descriptor)
    finally:
        os.close(descriptor)


def rotation_asked(store: str) -> int:
    """When that was asked last, as a number that changes; 0 for never."""
    try:
        return os.stat(os.path.join(journal_folder(store), _ROTATE)).st_mtime_ns
    except OSError:
        return 0


def no_locks(folder: str) -> str:
    """The sentence about a folder in which files cannot be locked."""
    kind = file_system(folder)
    return (
        f"{folder} is on a file system without locks{f' ({kind})' if kind else ''}, so nobody can tell which programs "
        "are alive: set AGENTOPS_STORE to a path on a local disk"
    )


def file_system(folder: str) -> str | None:
    """Type of the file system that holds `folder`; None if the system does not tell."""
    best, kind = "", None
    try:
        with open("/proc/self/mounts", "rb") as mounts:
            for line in mounts:
                fields = line.split(b" ", 3)
                mount = os.fsdecode(fields[1]).rstrip("/") + "/"
                if len(mount) >= len(best) and (os.path.realpath(folder) + "/").startswith(mount):
                    best, kind = mount, os.fsdecode(fields[2])
    except (OSError, IndexError):
        return None
    return kind


def _as_file(path: str) -> str:
    if not path.strip():
        raise UsageError("the store's path is empty: give the path of a file, such as .agentops/traces.db")
    is_folder = path.endswith(os.path.sep)
    path = os.path.abspath(os.path.expanduser(path))
    return os.path.join(path, FILE) if is_folder or os.path.isdir(path) else path


def _state_store(reason: str) -> StorePath:
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return StorePath(os.path.join(state, "agentops", FILE), reason)


def _upwards(folder: str) -> Iterator[str]:
    while True:
        yield folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return
        folder = parent
