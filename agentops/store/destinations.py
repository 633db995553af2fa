"""Where what a journal brings is to be exported to: for ingest, inside of its transaction.

Nothing here makes a named tuple: that takes `eval`, which at the end of a program would hide a Ctrl-C.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

__all__ = ["COUNTS", "METRICS", "export_from", "named", "no_longer_exported", "targets_of"]

#: A journal may come from elsewhere.
_TARGETS_MAX, _NAME_CHARACTERS = 50, 500
#: Behind the name of a target: what is counted for it.
METRICS = " (metrics)"
#: What is counted of a target's spans.
COUNTS = ("sent", "again", "refused", "withheld", "sampled_out", "removed")


def export_from(connection: sqlite3.Connection, journal: str, targets: Iterable[tuple[str, str]]) -> None:
    """What ends in this journal is to be sent to `targets`: each a name, and that of the function to pass before."""
    for name, redactor in list(targets)[:_TARGETS_MAX]:
        target = named(name), named(redactor)
        connection.execute(
            f"INSERT OR IGNORE INTO targets (name, redactor, {', '.join(COUNTS)}) VALUES (?, ?, 0, 0, 0, 0, 0, 0)",
            target,
        )
        connection.execute(
            "INSERT OR IGNORE INTO exporting SELECT ?, id FROM targets WHERE name = ? AND redactor = ?",
            (journal, *target),
        )


def targets_of(connection: sqlite3.Connection, journal: str) -> list[int]:
    """Where what ends in this journal is to be sent."""
    return [number for (number,) in connection.execute("SELECT target FROM exporting WHERE journal = ?", (journal,))]


def no_longer_exported(connection: sqlite3.Connection, journal: str) -> None:
    """The journal has ended."""
    connection.execute("DELETE FROM exporting WHERE journal = ?", (journal,))


def named(text: str) -> str:
    """A name as the store has it."""
    return text.encode("utf-8", "backslashreplace").decode()[:_NAME_CHARACTERS]
