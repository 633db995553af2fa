"""What `export --to jsonl` wrote goes into another store, and comes out of it the same."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.trace import Link, SpanContext, StatusCode

import agentops
from agentops import span
from agentops.cli.schemas import SCHEMAS
from agentops.conventions import KINDS
from agentops.exporters.jsonl import lines
from agentops.importers.spans import SpanLine, span_of
from agentops.importers.writing import Importer
from agentops.recorder.recorder import recorder
from agentops.store.reader import Reader

_counter = itertools.count()
_here = settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # each example writes stores: looking for a smaller one takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def exported(store: Path) -> list[str]:
    with Reader(str(store)) as reader:
        return list(lines(reader, reader.iter_traces()))


def cut_off(texts: list[str]) -> list[str]:
    """As they come out of a store into which they were imported: nobody there goes on with what was running."""
    return [text.replace('"status": "running"', '"status": "interrupted"') for text in texts]


def same(found: list[str], expected: list[str]) -> None:
    """Line for line; a difference is shown for its field alone."""
    for one, other in zip(found, expected, strict=True):
        if one != other:
            left, right = json.loads(one), json.loads(other)
            for name in right:
                assert json.dumps(left[name]) == json.dumps(right[name]), name
            assert one == other


def imported(store: Path, texts: list[str]) -> tuple[int, int, int]:
    """Imports lines; how many spans were new, were known, and were completed."""
    with Importer(str(store)) as importer:
        for text in texts:
            importer.add(span_of(json.loads(text)), len(text), newest_first=True)
        importer.flush()
        return importer.imported, importer.known, importer.completed


@pytest.fixture
def fresh(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Has this process record into a new store, and gives its path."""

    def fresh() -> Path:
        agentops.shutdown()
        recorder.store = recorder._place = None
        path = tmp_path / f"store-{next(_counter)}.db"
        monkeypatch.setenv("AGENTOPS_STORE", str(path))
        return path

    return fresh


@pytest.fixture
def other(tmp_path: Path) -> Callable[[], Path]:
    """Gives the path of a store that is not there yet."""
    return lambda: tmp_path / f"other-{next(_counter)}" / "traces.db"


texts = st.text(st.characters(), max_size=40) | st.sampled_from(["x" * 200, "é" * 150, "\ud800", "\x00\x1b[31m", "NaN"])
scalars = st.none() | st.booleans() | st.integers() | st.integers(-(10**40), 10**40) | st.floats() | texts
values = st.recursive(
    scalars | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
attributes = st.dictionaries(
    st.sampled_from(["a", "b", "gen_ai.usage.input_tokens", "llm.cost.total", "gen_ai.request.model", "\ud800"])
    | texts,
    values,
    max_size=4,
)
scopes = st.fixed_dictionaries(
    {},
    optional={
        "session": texts,
        "user": texts,
        "tags": st.lists(texts, max_size=3),
        "metadata": st.dictionaries(texts, values, max_size=3),
    },
)
links = st.lists(
    st.builds(
        lambda trace, one, facts: Link(SpanContext(trace, one, is_remote=True), facts),
        st.integers(1, 2**128 - 1),
        st.integers(1, 2**64 - 1),
        attributes,
    ),
    max_size=2,
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["open", "open", "close", "fail", "event", "output", "attribute", "error", "rename", "leave"]),
        texts,
        values,
        attributes,
        scopes,
        links,
        st.sampled_from(KINDS),
    ),
    min_size=1,
    max_size=25,
)


def record(steps: list[Any]) -> None:
    """Records what `steps` say; spans that no step closes stay open."""
    entered: list[Any] = []
    for what, text, value, facts, scope, others, kind in steps:
        if what == "open" or not entered:
            new = span(text, kind=kind, input=value, attributes=facts, links=others, **scope)
            new.__enter__()
            entered.append(new)
            continue
        at = entered[-1]
        if what == "close":
            entered.pop().__exit__(None, None, None)
        elif what == "fail":
            problem = ValueError(text)
            entered.pop().__exit__(type(problem), problem, None)
        elif what == "event":
            at.add_event(text, facts, 1_700_000_000_000_000_000 + len(text) % 2)
        elif what == "output":
            at.output = value
        elif what == "attribute":
            at.set_attribute(text, value)
        elif what == "error":
            at.set_status(StatusCode.ERROR, text)
        elif what == "rename":
            at.update_name(text)
        else:  # left, not ended
            at.checkpoint()
    for left in reversed(entered):
        left.checkpoint()
        if left._token is not None:
            from agentops.trace.span import _detach

            _detach(left._token)
            left._token = None


