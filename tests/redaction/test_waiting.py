"""What waits for the detectors: in memory alone, not for ever, and never lost but by a kill."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from agentops.journal.format import WITHHELD
from agentops.recorder.forks import TELLS
from agentops.recorder.screening import FULL
from tests.redaction.scanning import brought_in, held

#: A detector that looks at a text when it may.
DETECTOR = """
import os, resource, signal, threading, time
import agentops
from agentops import span
from agentops.recorder.recorder import recorder
from agentops.redaction.findings import Finding
from agentops.redaction.redactor import Redactor

class Detector:
    def __init__(self, takes_s=0.0):
        self.may_look, self.looks, self.takes_s = threading.Event(), threading.Event(), takes_s
    def may_hold(self, data):
        return b"SECRET" in data
    def find(self, text):
        self.looks.set()
        self.may_look.wait()
        time.sleep(self.takes_s)
        found, at = [], text.find("SECRET")
        while at >= 0:
            found.append(Finding(at, at + 6, "WORD", 1.0))
            at = text.find("SECRET", at + 6)
        return found

def die():
    os.kill(os.getpid(), signal.SIGKILL)
LONG = "clean words " * 40
"""


def by_name(spans: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in spans}


def test_killed_while_contents_wait_leaves_all_edges_and_what_was_clean(
    program: Any, read: Any, tmp_path: Path
) -> None:
    done = program(
        DETECTOR
        + """
agentops.init(redact=Redactor(Detector()))
for n in range(50):
    with span(f"step {n}", input={"text": LONG, "n": n}, attributes={"clean": "yes"}) as s:
        s.set_attribute("card", LONG + "SECRET")
        with span(f"tool {n}", input=f"{LONG} SECRET {n}") as tool:
            tool.output = {"short": "SECRET", "n": n}
die()
"""
    )
    assert done.returncode == -9, done.stderr
    store = tmp_path / "traces.db"
    assert b"SECRET" not in b"".join(path.read_bytes() for path in (tmp_path / "traces.journal").iterdir())
    spans = by_name(read(store))
    assert len(spans) == 100
    assert {one["status"] for one in spans.values()} == {"ok"}
    for n in range(50):
        step, tool = spans[f"step {n}"], spans[f"tool {n}"]
        assert tool["parent_span_id"] == step["span_id"]
        assert step["input"] == {"text": "clean words " * 40, "n": n}
        assert step["attributes"] == {"clean": "yes", "card": WITHHELD}
        assert (tool["input"], tool["output"]) == (WITHHELD, WITHHELD)
    brought_in(store)
    assert b"SECRET" not in held(store).replace((tmp_path / "program.py").read_bytes(), b"")


@pytest.mark.parametrize("end", ["assert agentops.flush(); die()", "assert agentops.shutdown(); die()", ""])
def test_flush_shutdown_and_the_end_of_the_program_write_all(program: Any, read: Any, tmp_path: Path, end: str) -> None:
    done = program(
        DETECTOR
        + f"""
detector = Detector(takes_s=0.005)
agentops.init(redact=Redactor(detector))
for n in range(30):
    with span(f"step {{n}}", input=f"{{LONG}} SECRET {{n}}"): pass
assert recorder.screening._queue
detector.may_look.set()
{end}
"""
    )
    assert done.returncode == (-9 if end else 0), done.stderr
    inputs = {one["name"]: one["input"] for one in read(tmp_path / "traces.db")}
    assert inputs == {f"step {n}": f"{'clean words ' * 40} <WORD> {n}" for n in range(30)}


@pytest.mark.parametrize("way", ["wait", "withhold"])
def test_eight_megabytes_wait_at_most(program: Any, read: Any, tmp_path: Path, way: str) -> None:
    done = program(
        DETECTOR
        + f"""
detector = Detector(takes_s=0.001)
agentops.init(redact=Redactor(detector, when_full={way!r}))
if {way!r} == "wait":
    detector.may_look.set()
with span("first", input="SECRET"): pass
agentops.flush() if {way!r} == "wait" else None
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
waited = 0
for n in range(160):
    with span(f"step {{n}}", input=f"SECRET {{n}} " + chr(97 + n % 26) * 500_000): pass
    waited = max(waited, sum(len(item[3]) for item in recorder.screening._queue))
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
detector.may_look.set()
assert agentops.flush()
print(waited, grown)
"""
    )
    assert done.returncode == 0, done.stderr
    waited, grown_kb = map(int, done.stdout.split())
    assert waited <= 8 << 20
    assert grown_kb < 48 << 10, "80 MB were recorded"
    inputs = [one["input"] for one in read(tmp_path / "traces.db") if one["name"] != "first"]
    assert len(inputs) == 160
    redacted = sum(text.startswith("<WORD> ") and len(text) > 500_000 for text in inputs)
    assert (redacted, inputs.count(FULL)) == ((160, 0) if way == "wait" else (16, 144))


def test_a_fork_while_contents_wait_loses_none_and_doubles_none(program: Any, read: Any, tmp_path: Path) -> None:
    done = program(
        DETECTOR
        + """
