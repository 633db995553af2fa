"""A store that was garbled is set aside, said so, and a new one begun; what is not ours, or only locked, never is."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentops.errors import StoreDamaged
from agentops.store.ingest import Ingester
from agentops.store.reader import Reader
from agentops.store.schema import VERSION

FIRST = "for n in range(40):\n    with span(f'before-{n}', input=f'{n} ' * 2000): pass\nagentops.shutdown()"
LATER = "with span('after', input='later'): pass\nprint(agentops.flush())"


def settle(store: Path) -> None:
    """All of the store in its one file."""
    connection = sqlite3.connect(store)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def garble(store: Path, start: int, data: bytes) -> None:
    with store.open("r+b") as file:
        file.seek(start)
        file.write(data)


def aside(store: Path) -> list[Path]:
    return sorted(store.parent.glob(f"{store.name}.damaged-*[0-9x]"))


def names(store: Path) -> set[str]:
    with Reader(str(store)) as reader:
        return {trace.name for trace in reader.iter_traces()}


@pytest.mark.parametrize("what", ["first page", "random bytes", "cut short", "all pages but the first"])
def test_a_garbled_store_is_set_aside_and_a_new_one_begun(tmp_path: Path, watched: Any, doctor: Any, what: str) -> None:
    store = tmp_path / "traces.db"
    assert watched(FIRST, store).code == 0
    settle(store)
    size = store.stat().st_size
    match what:
        case "first page":
            garble(store, 100, os.urandom(3996))
        case "random bytes":
            store.write_bytes(os.urandom(50_000))
        case "cut short":
            os.truncate(store, size // 4096 // 2 * 4096)
        case _:
            garble(store, 4096, b"\xa5" * (size - 4096))
    spoilt = store.read_bytes()
    ok, says, advice = doctor(store)["integrity" if "integrity" in doctor(store) else "format"]
    assert not ok and says and "set aside" in advice
    assert store.read_bytes() == spoilt, "doctor only looks"

    done = watched(LATER, store)
    assert (done.code, done.out) == (0, "True\n"), done
    (warning,) = done.warnings
    (kept,) = aside(store)
    assert str(store) in warning and f"sqlite3 '{kept}' .recover" in warning
    assert names(store) == {"after"}
    assert kept.read_bytes() == spoilt
    ok, says, advice = doctor(store)["set aside"]
    assert not ok and kept.name in says and ".recover" in advice
    kept.unlink()
    assert "set aside" not in doctor(store)


def test_what_journals_still_hold_goes_into_the_new_store(tmp_path: Path, watched: Any) -> None:
    store = tmp_path / "traces.db"
    recorded = "_recorder.POLL_S = _recorder.POLL_IDLE_S = 1e6\nwith span('{}', input='x' * 500): pass\n"
    half = recorded.format("half") + "agentops.flush()\nwith span('rest'): pass\nprint('ran')\nsys.stdout.flush()\n"
    assert watched(half + "os._exit(0)", store).out == "ran\n"
    settle(store)
    garble(store, 0, os.urandom(4096))
    with Reader(str(store)) as reader:
        found = {trace.name: trace.status for trace in reader.iter_traces()}
    assert found == {"half": "ok", "rest": "ok"}, "the journal is read again from its beginning"
    assert len(aside(store)) == 1


def test_damage_that_is_found_while_a_program_runs_costs_it_nothing(tmp_path: Path, start: Any, until: Any) -> None:
    store = tmp_path / "traces.db"
    program = start(
        """
        def record(name):
            with span(name): pass
            print(agentops.flush(), flush=True)
            sys.stdin.readline()
        record("before")
        record("after")
        """,
        store,
    )
    assert program.stdout.readline() == "True\n"
    settle(store)  # its connection stays open
    garble(store, 4096, os.urandom(store.stat().st_size - 4096))
    program.stdin.write("\n")
    program.stdin.flush()
    assert program.stdout.readline() == "True\n"
    _, err = program.communicate("\n", timeout=60)
    assert program.returncode == 0
    assert err.count("agentops:") == 1 and "set aside" in err
    assert names(store) == {"before", "after"}, "its journal held both"


def test_several_that_find_the_damage_at_once_set_aside_one_store_and_lose_nothing(tmp_path: Path, start: Any) -> None:
    store = tmp_path / "traces.db"
    start(FIRST, store).communicate(timeout=60)
    settle(store)
    garble(store, 0, os.urandom(8192))
    source = """
    with span(sys.argv[1]): pass
    print("ready", flush=True)
    sys.stdin.readline()
    print(agentops.flush())
    """
    programs: list[subprocess.Popen[str]] = [
        start("_recorder.POLL_S = 1e6\n" + source.replace("\n    ", "\n"), store, f"p-{n}") for n in range(5)
    ]
    for program in programs:
        assert program.stdout is not None and program.stdout.readline() == "ready\n"
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("\n")
        program.stdin.flush()
    ended = [program.communicate(timeout=60) for program in programs]
    assert [program.returncode for program in programs] == [0] * 5
    assert len(aside(store)) == 1, ended
    assert sum(err.count("set aside") for _, err in ended) == 1
    assert names(store) == {f"p-{n}" for n in range(5)}


@pytest.mark.parametrize("spoilt", [False, True])
def test_a_database_of_another_program_is_refused_and_untouched(tmp_path: Path, watched: Any, spoilt: bool) -> None:
    store = tmp_path / "theirs.db"
    connection = sqlite3.connect(store)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    if spoilt:
        garble(store, 100, os.urandom(3000))
    before = store.read_bytes()
    done = watched(LATER, store)
    assert (done.code, done.out) == (0, "False\n")
    (warning,) = done.warnings
    assert "nothing was changed" in warning and "name another file" in warning
    assert store.read_bytes() == before and not aside(store)
    with pytest.raises(StoreDamaged):
        Reader(str(store))


def test_a_file_that_is_not_named_as_a_store_is_not_renamed(tmp_path: Path, watched: Any) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear all, " * 1000)
    done = watched(LATER, letter)
    assert done.code == 0 and "nothing was changed" in done.warnings[0]
    assert letter.read_text() == "Dear all, " * 1000


def test_a_damaged_store_that_cannot_be_set_aside_says_so(tmp_path: Path, watched: Any, mounted: Any) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    alone = "_recorder.POLL_S = 1e6\nwith span('waits in its journal'): pass\nos._exit(0)"
    assert watched(alone, folder / "traces.db").code == 0
    (folder / "traces.db").write_bytes(os.urandom(9000))
    place = mounted("", "--bind", source=str(folder))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
    with pytest.raises(StoreDamaged, match=r"cannot be set aside \(Read-only file system\).*AGENTOPS_STORE"):
        Reader(str(place / "traces.db"))
    assert not aside(folder / "traces.db")


def test_a_lock_a_full_disk_and_a_file_that_cannot_be_opened_are_no_damage(tmp_path: Path, mounted: Any) -> None:
    store = tmp_path / "traces.db"
    Ingester(str(store)).close()
    holder = sqlite3.connect(store, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    from agentops.store.schema import connect

    connect(str(store), create=True, busy_s=0.05).close()
    holder.close()
    assert not aside(store)
    place = mounted("tmpfs", "-o", "size=64k")
    with pytest.raises(Exception, match="disk is full"):
        Ingester(str(place / "traces.db"))
    assert not aside(place / "traces.db")


def test_a_store_that_is_newer_is_refused_in_a_sentence_and_untouched(
    tmp_path: Path, watched: Any, doctor: Callable[..., Any]
) -> None:
    store = tmp_path / "traces.db"
    assert watched(FIRST, store).code == 0
    connection = sqlite3.connect(store)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    settle(store)
    before = store.read_bytes()
    done = watched(LATER, store)
    assert (done.code, done.out) == (0, "False\n")
    (warning,) = done.warnings
    assert "written by a newer agentops (format 99" in warning and "install that version" in warning
    ok, says, advice = doctor(store)["format"]
    assert not ok and "format 99" in says and advice
    assert store.read_bytes() == before and not aside(store)
    assert list((tmp_path / "traces.journal").glob("*.journal")), "what it recorded waits for the newer one"


OLDER = """
def record(name):
    with span(name): pass
    print(agentops.flush(), flush=True)
    sys.stdin.readline()
record("before")
record("during")
record("later")
"""


def test_an_older_program_beside_a_newer_one_stops_and_leaves_its_journal_to_it(tmp_path: Path, start: Any) -> None:
    """The connection of the older one is open while the newer one brings the store up."""
    store = tmp_path / "traces.db"
    older = start(OLDER, store)
    assert older.stdout.readline() == "True\n"
    _give_format(store, VERSION + 1)
    for _ in range(2):
        older.stdin.write("\n")
        older.stdin.flush()
        assert older.stdout.readline() == "False\n"
    _, err = older.communicate("\n", timeout=60)
    assert older.returncode == 0
    assert err.count("agentops:") == 1 and "written by a newer agentops" in err
    _give_format(store, VERSION)  # this process stands for the newer one
    assert names(store) == {"before", "during", "later"}


def _give_format(store: Path, version: int) -> None:
    connection = sqlite3.connect(store)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
