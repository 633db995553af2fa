"""Killed at any moment: what had returned to the program is in the store, once."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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

WRITER = Path(__file__).parent / "storm_writer.py"
WAYS = ("threads", "large", "flush", "shutdown", "plain")
READER = """
import sys, time
from agentops.store.reader import Reader
print("reads", flush=True)
while True:
    try:
        with Reader() as reader:
            while True:
                reader.refresh()
                time.sleep(0.01)
    except Exception:   # there is no store yet
        time.sleep(0.01)
"""


class Storm(Counter[str]):
    """What was killed and compared, over several rounds."""

    def round(self, folder: Path, start: Start, read: Any, seed: int) -> None:
        """Kill four writers and a reader at random moments; what had returned to the writers must be on record."""
        moment = random.Random(seed)
        ways = moment.sample(WAYS, 4)
        logs = [folder / f"log-{way}" for way in ways]
        processes = [start(READER, folder=folder)]
        processes += [
            start(WRITER, str(log), str(seed), way, folder=folder) for way, log in zip(ways, logs, strict=True)
        ]
        if seed % 5:
            while not all(log.exists() and log.stat().st_size for log in logs):
                time.sleep(0.005)
            time.sleep(moment.choice((0.0, 0.0, 0.3, 0.6)) * moment.random())
        moment.shuffle(processes)
        for process in processes:
            time.sleep(moment.random() * (0.02 if seed % 5 else 0.08))  # every fifth time while they start
            process.send_signal(signal.SIGKILL)
        for process in processes:
            process.wait()
        self["writers killed"] += 4
        journals = [path.name for path in (folder / "traces.journal").glob("*.journal")]
        self["journals left"] += len(journals)
        self["of them not the first of their process"] += sum(not name.endswith("-000001.journal") for name in journals)
        records = read(folder / "traces.db") if journals or (folder / "traces.db").exists() else []
        spans = {record["span_id"]: record for record in records}
        assert len(spans) == len(records), "a span is there twice"
        for log in logs:
            if log.exists():
                self._compare(log.read_text(), spans, seed)
        assert not list((folder / "traces.journal").glob("*.journal")), "journals of the dead are left"

    def _compare(self, log: str, spans: dict[str, Any], seed: int) -> None:
        ended: set[str] = set()
        begun: dict[str, dict[str, Any]] = {}
        within: Counter[str] = Counter()
        for line in log.splitlines(keepends=True):
            if not line.endswith("\n"):
                continue
            what, span_id, rest = line.split(" ", 2)
            facts = json.loads(rest)
            if span_id == "-":
                within[what[:-1]] += 1 if what[-1] == "+" else -1
                continue
            record = spans.get(span_id)
            assert record is not None, f"seed {seed}: the span {span_id} is lost"
            self["edges and values compared"] += 1
            if what == "start":
                begun[span_id] = record
                assert digest(record["input"]) == facts[0], f"seed {seed}: another input"
            elif what == "event":
                assert [event["attributes"]["n"] for event in record["events"]] == facts, f"seed {seed}: events"
            elif what == "attribute":
                assert record["attributes"][facts[0]] == facts[1], f"seed {seed}: attributes"
            elif what == "output":
                assert digest(record["output"]) == facts[0], f"seed {seed}: another output"
            else:
                end_ns, status, output = facts
                ended.add(span_id)
                assert record["end_time_unix_nano"] == (end_ns or record["end_time_unix_nano"] or "none")
                assert record["status"] == status, f"seed {seed}: another status"
                assert digest(record["output"]) == output, f"seed {seed}: another output"
        self["writers killed in flush or shutdown"] += within.total()
        for span_id, record in begun.items():
            if span_id in ended:
                continue
            self["spans that were open"] += 1
            if record["end_time_unix_nano"] is None:
                assert record["status"] == "interrupted", f"seed {seed}: {record['status']} without an end"


def digest(value: object) -> str | None:
    return None if value is None else hashlib.sha256(json.dumps(value).encode()).hexdigest()


@pytest.mark.parametrize("seed", range(10))
def test_four_writers_with_threads_killed_at_random_lose_nothing_that_had_returned(
    tmp_path: Path, start: Start, read: Any, seed: int
) -> None:
    storm = Storm()
    storm.round(tmp_path, start, read, seed)
    assert storm["edges and values compared"] > (50 if seed % 5 else -1)


@pytest.mark.proof
def test_a_storm_of_kills_loses_nothing(
    tmp_path: Path, start: Start, read: Any, record_property: Callable[[str, object], None]
) -> None:
    storm, first = Storm(), 1_000
    for seed in range(first, first + 250):
        folder = tmp_path / str(seed)
        folder.mkdir()
        storm.round(folder, start, read, seed)
        shutil.rmtree(folder)
    for what, count in storm.items():
        record_property(what, f"{count:,}")
    record_property("lost, doubled or changed", 0)
    record_property("seeds", f"{first} to {first + 249}")


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
    tmp_path: Path, start: Start, read: Any, wait_for: Any
) -> None:
    log = tmp_path / "log"
    start(WRITER, str(log), "0", "threads")
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
