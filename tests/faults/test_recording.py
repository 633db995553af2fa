"""What goes wrong under a program that records: it runs on, says one line, and what was lost is on record."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentops.store.reader import Reader
from agentops.store.upkeep import backup

#: A program's life around a fault: what it does then is up to `fault` and `mend`, between them spans get lost.
STORY = """
with span("before"): pass
agentops.flush()
{fault}
for n in range(3_000):
    with span("during", input=os.urandom(400).hex()): pass
{mend}
time.sleep(0.1)                  # longer than the recorder waits before it tries again
with span("tries"): pass         # the record that makes it try
with span("after", input="it records again"): pass
print("ran", agentops.flush())
sys.exit(3)
"""


def names(store: Path) -> list[str]:
    with Reader(str(store)) as reader:
        return [trace.name for trace in reader.iter_traces()]


def lost(store: Path, reason: str) -> int:
    """Records that are noted as lost for a reason, with time and bytes."""
    with Reader(str(store)) as reader:
        losses = [loss for loss in reader.losses() if reason in loss.what]
    assert all(loss.time_ns > 1.7e18 and loss.bytes > 0 for loss in losses)
    return sum(loss.records for loss in losses)


def ran_on(done: Any, reason: str) -> None:
    """It ended by itself, as it wanted to, and complained once."""
    assert (done.code, done.out.split()[:1]) == (3, ["ran"]), done
    assert len(done.warnings) == 1, done
    assert reason in done.warnings[0]


def named(found: dict[str, tuple[bool, str, str]], reason: str, advice: str) -> None:
    ok, says, what_to_do = found["losses"]
    assert not ok and reason in says and advice in what_to_do, found["losses"]


def test_a_full_disk(watched: Any, doctor: Any, mounted: Any) -> None:
    store = mounted("tmpfs", "-o", "size=8m") / "traces.db"
    full = """
with open(os.path.dirname(os.environ["AGENTOPS_STORE"]) + "/other", "wb", buffering=0) as other:
    try:
        while True: other.write(bytes(4096))
    except OSError: pass
