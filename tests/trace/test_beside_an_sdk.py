"""Beside the application's SDK provider: what others do to the current span, samplers, clocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

APPLICATION = """
import time
real_time, shift = time.time_ns, [0]
time.time_ns = lambda: real_time() + shift[0]       # the wall clock that everything in the program sees
import agentops
from agentops import span
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, Sampler, SamplingResult
exporter = InMemorySpanExporter()
def application(sampler=ALWAYS_ON):
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider
def other(name):
    return trace.get_tracer("other").start_as_current_span(name)
def exported():
    return {s.name: s for s in exporter.get_finished_spans()}
"""


def run(program: Any, read: Any, tmp_path: Path, body: str) -> dict[str, dict[str, Any]]:
    done = program(APPLICATION + body + "\nagentops.shutdown()\n")
    assert done.returncode == 0, done.stderr
    records = read(tmp_path / "traces.db")
    found = {record["name"]: record for record in records}
    assert len(found) == len(records), "a span is there twice"
    return found


def test_what_others_do_to_our_current_span_is_on_record_here_too(program: Any, read: Any, tmp_path: Path) -> None:
    found = run(
        program,
        read,
        tmp_path,
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


def test_the_same_without_a_provider(program: Any, read: Any, tmp_path: Path) -> None:
    found = run(
        program,
        read,
        tmp_path,
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


def test_a_list_that_opentelemetry_takes_reaches_the_applications_exporter(
    program: Any, read: Any, tmp_path: Path
) -> None:
    run(
        program,
        read,
        tmp_path,
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


def test_a_wall_clock_that_jumps_makes_no_negative_duration(program: Any, read: Any, tmp_path: Path) -> None:
    found = run(
        program,
        read,
        tmp_path,
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


def test_init_with_otel_joins_the_provider_that_is_there(program: Any, read: Any, tmp_path: Path) -> None:
    found = run(
        program,
        read,
        tmp_path,
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


def test_a_span_that_was_sampled_out_stands_in_the_tree_between_those_that_were_not(
    program: Any, read: Any, tmp_path: Path
) -> None:
    found = run(
        program,
        read,
        tmp_path,
        DROPS
        + """
with span("root"):
    with span("dropped") as dropped:
        dropped.output = "kept here"
        with other("foreign"):
            with span("leaf"): pass
assert set(exported()) == {"root", "foreign", "leaf"}
""",
    )
    assert found["dropped"]["output"] == "kept here"
    parents = {name: record["parent_span_id"] for name, record in found.items()}
    ids = {name: record["span_id"] for name, record in found.items()}
    assert parents == {"root": None, "dropped": ids["root"], "foreign": ids["dropped"], "leaf": ids["foreign"]}
    assert {record["status"] for record in found.values()} == {"ok"}


def test_a_provider_that_loses_its_processors_is_joined_again(program: Any, read: Any, tmp_path: Path) -> None:
    found = run(
        program,
        read,
        tmp_path,
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


def test_the_applications_own_idea_of_the_current_span_gives_no_wrong_session(
    program: Any, read: Any, tmp_path: Path
) -> None:
    found = run(
        program,
        read,
        tmp_path,
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
