"""Beside the application's SDK provider: what others do to the current span, samplers, clocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
assert set(exported()) == {"root", "foreign", "leaf"}
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
