"""One journal that cannot be brought in keeps no other from it, whatever the reason."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentops import safety
from agentops.conventions import KIND_NUMBER
from agentops.journal.format import END, START
from agentops.store.reader import Reader
from tests.fuzz.journals import put, put_witness, whole
from tests.fuzz.long import bounded

TRACE = b"b" * 16


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    """Each kind of failure is told once in a process."""
    safety.reset_after_fork()


def one(name: str, trace: bytes = TRACE, span: int = 1) -> bytes:
    return whole((START, span, trace, 0, 5, name, 0), (END, span, trace, 6, 1))


def names(store: Path) -> list[str]:
    with Reader(str(store)) as reader:
        return sorted(trace.name for trace in reader.iter_traces())


@contextmanager
def protected(path: Path) -> Iterator[None]:
    if shutil.which("chattr") is None or subprocess.run(["chattr", "+i", str(path)], capture_output=True).returncode:
        pytest.skip("no right to chattr +i here")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Reading the file at `path` is an input/output error: a process's memory stands there, and has nothing at 0."""
    try:
        done = subprocess.run(["mount", "--bind", f"/proc/{os.getpid()}/mem", str(path)], capture_output=True)
    except OSError as problem:
        pytest.skip(f"there is no mount here: {problem}")
    if done.returncode:
        pytest.skip(f"no right to mount here: {done.stderr!r}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_journal_on_a_bad_disk(tmp_path: Path, doctor: Any, caplog: pytest.LogCaptureFixture) -> None:
    store = tmp_path / "traces.db"
    bad = put(store, one("bad"))
    put_witness(store)
    with unreadable(bad):
        assert names(store) == ["witness"]
        assert "Input/output error" in caplog.text and bad.name in caplog.text
        ok, says, advice = doctor(store)["journals"]
        assert not ok and f"{bad.name} cannot be read: Input/output error" in says and "move it away" in advice
    assert names(store) == ["bad", "witness"], "it waits until it can be read"


def test_a_journal_that_cannot_be_deleted(tmp_path: Path, doctor: Any) -> None:
    store = tmp_path / "traces.db"
    kept = put(store, one("kept"))
    put_witness(store)
    with protected(kept):
        for _ in range(2):
            assert names(store) == ["kept", "witness"]
        ok, says, advice = doctor(store)["journals"]
        assert not ok and f"{kept.name} is in the store, and cannot be deleted" in says and "delete it" in advice
    assert names(store) == ["kept", "witness"]
    assert not list(kept.parent.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is set as Linux counts it")
def test_a_journal_that_needs_more_memory_than_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("AGENTOPS_RAISE", raising=False)
    store = tmp_path / "traces.db"
    large = put(store, whole(bytes(200 << 20)) + one("large")[len(whole()) :])
    put_witness(store)
    with bounded(100 << 20):
        assert names(store) == ["witness"]
    assert "MemoryError" in caplog.text and large.name in caplog.text
    assert names(store) == ["large", "witness"]


def test_numbers_whose_sum_is_too_large_for_the_store(tmp_path: Path) -> None:
    store = tmp_path / "traces.db"
    llm = KIND_NUMBER["llm"]
    for n in (1, 2, 3):
        most = {"gen_ai.usage.input_tokens": 2**63 - 1, "gen_ai.usage.output_tokens": 2**63 - 1}
        records = [(END, span, TRACE, 6, 1, most) for span in (n, n + 10)]
        put(store, whole(*((START, span, TRACE, 0, 5, "call", llm) for _, span, *_ in records), *records), sequence=n)
    put_witness(store)
    with Reader(str(store)) as reader:
        assert sorted((trace.name, trace.spans) for trace in reader.iter_traces()) == [("call", 6), ("witness", 1)]


def test_a_program_that_flushes_deep_in_a_recursion_loses_nothing(tmp_path: Path, watched: Any) -> None:
    store = tmp_path / "traces.db"
    done = watched(
        """
        _recorder.POLL_S = _recorder.POLL_IDLE_S = 1e6
        deep = "x"
        for _ in range(90): deep = [deep]
        for n in range(20):
            with span(f"s{n}", input={"deep": deep}): pass
        def down():
            try:
                down()
            except RecursionError:
                pass
            agentops.flush()
        import agentops.store.ingest
        down()
        print(agentops.flush())
        """,
        store,
    )
    assert done.out == "True\n", done
    deep: object = "x"
    for _ in range(90):
        deep = [deep]
    with Reader(str(store)) as reader:
        inputs = [reader.span(trace, span.hex_id).input for trace in reader.traces() for span in reader.spans(trace)]
        assert inputs == [{"deep": deep}] * 20
        assert not reader.losses()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE meta SET value = 'x' WHERE name = 'content'",
        "UPDATE meta SET value = 9223372036854775807 WHERE name = 'trace'",
        "DELETE FROM meta",
        "DROP TABLE events",
    ],
)
def test_a_store_that_takes_no_records_is_set_aside_and_no_journal_lost(tmp_path: Path, sql: str) -> None:
    store = tmp_path / "traces.db"
    content = [(1, 0, b"\xd9\xc8" + b"x" * 200)]
    put(store, whole((START, 1, TRACE, 0, 5, "before", 0, 1, None, content)))
    assert names(store) == ["before"]
    connection = sqlite3.connect(store)
    connection.execute(sql)
    connection.commit()
    connection.close()
    put(store, whole((START, 1, b"a" * 16, 0, 5, "after", 0, 1, None, content)), sequence=2)
    put_witness(store)
    assert names(store) == ["after", "witness"]
    (aside,) = tmp_path.glob("traces.db.damaged-*[0-9]")
    connection = sqlite3.connect(aside)
    assert connection.execute("SELECT name FROM traces").fetchall() == [("before",)]
    connection.close()


def test_a_store_that_counts_its_contents_wrongly_takes_records_all_the_same(tmp_path: Path) -> None:
    store = tmp_path / "traces.db"
    for n in range(3):
        content = [(1, 0, b"\xd9\xc8" + b"%d" % n * 200)]
        put(store, whole((START, 1, b"%d" % n * 16, 0, 5, f"t{n}", 0, 1, None, content)), sequence=n)
        assert names(store) == [f"t{k}" for k in range(n + 1)]
        connection = sqlite3.connect(store)
        connection.execute("UPDATE meta SET value = 0 WHERE name = 'content'")
        connection.commit()
        connection.close()
    with Reader(str(store)) as reader:
        inputs = [reader.span(trace, 1).input for trace in reader.iter_traces()]
        assert sorted(inputs) == ["0" * 200, "1" * 200, "2" * 200]
