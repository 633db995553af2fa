"""Spans: what a user writes, and what is on record afterwards."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any

import pytest
from opentelemetry import trace as otel
from opentelemetry.trace import StatusCode

import agentops
from agentops import UsageError, current_span, on_span_end, score, span
from agentops.safety import counts
from agentops.store.reader import Reader


def by_name(spans: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {record["name"]: record for record in spans}


def test_a_with_block_is_a_span_with_its_input_output_and_times(spans: Any) -> None:
    with span("plan", kind="plan", input={"ticket": 7}) as s:
        s.output = ["look", "answer"]
    (record,) = spans()
    assert (record["name"], record["kind"], record["status"]) == ("plan", "plan", "ok")
    assert (record["input"], record["output"]) == ({"ticket": 7}, ["look", "answer"])
    assert record["parent_span_id"] is None
    assert 0 < record["start_time_unix_nano"] <= record["end_time_unix_nano"]
    assert (record["trace_id"], record["span_id"]) == (s.trace_id, s.span_id)


def test_spans_inside_hang_below(spans: Any) -> None:
    with span("a") as a, span("b") as b:
        with span("c"):
            pass
        with span("d"):
            pass
    found = by_name(spans())
    assert {name: record["parent_span_id"] for name, record in found.items()} == {
        "a": None, "b": a.span_id, "c": b.span_id, "d": b.span_id,
    }  # fmt: skip
    assert len({record["trace_id"] for record in found.values()}) == 1


def test_two_roots_are_two_traces(spans: Any) -> None:
    with span("a"):
        pass
    with span("b"):
        pass
    assert len({record["trace_id"] for record in spans()}) == 2


def test_an_async_with_block_and_tasks_keep_the_tree(spans: Any) -> None:
    async def work(n: int) -> None:
        async with span(f"work-{n}", kind="tool"):
            await asyncio.sleep(0)
            with span(f"inner-{n}"):
                await asyncio.sleep(0)

    async def main() -> None:
        async with span("main"):
            await asyncio.gather(*(work(n) for n in range(3)))

    asyncio.run(main())
    found = by_name(spans())
    for n in range(3):
        assert found[f"work-{n}"]["parent_span_id"] == found["main"]["span_id"]
        assert found[f"inner-{n}"]["parent_span_id"] == found[f"work-{n}"]["span_id"]


def test_a_decorated_function_records_arguments_and_result(spans: Any) -> None:
    @span("add", kind="tool")
    def add(a: int, b: int = 2, *more: int, **named: int) -> int:
        """Adds."""
        return a + b + sum(more) + sum(named.values())

    assert add(1, 5, 6, x=7) == 19
    assert (add.__name__, add.__doc__, list(inspect.signature(add).parameters)) == (
        "add",
        "Adds.",
        ["a", "b", "more", "named"],
    )
    (record,) = spans()
    assert record["input"] == {"a": 1, "b": 5, "more": [6], "x": 7}
    assert record["output"] == 19


def test_a_decorated_coroutine_stays_one(spans: Any) -> None:
    @span("fetch")
    async def fetch(url: str) -> str:
        await asyncio.sleep(0)
        return url.upper()

    assert inspect.iscoroutinefunction(fetch)
    assert asyncio.run(fetch("a")) == "A"
    (record,) = spans()
    assert (record["input"], record["output"]) == ({"url": "a"}, "A")


def test_a_decorated_method_leaves_self_out(spans: Any) -> None:
    class Shop:
        @span("price")
        def price(self, item: str) -> int:
            return len(item)

    assert Shop().price("tea") == 3
    (record,) = spans()
    assert record["input"] == {"item": "tea"}


def test_each_call_of_a_decorated_function_is_a_span_of_its_own_even_in_recursion(spans: Any) -> None:
    @span("count")
    def count(n: int) -> int:
        return 0 if n == 0 else 1 + count(n - 1)

    assert count(3) == 3
    found = spans()
    assert [record["input"]["n"] for record in found] == [3, 2, 1, 0]
    assert [record["parent_span_id"] for record in found[1:]] == [record["span_id"] for record in found[:-1]]


def test_an_exception_is_on_record_with_its_cause_and_goes_on(spans: Any) -> None:
    with pytest.raises(ValueError, match="declined"), span("pay", kind="tool"):
        try:
            raise KeyError("card")
        except KeyError as cause:
            raise ValueError("declined") from cause
    (record,) = spans()
    assert record["status"] == "error"
    assert record["exception"]["type"] == "ValueError"
    assert record["exception"]["message"] == "declined"
    assert "KeyError: 'card'" in record["exception"]["stacktrace"]


@pytest.mark.parametrize("end", [GeneratorExit(), SystemExit(), SystemExit(0)])
def test_leaving_without_failing_is_no_error(spans: Any, end: BaseException) -> None:
    with pytest.raises(type(end)), span("left"):
        raise end
    assert spans()[0]["status"] == "ok"


def test_sys_exit_with_a_code_is_an_error(spans: Any) -> None:
    with pytest.raises(SystemExit), span("left"):
        raise SystemExit(3)
    assert spans()[0]["status"] == "error"


def test_attributes_events_links_status_and_name_by_opentelemetrys_api(spans: Any) -> None:
    with span("other") as other:
        pass
    with span("first", attributes={"given": 1}) as s:
        s.set_attribute("answer", 42)
        s.set_attributes({"list": [1, 2], "text": "x" * 500})
        s.add_event("retry", {"attempt": 2})
        s.add_link(other.get_span_context(), {"why": "because"})
        s.update_name("second")
        s.set_status(StatusCode.ERROR, "no answer")
    record = by_name(spans())["second"]
    assert record["attributes"] == {"given": 1, "answer": 42, "list": [1, 2], "text": "x" * 500}
    assert [(event["name"], event["attributes"]) for event in record["events"]] == [("retry", {"attempt": 2})]
    assert record["links"] == [{"trace_id": other.trace_id, "span_id": other.span_id, "attributes": {"why": "because"}}]
    assert record["status"] == "error"
    assert record["exception"]["message"] == "no answer"


def test_a_recorded_exception_is_an_event_and_no_error(spans: Any) -> None:
    with span("careful") as s:
        s.record_exception(TimeoutError("slow"))
    (record,) = spans()
    assert record["status"] == "ok"
    assert record["events"][0]["attributes"]["exception.type"] == "TimeoutError"


def test_session_user_tags_and_metadata_are_inherited_and_overridden(spans: Any) -> None:
    with span("root", session="s-1", user="u-1", tags=["a", "b"], metadata={"build": 5}):
        with span("same"):
            pass
        with span("other", session="s-2"), span("below"):
            pass
    found = by_name(spans())
    assert [found["same"][key] for key in ("session", "user", "tags", "metadata")] == [
        "s-1",
        "u-1",
        ["a", "b"],
        {"build": 5},
    ]
    assert [found["below"][key] for key in ("session", "user", "tags")] == ["s-2", "u-1", ["a", "b"]]


def test_current_span_is_the_innermost_open_one(spans: Any) -> None:
    assert current_span() is None
    with span("a") as a:
        assert current_span() is a
        with span("b") as b:
            assert current_span() is b
        assert current_span() is a
    assert current_span() is None


def test_our_span_is_opentelemetrys_current_one(spans: Any) -> None:
    with span("a") as a:
        current = otel.get_current_span()
        assert current.get_span_context().span_id == int(a.span_id, 16)
        current.set_attribute("by", "otel")
    assert spans()[0]["attributes"] == {"by": "otel"}


def test_a_score_is_kept_for_a_trace_a_span_or_the_current_one(store: Any) -> None:
    with span("run") as run, span("step") as step:
        score("current", 0.5)
    score("helpful", 1, trace=run.trace_id, comment="short")
    score("label", "good", span=step)
    agentops.flush()
    with Reader(str(store)) as reader:
        found = {s.name: s for s in reader.scores(reader.trace("latest"))}
    assert (found["current"].value, found["current"].span_id) == (0.5, step.span_id)
    assert (found["helpful"].value, found["helpful"].span_id, found["helpful"].comment) == (1.0, None, "short")
    assert (found["label"].value, found["label"].span_id) == ("good", step.span_id)


def test_a_score_of_nothing_is_a_usage_error(store: Any) -> None:
    with pytest.raises(UsageError, match="outside of any span"):
        score("helpful", 1)
    with pytest.raises(UsageError, match="32 hex digits"):
        score("helpful", 1, trace="7f3a")
    with pytest.raises(UsageError, match="a number, a bool or a text"):
        score("helpful", [1], trace="0" * 32)  # type: ignore[arg-type]


def test_an_unknown_kind_is_a_usage_error_that_names_the_kinds() -> None:
    with pytest.raises(UsageError, match="agent, plan, llm"):
        span("x", kind="agnet")  # type: ignore[arg-type]


def test_hooks_see_each_ended_span_off_the_callers_thread(store: Any) -> None:
    seen: list[tuple[str, bool]] = []

    @on_span_end
    def hook(ended: agentops.Span) -> None:
        seen.append((ended.name, threading.current_thread() is threading.main_thread()))

    with span("a"), span("b"):
        pass
    assert agentops.flush()
    assert seen == [("b", False), ("a", False)]


def test_a_hook_that_fails_is_counted_and_harms_nobody(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOPS_RAISE", "0")
    seen: list[str] = []

    @on_span_end
    def broken(ended: agentops.Span) -> None:
        raise RuntimeError("no")

    on_span_end(lambda ended: seen.append(ended.name))
    before = sum(n for what, n in counts.items() if "broken" in what)
    for name in "ab":
        with span(name):
            pass
    agentops.flush()
    assert seen == ["a", "b"]
    assert sum(n for what, n in counts.items() if "broken" in what) == before + 2


def test_what_is_set_after_the_end_changes_nothing(spans: Any) -> None:
    with span("done") as s:
        s.output = 1
    s.output = 2
    s.set_attribute("late", 1)
    s.add_event("late")
    s.end()
    (record,) = spans()
    assert (record["output"], record["attributes"], record["events"]) == (1, {}, [])


def test_an_open_span_is_readable_with_what_it_checkpointed(spans: Any) -> None:
    with span("open", input="in") as s:
        s.set_attribute("step", 1)
        s.output = "so far"
        s.checkpoint()
        (record,) = spans()
        assert (record["status"], record["end_time_unix_nano"]) == ("running", None)
        assert (record["input"], record["output"], record["attributes"]) == ("in", "so far", {"step": 1})
    assert spans()[0]["status"] == "ok"


def test_what_was_set_rides_along_with_the_start_of_a_child(spans: Any) -> None:
    with span("parent") as parent:
        parent.set_attribute("step", 1)
        with span("child"):
            assert by_name(spans())["parent"]["attributes"] == {"step": 1}


def test_a_clock_that_is_set_back_makes_no_negative_duration(program: Any, read: Any, tmp_path: Any) -> None:
    done = program(
        """
        import time
        real, shift = time.time_ns, [0]
        time.time_ns = lambda: real() - shift[0]      # the wall clock that everything in the program sees
        from agentops import span
        with span("outer"):
            shift[0] = 3600 * 10**9
            with span("inner"):
                pass
        """
    )
    assert done.returncode == 0, done.stderr
    outer, inner = read(tmp_path / "traces.db")
    assert outer["start_time_unix_nano"] <= inner["start_time_unix_nano"]
    assert inner["start_time_unix_nano"] <= inner["end_time_unix_nano"] <= outer["end_time_unix_nano"]


def test_ids_do_not_repeat_when_the_program_seeds_random(spans: Any) -> None:
    import random

    for _ in range(3):
        random.seed(1)
        with span("same seed"):
            pass
    assert len({record["span_id"] for record in spans()}) == 3


def test_recording_can_be_switched_off(program: Any, tmp_path: Any) -> None:
    done = program("from agentops import span\nwith span('x') as s: s.output = 1\nprint('ran')", AGENTOPS_ENABLED="0")
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert not (tmp_path / "traces.db").exists()
