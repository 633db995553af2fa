"""Beside OpenTelemetry: no provider, ours, and one that the application set before the first span.

Each in a process of its own, since a provider can be set once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_without_a_provider_the_global_one_stays_free(recorded: Recorded) -> None:
    found = recorded(
        """
with span("ours"):
    with other("not recorded"):
        with span("below"): pass
assert trace._TRACER_PROVIDER is None
application()
with other("late") as s: assert s.is_recording()
""",
    )
    assert found["below"]["parent_span_id"] == found["ours"]["span_id"]
    assert "not recorded" not in found


Recorded = Callable[[str], dict[str, dict[str, Any]]]


def test_with_ours_other_libraries_spans_stand_in_the_same_tree(recorded: Recorded) -> None:
    found = recorded(
        """
agentops.init(otel=True)
with span("root", kind="agent", session="s-1"):
    with other("foreign") as f:
        f.set_attribute("openinference.span.kind", "LLM")
        f.set_attribute("input.value", "asked " * 50)
        f.set_attribute("output.value", "answered")
        f.set_attribute("gen_ai.usage.input_tokens", 12)
        f.add_event("thinking", {"n": 1})
        with span("below", kind="tool"): pass
    try:
        with other("fails"): raise TimeoutError("slow")
    except TimeoutError: pass
""",
    )
    assert found["foreign"]["parent_span_id"] == found["root"]["span_id"]
    assert found["below"]["parent_span_id"] == found["foreign"]["span_id"]
    assert (found["foreign"]["kind"], found["foreign"]["input"], found["foreign"]["output"]) == (
        "llm", "asked " * 50, "answered",
    )  # fmt: skip
    assert found["foreign"]["usage"] == {"input_tokens": 12}
    assert found["foreign"]["session"] == found["below"]["session"] == "s-1"
    assert found["foreign"]["events"][0]["name"] == "thinking"
    assert (found["fails"]["status"], found["fails"]["exception"]["type"]) == ("error", "TimeoutError")


def test_the_application_can_set_its_provider_over_ours_without_a_word(recorded: Recorded) -> None:
    found = recorded(
        """
import logging, io
log = io.StringIO(); logging.basicConfig(stream=log, level=logging.WARNING)
agentops.init(otel=True)
with span("before"): pass
provider = application()
assert trace.get_tracer_provider() is provider and log.getvalue() == "", log.getvalue()
with span("after"): pass
assert [s.name for s in exporter.get_finished_spans()] == ["after"]
""",
    )
    assert set(found) == {"before", "after"}


def test_with_the_applications_provider_each_span_is_in_both_places_once(recorded: Recorded) -> None:
    found = recorded(
        """
application()
with span("root", kind="agent", session="s-1", input="secret question") as root:
    root.set_attribute("step", 1)
    with other("foreign"):
        with span("below", kind="llm") as below:
            trace.get_current_span().set_attribute("by", "somebody else")
            below.output = "secret answer"
            below.add_event("retry", {"n": 2})
    try:
        with span("fails", kind="tool"): raise LookupError("no such order")
    except LookupError: pass
seen = {s.name: s for s in exporter.get_finished_spans()}
assert len(seen) == len(exporter.get_finished_spans()) == 4
ids = {name: s.context.span_id for name, s in seen.items()}
parents = {name: s.parent and s.parent.span_id for name, s in seen.items()}
assert parents == {"root": None, "foreign": ids["root"], "below": ids["foreign"], "fails": ids["root"]}
assert ids["root"] == int(root.span_id, 16)
assert seen["root"].attributes["gen_ai.operation.name"] == "invoke_agent"
assert seen["root"].attributes["session.id"] == "s-1" and seen["root"].attributes["step"] == 1
assert seen["fails"].status.status_code is trace.StatusCode.ERROR
assert [e.name for e in seen["fails"].events] == ["exception"] and [e.name for e in seen["below"].events] == ["retry"]
assert "secret" not in "".join(s.to_json() for s in seen.values())
""",
    )
    assert set(found) == {"root", "foreign", "below", "fails"}
    assert found["foreign"]["parent_span_id"] == found["root"]["span_id"]
    assert found["below"]["parent_span_id"] == found["foreign"]["span_id"]
    assert (found["root"]["input"], found["below"]["output"]) == ("secret question", "secret answer")
    assert found["below"]["attributes"]["by"] == "somebody else"
    assert [event["name"] for event in found["below"]["events"]] == ["retry"]
    assert found["fails"]["exception"]["message"] == "no such order"
    assert found["fails"]["events"] == []


def test_what_the_application_samples_out_is_still_in_the_local_store(recorded: Recorded) -> None:
    found = recorded(
        """
application(ALWAYS_OFF)
with span("root", input="q"), span("below"): pass
assert exporter.get_finished_spans() == ()
""",
    )
    assert found["below"]["trace_id"] == found["root"]["trace_id"]
    assert found["root"]["input"] == "q"


def test_shutting_the_applications_provider_down_does_not_end_the_recorder(recorded: Recorded) -> None:
    found = recorded(
        """
provider = application()
with span("before"): pass
provider.shutdown()
with span("after"): pass
""",
    )
    assert {name: record["status"] for name, record in found.items()} == {"before": "ok", "after": "ok"}


def test_a_span_inside_of_suppressed_tracing_stays_in_its_tree(recorded: Recorded) -> None:
    found = recorded(
        """
with span("root"):
    with trace.use_span(trace.INVALID_SPAN):
        with span("below"): pass
""",
    )
    assert found["below"]["parent_span_id"] == found["root"]["span_id"]


def test_a_traceparent_from_elsewhere_is_the_parent(recorded: Recorded) -> None:
    found = recorded(
        """
from opentelemetry import context, propagate
carrier = {"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"}
token = context.attach(propagate.extract(carrier))
with span("served"):
    out = {}
    propagate.inject(out)
assert out["traceparent"].startswith("00-" + "ab" * 16)
""",
    )
    assert (found["served"]["trace_id"], found["served"]["parent_span_id"]) == ("ab" * 16, "cd" * 8)


def test_what_the_recorder_itself_does_is_never_traced(recorded: Recorded) -> None:
    found = recorded(
        """
import sqlite3, logging
class Traced(sqlite3.Connection): pass
def connect(*args, **more):                         # as instrumentation of sqlite3 does
    with other("sqlite connect"): return Traced(*args, **more)
sqlite3.connect = sqlite3.dbapi2.connect = connect
agentops.init(otel=True)
with span("busy", input="x" * 1000): pass
agentops.flush()
with span("busy again"): pass
agentops.flush()
""",
    )
    assert set(found) == {"busy", "busy again"}
