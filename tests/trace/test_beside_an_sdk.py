"""Beside the application's SDK provider: what others do to the current span, samplers, clocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def test_what_others_do_to_our_current_span_is_on_record_here_too(recorded: Recorded) -> None:
    found = recorded(
        """
application()
with span("ours"):
    current = trace.get_current_span()
    current.update_name("renamed")
    current.set_attribute("by", "another library")
    current.add_event("retry", {"n": 1})
    current.add_link(trace.SpanContext(5, 6, False), {"why": "because"})
    current.record_exception(TimeoutError("slow"))
    current.set_status(trace.Status(trace.StatusCode.ERROR, "gave up"))
""",
    )
    record = found["renamed"]
    assert record["attributes"]["by"] == "another library"
    assert [event["name"] for event in record["events"]] == ["retry", "exception"]
    assert [link["attributes"] for link in record["links"]] == [{"why": "because"}]
    assert (record["status"], record["exception"]["message"]) == ("error", "gave up")


Recorded = Callable[[str], dict[str, dict[str, Any]]]
RecordedAll = Callable[[str], list[dict[str, Any]]]


def test_the_same_without_a_provider(recorded: Recorded) -> None:
    found = recorded(
        """
with span("ours"):
    current = trace.get_current_span()
    current.update_name("renamed")
    current.set_attribute("by", "another library")
    current.record_exception(TimeoutError("slow"))
    current.set_status(trace.Status(trace.StatusCode.ERROR, "gave up"))
""",
    )
    record = found["renamed"]
    assert record["attributes"] == {"by": "another library"}
    assert [event["name"] for event in record["events"]] == ["exception"]
    assert (record["status"], record["exception"]["message"]) == ("error", "gave up")


def test_a_list_that_opentelemetry_takes_reaches_the_applications_exporter(recorded: Recorded) -> None:
    recorded(
        """
application()
with span("ours", attributes={"early": ["a", "b"]}) as s:
    s.set_attribute("gen_ai.response.finish_reasons", ["stop"])
    s.set_attribute("mapping", {"not": "for OpenTelemetry"})
attributes = exported()["ours"].attributes
assert attributes["gen_ai.response.finish_reasons"] == ("stop",), dict(attributes)
assert attributes["early"] == ("a", "b"), dict(attributes)
""",
    )


def test_a_wall_clock_that_jumps_makes_no_negative_duration(recorded: Recorded) -> None:
    found = recorded(
        """
application()
with span("outer"):
    shift[0] = 3600 * 10**9
    with span("ahead"): pass
    shift[0] = -3600 * 10**9
    with span("behind"): pass
""",
    )
    for record in found.values():
        assert 0 <= record["end_time_unix_nano"] - record["start_time_unix_nano"] < 60 * 10**9, record["name"]


def test_init_with_otel_joins_the_provider_that_is_there(recorded: Recorded) -> None:
    found = recorded(
        """
application()
agentops.init(otel=True)
with other("first of all"): pass
with span("ours"): pass
""",
    )
    assert set(found) == {"first of all", "ours"}


DROPS = """
class Drops(Sampler):
    def should_sample(self, parent_context, trace_id, name, *args, **more):
        return SamplingResult(Decision.DROP if name.startswith("dropped") else Decision.RECORD_AND_SAMPLE)
    def get_description(self): return "drops"
application(Drops())
"""


def test_a_span_that_was_sampled_out_stands_in_the_tree_between_those_that_were_not(recorded: Recorded) -> None:
    found = recorded(
        DROPS
        + """
with span("root"):
    with span("dropped") as dropped:
        dropped.output = "kept here"
        with other("foreign"):
            with span("leaf"): pass
seen = exported()
assert set(seen) == {"root", "foreign", "leaf"}
assert seen["foreign"].parent.span_id == seen["root"].context.span_id, "its exporter gets nothing that hangs in the air"
""",
    )
    assert found["dropped"]["output"] == "kept here"
    parents = {name: record["parent_span_id"] for name, record in found.items()}
    ids = {name: record["span_id"] for name, record in found.items()}
    assert parents == {"root": None, "dropped": ids["root"], "foreign": ids["dropped"], "leaf": ids["foreign"]}
    assert {record["status"] for record in found.values()} == {"ok"}


def test_a_provider_that_loses_its_processors_is_joined_again(recorded: Recorded) -> None:
    found = recorded(
        """
