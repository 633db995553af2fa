"""From journals into the store: the same whenever, how often, by how many and in what order it is brought in."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import agentops
from agentops import span
from agentops.errors import StoreError
from agentops.exporters.jsonl import record
from agentops.journal.format import CLOSED, END, EVENT, ROTATED, SCORE, START, UPDATE, encode, reference
from agentops.recorder.writer import Journal, Place
from agentops.store.ingest import Ingester
from agentops.store.location import journal_folder, prepare
from agentops.store.reader import Reader

# -- a program, brought in at any moments ----------------------------------------------------------------

SMALL = st.sampled_from(["done", 5, None, ["a"], {"k": "v"}, True, 2.5])
LARGE = st.sampled_from([["x" * 300], {"messages": ["y" * 300, "z"], "system": "s" * 200}, "w" * 300, "é" * 200])
KEYS = st.sampled_from(["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.request.model", "other"])
STEP = st.one_of(
    st.tuples(st.just("open"), st.sampled_from(["llm", "tool", "embedding", "agent"])),
    st.tuples(st.just("close"), st.booleans()),
    st.tuples(st.just("input"), LARGE | st.sampled_from(["asked", {"q": 1}])),
    st.tuples(st.just("output"), SMALL | LARGE),
    st.tuples(st.just("attribute"), st.tuples(KEYS, st.integers(0, 50))),
    st.tuples(st.just("attribute"), st.tuples(st.just("note"), SMALL | LARGE)),
    st.tuples(st.just("event"), st.sampled_from(["retry", "chunk"])),
    st.tuples(st.just("rename"), st.sampled_from(["better name", "best name"])),
    st.tuples(st.just("checkpoint"), st.none()),
    st.tuples(st.just("flush"), st.none()),
)
FACTS = ("name", "kind", "status", "parent_span_id", "input", "output", "attributes", "events")


def play(steps: list[tuple[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Runs a program of `steps`; gives the trace's id and what should be on record, oldest span first."""
    records: list[dict[str, Any]] = []
    stack: list[tuple[agentops.Span, dict[str, Any]]] = []

    def open_(name: str, kind: Any) -> None:
        made = span(name, kind=kind)
        parent = stack[-1][0].span_id if stack else None
        expected = dict(zip(FACTS, (name, kind, "ok", parent, None, None, {}, []), strict=True))
        records.append(expected)
        stack.append((made.__enter__(), expected))

    def close(failed: bool) -> None:
        ended, expected = stack.pop()
        problem = ValueError("no") if failed else None
        ended.__exit__(type(problem) if problem else None, problem, None)
        expected["status"] = "error" if failed else "ok"

    open_("root", "agent")
    trace = stack[0][0].trace_id
    for what, value in steps:
        current, expected = stack[-1]
        match what:
            case "open" if value != expected["kind"] or value not in ("llm", "embedding"):
                open_("step", value)  # else both would report one call: see test_calls_count_once.py
            case "close" if len(stack) > 1:
                close(value)
            case "input" | "output":
                setattr(current, what, value)
                expected[what] = value
            case "attribute":
                current.set_attribute(*value)
                expected["attributes"][value[0]] = value[1]
            case "event":
                current.add_event(value)
                expected["events"].append(value)
            case "rename":
                current.update_name(value)
                expected["name"] = value
            case "checkpoint":
                current.checkpoint()
            case "flush":
                agentops.flush()
    while stack:
        close(False)
    agentops.flush()
    return trace, records


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, max_size=25))
@example([("output", ["x" * 300]), ("flush", None), ("output", "done")])
@example([("input", ["x" * 300]), ("flush", None), ("input", "asked")])
def test_what_is_on_record_does_not_depend_on_when_it_was_brought_in(store: Path, steps: list[tuple[str, Any]]) -> None:
    trace, expected = play(steps)
    with Reader(str(store)) as reader:
        found = [record(detail) for detail in reader.details(reader.trace(trace))]
    for one in found:
        one["events"] = [event["name"] for event in one["events"]]
    assert [{fact: one[fact] for fact in FACTS} for one in found] == expected


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, max_size=25))
@example(
    [
        ("open", "llm"),
        ("attribute", ("gen_ai.usage.input_tokens", 10)),
        ("checkpoint", None),
        ("flush", None),
        ("attribute", ("gen_ai.usage.input_tokens", 25)),
        ("attribute", ("gen_ai.usage.output_tokens", 7)),
    ]
)
def test_a_traces_line_is_the_sum_of_its_spans_whenever_they_were_brought_in(
    store: Path, steps: list[tuple[str, Any]]
) -> None:
    trace, expected = play(steps)
    counted = [one["attributes"] for one in expected if one["kind"] in ("llm", "embedding")]
    with Reader(str(store)) as reader:
        row = reader.trace(trace)
    assert (row.spans, row.open, row.name, row.status) == (len(expected), 0, expected[0]["name"], "ok")
    assert row.errors == sum(one["status"] == "error" for one in expected)
    assert row.llm_calls == sum(one["kind"] == "llm" for one in expected)
    assert row.input_tokens == sum(facts.get("gen_ai.usage.input_tokens", 0) for facts in counted)
    assert row.output_tokens == sum(facts.get("gen_ai.usage.output_tokens", 0) for facts in counted)


