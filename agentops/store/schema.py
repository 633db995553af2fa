"""The store's tables as plain SQL, opening it, and bringing an older one up to date.

`agentops.store.models` has the same tables as SQLModel classes, for notebooks and for low-rate writing;
a test holds the two together. The statements stand here in full because importing SQLModel takes longer
than all that a listing does.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable

from agentops.errors import StoreBusy, StoreDamaged, StoreError, StoreTooNew
from agentops.store.damage import APPLICATION_ID, identity, is_damage, set_aside
from agentops.store.guard import check_files, check_schema, harden
from agentops.store.location import NO_LOCKS, journal_folder, no_locks

__all__ = [
    "APPLICATION_ID",
    "TABLES",
    "TABLES_2",
    "TABLES_3",
    "TABLES_4",
    "VERSION",
    "DatabaseError",
    "begin",
    "connect",
    "signed",
    "translate",
    "unsigned",
    "wait_for_lock",
]

BUSY_S = 10.0
#: SQLITE_PROTOCOL, and SQLITE_IOERR of LOCK, UNLOCK, SHMOPEN, SHMLOCK and SHMMAP.
_NO_LOCKS = frozenset((15, 3850, 2058, 4618, 5130, 5386))
#: SQLITE_FULL, and SQLITE_IOERR of WRITE, SHMOPEN, SHMSIZE and SHMMAP: on a full disk there is no room for the file
#: that programs share which have the store open.
_NO_SHARED_MEMORY = frozenset((13, 778, 4618, 4874, 5386))
#: What SQLite raises, for those who do not speak SQL themselves.
DatabaseError = sqlite3.Error

#: Statements of version 1. Numbers of kinds and status: see conventions.KINDS and journal.format.STATUS.
TABLES = """
CREATE TABLE traces (
    no INTEGER PRIMARY KEY,
    trace_id BLOB NOT NULL UNIQUE,
    root INTEGER,
    name TEXT NOT NULL,
    kind INTEGER NOT NULL,
    status INTEGER NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER,
    spans INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    open INTEGER NOT NULL,
    llm_calls INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_usd FLOAT,
    session TEXT,
    user TEXT,
    tags TEXT,
    metadata BLOB
);
CREATE INDEX traces_start ON traces (start_ns);
CREATE INDEX traces_status ON traces (status, start_ns) WHERE status != 1;
CREATE INDEX traces_errors ON traces (start_ns) WHERE errors > 0;
CREATE INDEX traces_session ON traces (session, start_ns) WHERE session IS NOT NULL;
CREATE INDEX traces_user ON traces (user, start_ns) WHERE user IS NOT NULL;
CREATE TABLE spans (
    trace INTEGER NOT NULL,
    span_id INTEGER NOT NULL,
    parent_id INTEGER,
    name INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    status INTEGER NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER,
    input INTEGER,
    output INTEGER,
    model INTEGER,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cost_usd FLOAT,
    error TEXT,
    body BLOB,
    PRIMARY KEY (trace, span_id)
) WITHOUT ROWID;
CREATE TABLE events (
    trace INTEGER NOT NULL,
    span_id INTEGER NOT NULL,
    time_ns INTEGER NOT NULL,
    n INTEGER NOT NULL,
    name TEXT NOT NULL,
    body BLOB,
    PRIMARY KEY (trace, span_id, time_ns, n)
) WITHOUT ROWID;
CREATE TABLE scores (
    id INTEGER PRIMARY KEY,
    trace_id BLOB NOT NULL,
    span_id INTEGER,
    name TEXT NOT NULL,
    number FLOAT,
    label TEXT,
    comment TEXT,
    time_ns INTEGER NOT NULL
);
CREATE INDEX scores_trace ON scores (trace_id);
CREATE TABLE names (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
);
CREATE TABLE contents (
    key INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (key, id)
) WITHOUT ROWID;
CREATE TABLE fresh (
    id INTEGER PRIMARY KEY,
    form INTEGER NOT NULL,
    data BLOB NOT NULL,
    indexed INTEGER NOT NULL
);
CREATE TABLE blocks (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE uses (
    content INTEGER NOT NULL,
    trace INTEGER NOT NULL,
    PRIMARY KEY (content, trace)
) WITHOUT ROWID;
CREATE TABLE instructions (
    content INTEGER PRIMARY KEY
);
CREATE TABLE fresh_text (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL
);
CREATE TABLE journals (
    name TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL,
    contents BLOB NOT NULL,
    rotated INTEGER NOT NULL,
    done INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE open_spans (
    process INTEGER NOT NULL,
    trace INTEGER NOT NULL,
    span_id INTEGER NOT NULL,
    PRIMARY KEY (process, trace, span_id)
) WITHOUT ROWID;
CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
"""

#: Version 2: what is needed to take traces out again, the index of words in parts (`agentops.store.words`), and what
#: programs could not record.
TABLES_2 = """
CREATE TABLE keeps (
    content INTEGER NOT NULL,
    trace INTEGER NOT NULL,
    PRIMARY KEY (content, trace)
) WITHOUT ROWID;
CREATE INDEX keeps_trace ON keeps (trace);
CREATE INDEX uses_trace ON uses (trace);
CREATE TABLE orphans (
    content INTEGER PRIMARY KEY
);
CREATE TABLE parts (
    part INTEGER PRIMARY KEY,
    documents INTEGER NOT NULL
);
CREATE TABLE losses (
    id INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    what TEXT NOT NULL,
    records INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);
"""

#: Version 3: what waits to be exported, where to, and which journals are of programs that export.
TABLES_3 = """
CREATE TABLE targets (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    redactor TEXT NOT NULL,
    sent INTEGER NOT NULL,
    again INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    withheld INTEGER NOT NULL,
    sampled_out INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    sent_ns INTEGER,
    failed_ns INTEGER,
    failure TEXT
);
CREATE UNIQUE INDEX targets_name ON targets (name, redactor);
CREATE TABLE outbox (
    n INTEGER PRIMARY KEY,
    target INTEGER NOT NULL,
    trace INTEGER NOT NULL,
    span_id INTEGER NOT NULL,
    under_way INTEGER NOT NULL
);
CREATE INDEX outbox_target ON outbox (target);
CREATE TABLE exporting (
    journal TEXT NOT NULL,
    target INTEGER NOT NULL,
    PRIMARY KEY (journal, target)
) WITHOUT ROWID;
"""

#: Version 4: one row a call of a model, and the prices that held. Costs are in pico-dollars (10^-12 US dollars).
TABLES_4 = """
CREATE TABLE calls (
    trace INTEGER NOT NULL,
    span_id INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    provider INTEGER,
    model INTEGER,
    start_ns INTEGER NOT NULL,
    tier TEXT,
    fresh_input INTEGER,
    cache_read INTEGER,
    cache_write_5m INTEGER,
    cache_write_1h INTEGER,
    audio_input INTEGER,
    output INTEGER,
    thinking INTEGER,
    audio_output INTEGER,
    web_searches INTEGER,
    tool_requests INTEGER,
    marks INTEGER NOT NULL,
    cost INTEGER,
    price INTEGER,
    saved INTEGER,
    PRIMARY KEY (trace, span_id)
) WITHOUT ROWID;
CREATE TABLE prices (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    entry TEXT NOT NULL,
    rates TEXT NOT NULL
);
CREATE UNIQUE INDEX prices_entry ON prices (source, entry, rates);
ALTER TABLE traces ADD COLUMN unpriced INTEGER NOT NULL DEFAULT 0;
"""


def _first(connection: sqlite3.Connection) -> None:
    """Version 1: spans and what they hold."""
    _statements(connection, TABLES)
    connection.execute("INSERT INTO meta VALUES ('content', 0)")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _second(connection: sqlite3.Connection) -> None:
    """Version 2: what is not needed any more can go."""
    _statements(connection, TABLES_2)
    connection.execute("INSERT INTO meta VALUES ('trace', 0), ('removals', 0)")
    connection.execute("DROP TABLE IF EXISTS words")
    if connection.execute("SELECT 1 FROM traces LIMIT 1").fetchone():
        from agentops.store.removal import recount

        recount(connection)


def _third(connection: sqlite3.Connection) -> None:
    """Version 3: spans can go elsewhere."""
    _statements(connection, TABLES_3)


def _fourth(connection: sqlite3.Connection) -> None:
    """Version 4: what calls used and cost, each number once."""
    _statements(connection, TABLES_4)
    if connection.execute("SELECT 1 FROM spans LIMIT 1").fetchone():
        from agentops.store.calls import fill

        fill(connection)


def _statements(connection: sqlite3.Connection, statements: str) -> None:
    """Run them in the transaction that is open; `executescript` would end it."""
    for statement in statements.split(";\n"):
        if statement.strip():
            connection.execute(statement)


#: One function a version, each run in one transaction together with setting the version.
MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first, _second, _third, _fourth)
VERSION = len(MIGRATIONS)


def connect(path: str, *, create: bool = False, busy_s: float | None = None) -> sqlite3.Connection:
    """Open the store at `path`, made or brought up to date if need be.

    The class is called, not `sqlite3.connect`, which instrumentation replaces: our own statements must
    not be traced. Autocommit: transactions are begun by hand.

    Args:
        path: the database file.
        create: make it if it is not there, and set a damaged one aside.
        busy_s: how long to wait for another program's lock; BUSY_S if None.

    Raises:
        StoreTooNew, StoreDamaged, StoreBusy, StoreError: as their names say; the file is untouched.
    """
    which = identity(path)
    try:
        return _connect(path, create, BUSY_S if busy_s is None else busy_s)
    except StoreDamaged as problem:
        if not create or problem.__cause__ is None or not is_damage(problem.__cause__):
            raise
        set_aside(path, which, problem.__cause__)
    return _connect(path, create, BUSY_S if busy_s is None else busy_s)


def _connect(path: str, create: bool, busy_s: float, alone: bool = False) -> sqlite3.Connection:
    """See `connect`; `alone` keeps in memory what programs share in a file beside the store, and lets no other in."""
    if not create and not os.path.exists(path):
        raise StoreError(f"there is no store at {path}")
    made = not os.path.exists(path)
    try:
        check_files(path)
        if made:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        connection = sqlite3.Connection(path, timeout=busy_s, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error, StoreError) as problem:
        raise translate(problem, path) from problem
    try:
        harden(connection)
        if alone:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN")  # a store's tables, its application id and its version come in one transaction
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if tables and application != APPLICATION_ID:
            raise StoreDamaged(f"{path} is a database of another program; nothing was changed: name another file")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if tables and 0 <= version <= VERSION:
            check_schema(connection, path, version, MIGRATIONS)
        connection.execute("COMMIT")
        if version < 0:
            raise StoreDamaged(f"{path} has a format that no agentops writes ({version}); nothing was changed")
        if version > VERSION:
            raise _too_new(path, version)
        if version < VERSION:
            if version == 0:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("PRAGMA journal_mode = WAL")
            _migrate(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        # Some builds write zeros over each page that is let go. It costs much, and leaves what moved within its page:
        # who must know that something is gone has the whole file written anew.
        connection.execute("PRAGMA secure_delete = OFF")
        return connection
    except (sqlite3.Error, StoreError) as problem:
        connection.close()
        if not alone and not create and getattr(problem, "sqlite_errorcode", 0) in _NO_SHARED_MEMORY:
            return _connect(path, create, busy_s, alone=True)
        raise translate(problem, path) from problem


def begin(connection: sqlite3.Connection) -> None:
    """Begin a transaction that writes.

    Raises:
        StoreTooNew: a newer agentops has brought the store up to date since it was opened.
    """
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        connection.execute("ROLLBACK")
        raise _too_new(connection.execute("PRAGMA database_list").fetchone()[2], version)


def wait_for_lock(connection: sqlite3.Connection, seconds: float | None) -> None:
    """Wait for another program's lock for as long from now on; BUSY_S if None."""
    connection.execute(f"PRAGMA busy_timeout = {max(1, int(1000 * (BUSY_S if seconds is None else seconds)))}")


def _too_new(path: str, version: int) -> StoreTooNew:
    return StoreTooNew(
        f"{path} was written by a newer agentops (format {version}, this one knows {VERSION}): "
        "install that version to read it; nothing was changed"
    )


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()  # another process was faster?
        for number in range(version, VERSION):
            MIGRATIONS[number](connection)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def translate(problem: Exception, path: str) -> StoreError:
    """SQLite's and the system's errors as ours, with what to do."""
    if isinstance(problem, StoreError):
        return problem
    text = str(problem)
    if getattr(problem, "errno", None) in NO_LOCKS:
        return StoreError(no_locks(journal_folder(path)))
    if getattr(problem, "sqlite_errorcode", 0) in _NO_LOCKS:
        return StoreError(f"{text}: {no_locks(os.path.dirname(path))}")
    if "locked" in text or "busy" in text:
        return StoreBusy(
            f"{path} is locked by another program for longer than {BUSY_S:.0f} s: {text}. `fuser {path}` names it; "
            "what is recorded waits in journals"
        )
    if is_damage(problem) or "no such table" in text or "malformed" in text:
        return StoreDamaged(
            f"{path}: {text}. Move it aside; or record something, which sets it aside and begins a new store"
        )
    if "disk is full" in text:
        return StoreError(f"{path} cannot be written: {text}. Free some room; what is recorded waits in journals")
    if "unable to open" in text and (exhausted := _no_descriptors()):
        text = exhausted
    return StoreError(f"{path} cannot be opened: {text}")


def _no_descriptors() -> str | None:
    """SQLite does not say why a file cannot be opened; this is the reason that has nothing to do with the file."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as problem:
        return problem.strerror
    return None


def signed(number: int) -> int:
    """A 64-bit id as SQLite's signed integer."""
    number &= (1 << 64) - 1  # whatever a journal from elsewhere says
    return number - (1 << 64) if number >= 1 << 63 else number


def unsigned(number: int) -> int:
    """The 64-bit id of SQLite's signed integer."""
    return number + (1 << 64) if number < 0 else number
