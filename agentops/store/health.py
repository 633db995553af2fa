"""What `agentops doctor` looks at: the store, its place, its journals, and what was lost."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple

from agentops.errors import AgentopsError, StoreBusy, StoreDamaged, StoreError, StoreTooNew
from agentops.journal.names import journals
from agentops.journal.room import waiting_bytes
from agentops.settings import resolve
from agentops.store.damage import set_aside_files
from agentops.store.destinations import METRICS
from agentops.store.location import NO_LOCKS, StorePath, file_system, journal_folder, no_locks
from agentops.store.schema import VERSION, begin, connect, translate

if TYPE_CHECKING:
    from agentops.store.outbox import State

__all__ = ["Check", "checks", "room"]

#: With less than this on the disk, recording ends soon.
_FREE_BYTES_MIN = 50 << 20
#: A loss so long ago is told and no trouble any more.
_LOSS_RECENT_NS = 7 * 86_400 * 10**9
_DAY_NS = 86_400 * 10**9
#: Ingest holds the store's lock for a part of a second; who holds it for longer is somebody else.
_LOCK_S = 2.0
_NETWORK = ("9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "ncpfs", "nfs", "smb", "fuse.sshfs", "fuse.s3fs",
            "fuse.rclone", "fuse.glusterfs", "fuse.ceph", "fuse.gcsfuse")  # fmt: skip
_LOCAL_DISK = "set AGENTOPS_STORE to a path on a local disk"
_GET_BACK = "`sqlite3 FILE .recover | sqlite3 NEW` may get back what it holds; delete it once you do not need it"
_MORE_MEMORY = "give the program more memory; values as large as its free memory cannot be recorded"
#: What to do about a loss, by what its reason says.
_REMEDIES = (
    ("No space left", "free some room on the disk"),
    ("disk is full", "free some room on the disk"),
    ("File too large", "raise the limit of file sizes (ulimit -f)"),
    ("Disk quota", "free some room, or have the quota raised"),
    ("Too many open files", "raise the limit of open files (ulimit -n), or look for what the program does not close"),
    ("Read-only", "make the folder writable, or set AGENTOPS_STORE to one that is"),
    ("Permission denied", "give yourself the right to write there, or set AGENTOPS_STORE"),
    ("Operation not permitted", "the folder may not be changed (`lsattr -d` shows it): set AGENTOPS_STORE to another"),
    ("MemoryError", _MORE_MEMORY),
    ("Cannot allocate", _MORE_MEMORY),
    ("max_journal_bytes", "see what keeps journals from the store, or raise max_journal_bytes"),
    ("without locks", _LOCAL_DISK),
    ("deleted", "leave the folder while programs record"),
)


class Check(NamedTuple):
    """One thing that was looked at; `advice` says what to do where `ok` is False."""

    name: str
    ok: bool
    says: str
    advice: str | None


def checks(store: StorePath) -> list[Check]:
    """Look at a store. What waits in journals is brought in before it is counted, as for all who read, if the store is
    well; one that is not stays as it is."""
    found = [Check("store", True, f"{store} ({store.reason})", None), room(store), _disk(store)]
    if not os.path.exists(store) and all(check.ok for check in found):
        _bring_in(store)
    if not os.path.exists(store):
        found.append(Check("format", True, "no store yet: it is made when something is recorded", None))
    else:
        found += _contents(store)
    found += _set_aside(store)
    found.append(_journals(store))
    found.append(Check("sqlite", True, f"SQLite {sqlite3.sqlite_version}", None))
    return found


def room(store: str, needed: int = _FREE_BYTES_MIN) -> Check:
    """Whether the store's folders can be written, and have `needed` bytes."""
    folder = ""
    try:
        for folder in sorted({_existing(os.path.dirname(store)), _existing(journal_folder(store))}):
            with tempfile.TemporaryFile(dir=folder):
                pass
    except OSError as problem:
        return Check("writable", False, f"{folder} cannot be written: {problem.strerror}", _remedy(str(problem)))
    if os.path.exists(store) and not os.access(store, os.W_OK):
        return Check("writable", False, f"{store} cannot be written", _remedy("Permission denied"))
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        says = f"{free / 1e6:.1f} MB are free on the disk of {folder}, and {needed / 1e6:.0f} MB should be"
        return Check("writable", False, says, "free some room: nothing is recorded without")
    return Check("writable", True, f"{free / 1e9:.1f} GB are free", None)