from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor
provider = application()
with span("before"): pass
provider._active_span_processor = SynchronousMultiSpanProcessor()      # as logfire.configure() does again
with span("after", input="q") as s: s.output = "a"
with span("later"): pass
""",
    )
    assert set(found) == {"before", "after", "later"}
    assert (found["after"]["input"], found["after"]["output"], found["after"]["status"]) == ("q", "a", "ok")


def test_the_applications_own_idea_of_the_current_span_gives_no_wrong_session(recorded: Recorded) -> None:
    found = recorded(
        """
application()
from opentelemetry import context
with span("request", session="s-1"):
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(trace.SpanContext(7, 8, True))))
    assert agentops.current_span() is None
    with span("message"): pass
    context.detach(token)
""",
    )
    assert (found["message"]["trace_id"], found["message"]["session"]) == (format(7, "032x"), None)


@pytest.mark.parametrize("sampler", ["ALWAYS_ON", "ALWAYS_OFF"])
def test_a_span_inside_of_suppressed_tracing_stays_in_its_tree_in_both_places(recorded: Recorded, sampler: str) -> None:
    found = recorded(
        f"""
application({sampler})
with span("root"):
    with trace.use_span(trace.INVALID_SPAN):
        with span("below"):
            with span("leaf"): pass
parents = {{s.name: s.parent and s.parent.span_id for s in exported().values()}}
ids = {{s.name: s.context.span_id for s in exported().values()}}
assert not ids or parents == {{"root": None, "below": ids["root"], "leaf": ids["below"]}}, parents
""",
    )
    ids = {name: record["span_id"] for name, record in found.items()}
    parents = {name: record["parent_span_id"] for name, record in found.items()}
    assert parents == {"root": None, "below": ids["root"], "leaf": ids["below"]}


OPEN = """
with span("main", kind="agent", session="s-1") as main:
    main.set_attribute("before", 1)
    application(SAMPLER)
    FIRST
    main.set_attribute("after", 2)
with other("alone"): pass
seen = exported()
assert set(seen) == {"main", "theirs", "ours", "alone"}, set(seen)
assert seen["main"].parent is None and seen["alone"].parent is None
assert format(seen["main"].context.span_id, "016x") == main.span_id
assert format(seen["main"].context.trace_id, "032x") == main.trace_id
assert dict(seen["main"].attributes) == {
    "gen_ai.operation.name": "invoke_agent", "openinference.span.kind": "AGENT", "session.id": "s-1",
    "gen_ai.conversation.id": "s-1", "before": 1, "after": 2,
}, dict(seen["main"].attributes)
assert seen["main"].start_time < seen["theirs"].start_time and seen["main"].end_time > seen["theirs"].end_time
"""


@pytest.mark.parametrize(
    ("first", "above"),
    [
        pytest.param('with span("ours"):\n        with other("theirs"): pass', "main", id="ours first"),
        pytest.param('with other("theirs"):\n        with span("ours"): pass', "theirs", id="theirs first"),
    ],
)
def test_a_provider_that_is_set_while_a_span_of_ours_is_open(recorded: Recorded, first: str, above: str) -> None:
    found = recorded(OPEN.replace("FIRST", first).replace("SAMPLER", "ALWAYS_ON"))
    ids = {name: record["span_id"] for name, record in found.items()}
    parents = {name: record["parent_span_id"] for name, record in found.items()}
    assert set(found) == {"main", "theirs", "ours", "alone"}
    assert parents["main"] is None and parents["ours"] == ids[above]
    assert len({found[name]["trace_id"] for name in ("main", "theirs", "ours")}) == 1
    assert (found["main"]["attributes"], found["main"]["status"]) == ({"before": 1, "after": 2}, "ok")


@pytest.mark.parametrize("when", ["before", "while"])
def test_an_application_that_samples_exports_its_share_and_no_orphans(recorded_all: RecordedAll, when: str) -> None:
    records = recorded_all(
        f"""
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
sampler = TraceIdRatioBased(0.1)
set_up = lambda: application(ParentBased(sampler))
if {when == "before"}: set_up()
for n in range(300):
    with span("outer") as outer:
        if n == 0 and {when == "while"}: set_up()
        with other("theirs"):
            with span("inner"):
                with other("leaf"): pass
