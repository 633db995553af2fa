"""However a program ends, stops or goes on: what had returned is on record, and what was open is told apart."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., subprocess.Popen[str]]


def statuses(records: list[dict[str, Any]]) -> dict[str, str]:
    found = {record["name"]: record["status"] for record in records}
    assert len(found) == len(records), "a span is there twice"
    return found


@pytest.mark.parametrize(
    ("ending", "code", "expected"),
    [
        ("with span('done'): pass", 0, {"done": "ok"}),
        ("with span('done'): os._exit(3)", 3, {"done": "interrupted"}),
        ("with span('done'): sys.exit(4)", 4, {"done": "error"}),
        (
            (
                "def leave():\n    with span('in a thread'): sys.exit(5)\n"
                "thread = threading.Thread(target=leave); thread.start(); thread.join()\nwith span('done'): pass"
            ),
            0,
            {"in a thread": "error", "done": "ok"},
        ),
        (
            (
                "def late():\n    with span('late'): raise ValueError('too late')\n"
                "atexit.register(late)\nwith span('done'): pass"
            ),
            0,
            {"done": "ok", "late": "error"},
        ),
        (
            (
                "begun = threading.Event()\ndef forever():\n    with span('daemon'):\n"
                "        begun.set(); time.sleep(1e6)\n"
                "threading.Thread(target=forever, daemon=True).start(); begun.wait()\nwith span('done'): pass"
            ),
            0,
            {"daemon": "interrupted", "done": "ok"},
        ),
        ("with span('done'): os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, {"done": "interrupted"}),
        ("with span('done'): os.kill(os.getpid(), signal.SIGINT); time.sleep(9)", -signal.SIGINT, {"done": "error"}),
    ],
    ids=["end", "_exit", "exit", "thread", "shutdown", "daemon", "SIGTERM", "SIGINT"],
)
def test_every_way_to_end_is_told(
    program: Any, read: Any, tmp_path: Path, ending: str, code: int, expected: dict[str, str]
) -> None:
    done = program("import atexit, os, signal, sys, threading, time\nfrom agentops import span\n" + ending)
    assert done.returncode == code, done.stderr
    assert statuses(read(tmp_path / "traces.db")) == expected


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_are_recorded_and_a_killed_one_is_cut_off(
    program: Any, read: Any, tmp_path: Path, method: str
) -> None:
    done = program(
        f"""
        import multiprocessing, os, signal
        from agentops import span
        def work(name):
            with span(name, input=name):
                if name == "killed": os.kill(os.getpid(), signal.SIGKILL)
        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            with span("parent"):
                for name in ("whole", "killed"):
                    child = context.Process(target=work, args=(name,))
                    child.start(); child.join()
        """
    )
    assert done.returncode == 0, done.stderr
    records = read(tmp_path / "traces.db")
    assert statuses(records) == {"parent": "ok", "whole": "ok", "killed": "interrupted"}
    assert {record["name"]: record["input"] for record in records if record["input"]} == {
        "whole": "whole",
        "killed": "killed",
    }


def test_a_stopped_program_is_running_and_goes_on(tmp_path: Path, start: Start, read: Any) -> None:
    writer = start(
        "import sys\nfrom agentops import span\n"
        "with span('open'):\n    print('ready', flush=True)\n    sys.stdin.read()\nprint('done', flush=True)",
        stdin=subprocess.PIPE,
    )
    assert writer.stdout is not None and writer.stdin is not None
    assert writer.stdout.readline() == "ready\n"
    writer.send_signal(signal.SIGSTOP)
    assert statuses(read(tmp_path / "traces.db")) == {"open": "running"}
    writer.send_signal(signal.SIGCONT)
    writer.stdin.close()
    assert writer.stdout.readline() == "done\n"
    writer.wait()
    assert statuses(read(tmp_path / "traces.db")) == {"open": "ok"}


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
def test_the_first_process_of_a_container_is_recorded_and_its_death_is_seen(
    tmp_path: Path, start: Start, read: Any
) -> None:
    writer = start(
        "import os, threading\nfrom agentops import span\n"
        "with span('done'): pass\n"
        "with span('open'):\n    print(os.getpid(), flush=True)\n    threading.Event().wait()",
        before=["unshare", "--pid", "--fork", "--kill-child"],
    )
    assert writer.stdout is not None
    if (pid := writer.stdout.readline()) == "":
        pytest.skip("no right to a pid namespace")
    assert pid == "1\n"
    assert statuses(read(tmp_path / "traces.db")) == {"done": "ok", "open": "running"}
    writer.kill()
    assert writer.stdout.read() == ""  # it is gone once nobody holds the pipe
    assert statuses(read(tmp_path / "traces.db")) == {"done": "ok", "open": "interrupted"}


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_clock_that_jumps_turns_neither_durations_nor_the_order_of_spans_around(
    program: Any, read: Any, tmp_path: Path, hours: int
) -> None:
    done = program(
        f"""
        import time
        real, jump = time.time_ns, 0
        time.time_ns = lambda: real() + jump
        from agentops import span
        with span("run"):
            with span("first"): pass
            jump = {hours} * 3_600 * 10**9
            with span("second"): pass
        """
    )
    assert done.returncode == 0, done.stderr
    records = {record["name"]: record for record in read(tmp_path / "traces.db")}
    moments = [
        records[name][f"{edge}_time_unix_nano"]
        for name, edge in [("run", "start"), ("first", "start"), ("first", "end"), ("second", "start"),
                           ("second", "end"), ("run", "end")]
    ]  # fmt: skip
    assert moments == sorted(moments)
    assert moments[-1] - moments[0] < 3_600 * 10**9


ALIVE = """
import os, signal, subprocess, sys
from agentops import span
with span("parent", input="asked"):
    {child}
    print(child, flush=True)
    signal.pause()
"""


@pytest.mark.parametrize(
    "child",
    [
        "child = os.fork()\n    if child == 0: os.close(1); signal.pause()",
        "child = subprocess.Popen(['sleep', '60'], close_fds=False, stdout=subprocess.DEVNULL).pid",
        "child = os.posix_spawn('/bin/sleep', ['sleep', '60'], os.environ)",
    ],
    ids=["fork", "subprocess", "posix_spawn"],
)
def test_a_killed_parent_is_seen_within_a_second_while_its_child_lives_on(
    tmp_path: Path, start: Start, wait_for: Any, child: str
) -> None:
    from agentops.store.reader import Reader

    writer = start(ALIVE.format(child=child))
    assert writer.stdout is not None
    other = int(writer.stdout.readline())
    try:
        with Reader(str(tmp_path / "traces.db")) as reader:
            assert [trace.status for trace in reader.traces()] == ["running"]
            writer.kill()
            writer.wait()
            wait_for(lambda: reader.refresh() and reader.traces()[0].status == "interrupted", 1)
            os.kill(other, 0)  # it lives
    finally:
        os.kill(other, signal.SIGKILL)