def _existing(folder: str) -> str:
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def _disk(store: str) -> Check:
    """Whether the file system is one that journals and SQLite can do with."""
    folder = _existing(journal_folder(store))
    kind = file_system(folder)
    with contextlib.suppress(OSError):  # it cannot be written, which is said elsewhere
        with tempfile.TemporaryFile(dir=folder) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as problem:
                if problem.errno in NO_LOCKS:
                    return Check("disk", False, no_locks(folder), _LOCAL_DISK)
                raise
    if kind is not None and kind.startswith(_NETWORK):
        return Check(
            "disk",
            False,
            f"{folder} is on a network file system ({kind}): it has locks, but SQLite's write-ahead log needs memory "
            "that all programs share, and two machines that write damage the store",
            _LOCAL_DISK,
        )
    return Check("disk", True, kind or "of a kind that the system does not tell", None)


def _contents(store: str) -> list[Check]:
    try:
        connection = connect(store)
    except StoreError as problem:
        return [Check("format", False, str(problem), _advice(problem))]
    try:
        state = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        lock = _lock(connection, store)
        if state == "ok" and lock.ok:
            _bring_in(store)
        found = [lock, *_losses(connection), _horizon(connection), *_exports(connection)]
        traces, spans, first, last = connection.execute(
            "SELECT count(*), ifnull(sum(spans), 0), min(start_ns), max(start_ns) FROM traces"
        ).fetchone()
        (waiting,) = connection.execute(
            "SELECT (SELECT count(*) FROM fresh WHERE NOT indexed) + (SELECT count(*) FROM fresh_text)"
        ).fetchone()
        size = os.path.getsize(store)
    except sqlite3.Error as error:
        trouble = translate(error, store)
        return [Check("format", False, str(trouble), _advice(trouble))]
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
            None if state == "ok" else _advice(StoreDamaged()),
        ),
        *found,
    ]


def _bring_in(store: str) -> None:
    if not journals(journal_folder(store)):
        return
    from agentops.store.ingest import Ingester

    with contextlib.suppress(StoreError):  # what keeps it out, the other checks say
        ingester = Ingester(store)
        try:
            ingester.run()
        finally:
            ingester.close()


#: A program looks at the bound now and then: so much over it is not.
_OVER = 1.2
_TOO_LARGE = (
    "what goes are whole runs that have ended, the newest tenth left out: give a program that never ends no single run "
    "(see README, Keep it small), or the store more room (max_bytes)"
)


def _horizon(connection: sqlite3.Connection) -> Check:
    """How far back the store reaches, how full it is, and whether its bound holds a day of what is recorded."""
    from agentops.store.ring import Limits, limits_of, used_bytes

    values = resolve()
    limits = limits_of(connection) or Limits(values["max_bytes"].value, values["max_age"].value)
    used = used_bytes(connection)
    says = f"{used / 1e6:.1f} MB"
    room = f"{limits.max_bytes / 1e9:.3g} GB" if limits.max_bytes >= 10**9 else f"{limits.max_bytes / 1e6:.3g} MB"
    says += f" of {room}" if limits.max_bytes else ", without a bound"
    says += f", {limits.max_age_ns / _DAY_NS:.3g} days at most" if limits.max_age_ns else ""
    first, last = connection.execute("SELECT min(start_ns), max(start_ns) FROM traces").fetchone()
    if first is None:
        return Check("horizon", True, says, None)
    says += f"; reaches back to {_day(first)}"
    if limits.max_bytes and used > limits.max_bytes * _OVER:
        return Check("horizon", False, f"{says}; over its bound", _TOO_LARGE)
    days = (last - first) / _DAY_NS if type(first) is type(last) is int else 0
    if days < 1 / 24 or not limits.max_bytes:
        return Check("horizon", True, says, None)
    held = limits.max_bytes * days / used
    advice = None if held >= 1 else "record less of each run, or give the store more room (max_bytes)"
    return Check("horizon", held >= 1, f"{says}; at this rate {held:.1f} days are kept", advice)