def test_a_kind_that_another_library_tells_late_counts_as_a_call_of_a_model(program: Any, tmp_path: Path) -> None:
    done = program(
        """
        import agentops
        from opentelemetry import trace
        agentops.init(otel=True)
        with trace.get_tracer("other").start_as_current_span("call") as call:
            agentops.flush()
            call.set_attribute("openinference.span.kind", "LLM")
            call.set_attribute("gen_ai.usage.input_tokens", 12)
        agentops.flush()
        """
    )
    assert done.returncode == 0, done.stderr
    with Reader(str(tmp_path / "traces.db")) as reader:
        row = reader.trace("latest")
        (one,) = reader.spans(row)
    assert (one.kind, one.input_tokens) == ("llm", 12)
    assert (row.kind, row.llm_calls, row.input_tokens) == ("llm", 1, 12)


# -- brought in by several at once -----------------------------------------------------------------------

KILLED = """
import os
import agentops.recorder.recorder as recorder
recorder.POLL_S = recorder.POLL_IDLE_S = 1e6    # all of it stays in the journal
from agentops import score, span
for n in range(30):
    with span("run", kind="agent") as run:
        for _ in range(3):
            with span("call", kind="llm") as call:
                call.set_attribute("gen_ai.usage.input_tokens", 1)
                call.add_event("chunk")
    score("helpful", 1, trace=run)
os.kill(os.getpid(), 9)
"""
READING = """
import sys
from agentops.store.ingest import Ingester
ingester = Ingester(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
ingester.run()
"""


def test_readers_that_begin_at_once_count_nothing_twice(tmp_path: Path, program: Any) -> None:
    store = tmp_path / "traces.db"
    for _ in range(6):
        program(KILLED)
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READING, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for other in readers:
        assert other.stdout is not None and other.stdout.readline() == "ready\n"
    for other in readers:
        assert other.stdin is not None
        other.stdin.write("go\n")
        other.stdin.flush()
    for other in readers:
        other.communicate()
    assert [other.returncode for other in readers] == [0] * 4
    with Reader(str(store)) as reader:
        traces = reader.traces(limit=None)
        scores = sum(len(reader.scores(trace)) for trace in traces)
    assert len(traces) == 6 * 30
    assert {(trace.spans, trace.llm_calls, trace.input_tokens, trace.open) for trace in traces} == {(4, 3, 3, 0)}
    assert scores == 6 * 30


def test_bringing_it_in_again_changes_nothing(tmp_path: Path, program: Any) -> None:
    program(KILLED)
    store = str(tmp_path / "traces.db")
    with Reader(store) as reader:
        before = [(trace, reader.scores(trace)) for trace in reader.traces()]
    for _ in range(3):
        Ingester(store).run(everything=True)
    with Reader(store) as reader:
        assert [(trace, reader.scores(trace)) for trace in reader.traces()] == before
    assert list((tmp_path / "traces.journal").iterdir()) == []


# -- in any order ----------------------------------------------------------------------------------------