"""
    done = watched(STORY.format(fault=full, mend="os.unlink(other.name)"), store)
    ran_on(done, "full" if "full" in done.err else "No space left")
    assert {"before", "after"} <= set(names(store))
    kept = names(store).count("during")
    assert lost(store, "No space left") >= 2 * (3_000 - kept) - 2, "start and end of each"
    found = doctor(store)
    assert not found["writable"][0] and "free some room" in found["writable"][2]
    named(found, "No space left on device", "free some room")


def test_what_is_in_the_store_can_be_read_on_a_full_disk(watched: Any, mounted: Any, tmp_path: Path) -> None:
    store = mounted("tmpfs", "-o", "size=8m") / "traces.db"
    watched("with span('before'): pass\nagentops.shutdown()", store)
    with open(store.with_name("other"), "wb", buffering=0) as other, contextlib.suppress(OSError):
        while True:
            other.write(bytes(4096))
    with Reader(str(store)) as reader:
        assert [trace.name for trace in reader.traces()] == ["before"]
    backup(str(store), str(tmp_path / "elsewhere.db"))
    with Reader(str(tmp_path / "elsewhere.db")) as reader:
        assert reader.count() == 1


def test_a_disk_that_stays_full_to_the_end_of_the_program(watched: Any, doctor: Any, mounted: Any) -> None:
    """What is kept free in the last journal is enough to note what was lost."""
    store = mounted("tmpfs", "-o", "size=1m") / "traces.db"
    done = watched(
        """
        with span("before"): pass
        agentops.flush()
        for n in range(3_000):
            with span("during", input=os.urandom(400).hex()): pass
        print("ran")
        sys.exit(3)
        """,
        store,
    )
    ran_on(done, "full" if "full" in done.err else "No space left")
    journals = store.parent / "traces.journal"
    elsewhere = store.parent.parent / "moved"
    shutil.copytree(store.parent, elsewhere)  # where there is room
    assert list(journals.iterdir())
    assert lost(elsewhere / "traces.db", "No space left") > 1_000
    named(doctor(elsewhere / "traces.db"), "No space left", "free some room")
    assert names(elsewhere / "traces.db").count("during") > 100


def test_a_limit_of_file_sizes(tmp_path: Path, watched: Any, doctor: Any) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({}, resource.RLIM_INFINITY))"
    store = tmp_path / "traces.db"
    done = watched(STORY.format(fault=limit.format(300_000), mend=limit.format("resource.RLIM_INFINITY")), store)
    ran_on(done, "File too large")
    assert {"before", "after"} <= set(names(store))
    kept = names(store).count("during")
    assert kept < 3_000 and lost(store, "File too large") >= 2 * (3_000 - kept) - 2
    named(doctor(store), "File too large", "ulimit -f")


def test_a_folder_that_becomes_read_only(tmp_path: Path, watched: Any, doctor: Any, mounted: Any) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    place = mounted("", "--bind", source=str(folder))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
    store = place / "traces.db"
    again = f'import subprocess; subprocess.run(["mount", "-o", "remount,{{}},bind", "{place}"], check=True)'
    done = watched(
        STORY.replace("agentops.flush()\n{fault}", "{fault}").format(fault="", mend=again.format("rw")), store
    )
    ran_on(done, "Read-only file system")
    assert "in this process alone until it can be written down" in done.warnings[0]
    assert set(names(store)) - {"?"} == {"after"}  # the end of the record that tried may be there
    assert lost(store, "Read-only file system") in (6_003, 6_004), "start and end of each, and of the one that tried"
    named(doctor(store), "Read-only file system", "AGENTOPS_STORE")
    subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
    ok, says, advice = doctor(store)["writable"]
    assert not ok and "Read-only file system" in says and "AGENTOPS_STORE" in advice


def test_a_folder_that_may_not_be_changed(tmp_path: Path, watched: Any, doctor: Any) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    if shutil.which("chattr") is None or subprocess.run(["chattr", "+i", str(folder)], capture_output=True).returncode:
        pytest.skip("no right to chattr +i here")
    try:
        done = watched("with span('x'): pass\nprint('ran', agentops.flush())\nsys.exit(3)", folder / "traces.db")
        ran_on(done, "Operation not permitted")
        ok, says, advice = doctor(folder / "traces.db")["writable"]
        assert not ok and "Operation not permitted" in says and "AGENTOPS_STORE" in advice
    finally:
        subprocess.run(["chattr", "-i", str(folder)], check=True)


def test_a_folder_that_is_deleted_under_a_running_program(tmp_path: Path, watched: Any, doctor: Any) -> None:
    store = tmp_path / "folder" / "traces.db"
    delete = "import shutil; _recorder.POLL_S = 1e6\nshutil.rmtree(os.path.dirname(os.environ['AGENTOPS_STORE']))"
    story = STORY.replace("3_000", "50").replace('with span("tries"): pass', "agentops.flush()")
    done = watched(story.format(fault=delete, mend=""), store)
    ran_on(done, "was deleted while this program records into it")
    assert done.out == "ran True\n"
    assert names(store) == ["after"]
    assert lost(store, "the journal was deleted") == 100
    named(doctor(store), "the journal was deleted", "leave the folder")


def test_a_store_that_was_deleted_takes_no_records_with_it(tmp_path: Path, watched: Any) -> None:
    store = tmp_path / "folder" / "traces.db"
    delete = "for end in ('', '-wal', '-shm'): os.unlink(os.environ['AGENTOPS_STORE'] + end)"
    done = watched(STORY.replace("3_000", "50").format(fault=delete, mend=""), store)
    assert (done.code, done.out, done.warnings) == (3, "ran True\n", [])
    assert set(names(store)) == {"before", "during", "after", "tries"}, "the journal still held them"


def test_a_store_that_another_program_locks(tmp_path: Path, watched: Any, doctor: Any) -> None:
    """A lock of minutes is the same as one of a second, where nobody waits longer than the limit says."""
    store = tmp_path / "traces.db"
    lock = """