spans = exporter.get_finished_spans()
ids = {{s.context.span_id for s in spans}}
assert all(s.parent is None or s.parent.span_id in ids for s in spans), "an orphan"
traces = {{s.context.trace_id for s in spans}}
assert len(spans) == 4 * len(traces), (len(spans), len(traces))
assert all(sampler.should_sample(None, t, "").decision is Decision.RECORD_AND_SAMPLE for t in traces)
print(len(traces))
""",
    )
    names = [record["name"] for record in records]
    assert names.count("outer") == names.count("inner") == 300
    kept = {(record["trace_id"], record["span_id"]) for record in records}
    for record in records:
        assert record["parent_span_id"] is None or (record["trace_id"], record["parent_span_id"]) in kept
        assert record["name"] != "inner" or record["parent_span_id"]


def test_spans_below_those_of_a_provider_that_nobody_sees_stand_below_the_nearest_of_ours(recorded: Recorded) -> None:
    found = recorded(
        """
hidden = TracerProvider()                 # not global: nothing of it is recorded
with span("root"):
    with hidden.get_tracer("hidden").start_as_current_span("unseen"):
        with span("below"):
            with span("leaf"): pass
""",
    )
    ids = {name: record["span_id"] for name, record in found.items()}
    parents = {name: record["parent_span_id"] for name, record in found.items()}
    assert parents == {"root": None, "below": ids["root"], "leaf": ids["below"]}


def test_a_light_span_passes_on_whether_its_trace_is_sampled(recorded: Recorded) -> None:
    recorded(
        """
from opentelemetry.propagate import inject
def flags():
    inject(carrier := {})
    return carrier["traceparent"][-2:]
elsewhere = trace.SpanContext(7, 8, True, trace.TraceFlags(0))
with span("on its own"): assert flags() == "01"
with trace.use_span(trace.NonRecordingSpan(elsewhere)):
    with span("below"):
        with span("further below"): assert flags() == "00"
""",
    )


def test_a_processor_that_somebody_hangs_on_ours_gets_our_spans_too(recorded: Recorded) -> None:
    found = recorded(
        """
agentops.init(otel=True)
with span("before"): pass
with span("main"):
    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
    with span("inner", kind="tool"):
        with other("foreign"): pass
seen = exported()
assert set(seen) == {"main", "inner", "foreign"}, set(seen)
assert seen["inner"].parent.span_id == seen["main"].context.span_id
""",
    )
    ids = {name: record["span_id"] for name, record in found.items()}
    parents = {name: record["parent_span_id"] for name, record in found.items()}
    assert parents == {"before": None, "main": None, "inner": ids["main"], "foreign": ids["inner"]}


def test_tracers_that_were_taken_from_ours_use_the_providers_that_the_application_sets_later(
    recorded: Recorded,
) -> None:
    found = recorded(
        """
agentops.init(otel=True)
tracer = trace.get_tracer_provider().get_tracer("early")
with tracer.start_as_current_span("early"): pass
application()
with span("ours"):
    with tracer.start_as_current_span("late"): pass
    tracer.start_span("by hand").end()
assert set(exported()) == {"ours", "late", "by hand"}
""",
    )
    assert set(found) == {"early", "ours", "late", "by hand"}
    assert found["late"]["parent_span_id"] == found["ours"]["span_id"]


def test_ours_records_what_is_not_sampled_and_says_that_it_is_not(recorded: Recorded) -> None:
    found = recorded(
        """
agentops.init(otel=True)
elsewhere = trace.SpanContext(7, 8, True, trace.TraceFlags(0))
with trace.use_span(trace.NonRecordingSpan(elsewhere)):
    with other("foreign") as foreign:
        assert foreign.is_recording() and not foreign.get_span_context().trace_flags.sampled