def _advice(problem: StoreError) -> str:
    if isinstance(problem, StoreTooNew):
        return "install that version: pip install --upgrade agentops-recorder"
    if isinstance(problem, StoreDamaged):
        return (
            "move the file aside (with its -wal and -shm): a new store is begun, and what journals hold goes in. It is "
            f"set aside by itself once recording meets the damage. {_GET_BACK}"
        )
    if isinstance(problem, StoreBusy):
        return "`fuser FILE` names the program that holds the lock; what is recorded waits in journals meanwhile"
    return _remedy(str(problem))


def _remedy(reason: str) -> str:
    return next((remedy for mark, remedy in _REMEDIES if mark in reason), "see the sentence above")


def _lock(connection: sqlite3.Connection, store: str) -> Check:
    """Whether a transaction that writes can begin."""
    connection.execute(f"PRAGMA busy_timeout = {int(_LOCK_S * 1000)}")
    try:
        begin(connection)
        connection.execute("ROLLBACK")
    except (sqlite3.Error, StoreError) as problem:
        error = translate(problem, store)
        if isinstance(error, StoreBusy):
            says = f"another program has held the store's lock for more than {_LOCK_S:.0f} s"
            return Check("lock", False, says, _advice(error))
    return Check("lock", True, "free", None)


def _losses(connection: sqlite3.Connection) -> list[Check]:
    """What programs could not record; the latest are trouble, the others history."""
    rows = connection.execute(
        "SELECT max(time_ns), CAST(what AS TEXT), CAST(total(records) AS INTEGER), total(bytes) FROM losses "
        "GROUP BY what ORDER BY max(time_ns) DESC"
    ).fetchall()
    found = []
    for when, what, records, size in rows[:10]:
        recent = type(when) is int and time.time_ns() - when < _LOSS_RECENT_NS
        counted = f"{records} record{'s' * (records != 1)} ({size / 1e6:.1f} MB)"
        says = f"{counted} not kept, last at {_day(when)}: {what}"
        found.append(Check("losses", not recent, says, _remedy(what) if recent else None))
    return found or [Check("losses", True, "none", None)]


def _exports(connection: sqlite3.Connection) -> list[Check]:
    """How it stands with each target that programs export to."""
    from agentops.store.outbox import states_in

    found = []
    for state in states_in(connection):
        if state.name.startswith("console#"):
            continue
        says = f"{state.name}: {state.sent} sent"
        says += f", the last at {_day(state.sent_ns)}" if state.sent_ns else ""
        refused = "counted and not taken by it" if state.name.endswith(METRICS) else "refused by it"
        counts = (("possibly a second time", state.again), (refused, state.refused),
                  ("not redacted, so not sent", state.withheld), ("left out by sampling", state.sampled_out),
                  ("taken out of the store or given up before", state.removed))  # fmt: skip
        says += "".join(f", {count} {what}" for what, count in counts if count)
        failed = state.failed_ns is not None and (state.sent_ns or 0) < state.failed_ns
        if state.waiting:
            says += f"; {state.waiting} wait" + (f" for a program that has {state.redactor}" if state.redactor else "")
        if state.failed_ns is not None:
            says += f"; last trouble at {_day(state.failed_ns)}: {state.failure}"
        recent = state.failed_ns is not None and time.time_ns() - state.failed_ns < _LOSS_RECENT_NS
        # What was counted waits in a program's memory alone.
        ok = not (failed and recent and (state.waiting or state.name.endswith(METRICS)))
        found.append(Check("export", ok, says, None if ok else _advice_on_export(state)))
    return found


