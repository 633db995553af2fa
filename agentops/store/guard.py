"""Whether a file may be opened as a store: it may come from elsewhere, and SQLite does what a database says.

A trigger or a view in a database runs when its tables are written or read, a table may compute its columns, and
a rollback journal may name a file that SQLite then deletes. None of this is in a store of ours, so what has it
is refused, untouched. What may be there is what the migrations make; the words' index makes tables of its own.
"""

from __future__ import annotations

import functools
import os
import re
import sqlite3
import stat
from collections.abc import Callable, Sequence

from agentops.errors import StoreDamaged, StoreError

__all__ = ["check_files", "check_schema", "harden"]

#: Ends a rollback journal that names a super-journal: https://www.sqlite.org/fileformat2.html#the_rollback_journal
#: When SQLite has played back such a journal, it deletes the file that was named, whatever that is.
_NAMES_A_FILE = bytes.fromhex("d9d505f920a163d7")
_COMPANIONS = ("-journal", "-wal", "-shm")
_INDEX = "words"
_IS_FTS = re.compile(r"CREATE VIRTUAL TABLE \W?words\w*\W? USING fts5\b", re.IGNORECASE)
_COMPUTES = re.compile(r"\b(check|default|generated|as|references|collate)\b", re.IGNORECASE)
#: A table of the user's own may be there. SQLite works these out when it checks or copies the whole database.
_RUNS = re.compile(r"\b(check|generated|as)\b", re.IGNORECASE)
_ADVICE = "Nothing was changed: move it aside, and a new store is begun"
Migrations = Sequence[Callable[[sqlite3.Connection], None]]


def check_files(path: str) -> None:
    """Look at the files of a store before SQLite does.

    A link is refused: what is found through it is not what lies here, and a cloned repository may have links to
    anything. A `.agentops/` as a whole may be one, see `find_store`.

    Raises:
        StoreError, StoreDamaged: it must not be opened.
    """
    for name in (path, *(path + suffix for suffix in _COMPANIONS)):
        try:
            mode = os.lstat(name).st_mode
        except OSError:
            continue
        if stat.S_ISLNK(mode):
            raise StoreError(
                f"{name} is a symbolic link; nothing was changed: name the file that it leads to, for example "
                "with AGENTOPS_STORE"
            )
        if not stat.S_ISREG(mode):
            raise StoreError(f"{name} cannot be opened: it is no file")
        if name.endswith("-journal"):
            try:
                with open(name, "rb") as file:
                    file.seek(max(0, os.fstat(file.fileno()).st_size - len(_NAMES_A_FILE)))
                    if file.read() == _NAMES_A_FILE:
                        raise StoreDamaged(f"{name} would have SQLite delete another file. {_ADVICE}")
            except FileNotFoundError:  # another program has ended its transaction just now
                continue


def harden(connection: sqlite3.Connection) -> None:
    """Have SQLite trust the database as little as it can; before anything is read."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


def check_schema(connection: sqlite3.Connection, path: str, version: int, migrations: Migrations) -> None:
    """Compare what the database says it is with what the first `version` migrations make.

    Raises:
        StoreDamaged: it holds something that would run or compute.
    """
    found = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
    ours = _made(version, tuple(migrations))
    rest = [row for row in found if row not in ours]  # a table that is missing fails where it is asked
    names = {name for _, name, _, _ in ours} if rest else set()
    for row in rest:
        kind, name, table, sql = (str(field) for field in row)
        if (
            kind not in ("table", "index")
            or name.lower() in names
            or (kind == "index" and table.lower() in names)
            or (sql[:14].upper() == "CREATE VIRTUAL" and not _IS_FTS.match(sql))
            or (not _IS_FTS.match(sql) and (_COMPUTES if name.lower().startswith(_INDEX) else _RUNS).search(sql))
        ):
            raise StoreDamaged(f"{path} holds a {kind} {name!r} that agentops did not make. {_ADVICE}")


@functools.cache
def _made(version: int, migrations: tuple[Callable[[sqlite3.Connection], None], ...]) -> frozenset[tuple[str, ...]]:
    connection = sqlite3.Connection(":memory:", isolation_level=None)
    try:
        connection.execute("BEGIN")
        for migrate in migrations[:version]:
            migrate(connection)
        return frozenset(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema"))
    finally:
        connection.close()
