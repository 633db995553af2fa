"""Programs that die at a labelled place under `agentops run`: `why` says how, in which phase, and in which span."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agentops.errors import AgentopsError
from agentops.store.reader import Reader
from agentops.store.schema import signed
from examples.stand_in import Reply, StandIn, Text

BIN = Path(sys.executable).parent
CGROUP = Path("/sys/fs/cgroup/memory")

#: What all programs share. `die` stands in each of them, and is called inside the span that is the right answer.
PROGRAM = """
import asyncio, contextvars, ctypes, faulthandler, json, os, resource, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from agentops import flush, span

plan = json.loads(sys.argv[1])

def idle():
    threading.Event().wait()

def talk():
    while True:
        with span("beside", kind="tool"):
            pass
        time.sleep(0.05)

def note(s):
    with open("truth.part", "w") as file:
        json.dump({"span_id": s and s.span_id, "pid": os.getpid()}, file)
    os.rename("truth.part", "truth")

def descend(names):
    if names:
        with span(names[0], kind="agent", input={"to do": names}):
            with span("ask", kind="llm", input="what next?") as s:
                s.output = "the next"
            descend(names[1:])
    elif plan["kind"] == "stream":
        import anthropic
        client = anthropic.Anthropic(base_url=plan["url"], api_key="any")
        question = {"model": "claude-sonnet-4-5", "max_tokens": 99, "messages": [{"role": "user", "content": "Count."}]}
        note(None)
        die(client, question)
    else:
        with span(plan["name"], kind=plan["kind"], input={"n": 1}) as s:
            note(s)
            die()

def work():
    descend(plan["above"])

for n in range(plan["idle"]):
    threading.Thread(target=idle, daemon=True).start()
for n in range(plan["talking"]):
    threading.Thread(target=talk, daemon=True).start()
