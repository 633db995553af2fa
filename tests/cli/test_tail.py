"""`agentops tail`, beside programs that run."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agentops.cli.schemas import SCHEMAS

Agentops = Callable[..., Any]
_PATIENCE_S = 30
AGENTOPS = str(Path(sys.executable).parent / "agentops")


class Lines:
    """What a process prints on one of its streams, line by line, as it comes."""

    def __init__(self, stream: Any) -> None:
        self._queue: queue.Queue[str] = queue.Queue()
        self._stream = stream
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for line in self._stream:
            self._queue.put(line)
        self._queue.put("")

    def next(self) -> str:
        """The next line; empty at the end."""
        return self._queue.get(timeout=_PATIENCE_S)

    def until(self, text: str) -> list[str]:
        """The lines up to the one that holds `text`, with it."""
        found = [self.next()]
        while text not in found[-1]:
            assert found[-1], f"{text!r} never came: {found}"
            found.append(self.next())
        return found


class Running(NamedTuple):
    process: subprocess.Popen[str]
    out: Lines
    err: Lines

    def do(self, line: str) -> None:
        """Have the agent do what `line` says, and wait until it is done."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.out.next() == "done\n"

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(_PATIENCE_S)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a command over this test's store."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> Running:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTOPS_", "OTEL_"))}
        process = subprocess.Popen(
            words,
            cwd=tmp_path,
            env={**kept, "AGENTOPS_STORE": str(tmp_path / "traces.db"), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return Running(process, Lines(process.stdout), Lines(process.stderr))

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass


@pytest.fixture
def tail(start: Callable[..., Running]) -> Callable[..., Running]:
    return lambda *words: start(AGENTOPS, "tail", *words)


@pytest.fixture
def agent(start: Callable[..., Running]) -> Running:
    """A program that does what it is told, a line at a time."""
    program = "import sys\nfrom agentops import span\nfor line in sys.stdin:\n  exec(line)\n  print('done')"
    return start(sys.executable, "-c", program)


def edges(lines: list[str]) -> list[tuple[str, str, int]]:
    """Event, name and depth of lines of --json, each as its schema says."""
    found = [json.loads(line) for line in lines]
    for line in found:
        SCHEMAS["tail"].model_validate(line, strict=True)
    return [(line["event"], line["name"], line["depth"]) for line in found]


def test_spans_are_shown_as_they_begin_and_end_while_the_program_runs(agent: Running, tail: Any) -> None:
    agent.do("run = span('answer', kind='agent'); run.__enter__()")
    following = tail("--json")
    assert edges(following.out.until("answer")) == [("start", "answer", 0)]
    agent.do("call = span('ask', kind='llm'); call.__enter__()")
    assert edges(following.out.until("ask")) == [("start", "ask", 1)]
    agent.do("call.__exit__(None, None, None)")
    assert edges(following.out.until("ask")) == [("end", "ask", 1)]
    agent.do("run.fail(TimeoutError('too slow')); run.__exit__(None, None, None)")
    (line,) = following.out.until("answer")
    assert edges([line]) == [("end", "answer", 0)]
    ended = json.loads(line)
    assert (ended["status"], ended["error"]) == ("error", "TimeoutError: too slow")
    assert following.stop() == 130


def test_a_line_for_people_has_what_a_span_took_and_its_error(agent: Running, tail: Any) -> None:
    agent.do("run = span('answer', kind='agent'); run.__enter__()")
    following = tail()
    (begun,) = following.out.until("answer")
    mark, trace, *name = begun.split()[1:]
    assert (mark, len(trace), name) == ("●", 8, ["agent", "answer"])
    agent.do("call = span('ask', kind='llm'); call.__enter__(); call.set_attribute('gen_ai.usage.input_tokens', 1200)")
    agent.do("call.fail(ValueError('\\x1b[31mno')); call.__exit__(None, None, None)")
    *_, ended = following.out.until("ValueError")
    assert ended.split()[1:5] == ["✗", trace, "llm", "ask"] and "  llm ask" in ended and "1.2k" in ended
    assert ended.endswith("ValueError: \\x1b[31mno\n")


def test_a_killed_program_leaves_what_was_cut_off(agent: Running, tail: Any) -> None:
    agent.do("run = span('answer', kind='agent'); run.__enter__()")
    agent.do("call = span('ask', kind='llm'); call.__enter__()")
    following, plain = tail("--json"), tail()
    assert edges(following.out.until("ask")) == [("start", "answer", 0), ("start", "ask", 1)]
    plain.out.until("ask")
    agent.process.kill()
    assert edges([following.out.next(), following.out.next()]) == [
        ("interrupted", "ask", 1), ("interrupted", "answer", 0),
    ]  # fmt: skip
    assert "cut off" in plain.out.next()


def test_it_begins_with_the_last_that_ended(agent: Running, tail: Any) -> None:
    for n in range(5):
        agent.do(f"with span('step {n}'): pass")
    agent.do("last = span('last'); last.__enter__()")
    assert edges(tail("--json", "-n", "2").out.until("last")) == [
        ("end", "step 3", 0), ("end", "step 4", 0), ("start", "last", 0),
    ]  # fmt: skip
    assert edges(tail("--json", "-n", "0").out.until("last")) == [("start", "last", 0)]


def test_the_filter_selects_spans(agent: Running, tail: Any) -> None:
    agent.do("run = span('answer', kind='agent'); run.__enter__()")
    agent.do("outer = span('outer', kind='tool'); outer.__enter__()")
    tools, failed = tail("--json", "kind:tool"), tail("--json", "status:error")
    assert edges([tools.out.next()]) == [("start", "outer", 1)]
    agent.do("with span('ask', kind='llm'): pass")
    agent.do("with span('look', kind='tool'): pass")
    agent.do("call = span('pay', kind='tool'); call.__enter__()")
    agent.do("call.fail(ValueError('no')); call.end()")
    assert edges([tools.out.next() for _ in range(4)]) == [
        ("start", "look", 2), ("end", "look", 2), ("start", "pay", 2), ("end", "pay", 2),
    ]  # fmt: skip
    assert edges([failed.out.next()]) == [("end", "pay", 2)]


def test_without_a_store_it_waits_for_one(start: Any, tail: Any, tmp_path: Path) -> None:
    following = tail("--json")
    assert following.err.next() == f"agentops: there is no store at {tmp_path}/traces.db yet; waiting for one\n"
    start(sys.executable, "-c", "from agentops import span\nwith span('first'): pass")
    assert edges([following.out.next(), following.out.next()]) == [("start", "first", 0), ("end", "first", 0)]


def test_a_store_that_takes_the_place_of_a_deleted_one_is_followed(start: Any, tail: Any, tmp_path: Path) -> None:
    program = "import sys, agentops\nwith agentops.span(sys.argv[1]): pass\nagentops.shutdown()"
    start(sys.executable, "-c", program, "before").process.wait(_PATIENCE_S)
    following = tail("--json")
    assert edges(following.out.until("before")) == [("end", "before", 0)]
    for path in tmp_path.glob("traces.db*"):
        path.unlink()
    assert "waiting for one" in following.err.next()
    start(sys.executable, "-c", program, "after")
    assert edges([following.out.next(), following.out.next()]) == [("start", "after", 0), ("end", "after", 0)]


_MANY = """
import os, random, sys, threading, time
import agentops
from agentops import span
def work(seed):
    rng = random.Random(seed)
    for n in range(30):
        with span(f"{os.getpid()} run {seed} {n}", kind="agent"):
            for m in range(rng.randrange(6)):
                with span("step"):
                    if rng.random() < 0.2: time.sleep(0.005)
threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
if sys.argv[1] == "die":
    span("open").__enter__()
    os._exit(0)
"""


def test_no_edge_is_missed_and_none_is_told_twice(start: Any, tail: Any, read: Any, tmp_path: Path) -> None:
    start(sys.executable, "-c", _MANY, "die").process.wait(_PATIENCE_S)
    before = {span["span_id"] for span in read(tmp_path / "traces.db")}
    following = tail("--json", "-n", "3")
    told = [json.loads(following.out.next()) for _ in range(3)]
    assert {line["event"] for line in told} == {"end"} and before.issuperset(line["span_id"] for line in told)
    programs = [start(sys.executable, "-c", _MANY, how).process for how in ("die", "end", "die")]
    for program in programs:
        program.wait(_PATIENCE_S)
    expected: Counter[tuple[str, str]] = Counter()
    for span in read(tmp_path / "traces.db"):
        if span["span_id"] not in before:
            expected["start", span["span_id"]] = 1
            expected["end" if span["status"] == "ok" else "interrupted", span["span_id"]] = 1
    found = Counter(
        (line["event"], line["span_id"]) for line in map(json.loads, map(_line, [following] * expected.total()))
    )
    assert found == expected
    start(sys.executable, "-c", "from agentops import span\nwith span('after all'): pass").process.wait(_PATIENCE_S)
    assert edges([following.out.next()]) == [("start", "after all", 0)]


def _line(following: Running) -> str:
    return following.out.next()


def test_it_ends_quietly_when_nobody_reads_it_any_more(agent: Running, tmp_path: Path) -> None:
    agent.do("run = span('answer'); run.__enter__()")
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", '"$0" tail | head -n 1; echo "${PIPESTATUS[0]}"', AGENTOPS],
        env={**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db")},
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0" and "answer" in done.stdout
    assert time.monotonic() - began < _PATIENCE_S


def test_a_wrong_filter_or_number_is_said_at_once(agentops: Agentops) -> None:
    assert agentops("tail", "kind:toll").code == 2
    assert agentops("tail", "-n", "-1").err == "agentops: -n takes a number of spans\n"
