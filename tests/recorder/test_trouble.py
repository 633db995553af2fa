"""The program goes on, and what it recorded stays readable: interrupted calls, full disks, folders that go away."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import agentops
from agentops import span

INTERRUPTED = """
import os, random, signal, sys
import agentops.recorder.recorder as recorder
recorder.POLL_S = recorder.POLL_IDLE_S = 1e6
import agentops
from agentops import span
from agentops.store.reader import Reader

class Stop(BaseException):
    pass

def stop(*_):
    raise Stop

with span("first"):                     # the journal is open
    pass
signal.signal(signal.SIGALRM, stop)
moment = random.Random(int(sys.argv[1]))
returned = set()
for _ in range(400):
    try:
        signal.setitimer(signal.ITIMER_REAL, moment.uniform(1e-5, 3e-4), 0.05)
        while True:
            with span("work") as s:
                pass
            returned.add(s.span_id)
    except Stop:
        pass
    while True:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
            break
        except Stop:
            pass
assert agentops.flush()
with Reader() as reader:
    found = {span.hex_id for trace in reader.iter_traces() for span in reader.spans(trace) if span.status == "ok"}
print(len(returned), len(returned - found))
"""


@pytest.mark.parametrize("seed", ["1", "2"])
def test_a_call_that_a_signals_handler_ends_hides_nothing_that_returned(program: Any, seed: str) -> None:
    done = program(INTERRUPTED, seed, AGENTOPS_RAISE="0")
    assert done.returncode == 0, done.stderr
    returned, hidden = map(int, done.stdout.split())
    assert returned > 100
    assert hidden == 0


def test_on_a_full_disk_the_program_goes_on_and_what_fitted_is_kept(program: Any, read: Any, tmp_path: Path) -> None:
    done = program(
        """
        import os, resource
        from agentops import span
        resource.setrlimit(resource.RLIMIT_FSIZE, (400 << 10, resource.RLIM_INFINITY))   # no file grows beyond
        for n in range(1_500):
            with span(f"s-{n}", input=os.urandom(500).hex()) as s:
                s.output = n
        print("ran")
        os._exit(0)
        """,
        AGENTOPS_RAISE="0",
    )
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
    found = read(tmp_path / "traces.db")
    assert len(found) > 50
    numbers = sorted(int(record["name"][2:]) for record in found)
    assert numbers == list(range(len(found))), "what came first is kept, without a gap"
    assert {record["status"] for record in found[1:]} == {"ok"}


def test_once_there_is_room_again_it_records_again(program: Any, read: Any, tmp_path: Path) -> None:
    done = program(
        """
        import os, resource
        import agentops.recorder.recorder as recorder
        recorder._RETRY_S = 0.0
        import agentops
        from agentops import span
        resource.setrlimit(resource.RLIMIT_FSIZE, (400 << 10, resource.RLIM_INFINITY))
        for n in range(1_500):
            with span("full", input=os.urandom(500).hex()): pass
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        for n in range(3):
            with span("room", input=n): pass
        print(agentops.flush())
        """,
        AGENTOPS_RAISE="0",
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    assert 2 in [record["input"] for record in read(tmp_path / "traces.db") if record["name"] == "room"]


def test_a_folder_that_was_deleted_does_not_stop_the_program(
    store: Path, monkeypatch: pytest.MonkeyPatch, read: Any
) -> None:
    monkeypatch.setenv("AGENTOPS_RAISE", "0")
    with span("before"):
        pass
    agentops.flush()
    for path in store.parent.glob("traces*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with span("while it is gone"):
        pass
    agentops.shutdown()
    with span("after"):
        pass
    assert agentops.flush()
    assert "after" in [record["name"] for record in read(store)]


def test_a_place_that_cannot_be_written_does_not_stop_the_program(program: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = program(
        "from agentops import span, flush, shutdown\nwith span('x') as s: s.output = 1\n"
        "print('ran', shutdown(timeout=5))",
        AGENTOPS_RAISE="0",
        AGENTOPS_STORE=str(tmp_path / "file" / "traces.db"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ran")
    assert "recording failed" in done.stderr


def test_while_recording_is_off_nothing_is_kept_in_memory(program: Any) -> None:
    done = program(
        """
        import tracemalloc
        from agentops import span
        def record(n):
            for i in range(n):
                with span("x", input=f"{i} " * 100): pass
        record(500)
        tracemalloc.start()
        record(500)
        before = tracemalloc.get_traced_memory()[0]
        record(10_000)
        print((tracemalloc.get_traced_memory()[0] - before) // 1000)
        """,
        AGENTOPS_ENABLED="0",
    )
    assert int(done.stdout) < 100, "kB for 10,000 spans"


def test_values_that_are_changed_by_another_thread_while_they_are_taken_harm_nobody(spans: Any) -> None:
    import threading

    shared: dict[str, Any] = {"k": ["x" * 200]}
    stop = threading.Event()

    def change() -> None:
        n = 0
        while not stop.is_set():
            shared[f"k{n % 50}"] = ["y" * (n % 300)] * (n % 7)
            shared.pop(f"k{(n + 25) % 50}", None)
            n += 1

    thread = threading.Thread(target=change)
    thread.start()
    for _ in range(300):
        with span("x", input=shared) as s:
            s.set_attribute("a", shared)
            s.output = [shared, "x" * 200]
    stop.set()
    thread.join()
    assert [record["status"] for record in spans()] == ["ok"] * 300