"""

ENTRIES = {
    "main": "\nwork()\n",
    "pool": "\nwith ThreadPoolExecutor() as pool: pool.submit(contextvars.copy_context().run, work).result()\n",
    "asyncio": "\nasync def main(): work()\nasyncio.run(main())\n",
    "to_thread": "\nasync def main(): await asyncio.to_thread(work)\nasyncio.run(main())\n",
}


class Place(NamedTuple):
    """Where and how a program dies, and what `why` has to say of it.

    code: of the function `die`. kinds: of the span in which it dies. cause, phase: one phase for each kind.
    killed: the test kills the program, once the stacks of the span were noted.
    limit: bytes of a memory cgroup that the program is in.
    """

    code: str
    cause: str
    phases: dict[str, str]
    killed: bool = False
    entries: tuple[str, ...] = ("main", "pool", "asyncio", "to_thread")
    limit: int = 0


BY_KIND = {"tool": "tool", "retrieval": "tool", "agent": "code", "llm": "model call"}

PLACES = {
    "killed in a tool": Place("os.kill(os.getpid(), signal.SIGKILL)", "killed", BY_KIND),
    "terminated in a tool": Place("os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", "killed", BY_KIND),
    "killed in a slow tool": Place("time.sleep(600)", "killed", BY_KIND, killed=True),
    "native crash": Place("faulthandler._sigsegv()", "native crash", BY_KIND),
    "native crash in a library": Place("ctypes.string_at(0)", "native crash", BY_KIND),
    "abort": Place("os.abort()", "native crash", BY_KIND),
    "waiting for a lock": Place(
        """
    lock, held = threading.Lock(), threading.Event()
    def hold():
        with lock:
            held.set()
            time.sleep(600)
    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    with lock:
        pass
        """,
        "killed",
        dict.fromkeys(BY_KIND, "lock"),
        killed=True,
    ),
    "deadlock": Place(
        """
    first, second = threading.Lock(), threading.Lock()
    both = threading.Barrier(2)
    def other():
        with second:
            both.wait()
            with first:
                pass
    threading.Thread(target=other, daemon=True).start()
    with first:
        both.wait()
        with second:
            pass
        """,
        "killed",
        dict.fromkeys(BY_KIND, "deadlock"),
        killed=True,
    ),
    "endless loop": Place(
        """
    n = 0
    while True:
        n += 1
        """,
        "killed",
        dict.fromkeys(("tool", "agent", "retrieval"), "loop"),
        killed=True,
    ),
    "sys.exit deep in a callback": Place(
        """
    def callback(depth):
        if not depth:
            sys.exit(3)
        return [callback(depth - 1) for _ in range(1)]
    sorted([3, 1, 2], key=lambda n: callback(n + 5))
        """,
        "exit",
        BY_KIND,
    ),
    "MemoryError": Place(
        """
    resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))
    kept = []
    while True:
        kept.append(bytes(64 << 20))
        """,
        "out of memory",
        BY_KIND,
        entries=("main", "pool"),  # asyncio begins a thread when it ends, and fails at that instead
    ),
    "between two chunks of a stream": Place(
        """
    with client.messages.create(stream=True, **question) as stream:
        for n, event in enumerate(stream):
            if n == 2 + plan["chunks"]:
                os.kill(os.getpid(), signal.SIGKILL)
        """,
        "killed",
        {"stream": "stream"},
    ),
    "out of memory": Place(
        """
    kept = []
    while True:
        kept.append(bytearray(b"x") * (4 << 20))
        """,
        "out of memory",
        BY_KIND,
        limit=160 << 20,
    ),
    "killed while ingesting": Place(
        """
    for n in range(3000):
        with span(f"record {n}", input=os.urandom(500).hex()):
            pass
    def kill():
        time.sleep(0.03)
        os.kill(os.getpid(), signal.SIGKILL)
    threading.Thread(target=kill, daemon=True).start()
    flush()
        """,
        "killed",
        dict.fromkeys(BY_KIND, "ingest"),
        entries=("main", "pool"),
    ),
}


@pytest.fixture
def group() -> Iterator[Callable[[int], Path]]:
    """Makes a memory cgroup with a limit in bytes."""
    made: list[Path] = []

    def make(limit: int) -> Path:
        folder = CGROUP / f"agentops-test-{os.getpid()}-{len(made)}"
        try:
            folder.mkdir()
            made.append(folder)
            (folder / "memory.limit_in_bytes").write_text(str(limit))
        except OSError as problem:
            pytest.skip(f"no memory cgroup can be made here: {problem}")
        return folder

    yield make
    for folder in made:
        end = time.monotonic() + 10
        while folder.exists() and time.monotonic() < end:
            try:
                folder.rmdir()
            except OSError:  # its last process is not quite gone
                time.sleep(0.05)


@pytest.fixture
def url() -> Iterator[str]:
    """Of a model that counts to sixty, a few numbers at a time."""
    with StandIn(lambda _: Reply((Text(COUNTED),), chunk_delay_s=0.02)) as server:
        yield server.url


COUNTED = " ".join(map(str, range(1, 61)))
Group = Callable[[int], Path]


class Told(NamedTuple):
    """What `why --json` told of a death, beside the truth."""

    place: str
    death: dict[str, Any]
    cause: str
    phase: str
    span_id: str
    headline: str

    @property
    def wrong(self) -> list[str]:
        names = ("cause", "phase", "span_id")
        return [f"{name}: {self.death[name]}" for name in names if self.death[name] != getattr(self, name)]


def dies(folder: Path, label: str, seed: int, group: Group, url: str) -> Told:
    """Have a program die at a place, in a way that the seed varies, and ask `why`."""
    place, draw = PLACES[label], random.Random(seed)
    kind = draw.choice(list(place.phases))
    plan = {
        "name": draw.choice(["parse_pdf", "suche", "計算", "a tool with spaces", "fetch"]) + str(draw.randrange(100)),
        "kind": kind,
        "above": [f"step {n}" for n in range(draw.randrange(5))],
        "idle": draw.randrange(3),
        "talking": draw.randrange(2),
        "url": url,
        "chunks": draw.randrange(1, 8),
    }
    (folder / "agent.py").write_text(
        PROGRAM
        + f"def die(client=None, question=None):\n    {place.code.strip()}\n"
        + ENTRIES[draw.choice(place.entries)]
    )
    command = [sys.executable, "agent.py", json.dumps(plan)]
    if place.limit:
        inside = group(place.limit) / "cgroup.procs"
        command = ["sh", "-c", f'echo $$ > {inside}; exec "$@"', "sh", *command]
    foreign = ("AGENTOPS_", "ANTHROPIC_", "OTEL_", "PYTHON")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
        "AGENTOPS_STORE": str(folder / "traces.db"),
        "AGENTOPS_WATCH_AFTER": "0.3",
        "NO_PROXY": "127.0.0.1",
    }
    watched = subprocess.Popen(
        [BIN / "agentops", "run", "--", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        truth = folder / "truth"
        if place.killed:
            wait_for(truth.exists)
            span_id = json.loads(truth.read_text())["span_id"]
            wait_for(lambda: noted(folder / "traces.db", span_id))
            os.kill(json.loads(truth.read_text())["pid"], signal.SIGKILL)
        _, said = watched.communicate(timeout=60)
    finally:
        watched.kill()
        watched.wait()
    assert truth.exists(), said
    why = subprocess.run(
        [BIN / "agentops", "why", "--json"], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert why.returncode == 0, why.stderr
    found = json.loads(why.stdout)
    assert found["death"] is not None, (found["headline"], said)
    right = json.loads(truth.read_text())["span_id"] or the_call(folder / "traces.db")
    return Told(label, found["death"], place.cause, place.phases[kind], right, found["headline"])


def the_call(store: Path) -> str:
    """Id of the client's span, which the program itself does not know."""
    with Reader(str(store)) as reader:
        [call] = [row for row in reader.spans(reader.trace("latest")) if row.name.startswith("chat ")]
    return call.hex_id


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def noted(store: Path, span_id: str) -> bool:
    """Whether the watchdog has noted stacks on a span."""
    if not store.exists():
        return False
    try:
        with Reader(str(store)) as reader:
            detail = reader.span(reader.trace("latest"), signed(int(span_id, 16)))
    except AgentopsError:  # it is not there yet
        return False
    return any(event.name == "stacks" for event in detail.events)


