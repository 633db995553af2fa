"""A store from elsewhere does nothing outside of itself, and runs nothing of its own."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agentops.errors import StoreDamaged, StoreError
from agentops.journal.format import START
from agentops.store.guard import check_files
from agentops.store.location import journal_folder, prepare
from agentops.store.reader import Reader
from tests.fuzz.journals import put, put_witness, whole
from tests.fuzz.looking import command


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "traces.db"
    put_witness(path)
    Reader(str(path)).close()
    return path


def test_a_rollback_journal_that_names_a_file_does_not_have_it_deleted(store: Path) -> None:
    precious = store.with_name("precious.txt")
    precious.write_text("years of work")
    magic, name = bytes.fromhex("d9d505f920a163d7"), str(precious).encode()
    pages = store.stat().st_size // 4096
    head = (magic + struct.pack(">IIIII", 0, 1, pages, 512, 4096)).ljust(512, b"\0")
    tail = struct.pack(">I", (1 << 30) // 4096 + 1) + name + struct.pack(">II", len(name), sum(name)) + magic
    Path(f"{store}-journal").write_bytes(head + tail)
    with pytest.raises(StoreDamaged, match="delete another file"):
        Reader(str(store))
    assert precious.read_text() == "years of work"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER t AFTER INSERT ON names BEGIN DELETE FROM traces; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE INDEX i ON traces (abs(start_ns))",
        "ALTER TABLE traces ADD COLUMN more AS (zeroblob(1000000000))",
        "DROP TABLE traces; CREATE VIEW traces AS WITH r(n) AS (SELECT 1 UNION SELECT n + 1 FROM r) SELECT n FROM r",
        "CREATE VIRTUAL TABLE other USING fts5(a)",
        "CREATE TABLE other (a, CHECK (length(hex(zeroblob(400000000))) > a))",
        "CREATE TABLE other (a, b AS (zeroblob(1000000000)))",
    ],
)
def test_a_store_that_would_run_something_of_its_own_is_refused_untouched(store: Path, sql: str) -> None:
    connection = sqlite3.connect(store)
    connection.executescript(sql)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    before = store.read_bytes()
    with pytest.raises(StoreDamaged, match="that agentops did not make"):
        Reader(str(store))
    assert store.read_bytes() == before


def test_a_table_of_the_users_own_is_left_alone(store: Path) -> None:
    connection = sqlite3.connect(store)
    connection.executescript("CREATE TABLE mine (a TEXT); CREATE INDEX mine_a ON mine (a); INSERT INTO mine VALUES (1)")
    connection.close()
    code, _, err = command(["forget", "--yes", "--match", "name:witness"], store)
    assert (code, err) == (0, "")
    connection = sqlite3.connect(store)
    assert connection.execute("SELECT a FROM mine").fetchall() == [("1",)]
    connection.close()


def test_a_linked_folder_of_journals_is_not_read_and_nothing_in_it_deleted(store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "traces.db"
    kept = put(other, whole((START, 1, b"o" * 16, 0, 1, "theirs", 0)))
    folder = Path(journal_folder(str(store)))
    folder.rmdir()
    folder.symlink_to(kept.parent)
    with Reader(str(store)) as reader:
        assert "theirs" not in {trace.name for trace in reader.traces()} and "symbolic link" in str(reader.behind)
    assert kept.exists()


@pytest.mark.parametrize("leads_to", ["precious", "nothing"])
def test_links_where_agentops_keeps_its_notes_are_not_followed(tmp_path: Path, leads_to: str) -> None:
    (tmp_path / "precious").write_text("years of work")
    store = tmp_path / ".agentops" / "traces.db"
    lives = put(store, whole((START, 1, b"o" * 16, 0, 1, "theirs", 0)))
    (store.parent / ".gitignore").unlink()
    (store.parent / ".gitignore").symlink_to(tmp_path / leads_to)
    (lives.parent / "rotate").symlink_to(tmp_path / leads_to)
    prepare(str(store))
    with lives.open() as file:  # a program that would have to begin another one
        fcntl.flock(file, fcntl.LOCK_EX)
        code, _, err = command(["forget", "--yes", "--user", "u"], store)
    assert code == 3
    assert f"{lives.parent} cannot be written" in err
    assert (tmp_path / "precious").read_text() == "years of work"
    assert not (tmp_path / "nothing").exists()


def test_nothing_is_recorded_into_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "traces.journal").symlink_to(tmp_path / "elsewhere")
    program = "import agentops\nwith agentops.span('s'): pass\nprint('ran', agentops.flush())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("ran"), done
    assert "symbolic link" in done.stderr
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("which", ["traces.db", "traces.db-wal", "traces.db-shm", "traces.db-journal"])
def test_a_linked_file_of_a_store_is_refused_and_what_it_leads_to_untouched(tmp_path: Path, which: str) -> None:
    (tmp_path / "precious").write_text("years of work")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "traces.db").touch()
    (tmp_path / "s" / which).unlink(missing_ok=True)
    (tmp_path / "s" / which).symlink_to(tmp_path / "precious")
    with pytest.raises(StoreError, match="symbolic link"):
        Reader(str(tmp_path / "s" / "traces.db"))
    assert (tmp_path / "precious").read_text() == "years of work"


def test_what_is_no_journal_is_neither_read_nor_deleted_and_stops_nothing(tmp_path: Path) -> None:
    store = tmp_path / "traces.db"
    prepare(str(store))
    folder = Path(journal_folder(str(store)))
    (folder / "2024.journal").write_text("2024-01-01 opening balance")
    put(store, b"no magic", number=1)
    os.mkfifo(folder / f"{1:016x}-{2:016x}-000001.journal")
    (folder / f"{1:016x}-{3:016x}-000001.journal").mkdir()
    (folder / f"{1:016x}-{4:016x}-000001.journal").symlink_to(folder / "2024.journal")
    put(store, whole((START, 1, b"m" * 16, 0, 1, "unsigned", 0)), number=2**64 - 1)
    put_witness(store)
    with Reader(str(store)) as reader:
        assert {trace.name for trace in reader.traces()} == {"unsigned", "witness"}
    assert len(list(folder.iterdir())) == 5


def test_doctor_does_not_wait_for_a_pipe_that_is_named_like_a_journal(store: Path) -> None:
    os.mkfifo(Path(journal_folder(str(store))) / f"{1:016x}-{2:016x}-000001.journal")
    code, out, _ = command(["doctor"], store)
    assert code == 1
    assert "it is no file, or not one that you may read" in out


def test_a_rollback_journal_that_another_program_deletes_meanwhile_is_no_trouble(tmp_path: Path) -> None:
    store = tmp_path / "traces.db"
    store.touch()
    journal, over = tmp_path / "traces.db-journal", threading.Event()

    def other_program() -> None:
        while not over.is_set():
            journal.touch()
            journal.unlink()

    thread = threading.Thread(target=other_program)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(20_000):
            check_files(str(store))
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(interval)