@_here
@given(steps, st.booleans())
def test_all_that_can_be_recorded_comes_out_as_it_went_in(
    fresh: Callable[[], Path], other: Callable[[], Path], steps: list[Any], has_ended: bool
) -> None:
    store = fresh()
    record(steps)
    assert agentops.flush()
    if has_ended:
        agentops.shutdown()
    first = exported(store)
    there = other()
    assert imported(there, first) == (len(first), 0, 0)
    same(exported(there), cut_off(first))
    assert imported(there, first)[0] == imported(store, first)[0] == 0
    assert exported(there) == cut_off(first)
    assert exported(store) == first


@_here
@given(steps, steps)
def test_a_newer_export_of_a_run_that_was_running_completes_it(
    fresh: Callable[[], Path], other: Callable[[], Path], before: list[Any], after: list[Any]
) -> None:
    store = fresh()
    root = span("root", kind="agent", session="s")
    with root:
        record(before)
        root.checkpoint()
        agentops.flush()
        there = other()
        early = exported(store)
        imported(there, early)
        same(exported(there), cut_off(early))
        record(after)
        root.set_attribute("said", "late")
        root.output = {"said": "x" * 300}
    agentops.shutdown()
    late = exported(store)
    imported(there, late)
    ended = [text for text in late if json.loads(text)["end_time_unix_nano"] is not None]
    found = exported(there)
    same([text for text in found if json.loads(text)["end_time_unix_nano"] is not None], ended)
    assert [_open(text) for text in found] == [_open(text) for text in late]
    assert imported(there, late)[0] == 0
    assert exported(there) == found


def _open(text: str) -> Any:
    fields = json.loads(text)
    return fields["span_id"], fields["status"], len(fields["events"])


def test_all_fields_of_an_exported_line_are_taken() -> None:
    taken = {field.name for field in msgspec.structs.fields(SpanLine)}
    assert taken == set(SCHEMAS["export"].model_fields)


def test_what_is_large_or_deep_or_resent_comes_out_as_it_went_in(store: Path, other: Callable[[], Path]) -> None:
    deep: Any = "bottom"
    for _ in range(400):
        deep = [deep]
    history: list[Any] = []
    with span("run", kind="agent", input={"deep": deep, "text": "é" * 3_000_000}, tags=["a", "b"]):
        for turn in range(30):
            history.append({"role": "user", "content": [{"type": "text", "text": f"{turn} " * 100}]})
            with span("chat", kind="llm", input={"system": "s" * 500, "messages": list(history)}) as call:
                call.output = history[-1]
                call.set_attribute("raw", history[-1]["content"])
        with span("untagged", tags=[]), span("inside"):
            pass
    agentops.shutdown()
    first = exported(store)
    there = other()
    imported(there, first)
    same(exported(there), first)
    assert there.stat().st_size < 2 * store.stat().st_size


def test_spans_of_other_libraries_keep_what_opentelemetry_says_of_them(
    program: Callable[..., Any], store: Path, other: Callable[[], Path]
) -> None:
    program(
        """
        from opentelemetry import trace
        from opentelemetry.trace import SpanKind, StatusCode
        import agentops
        agentops.init(otel=True)
        tracer = trace.get_tracer("some.library", "1.2.3")
        with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER) as s:
            s.set_status(StatusCode.OK)
            with tracer.start_as_current_span("chat", kind=SpanKind.CLIENT) as s:
                s.set_attribute("gen_ai.operation.name", "chat")
                s.set_attribute("input.value", "Hi")
            with trace.get_tracer("bare").start_as_current_span("step"):
                pass
        """
    )
    texts = exported(store)
    assert [json.loads(text)["library"] for text in texts] == [
        {"name": "some.library", "version": "1.2.3", "span_kind": "SERVER", "set_ok": True},
        {"name": "some.library", "version": "1.2.3", "span_kind": "CLIENT", "set_ok": False},
        {"name": "bare", "version": None, "span_kind": "INTERNAL", "set_ok": False},
    ]
    second = other()
    imported(second, texts)
    same(exported(second), texts)


def test_runs_that_began_at_the_same_moment_keep_their_order(store: Path, other: Callable[[], Path]) -> None:
    from opentelemetry import trace

    agentops.init(otel=True)
    tracer = trace.get_tracer("some.library")
    for n in range(5):
        tracer.start_span(f"run {n}", start_time=10**18).end(10**18)
    agentops.flush()
    first = exported(store)
    there = other()
    imported(there, first)
    same(exported(there), first)


def test_the_spans_of_a_run_may_come_in_any_order_and_far_apart(store: Path, other: Callable[[], Path]) -> None:
    with span("run", session="s", tags=["a"], metadata={"n": 1}):
        for n in range(1500):
            with span(f"step {n}"), span("inside"):
                pass
    with span("another"):
        pass
    agentops.shutdown()
    first = exported(store)
    for texts in (first, list(reversed(first)), first[1::2] + first[::2]):
        there = other()
        imported(there, texts)
        same(sorted(exported(there)), sorted(first))
        with Reader(str(there)) as reader:
            assert [(t.name, t.spans, t.session) for t in reader.traces()] == [("another", 1, None), ("run", 3001, "s")]