import sqlite3, agentops.store.schema as schema
schema.BUSY_S = 0.2
holder = sqlite3.connect(os.environ["AGENTOPS_STORE"], isolation_level=None)
holder.execute("BEGIN EXCLUSIVE")
"""
    story = STORY.replace("3_000", "100").replace("{mend}", "print('ran', agentops.flush()); {mend}")
    done = watched(story.format(fault=lock, mend="holder.execute('ROLLBACK')"), store)
    ran_on(done, "is locked by another program")
    assert "fuser" in done.warnings[0]
    assert done.out == "ran False\nran True\n"
    assert names(store).count("during") == 100
    with Reader(str(store)) as reader:
        assert not reader.losses(), "it waited in the journal"
    holder = sqlite3.connect(store, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    ok, says, advice = doctor(store)["lock"]
    assert not ok and "held the store's lock" in says and "fuser" in advice
    holder.close()
    assert doctor(store)["lock"][0]


def test_a_locked_store_does_not_hold_up_the_end_of_a_program(tmp_path: Path, watched: Any) -> None:
    store = tmp_path / "traces.db"
    watched("with span('before'): pass", store)
    holder = sqlite3.connect(store, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    ended = watched(
        """
        import atexit
        with span("locked"): pass
        begun = time.monotonic()
        atexit.register(lambda: print(time.monotonic() - begun))
        atexit.unregister(_recorder.recorder.at_exit); atexit.register(_recorder.recorder.at_exit)
        """,
        store,
    )
    holder.close()
    assert ended.code == 0
    assert float(ended.out) < 5, "not the ten seconds that a recorder's thread waits for a lock"
    assert names(store) == ["locked", "before"]


def test_journals_that_cannot_be_brought_in_do_not_fill_the_disk(tmp_path: Path, watched: Any, doctor: Any) -> None:
    store = tmp_path / "traces.db"
    program = """
        _recorder.POLL_S = _recorder.POLL_IDLE_S = 0.02
        _recorder._LOOK_S = 0.02
        import agentops.store.schema as schema
        schema.BUSY_S = 0.01
        for n in range(700):
            with span("work", input=os.urandom(30_000).hex()): pass
        print("ran")
        sys.exit(3)
    """
    watched("with span('before'): pass", store)
    holder = sqlite3.connect(store, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    done = watched(program, store, AGENTOPS_MAX_JOURNAL_BYTES="10MB")
    assert (done.code, done.out) == (3, "ran\n")
    assert len(done.warnings) == 2 and any("max_journal_bytes (10.0 MB)" in line for line in done.warnings), done
    size = sum(path.stat().st_size for path in (tmp_path / "traces.journal").iterdir())
    assert size < 20_000_000, "the quota and the journals that are being written; 42 MB were to be recorded"
    holder.close()
    os.environ["AGENTOPS_MAX_JOURNAL_BYTES"] = "9MB"
    try:
        kept = {name: value for name, value in os.environ.items() if name.startswith("AGENTOPS_MAX")}
        found = subprocess.run(
            [sys.executable, "-m", "agentops.cli.main", "doctor"],
            env={**os.environ, **kept, "AGENTOPS_STORE": str(store)},
            capture_output=True,
            text=True,
        )
    finally:
        del os.environ["AGENTOPS_MAX_JOURNAL_BYTES"]
    assert found.returncode == 1 and "max_journal_bytes" in found.stdout
    assert names(store).count("work") > 100
    assert lost(store, "max_journal_bytes") > 100
    named(doctor(store), "max_journal_bytes", "raise max_journal_bytes")
    after = watched("with span('after'): pass\nprint(agentops.flush())", store, AGENTOPS_MAX_JOURNAL_BYTES="10MB")
    assert (after.out, after.warnings) == ("True\n", [])


def test_file_descriptors_are_used_up(tmp_path: Path, watched: Any, doctor: Any) -> None:
    store = tmp_path / "traces.db"
    use_up = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
taken = []
try:
    while True: taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError: pass
"""
    story = STORY.replace("agentops.flush()\n{fault}", "agentops.shutdown()\n{fault}").replace("3_000", "100")
    done = watched(story.format(fault=use_up, mend="for one in taken: os.close(one)"), store)
    ran_on(done, "Too many open files")
    assert set(names(store)) >= {"after", "before"}
    assert lost(store, "Too many open files") >= 200
    named(doctor(store), "Too many open files", "ulimit -n")