""",
    )
    assert found["foreign"]["trace_id"] == format(7, "032x")


def test_a_limit_on_attributes_of_the_applications_provider_takes_none_of_ours(recorded: Recorded) -> None:
    found = recorded(
        """
application()
with span("ours") as s:
    for n in range(200): s.set_attribute(f"key {n}", n)
    trace.get_current_span().set_attribute("by", "another library")
""",
    )
    assert len(found["ours"]["attributes"]) == 201


def test_contents_go_to_the_applications_exporter_when_opentelemetrys_switch_says_so(recorded: Recorded) -> None:
    found = recorded(
        """
import os
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"
application()
agentops.init(redact=lambda text: text.replace("secret", "[gone]"))
with span("ours", input={"question": "what is secret?"}) as s: s.output = "a secret"
with span("later") as s:
    s.output = object
seen = exported()
assert seen["ours"].attributes["input.value"] == '{"question":"what is [gone]?"}', dict(seen["ours"].attributes)
assert seen["ours"].attributes["output.value"] == "a [gone]"
assert "input.value" not in seen["later"].attributes
""",
    )
    assert found["ours"]["attributes"] == {}
    assert (found["ours"]["input"], found["ours"]["output"]) == ({"question": "what is [gone]?"}, "a [gone]")


def test_a_span_that_was_open_when_we_came_is_there_whole(recorded: Recorded) -> None:
    found = recorded(
        """
application()
with trace.get_tracer("web", "1.2").start_as_current_span("POST /ask", kind=trace.SpanKind.SERVER) as request:
    request.set_attribute("http.route", "/ask")
    with span("answer", kind="agent"):
        time.sleep(0.01)
""",
    )
    request, answer = found["POST /ask"], found["answer"]
    assert request["start_time_unix_nano"] < answer["start_time_unix_nano"], "it began before"
    assert (request["kind"], request["library"]["name"]) == ("chain", "web")
    assert (answer["parent_span_id"], request["attributes"]) == (request["span_id"], {"http.route": "/ask"})


def test_a_long_span_of_another_library_keeps_its_kind(recorded: Recorded) -> None:
    found = recorded(
        """
application()
with span("first"):
    with other("slow"):
        agentops.flush()                    # its start is in the store, its end comes later
""",
    )
    assert found["slow"]["kind"] == "chain"


def test_below_a_span_that_is_sampled_out_ours_begin_a_tree(recorded: Recorded) -> None:
    found = recorded(
        """
from opentelemetry.sdk.trace.sampling import ParentBased
application(ParentBased(ALWAYS_OFF))
with other("request"):
    with span("answer"):
        with other("inner"):
            with span("leaf"): pass
""",
    )
    parents = {name: record["parent_span_id"] for name, record in found.items()}
    assert parents == {"answer": None, "leaf": found["answer"]["span_id"]}, "nobody will ever see the request"


def test_a_users_name_is_the_same_with_the_applications_exporter_and_here(recorded: Recorded) -> None:
    found = recorded(
        """
agentops.init(redact="pii")
application()
with span("one", user="ann@example.com", session="s-1"): pass
with span("other", user="bob@example.com", session="s-1"): pass
seen = exported()
users = {name: seen[name].attributes["user.id"] for name in ("one", "other")}
assert "@" not in users["one"] and users["one"] != users["other"], users
print(users["one"])
""",
    )
    assert "@" not in found["one"]["user"] and found["one"]["user"] != found["other"]["user"]


def test_of_an_exception_that_leaves_many_spans_each_keeps_the_innermost_frames(recorded_all: RecordedAll) -> None:
    records = recorded_all(
        """
import sys
sys.setrecursionlimit(10_000)
def deeper(n):
    with span("deep"):
        if not n: raise ValueError("at the bottom")
        deeper(n - 1)
try:
    deeper(300)
except ValueError:
    pass
""",
    )
    stacks = [record["exception"]["stacktrace"] for record in records]
    assert len(stacks) == 301 and all("at the bottom" in stack for stack in stacks)
    assert max(stack.count("in deeper") for stack in stacks) <= 60
