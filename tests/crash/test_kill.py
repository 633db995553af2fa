"""Killed at any moment: what had returned to the program is in the store, once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WRITER = """
import os, sys, threading
from agentops import span
out = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
def note(edge, s, text=""):
    os.write(out, f"{edge} {s.span_id} {text}\\n".encode())
def work(k):
    i = 0
    while True:
        with span(f"run-{k}", kind="agent") as run:
            note("S", run)
            for j in range(5):
                text = f"{os.getpid()}.{k}.{i}." + "x" * 400
                with span("step", kind="tool", input={"i": text}) as s:
                    note("S", s, text)
                    s.output = [text]
                note("E", s, text)
                i += 1
        note("E", run)
for k in (1, 2):
    threading.Thread(target=work, args=(k,), daemon=True).start()
work(0)
"""


RECORD_AND_DIE = """
import os
import agentops.recorder.recorder as recorder
recorder.POLL_S = recorder.POLL_IDLE_S = 1e6
from agentops import span
for n in range(4000):
    with span(f"n-{n % 7}", input={"n": n, "text": f"{n} " * 100}):
        pass
print("written", flush=True)
os.kill(os.getpid(), 9)
"""


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a program that records into this test's store; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str, *arguments: str, folder: Path = tmp_path) -> subprocess.Popen[str]:
        program = folder / f"writer-{len(started)}.py"
        program.write_text(source)
        started.append(
            subprocess.Popen(
                [sys.executable, str(program), *arguments],
                cwd=folder,
                env={**os.environ, "AGENTOPS_STORE": str(folder / "traces.db")},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def wait_for(condition: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def kill_four_writers(tmp_path: Path, start: Start, read: Any, seed: int) -> int:
    """Kill four writers at random moments and compare what they noted with what is on record; the edges compared."""
    moment = random.Random(seed)
    logs = [tmp_path / f"log-{n}" for n in range(4)]
    writers = [start(WRITER, str(log)) for log in logs]
    wait_for(lambda: all(log.exists() and log.stat().st_size for log in logs))
    for writer in writers:
        time.sleep(moment.random() * 0.01)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    records = read(tmp_path / "traces.db")
    spans = {record["span_id"]: record for record in records}
    assert len(spans) == len(records), "a span is there twice"
    checked = 0
    for log in logs:
        started: dict[str, str] = {}
        ended: set[str] = set()
        for line in log.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                edge, span_id, text = line.rstrip("\n").split(" ", 2)
                started[span_id] = text
                if edge == "E":
                    ended.add(span_id)
                checked += 1
        for span_id, text in started.items():
            record = spans[span_id]
            assert not text or record["input"] == {"i": text}
            if span_id in ended:
                assert record["status"] == "ok" and record["end_time_unix_nano"] is not None
                assert not text or record["output"] == [text]
            else:
                assert record["status"] in ("interrupted", "ok"), record["status"]
    assert checked > 100
    assert not list((tmp_path / "traces.journal").glob("*.journal")), "journals of the dead are left"
    return checked


@pytest.mark.parametrize("seed", range(10))
def test_four_writers_with_threads_killed_at_random_lose_nothing_that_had_returned(
    tmp_path: Path, start: Start, read: Any, seed: int
) -> None:
    assert kill_four_writers(tmp_path, start, read, seed) > 100


@pytest.mark.proof
def test_a_storm_of_kills_loses_nothing(
    tmp_path: Path, start: Start, read: Any, record_property: Callable[[str, object], None]
) -> None:
    edges = 0
    for seed in range(1_000, 1_050):
        folder = tmp_path / str(seed)
        folder.mkdir()
        edges += kill_four_writers(
            folder, lambda source, *words, at=folder: start(source, *words, folder=at), read, seed
        )
    record_property("writers killed", 200)
    record_property("span edges compared", edges)
    record_property("lost, doubled or changed", 0)


def test_an_ingesting_reader_killed_again_and_again_takes_each_record_once(
    tmp_path: Path, start: Start, read: Any
) -> None:
    writer = start(RECORD_AND_DIE)
    writer.wait()
    reader = """
import sys
import agentops.store.ingest as ingest
ingest.BATCH_RECORDS = 300
ingest.Ingester(sys.argv[1]).run(everything=True)
"""
    moment = random.Random(5)
    for _ in range(8):
        other = start(reader, str(tmp_path / "traces.db"))
        time.sleep(0.1 + moment.random() * 0.25)
        other.kill()
        other.wait()
    records = read(tmp_path / "traces.db")
    assert sorted(record["input"]["n"] for record in records) == list(range(4000))


def test_several_readers_at_once_take_each_record_once(tmp_path: Path, start: Start, read: Any) -> None:
    writer = start(RECORD_AND_DIE)
    writer.wait()
    reader = "import sys\nfrom agentops.store.ingest import Ingester\nIngester(sys.argv[1]).run(everything=True)"
    readers = [start(reader, str(tmp_path / "traces.db")) for _ in range(4)]
    assert [other.wait() for other in readers] == [0, 0, 0, 0]
    records = read(tmp_path / "traces.db")
    assert sorted(record["input"]["n"] for record in records) == list(range(4000))


def test_a_program_that_records_without_pause_does_not_keep_its_reader_for_ever(
    tmp_path: Path, start: Start, read: Any
) -> None:
    log = tmp_path / "log"
    start(WRITER, str(log))
    wait_for(lambda: log.exists() and log.stat().st_size > 10_000)
    noted = {line.split()[1] for line in log.read_text().splitlines()[:-1]}
    assert noted <= {record["span_id"] for record in read(tmp_path / "traces.db")}


def test_a_living_programs_spans_are_running_and_a_dead_ones_interrupted(
    tmp_path: Path, start: Start, read: Any
) -> None:
    program = """
