"""Ways to use a span that are less common, and what users may expect of them."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import agentops
from agentops import UsageError, current_span, score, span
from agentops.store.reader import Reader


def named(spans: Any, name: str) -> list[dict[str, Any]]:
    return [record for record in spans() if record["name"] == name]


# -- decorators ------------------------------------------------------------------------------------------


class Shop:
    @staticmethod
    @span("inner static")
    def inner_static(item: str) -> str:
        return item.upper()

    @classmethod
    @span("inner class")
    def inner_class(cls, item: str) -> str:
        return f"{cls.__name__} {item}"

    @span("coroutine")
    async def coroutine(self, item: str) -> str:
        return item


@pytest.mark.parametrize(("method", "name"), [("inner_static", "inner static"), ("inner_class", "inner class")])
def test_static_and_class_methods_are_decorated_below(spans: Any, method: str, name: str) -> None:
    getattr(Shop(), method)("tea")
    getattr(Shop, method)("tea")
    assert [record["input"] for record in named(spans, name)] == [{"item": "tea"}] * 2


def test_a_decorator_above_staticmethod_works_or_is_refused_where_it_stands(spans: Any) -> None:
    def static(item: str) -> str:
        return item.upper()

    try:
        decorated: Any = span("static")(staticmethod(static))
    except (TypeError, UsageError):
        return  # said where the class is made
    klass = type("Klass", (), {"static": decorated})
    assert klass().static("tea") == klass.static("tea") == "TEA"


def test_a_coroutine_method_is_one_still(spans: Any) -> None:
    assert inspect.iscoroutinefunction(Shop.coroutine)
    assert asyncio.run(Shop().coroutine("tea")) == "tea"
    (record,) = named(spans, "coroutine")
    assert (record["input"], record["output"]) == ({"item": "tea"}, "tea")


def test_an_exception_in_a_decorated_function_is_recorded_and_raised(spans: Any) -> None:
    @span("fails")
    def fails(n: int) -> None:
        raise LookupError(n)

    @span("fails too")
    async def fails_too(n: int) -> None:
        raise LookupError(n)

    with pytest.raises(LookupError):
        fails(1)
    with pytest.raises(LookupError):
        asyncio.run(fails_too(2))
    assert [(r["status"], r["exception"]["message"]) for r in spans()] == [("error", "2"), ("error", "1")]


def test_a_wrong_call_of_a_decorated_function_fails_as_without(spans: Any) -> None:
    @span("call")
    def call(a: int) -> int:
        return a

    with pytest.raises(TypeError, match="unexpected keyword argument 'b'"):
        call(1, b=2)  # type: ignore[call-arg]


def test_an_argument_keeps_its_value_beside_a_keyword_of_its_name(spans: Any) -> None:
    @span("call")
    def call(a: int, /, **more: int) -> int:
        return a

    call(1, a=2)
    (record,) = spans()
    said = json.dumps(record["input"])
    assert "1" in said and "2" in said


def test_a_generator_given_back_is_the_callers_to_use(spans: Any) -> None:
    @span("numbers")
    def numbers() -> Iterator[int]:
        yield from range(3)

    assert list(numbers()) == [0, 1, 2]
    assert named(spans, "numbers")[0]["status"] == "ok"


def test_attributes_and_kind_of_a_decorator_are_on_every_call(spans: Any) -> None:
    @span("call", kind="tool", attributes={"version": 2, "list": [1]}, tags=["t"])
    def call() -> None: ...

    call()
    call()
    assert [(r["kind"], r["attributes"], r["tags"]) for r in spans()] == [
        ("tool", {"version": 2, "list": [1]}, ["t"])
    ] * 2


# -- order of things -------------------------------------------------------------------------------------


def test_what_is_set_before_the_start_is_recorded(spans: Any) -> None:
    s = span("early")
    s.input = "asked"
    s.output = ["answer " * 50]
    s.set_attribute("k", ["v" * 200])
    with s:
        pass
    (record,) = spans()
    assert (record["input"], record["output"]) == ("asked", ["answer " * 50])
    assert record["attributes"] == {"k": ["v" * 200]}


def test_a_span_that_never_starts_leaves_no_trace(store: Any, spans: Any) -> None:
    s = span("never")
    s.output = ["x" * 300]
    s.set_attribute("k", 1)
    s.add_event("e")
    s.end()
    with span("other"):
        pass
    assert [record["name"] for record in spans()] == ["other"]
    with Reader(str(store)) as reader:
        assert [trace.name for trace in reader.traces()] == ["other"]


def test_a_span_entered_again_is_a_span_again_or_refused(spans: Any) -> None:
    s = span("again")
    with s:
        pass
    try:
        with s:
            pass
    except UsageError:
        pass
    assert {record["status"] for record in spans()} == {"ok"}


def test_end_may_be_said_with_a_time_and_once(spans: Any) -> None:
    s = span("x").__enter__()
    s.end(end_time=s._start_ns + 5)
    s.end(end_time=s._start_ns + 50)
    s.__exit__(None, None, None)
    (record,) = spans()
    assert record["end_time_unix_nano"] - record["start_time_unix_nano"] == 5
    assert current_span() is None


def test_an_error_by_hand_is_an_error_with_its_description(spans: Any) -> None:
    with span("x") as s:
        s.fail(TimeoutError("slow"))
    (record,) = spans()
    assert (record["status"], record["exception"]["type"], record["exception"]["message"]) == (
        "error", "TimeoutError", "slow",
    )  # fmt: skip


def test_a_generator_that_is_closed_early_and_one_left_open_keep_the_tree(spans: Any) -> None:
    def stream() -> Iterator[int]:
        with span("stream"):
            yield 1
            yield 2

    with span("root"):
        for _ in stream():
            break
        with span("next"):
            pass
    found = {record["name"]: record for record in spans()}
    assert {record["status"] for record in found.values()} == {"ok"}
    assert found["stream"]["parent_span_id"] == found["root"]["span_id"]


def test_an_async_generator_closed_elsewhere_raises_nothing(spans: Any) -> None:
    async def stream() -> AsyncIterator[int]:
        async with span("stream"):
            yield 1
            yield 2

    async def main() -> None:
        running = stream()
        async with span("root"):
            assert await anext(running) == 1
        await asyncio.create_task(running.aclose())  # type: ignore[attr-defined]

    asyncio.run(main())
    assert {record["name"]: record["status"] for record in spans()} == {"root": "ok", "stream": "ok"}


def test_a_cancelled_task_says_so(spans: Any) -> None:
    async def main() -> None:
        async def work() -> None:
            async with span("work"):
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    (record,) = spans()
    assert (record["status"], record["exception"]["type"]) == ("error", "asyncio.exceptions.CancelledError")


def test_a_thread_that_is_given_the_context_records_below(spans: Any) -> None:
    def work() -> None:
        with span("below"):
            pass

    with span("above"):
        thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
        thread.start()
        thread.join()
    found = {record["name"]: record for record in spans()}
    assert found["below"]["parent_span_id"] == found["above"]["span_id"]


# -- what is kept ----------------------------------------------------------------------------------------


def test_a_group_of_exceptions_is_on_record_with_each_of_them(spans: Any) -> None:
    with pytest.raises(ExceptionGroup), span("x"):
        raise ExceptionGroup("both", [ValueError("one"), KeyError("two")])
    said = spans()[0]["exception"]["stacktrace"]
    assert "ValueError: one" in said and "KeyError: 'two'" in said


def test_an_exception_that_cannot_say_its_message_is_on_record(spans: Any) -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    with pytest.raises(Broken), span("x"):
        raise Broken
    (record,) = spans()
    assert record["status"] == "error" and "Broken" in record["exception"]["type"]


def test_a_score_about_a_span_that_has_not_begun_is_called_wrongly(store: Any) -> None:
    with pytest.raises(UsageError):
        score("helpful", 1, span=span("not begun"))
    with pytest.raises(UsageError):
        score("helpful", 1, trace=span("not begun"))


def test_scores_of_each_type_come_back(store: Any) -> None:
    with span("x") as s:
        score("number", 0.25)
        score("yes", True)
        score("label", "good", comment="a text")
        score("half", "\ud800", comment="\udfff")
    agentops.flush()
    with Reader(str(store)) as reader:
        found = {one.name: one.value for one in reader.scores(reader.trace(s.trace_id))}
    assert found == {"number": 0.25, "yes": 1.0, "label": "good", "half": "\\ud800"}


def test_inside_of_another_session_the_rest_is_inherited(spans: Any) -> None:
    with span("a", session="s", user="u", tags=["t"], metadata={"m": 1, "deep": {"k": [1]}}):
        with span("b", user="other", tags=[]), span("c", metadata={"n": 2}):
            pass
    (record,) = named(spans, "c")
    assert [record[key] for key in ("session", "user", "tags", "metadata")] == ["s", "other", [], {"n": 2}]