TRACE = b"t" * 16
RECORDS: dict[str, tuple[Any, ...]] = {
    "root starts": (START, 1, TRACE, 0, 100, "root", 0),
    "call starts": (START, 2, TRACE, 1, 110, "call", 2, 0, "asked", None, {"early": 1}, {"session": "s-1"}, None),
    "call says": (UPDATE, 2, TRACE, {"late": 1}, 0, "so far", None),
    "event": (EVENT, 2, TRACE, 115, "retry", None, None),
    "call ends": (END, 2, TRACE, 120, 2, {"gen_ai.usage.input_tokens": 5}, 0, "answered", None, ("E", "no", "")),
    "root ends": (END, 1, TRACE, 130, 1, None),
}


def write(store: Path, *journals: list[tuple[Any, ...]], process: int = 7) -> None:
    """Journals of one process that is gone, each of them with `journals`' records."""
    prepare(str(store))
    place = Place(journal_folder(str(store)), (process, 1_000), None, lambda journal: None)
    for sequence, records in enumerate(journals, 1):
        journal = Journal(place, sequence)
        for one in records:
            journal.append(encode(one))
        journal.append(encode((ROTATED if sequence < len(journals) else CLOSED,)))
        journal.abandon()


def seen(store: Path) -> list[Any]:
    with Reader(str(store)) as reader:
        (trace,) = reader.traces()
        return [trace._replace(no=0), *(record(detail) for detail in reader.details(trace))]


@pytest.mark.parametrize(
    ("cut", "turned"),
    [*((cut, False) for cut in range(1, len(RECORDS))), (1, True), (4, True), (5, True)],
    ids=[
        "1 | 5",
        "2 | 4",
        "3 | 3",
        "4 | 2",
        "5 | 1",
        "the root's start last",
        "both ends first",
        "the root's end first",
    ],
)
def test_a_trace_in_two_journals_reads_as_one_in_either_order(tmp_path: Path, cut: int, turned: bool) -> None:
    records = list(RECORDS.values())
    write(tmp_path / "whole.db", records)
    halves = (records[cut:], records[:cut]) if turned else (records[:cut], records[cut:])
    write(tmp_path / "parts.db", *halves)
    assert seen(tmp_path / "parts.db") == seen(tmp_path / "whole.db")


def test_what_is_said_of_a_span_that_nobody_knows_makes_no_trace(tmp_path: Path) -> None:
    write(tmp_path / "traces.db", [(UPDATE, 2, TRACE, {"late": 1}), (EVENT, 2, TRACE, 115, "retry", None, None)])
    with Reader(str(tmp_path / "traces.db")) as reader:
        assert reader.traces() == []


# -- from elsewhere --------------------------------------------------------------------------------------

NUMBER = st.integers(-(2**63), 2**64 - 1) | st.sampled_from([0, 1, 2, -1, 2**63, 2**64 - 1])
TEXT = st.text(max_size=4)
ANY = st.recursive(
    st.none() | NUMBER | st.floats() | TEXT | st.binary(max_size=4) | st.integers(0, 4).map(reference),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | NUMBER | st.binary(max_size=3), inner),
    max_leaves=5,
)
KNOWN = st.sampled_from(["scope", "session", "tags", "metadata", "gen_ai.usage.input_tokens", "gen_ai.request.model"])
FACT = st.none() | st.dictionaries(TEXT | KNOWN, ANY, max_size=3)
TRACES = st.just(TRACE) | st.binary(max_size=20)
DATA = st.binary(max_size=5) | ANY.map(encode) | st.tuples(st.integers(0, 4), st.lists(ANY, max_size=2)).map(encode)
CONTENT = st.none() | st.lists(st.tuples(st.integers(-3, 6) | NUMBER, st.integers(-1, 3), DATA), max_size=2)
HOSTILE = st.one_of(
    st.tuples(st.just(START), NUMBER, TRACES, NUMBER, NUMBER, TEXT, NUMBER, NUMBER, ANY, CONTENT, FACT, FACT),
    st.tuples(st.just(END), NUMBER, TRACES, NUMBER, NUMBER, FACT, NUMBER, ANY, CONTENT),
    st.tuples(st.just(EVENT), NUMBER, TRACES, NUMBER, TEXT, FACT, CONTENT),
    st.tuples(st.just(UPDATE), NUMBER, TRACES, FACT, NUMBER, ANY, CONTENT, NUMBER, ANY),
    st.tuples(st.just(SCORE), TRACES, NUMBER, TEXT, st.floats() | NUMBER | TEXT, st.none() | TEXT, NUMBER),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(HOSTILE, min_size=1, max_size=4))