def _advice_on_export(state: State) -> str:
    """What to do about a target that takes nothing, by what it answered."""
    answered = re.match(r"it answered (\d{3})", state.failure or "")
    status = int(answered[1]) if answered else 0
    url = state.name.removesuffix(METRICS)
    if status in (401, 403):
        advice = "give it the right headers, by Target(headers=...) or OTEL_EXPORTER_OTLP_HEADERS"
    elif state.name.endswith(METRICS):
        advice = "see that it is there" if not status else "if it takes no metrics, leave out metrics=True"
        return f"{advice}; `agentops export --to otlp {url} --discard` ends this message"
    elif status in (404, 405):
        advice = "see at which path it takes spans: agentops appends /v1/traces to a URL without a path, and takes one "
        advice += "with a path as it is"
    elif status in (400, 413, 415, 422):
        advice = "it is there, and does not take what it is sent: what it answered says why"
    elif 200 <= status < 300:
        advice = "see that it is an OTLP receiver that takes protobuf over HTTP"
    elif status >= 500 or status == 429:
        advice = "it is there, and has trouble of its own: see what it says"
    else:
        advice = "see that it is there"
    advice += "; then any program that exports there sends them"
    if "://" not in url:
        return f"{advice}. `agentops export --to otlp {url} --discard` gives them up"
    by_hand = f"agentops export --to otlp {url}"
    if not state.redactor:
        advice += f", or `{by_hand} --waiting`"
    return f"{advice}. `{by_hand} --discard` gives them up"


def _set_aside(store: str) -> list[Check]:
    return [
        Check("set aside", False, f"{path} was damaged, {_size(path) / 1e6:.1f} MB", _GET_BACK.replace("FILE", path))
        for path in set_aside_files(store)
    ]


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _journals(store: str) -> Check:
    folder = journal_folder(store)
    names = journals(folder)
    if not names:
        return Check("journals", True, "none is waiting", None)
    from agentops.journal.reading import open_journal, writer_is_alive

    alive = 0
    done = _done(store)
    for name in names:
        try:
            descriptor = open_journal(os.path.join(folder, name))
        except OSError as problem:
            return Check(
                "journals", False, f"{name} cannot be read: {problem.strerror}", "give yourself the right to read it"
            )
        if descriptor is None:
            if not os.path.lexists(os.path.join(folder, name)):  # brought in since
                continue
            return Check(
                "journals",
                False,
                f"{name} cannot be read: it is no file, or not one that you may read",
                "give yourself the right to read it, or move it away",
            )
        try:
            os.pread(descriptor, 1, 0)
        except OSError as problem:
            os.close(descriptor)
            says = f"{name} cannot be read: {problem.strerror}"
            return Check("journals", False, says, "move it away, or have the disk looked at")
        try:
            lives = writer_is_alive(descriptor)
            alive += lives
        except (OSError, AgentopsError) as problem:
            return Check("journals", False, f"{folder} has no file locks: {problem}", _LOCAL_DISK)
        finally:
            os.close(descriptor)
        if name in done and not lives:
            says = f"{name} is in the store, and cannot be deleted"
            return Check("journals", False, says, "delete it; `lsattr` and `mount` show what protects it")
    dead = len(names) - alive
    limit = resolve()["max_journal_bytes"].value
    waiting = waiting_bytes(folder, limit)
    if waiting > limit:
        return Check(
            "journals",
            False,
            f"{waiting / 1e6:.1f} MB wait for the store in {folder}, and max_journal_bytes is {limit / 1e6:.1f} MB: "
            "nothing more is recorded",
            "`agentops ls` brings them in, or says what keeps them out; or raise max_journal_bytes",
        )
    return Check("journals", True, f"{alive} of running programs, {dead} to be brought in at the next reading", None)


def _done(store: str) -> set[str]:
    """Names of the journals that were brought in to their end and were not deleted."""
    with contextlib.suppress(StoreError, sqlite3.Error):
        connection = connect(store)
        try:
            return {name for (name,) in connection.execute("SELECT name FROM journals WHERE done")}
        finally:
            connection.close()
    return set()


def _day(ns: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(ns / 1e9))
    except (TypeError, ValueError, OverflowError, OSError):  # a store from elsewhere
        return "?"