import sys
from agentops import span
with span("outer", kind="agent", input="q"), span("inner", kind="tool") as s:
    s.add_event("begun", {"n": 1})
    print("open", flush=True)
    sys.stdin.read() if False else __import__("threading").Event().wait()
"""
    writer = start(program)
    assert writer.stdout is not None and writer.stdout.readline() == "open\n"
    assert [record["status"] for record in read(tmp_path / "traces.db")] == ["running", "running"]
    writer.kill()
    writer.wait()
    outer, inner = read(tmp_path / "traces.db")
    assert (outer["status"], outer["input"], outer["end_time_unix_nano"]) == ("interrupted", "q", None)
    assert (inner["status"], inner["events"][0]["name"]) == ("interrupted", "begun")


FORKING = """
import os, signal, sys, agentops
from agentops import span
with span("parent", kind="agent"):
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        with span("child", kind="tool", input="from the child"):
            pass
        os.write(write_end, b"x")
        {child_end}
    os.read(read_end, 1)
    {parent_end}
"""


def test_a_forked_childs_spans_are_in_its_parents_trace(program: Any, read: Any, tmp_path: Path) -> None:
    done = program(FORKING.format(child_end="os._exit(0)", parent_end="os.waitpid(child, 0)"))
    assert done.returncode == 0, done.stderr
    records = {record["name"]: record for record in read(tmp_path / "traces.db")}
    assert set(records) == {"parent", "child"}
    assert records["child"]["parent_span_id"] == records["parent"]["span_id"]
    assert records["child"]["input"] == "from the child"
    assert records["parent"]["status"] == "ok"


def test_a_child_that_leaves_the_block_does_not_end_its_parents_span(program: Any, read: Any, tmp_path: Path) -> None:
    source = FORKING.format(child_end="pass", parent_end="child and os.waitpid(child, 0)")
    done = program(source.replace("    os.read(read_end, 1)\n", "    child and os.read(read_end, 1)\n"))
    assert done.returncode == 0, done.stderr
    records = read(tmp_path / "traces.db")
    assert sorted(record["name"] for record in records) == ["child", "parent"]


def test_a_killed_parents_spans_are_interrupted_while_its_child_lives_on(
    tmp_path: Path, start: Start, read: Any
) -> None:
    source = FORKING.format(
        child_end="print(os.getpid(), flush=True); import threading; threading.Event().wait()",
        parent_end="os.kill(os.getpid(), signal.SIGKILL)",
    )
    writer = start(source)
    assert writer.stdout is not None
    child = int(writer.stdout.readline())
    writer.wait()
    try:
        records = {record["name"]: record["status"] for record in read(tmp_path / "traces.db")}
        assert records == {"parent": "interrupted", "child": "ok"}
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_program_that_says_no_goodbye_loses_nothing(program: Any, read: Any, tmp_path: Path) -> None:
    done = program("import os\nfrom agentops import span\nwith span('last'): pass\nos._exit(3)")
    assert done.returncode == 3
    assert [record["status"] for record in read(tmp_path / "traces.db")] == ["ok"]


def test_the_roll_up_of_a_trace_is_the_sum_of_its_spans(tmp_path: Path, program: Any, read: Any) -> None:
    from agentops.store.reader import Reader

    done = program(
        """
        import random
        from agentops import span, flush
        r = random.Random(3)
        def grow(depth):
            for _ in range(r.randrange(4)):
                try:
                    with span("s", kind=r.choice(["llm", "tool", "agent"])) as s:
                        s.set_attribute("gen_ai.usage.input_tokens", r.randrange(100))
                        s.set_attribute("gen_ai.usage.output_tokens", r.randrange(100))
                        if r.random() < .3: flush()
                        if depth: grow(depth - 1)
                        if r.random() < .2: raise ValueError
                except ValueError:
                    pass
        for _ in range(30):
            with span("root"): grow(3)
        """
    )
    assert done.returncode == 0, done.stderr
    records = read(tmp_path / "traces.db")
    with Reader(str(tmp_path / "traces.db")) as reader:
        traces = reader.traces(limit=None)
    assert len(traces) == 30
    for trace in traces:
        own = [record for record in records if record["trace_id"] == trace.trace_id]
        llm = [record for record in own if record["kind"] == "llm"]
        assert trace.spans == len(own)
        assert trace.errors == sum(record["status"] == "error" for record in own)
        assert trace.llm_calls == len(llm)
        assert trace.input_tokens == sum(record["usage"]["input_tokens"] for record in llm)
        assert trace.output_tokens == sum(record["usage"]["output_tokens"] for record in llm)
        assert trace.open == 0


def test_two_programs_that_record_the_same_text_store_it_once(program: Any, tmp_path: Path) -> None:
    import sqlite3

    source = "from agentops import span, shutdown\nwith span('x', input='the same long text ' * 50): pass\nshutdown()"
    assert program(source).returncode == program(source).returncode == 0
    connection = sqlite3.connect(tmp_path / "traces.db")
    assert connection.execute("SELECT count(*) FROM contents").fetchone() == (1,)
    assert connection.execute("SELECT count(*) FROM spans").fetchone() == (2,)
    connection.close()