@example([(START, 1, TRACE, 0, 1, "x", 0, -1, None, [(-3, 0, b"x")])])
@example([(START, 1, TRACE, 0, 1, "x", 0, -1, None, None, None, {"tags": [b"x"]})])
def test_a_journal_from_elsewhere_stops_nobodys_records(
    tmp_path_factory: pytest.TempPathFactory, records: list[Any]
) -> None:
    store = tmp_path_factory.mktemp("hostile") / "traces.db"
    write(store, [*records, (START, 77, b"w" * 16, 0, 1, "witness", 0)], process=7)
    write(store, [(START, 78, b"z" * 16, 0, 1, "of another program", 0)], process=8)
    with Reader(str(store)) as reader:
        names = {trace.name for trace in reader.traces(limit=None)}
        for trace in reader.iter_traces():
            reader.scores(trace)
            json.dumps([record(detail) for detail in reader.details(trace)])
    assert {"witness", "of another program"} <= names


# -- when it cannot be brought in ------------------------------------------------------------------------


def test_a_store_that_another_program_keeps_locked_is_busy_and_nothing_is_lost(
    tmp_path: Path, program: Any, read: Any
) -> None:
    program(KILLED)
    locked = program(
        """
        import sys
        import agentops.store.schema as schema
        from agentops.store.reader import Reader
        holder = schema.connect(sys.argv[1], create=True)
        holder.execute("BEGIN IMMEDIATE")
        schema.BUSY_S = 0.05
        with Reader(sys.argv[1]) as reader:
            print(reader.count(), reader.behind)
        """,
        str(tmp_path / "traces.db"),
    )
    assert locked.stdout.startswith("0 ") and "traces.db is locked by another program" in locked.stdout, locked.stderr
    assert len(read(tmp_path / "traces.db")) == 30 * 4


def test_a_program_goes_on_while_its_store_is_locked(tmp_path: Path, program: Any, read: Any) -> None:
    done = program(
        """
        import sys
        import agentops
        import agentops.store.schema as schema
        schema.BUSY_S = 0.05
        holder = schema.connect(sys.argv[1], create=True)
        holder.execute("BEGIN IMMEDIATE")
        for n in range(50):
            with agentops.span("while locked"): pass
        print(agentops.flush(timeout=0.2))
        holder.execute("ROLLBACK")
        print(agentops.flush())
        """,
        str(tmp_path / "traces.db"),
        AGENTOPS_RAISE="0",
    )
    assert (done.returncode, done.stdout) == (0, "False\nTrue\n"), done.stderr
    assert len(read(tmp_path / "traces.db")) == 50


def test_a_reader_sees_a_running_program_and_leaves_its_journal(tmp_path: Path) -> None:
    source = textwrap.dedent(
        """
        import sys
        from agentops import span
        with span("run", kind="agent", input="asked"):
            with span("step") as step:
                step.output = "done"
            print("ready", flush=True)
            sys.stdin.readline()
        """
    )
    store = tmp_path / "traces.db"
    running = subprocess.Popen(
        [sys.executable, "-c", source],
        env={"AGENTOPS_STORE": str(store)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None and running.stdout.readline() == "ready\n"
        for _ in range(2):
            with Reader(str(store)) as reader:
                (row,) = reader.traces()
                found = {one.row.name: (one.row.status, one.input, one.output) for one in reader.details(row)}
            assert (row.status, row.open, row.spans) == ("running", 1, 2)
            assert found == {"run": ("running", "asked", None), "step": ("ok", None, "done")}
        assert list((tmp_path / "traces.journal").iterdir())
    finally:
        running.communicate("end\n")
    with Reader(str(store)) as reader:
        assert [(row.status, row.open) for row in reader.traces()] == [("ok", 0)]


def test_a_store_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "traces.db").mkdir()
    with pytest.raises(StoreError):
        Ingester(str(tmp_path / "traces.db"))