detector = Detector(takes_s=0.002)
agentops.init(redact=Redactor(detector))
for n in range(20):
    with span(f"before {n}", input=f"{LONG} SECRET before {n}"): pass
detector.looks.wait()
children = []
for child in range(3):
    pid = os.fork()
    if not pid:
        detector.may_look.set()
        with span(f"child {child}", input=f"{LONG} SECRET child {child}"): pass
        agentops.shutdown()
        os._exit(0)
    children.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
detector.may_look.set()
for n in range(20):
    with span(f"after {n}", input=f"{LONG} SECRET after {n}"): pass
"""
    )
    assert done.returncode == 0, done.stderr
    spans = read(tmp_path / "traces.db")
    names = [f"{when} {n}" for when in ("before", "after") for n in range(20)] + [f"child {n}" for n in range(3)]
    assert sorted(one["name"] for one in spans) == sorted(names)
    assert {one["input"] for one in spans} == {f"{'clean words ' * 40} <WORD> {name}" for name in names}


def test_a_fork_while_detectors_are_loaded_leaves_the_child_able_to_redact(
    program: Any, read: Any, tmp_path: Path
) -> None:
    done = program(
        DETECTOR
        + """
class Loads(Detector):
    lock, loading, loaded = threading.Lock(), threading.Event(), False
    def warm(self):
        with self.lock:
            self.loading.set()
            time.sleep(0 if self.loaded else 0.5)
            self.loaded = True
    def find(self, text):
        with self.lock:
            return super().find(text)
detector = Loads()
detector.may_look.set()
agentops.init(redact=Redactor(detector))
with span("parent", input=f"{LONG} SECRET"): pass
detector.loading.wait()
pid = os.fork()
if not pid:
    signal.alarm(20)
    with span("child SECRET", input=f"{LONG} SECRET"): pass
    agentops.shutdown()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""
    )
    assert done.returncode == 0, done.stderr
    spans = by_name(read(tmp_path / "traces.db"))
    assert spans["parent"]["input"] == spans["child <WORD>"]["input"] == f"{'clean words ' * 40} <WORD>"


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_processes_of_multiprocessing_redact_by_the_environment(
    program: Any, read: Any, tmp_path: Path, way: str
) -> None:
    token = "ghp_" + "k2w8y2e8r3y7x4n8v5z4r4y7q2l7x6q8z4h0"
    done = program(
        f"""
        import multiprocessing
        from agentops import span
        def work(n):
            with span(f"work {{n}}", input="with the token {token} " * 9):
                pass
        if __name__ == "__main__":
            with span("above", input="with the token {token}"):
                context = multiprocessing.get_context({way!r})
                workers = [context.Process(target=work, args=(n,)) for n in range(2)]
                for one in workers: one.start()
                for one in workers: one.join()
        """,
        AGENTOPS_REDACT="secrets",
    )
    assert done.returncode == 0, done.stderr
    spans = by_name(read(tmp_path / "traces.db"))
    assert set(spans) == {"above", "work 0", "work 1"}
    assert all("<GITHUB" in one["input"] and token not in str(one) for one in spans.values())