def test_memory_is_limited(tmp_path: Path, watched: Any, doctor: Any) -> None:
    store = tmp_path / "traces.db"
    done = watched(
        """
        import resource
        with span("before"): pass
        agentops.flush()
        large = ["x" * 1_000 + str(n) for n in range(50_000)]
        with open("/proc/self/statm") as statm:
            size = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (60 << 20), resource.RLIM_INFINITY))
        with span("small"): pass
        agentops.flush()
        with span("large", input=large) as s: s.output = "the program has its value"
        assert len(large) == 50_000
        del large
        time.sleep(0.1)
        with span("tries"): pass
        with span("after"): pass
        print("ran", agentops.flush())
        sys.exit(3)
        """,
        store,
    )
    assert (done.code, done.out) == (3, "ran True\n"), done
    assert len(done.warnings) == 1, done
    assert {"before", "after"} <= set(names(store))
    with Reader(str(store)) as reader:
        assert sum(loss.records for loss in reader.losses()) >= 1
    ok, says, advice = doctor(store)["losses"]
    assert not ok and "more memory" in advice, says


def test_what_cannot_be_written_takes_no_memory(watched: Any, mounted: Any) -> None:
    store = mounted("tmpfs", "-o", "size=1m") / "traces.db"
    done = watched(
        """
        def record(n):
            for i in range(n):
                with span("x", input=f"{i} " * 50) as s: s.output = i
        def kilobytes():
            with open("/proc/self/statm") as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") // 1000
        record(6_000)
        agentops.flush()   # what is imported by it is no growth
        record(5_000)
        before = kilobytes()
        record(100_000)
        print(kilobytes() - before, safety.counts["records lost"])
        """,
        store,
    )
    assert done.code == 0, done
    kilobytes, records = map(int, done.out.split())
    assert records > 200_000
    assert kilobytes < 2_000, "kB for 100,000 spans that could not be written"


@pytest.mark.parametrize("what", ["truncated", "garbled"])
def test_a_journals_tail_that_is_spoilt_costs_what_stood_there(tmp_path: Path, watched: Any, what: str) -> None:
    store = tmp_path / "traces.db"
    quiet = "_recorder.POLL_S = _recorder.POLL_IDLE_S = 1e6\n"
    watched(quiet + "for n in range(100):\n    with span(f'n-{n}', input=str(n) * 50): pass\nos._exit(0)", store)
    (journal,) = (tmp_path / "traces.journal").glob("*.journal")
    end = len(journal.read_bytes().rstrip(b"\\0"))
    with journal.open("r+b") as file:
        if what == "truncated":
            file.truncate(end - 50)
        else:
            file.seek(end - 700)
            file.write(os.urandom(600))
    done = watched("with span('after'): pass\nprint(agentops.flush())", store)
    assert (done.code, done.out, done.warnings) == (0, "True\n", [])
    found = set(names(store))
    assert "after" in found and {f"n-{n}" for n in range(90)} <= found
    assert not list((tmp_path / "traces.journal").glob("*.journal"))


def test_a_journal_that_was_never_finished_being_made_goes(tmp_path: Path, watched: Any) -> None:
    folder = tmp_path / "traces.journal"
    folder.mkdir()
    old, new = (folder / f"{0:016x}-{n:016x}-000001.journal.new" for n in (1, 2))
    for path in (old, new):
        path.write_bytes(b"half a head")
    os.utime(old, (1, 1))
    assert watched("with span('x'): pass\nagentops.flush()", tmp_path / "traces.db").code == 0
    assert not old.exists(), "its process was killed while it made it"
    assert new.exists(), "its process may be making it"
