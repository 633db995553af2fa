"""What `agentops doctor` looks at: the store, its journals, its room."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import NamedTuple

from agentops.errors import AgentopsError, StoreError
from agentops.journal.names import journals
from agentops.store.location import StorePath, journal_folder
from agentops.store.schema import VERSION, connect

__all__ = ["Check", "checks"]


class Check(NamedTuple):
    """One thing that was looked at; `advice` says what to do where `ok` is False."""

    name: str
    ok: bool
    says: str
    advice: str | None


def checks(store: StorePath) -> list[Check]:
    """Look at a store without changing it."""
    found = [Check("store", True, f"{store} ({store.reason})", None), _room(store)]
    if not os.path.exists(store):
        found.append(Check("format", True, "no store yet: it is made when something is recorded", None))
    else:
        found += _contents(store)
    found.append(_journals(store))
    found.append(Check("sqlite", True, f"SQLite {sqlite3.sqlite_version}", None))
    return found


def _room(store: str) -> Check:
    folder = os.path.dirname(store)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    if not os.access(folder, os.W_OK | os.X_OK) or (os.path.exists(store) and not os.access(store, os.W_OK)):
        return Check("writable", False, f"{folder} cannot be written", "give yourself the right, or set AGENTOPS_STORE")
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    if free < 50 << 20:
        return Check(
            "writable", False, f"{free >> 20} MB are free on the disk", "free some room: nothing is recorded without"
        )
    return Check("writable", True, f"{free / 1e9:.1f} GB are free", None)


def _contents(store: str) -> list[Check]:
    try:
        connection = connect(store)
    except StoreError as problem:
        return [Check("format", False, str(problem), "see the sentence above")]
    try:
        traces, spans, first, last = connection.execute(
            "SELECT count(*), ifnull(sum(spans), 0), min(start_ns), max(start_ns) FROM traces"
        ).fetchone()
        (waiting,) = connection.execute(
            "SELECT (SELECT count(*) FROM fresh WHERE NOT indexed) + (SELECT count(*) FROM fresh_text)"
        ).fetchone()
        size = os.path.getsize(store)
        state = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return [Check("format", False, str(error), "move the file aside; a new store is begun")]
    finally:
        connection.close()
    horizon = "" if first is None else f", from {_day(first)} to {_day(last)}"
    return [
        Check("format", True, f"format {VERSION}, {size / 1e6:.1f} MB", None),
        Check("traces", True, f"{traces} traces, {spans} spans{horizon}", None),
        Check("index", True, "up to date" if not waiting else f"{waiting} texts are indexed at the next search", None),
        Check(
            "integrity",
            state == "ok",
            state,
            None if state == "ok" else "move the file aside; a new store is begun and journals that are left go in",
        ),
    ]


def _journals(store: str) -> Check:
    folder = journal_folder(store)
    names = journals(folder)
    if not names:
        return Check("journals", True, "none is waiting", None)
    from agentops.journal.reading import writer_is_alive

    alive = 0
    for name in names:
        try:
            descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
        except OSError as problem:
            return Check(
                "journals", False, f"{name} cannot be read: {problem.strerror}", "give yourself the right to read it"
            )
        try:
            alive += writer_is_alive(descriptor)
        except (OSError, AgentopsError) as problem:
            return Check(
                "journals", False, f"{folder} has no file locks: {problem}", "set AGENTOPS_STORE to a local disk"
            )
        finally:
            os.close(descriptor)
    dead = len(names) - alive
    return Check("journals", True, f"{alive} of running programs, {dead} to be brought in at the next reading", None)


def _day(ns: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(ns / 1e9))
    except (ValueError, OverflowError, OSError):
        return "?"