@pytest.mark.parametrize("where", ["find", "may_hold", "warm"])
def test_what_a_failing_detector_could_not_look_through_is_withheld(
    program: Any, read: Any, tmp_path: Path, where: str
) -> None:
    done = program(
        DETECTOR
        + f"""
import logging
logging.basicConfig()
class Fails(Detector):
    def {where}(self, text=None):
        raise ValueError(f"cannot look at {{text}} SECRET")
agentops.init(redact=Redactor(Fails()))
for n in range(20):
    with span(f"step {{n}}", input={{"card": "SECRET", "n": n}}, session="SECRET") as s:
        s.set_attribute("SECRET", LONG + "SECRET")
        s.add_event("SECRET", {{"what": "SECRET"}})
        s.output = LONG + "SECRET"
with span("error SECRET"):
    s.set_status(1)
agentops.shutdown()
""",
        AGENTOPS_RAISE="0",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("redactor failed") == done.stderr.count("WARNING") == 1
    assert "SECRET" not in done.stderr
    spans = read(tmp_path / "traces.db")
    assert len(spans) == 21
    assert {one["status"] for one in spans} == {"ok"}
    steps = [one for one in spans if one.get("input")]
    assert all("withheld" in str(one["input"]) and "withheld" in str(one["output"]) for one in steps)
    assert b"SECRET" not in held(tmp_path / "traces.db").replace((tmp_path / "program.py").read_bytes(), b"")


def test_contents_wait_over_the_rotation_of_journals(program: Any, read: Any, tmp_path: Path) -> None:
    done = program(
        DETECTOR
        + """
import pathlib
detector = Detector()
agentops.init(redact=Redactor(detector))
with span("first", input=f"{LONG} SECRET"): pass
for n in range(30):
    with span(f"step {n}", input=f"{n} " + "x" * 500_000) as s:
        s.output = f"{LONG} SECRET {n}"
assert recorder._journals_opened > 3
detector.may_look.set()
agentops.shutdown()
assert not list(pathlib.Path("traces.journal").iterdir())
"""
    )
    assert done.returncode == 0, done.stderr
    spans = by_name(read(tmp_path / "traces.db"))
    assert spans["first"]["input"] == f"{'clean words ' * 40} <WORD>"
    assert [spans[f"step {n}"]["output"] for n in range(30)] == [f"{'clean words ' * 40} <WORD> {n}" for n in range(30)]


def test_a_signal_handler_records_while_its_thread_waits_for_the_redactor(
    program: Any, read: Any, tmp_path: Path
) -> None:
    done = program(
        DETECTOR
        + """
detector = Detector(takes_s=0.001)
detector.may_look.set()
agentops.init(redact=Redactor(detector))
told = 0
def tell(*_):
    global told
    told += 1
    with span(f"told {told}", input=f"{LONG} SECRET told {told}"): pass
signal.signal(signal.SIGALRM, tell)
signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
for n in range(60):
    with span(f"step {n}", input=f"SECRET {n}" + "x" * 500_000): pass
agentops.flush()
signal.setitimer(signal.ITIMER_REAL, 0, 0)
agentops.flush()
print(told)
"""
    )
    assert done.returncode == 0, done.stderr
    told = int(done.stdout)
    spans = read(tmp_path / "traces.db")
    assert told > 3
    assert len(spans) == 60 + told
    assert all("<WORD>" in one["input"] for one in spans if one["name"].startswith("step"))
    assert all(
        "<WORD>" in one["input"] or "redactor itself" in one["input"] for one in spans if one["name"][:4] == "told"
    )


def test_another_redactor_does_not_lose_what_waits_for_the_one_before(program: Any, read: Any, tmp_path: Path) -> None:
    done = program(
        DETECTOR
        + """
first, second = Detector(takes_s=0.01), Detector()
first.may_look.set(), second.may_look.set()
agentops.init(redact=Redactor(first))
for n in range(10):
    with span(f"step {n}", input=f"{LONG} SECRET"): pass
agentops.init(redact=Redactor(second, operator=lambda kind, text: "<other>"))
with span("step 10", input=f"{LONG} SECRET"): pass
"""
    )
    assert done.returncode == 0, done.stderr
    inputs = {one["name"]: one["input"].removeprefix("clean words " * 40) for one in read(tmp_path / "traces.db")}
    assert inputs == {f"step {n}": " <other>" if n == 10 else " <WORD>" for n in range(11)}


@pytest.mark.skipif(not TELLS, reason="a child that is forked without Python's hooks is not told from its parent here")
def test_a_child_forked_without_pythons_hooks_writes_its_own(program: Any, read: Any, tmp_path: Path) -> None:
    done = program(
        DETECTOR
        + """
import ctypes
detector = Detector(takes_s=0.001)
detector.may_look.set()
agentops.init(redact=Redactor(detector))
with span("first", input="SECRET"): pass
agentops.flush()
child = ctypes.PyDLL(None).fork()
who = "child" if child == 0 else "parent"
for n in range(20):
    with span(f"{who} {n}", input=f"{LONG} SECRET {who} {n}"): pass
if child == 0:
    assert agentops.flush()
    die()
os.waitpid(child, 0)
"""
    )
    assert done.returncode == 0, done.stderr
    inputs = {one["name"]: one["input"] for one in read(tmp_path / "traces.db")}
    names = [f"{who} {n}" for who in ("child", "parent") for n in range(20)]
    assert inputs == {"first": "<WORD>", **{name: f"{'clean words ' * 40} <WORD> {name}" for name in names}}


def test_what_waited_is_stored_once_whichever_program_sent_it(program: Any, read: Any, tmp_path: Path) -> None:
    store = tmp_path / "traces.db"
    for _ in range(3):
        program(
            """
            import random
            import agentops
            from agentops import span
            agentops.init(redact="secrets")
            text = random.Random(1).randbytes(20_000).hex() + " password: hunter2-Xq9z"
            with span("asks", input={"messages": [{"role": "user", "content": text}, "again"]}): pass
            agentops.shutdown()
            """
        )
    given = [one["input"]["messages"] for one in read(store)]
    assert len(given) == 3 and given[0] == given[1] == given[2]
    assert given[0][0]["content"].endswith("password: <PASSWORD>") and given[0][1] == "again"
    with contextlib.closing(sqlite3.connect(store)) as connection:
        ((large,),) = connection.execute("SELECT count(*) FROM fresh WHERE length(data) > 30000").fetchall()
        (packed,) = connection.execute("SELECT ifnull(sum(length(data)), 0) FROM blocks").fetchone()
    assert large + packed // 20_000 <= 1