@pytest.mark.parametrize("label", PLACES)
def test_why_says_how_where_and_in_which_span_a_program_died(
    tmp_path: Path, group: Group, url: str, label: str
) -> None:
    told = dies(tmp_path, label, 7, group, url)
    assert not told.wrong, told


def test_what_came_of_a_stream_is_on_record_although_the_call_never_ended(
    tmp_path: Path, group: Group, url: str
) -> None:
    told = dies(tmp_path, "between two chunks of a stream", 3, group, url)
    assert not told.wrong, told
    answered = told.death["answered"]
    assert COUNTED.startswith(answered) and 3 < len(answered) < len(COUNTED) and told.death["chunks"] >= 1
    assert "between two chunks of its answer" in told.headline
    environment = {**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db")}
    shown = subprocess.run(
        [BIN / "agentops", "show", "--content"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert shown.returncode == 0 and answered[:5] in shown.stdout, shown.stdout


@pytest.mark.proof
def test_of_200_deaths_why_names_phase_span_and_cause(
    tmp_path: Path, group: Group, url: str, record_property: Callable[[str, object], None]
) -> None:
    deaths = int(os.environ.get("AGENTOPS_DEATHS", "200"))
    labels = list(PLACES)

    def one(seed: int) -> Told:
        folder = tmp_path / str(seed)
        folder.mkdir()
        return dies(folder, labels[seed % len(labels)], seed, group, url)

    with ThreadPoolExecutor(2) as pool:
        all_told = list(pool.map(one, range(deaths)))
    missed = [(seed, told.place, told.wrong) for seed, told in enumerate(all_told) if told.wrong]
    lies = [told for told in all_told if told.death["span_id"] not in (None, told.span_id)]
    record_property("programs that died", deaths)
    record_property("phase, span and cause rightly named", deaths - len(missed))
    record_property("a wrong span named", len(lies))
    record_property("at the places", json.dumps(Counter(told.place for told in all_told)))
    assert not lies, lies
    assert deaths - len(missed) >= deaths * 195 / 200, missed
