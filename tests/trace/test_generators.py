"""Decorated generators: a span from the first step to the last, current in the body and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import threading
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from functools import partial
from typing import Any

import pytest

from agentops import current_span, span


@span("numbers", kind="tool")
def numbers(count: int) -> Generator[int, str, str]:
    """Counts."""
    for n in range(count):
        with span(f"step {n}"):
            got = yield n
            if got:
                with span(got):
                    pass
    return "done"


@span("letters")
async def letters(count: int) -> AsyncIterator[str]:
    for n in range(count):
        async with span(f"step {n}"):
            await asyncio.sleep(0)
            yield "abc"[n % 3]


def name_of_current() -> str | None:
    return getattr(current_span(), "name", None)


def parents(records: list[dict[str, Any]]) -> dict[str, str | None]:
    names = {record["span_id"]: record["name"] for record in records}
    return {record["name"]: names.get(record["parent_span_id"]) for record in records}


def statuses(records: list[dict[str, Any]]) -> dict[str, str]:
    return {record["name"]: record["status"] for record in records}


def test_a_generators_span_is_current_in_its_body_alone(spans: Any) -> None:
    with span("root"):
        for n in numbers(2):
            assert name_of_current() == "root"
            with span(f"consumer {n}"):
                pass
    assert name_of_current() is None
    assert parents(spans()) == {
        "root": None, "numbers": "root", "step 0": "numbers", "step 1": "numbers",
        "consumer 0": "root", "consumer 1": "root",
    }  # fmt: skip


def test_what_a_generator_is_sent_and_what_it_returns_go_through(spans: Any) -> None:
    running = numbers(1)
    assert next(running) == 0
    with pytest.raises(StopIteration) as end:
        running.send("sent")
    assert end.value.value == "done"
    found = spans()
    assert parents(found)["sent"] == "step 0"
    (record,) = [record for record in found if record["name"] == "numbers"]
    assert (record["input"], record["output"]) == ({"count": 1}, {"yielded": [0], "returned": "done"})


def test_an_exception_thrown_in_is_the_generators(spans: Any) -> None:
    @span("steady")
    def steady() -> Iterator[str]:
        try:
            yield "first"
        except LookupError:
            yield "caught"

    running: Any = steady()
    next(running)
    assert running.throw(LookupError()) == "caught"
    with pytest.raises(TimeoutError):
        running.throw(TimeoutError("slow"))
    (record,) = spans()
    assert (record["status"], record["exception"]["message"]) == ("error", "slow")
    assert record["output"] == ["first", "caught"]


def test_closed_early_is_no_error_and_ends_it_then(spans: Any) -> None:
    with span("root"):
        running = numbers(3)
        next(running)
        running.close()
        with span("after"):
            pass
    assert set(statuses(spans()).values()) == {"ok"}
    assert parents(spans())["after"] == "root"


def test_a_body_that_does_not_want_to_close_is_told_as_without_us(spans: Any) -> None:
    @span("stubborn")
    def stubborn() -> Iterator[int]:
        try:
            yield 1
        except GeneratorExit:
            yield 2

    running: Any = stubborn()
    next(running)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        running.close()
    running.close()


@pytest.mark.parametrize("where", ["here", "thread"])
def test_left_unfinished_it_ends_when_it_is_finalised(where: str, spans: Any) -> None:
    with span("root"):
        held = [numbers(3)]
        next(held[0])
        if where == "here":
            held.clear()
        else:
            thread = threading.Thread(target=held.clear)
            thread.start()
            thread.join()
        gc.collect()
        with span("after"):
            pass
    assert set(statuses(spans()).values()) == {"ok"}
    assert parents(spans()) == {"root": None, "numbers": "root", "step 0": "numbers", "after": "root"}


def test_each_step_may_be_made_by_another_thread(spans: Any) -> None:
    def step() -> None:
        next(running)
        assert current_span() is None

    with span("root"):
        running = numbers(2)
        next(running)
    for _ in range(1):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert list(running) == []
    assert parents(spans()) == {"root": None, "numbers": "root", "step 0": "numbers", "step 1": "numbers"}


def test_an_async_generators_span_is_current_in_its_body_alone(spans: Any) -> None:
    async def main() -> None:
        with span("root"):
            async for letter in letters(2):
                assert name_of_current() == "root"
                with span(f"consumer {letter}"):
                    pass

    asyncio.run(main())
    assert parents(spans()) == {
        "root": None, "letters": "root", "step 0": "letters", "step 1": "letters",
        "consumer a": "root", "consumer b": "root",
    }  # fmt: skip
    assert [record["output"] for record in spans() if record["name"] == "letters"] == [["a", "b"]]


async def closed_by_itself(running: Any) -> None:
    await running.aclose()


async def closed_in_a_task(running: Any) -> None:
    await asyncio.create_task(running.aclose())


async def a_step_in_a_task_of_its_own(running: Any) -> None:
    assert await asyncio.wait_for(asyncio.create_task(anext(running)), 10) == "b"
    await running.aclose()


async def left_to_the_loop(running: Any) -> None:
    left.append(running)


left: list[Any] = []


@pytest.mark.parametrize("finish", [closed_by_itself, closed_in_a_task, a_step_in_a_task_of_its_own, left_to_the_loop])
def test_an_async_generator_may_be_finished_elsewhere(
    finish: Callable[[Any], Awaitable[None]], spans: Any, caplog: Any
) -> None:
    complaints: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        with span("root"):
            running = letters(3)
            await anext(running)
            await finish(running)
            assert name_of_current() == "root"
            with span("after"):
                pass

    asyncio.run(main())
    left.clear()
    assert set(statuses(spans()).values()) == {"ok"}
    assert parents(spans())["after"] == "root"
    assert (complaints, caplog.records) == ([], [])


def test_the_loop_closes_a_body_that_waits_while_it_is_closed_as_without_us(spans: Any) -> None:
    complaints: list[Any] = []
    done: list[str] = []

    @span("slow to close")
    async def slow() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0.01)
            done.append("closed")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        left.append(slow())
        await anext(left[0])

    asyncio.run(main())
    left.clear()
    assert (complaints, done) == ([], ["closed"])
    assert statuses(spans()) == {"slow to close": "ok"}


def test_only_what_is_cancelled_says_so(spans: Any) -> None:
    @span("stuck")
    async def stuck() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(60)

    async def main() -> None:
        with span("root"):
            running = stuck()
            with contextlib.suppress(TimeoutError), span("waits"):
                async with asyncio.timeout(0.01):
                    async for _ in running:
                        pass

    asyncio.run(main())
    assert statuses(spans()) == {"root": "ok", "waits": "error", "stuck": "error"}
    assert {r["name"]: r["exception"]["type"] for r in spans() if r["exception"]} == {
        "stuck": "asyncio.exceptions.CancelledError",
        "waits": "TimeoutError",
    }


def test_a_context_manager_made_of_a_decorated_generator_works(spans: Any) -> None:
    @contextlib.contextmanager
    @span("set up")
    def resource() -> Iterator[str]:
        with span("open"):
            pass
        yield "resource"
        with span("close"):
            pass

    with span("root"), contextlib.ExitStack() as stack:
        assert stack.enter_context(resource()) == "resource"
        with span("used"):
            pass
    assert parents(spans()) == {"root": None, "set up": "root", "open": "set up", "close": "set up", "used": "root"}


class Shop:
    @classmethod
    @span("class below")
    def class_below(cls) -> Iterator[str]:
        yield cls.__name__

    @span("class above")
    @classmethod
    def class_above(cls) -> Iterator[str]:
        yield cls.__name__

    @staticmethod
    @span("static below")
    def static_below() -> Iterator[str]:
        yield "Shop"

    @span("static above")
    @staticmethod
    def static_above() -> Iterator[str]:
        yield "Shop"

    @span("method")
    def method(self) -> Iterator[str]:
        yield type(self).__name__


@pytest.mark.parametrize("method", ["class_below", "class_above", "static_below", "static_above", "method"])
def test_methods_of_all_kinds_may_be_generators(method: str, spans: Any) -> None:
    assert list(getattr(Shop(), method)()) == ["Shop"]
    (record,) = spans()
    assert (record["name"], record["input"], record["output"]) == (method.replace("_", " "), None, ["Shop"])


class Callable_:
    def __call__(self, item: str) -> Iterator[str]:
        yield item


class AsyncCallable:
    async def __call__(self, item: str) -> str:
        return item


def test_partials_and_objects_that_can_be_called_are_what_they_are(spans: Any) -> None:
    assert list(span("partial")(partial(numbers.__wrapped__, 1))()) == [0]  # type: ignore[attr-defined]
    assert list(span("object")(Callable_())("tea")) == ["tea"]
    assert asyncio.run(span("async object")(AsyncCallable())("tea")) == "tea"  # type: ignore[arg-type]
    found = {record["name"]: record["output"] for record in spans() if "step" not in record["name"]}
    assert found == {"partial": {"yielded": [0], "returned": "done"}, "object": ["tea"], "async object": "tea"}


@types.coroutine
def waits() -> Generator[Any, Any, str]:
    yield from asyncio.sleep(0).__await__()
    return "waited"


@pytest.mark.parametrize(
    ("function", "is_one"),
    [
        (numbers.__wrapped__, inspect.isgeneratorfunction),  # type: ignore[attr-defined]
        (letters.__wrapped__, inspect.isasyncgenfunction),  # type: ignore[attr-defined]
        (closed_by_itself, inspect.iscoroutinefunction),
        (parents, inspect.isfunction),
    ],
)
def test_a_decorated_function_is_the_kind_that_it_was(function: Any, is_one: Callable[[Any], bool]) -> None:
    decorated = span("x")(function)
    assert is_one(decorated)
    kinds = (inspect.isgeneratorfunction, inspect.isasyncgenfunction, inspect.iscoroutinefunction)
    assert [kind(decorated) for kind in kinds] == [kind(function) for kind in kinds]
    assert inspect.signature(decorated) == inspect.signature(function)
    assert (decorated.__name__, decorated.__doc__) == (function.__name__, function.__doc__)


def test_a_generator_that_may_be_awaited_still_may(spans: Any) -> None:
    async def main() -> str:
        return await span("waits")(waits)()

    assert asyncio.run(main()) == "waited"
    assert statuses(spans()) == {"waits": "ok"}


def test_what_was_yielded_is_on_record_as_it_was(spans: Any) -> None:
    @span("rows")
    def rows() -> Iterator[dict[str, int]]:
        row = {"n": 0}
        for n in range(3):
            row["n"] = n
            yield row

    list(rows())
    assert spans()[0]["output"] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_of_a_long_stream_the_first_items_are_kept_and_the_others_counted(spans: Any) -> None:
    @span("stream")
    def stream() -> Iterator[str]:
        for n in range(100_000):
            yield f"{n} " * 20

    assert sum(1 for _ in stream()) == 100_000
    output = spans()[0]["output"]
    assert output[0].startswith("0 0 ")
    assert output[-1] == f"<{100_000 - len(output) + 1} more>"
    assert len(output) <= 1001


def test_an_output_that_the_body_sets_stands(spans: Any) -> None:
    @span("answer")
    def answer() -> Iterator[str]:
        yield "Within "
        yield "five days."
        step = current_span()
        assert step is not None
        step.output = "Within five days."

    list(answer())
    assert spans()[0]["output"] == "Within five days."


def test_what_a_program_leaves_unfinished_ends_with_it(program: Any, tmp_path: Any, read: Any) -> None:
    done = program(
        """
        from agentops import span
        @span("numbers")
        def numbers():
            with span("inside"):
                yield 1
                yield 2
        left = numbers()
        next(left)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert statuses(read(tmp_path / "traces.db")) == {"numbers": "ok", "inside": "ok"}


@pytest.mark.parametrize("decorator", ['span("decorated")', "plain"])
def test_what_the_collector_finds_unfinished_harms_no_context(decorator: str, program: Any) -> None:
    done = program(
        f"""
        import gc
        from agentops import current_span, span
        plain = lambda function: function

        @{decorator}
        def numbers():
            with span("inside"):
                yield 1

        gc.set_threshold(20)      # in the middle of anything
        for n in range(3000):
            circle = [numbers()]
            next(circle[0])
            circle.append(circle)
            del circle
            for _ in range(n % 7):
                with span("between") as s:
                    assert current_span() is s
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_finaliser_that_the_collector_calls_may_record(program: Any, tmp_path: Any, read: Any) -> None:
    done = program(
        """
        import contextvars, gc
        from agentops import current_span, span

        for n in range(35):       # as a large program has them
            contextvars.ContextVar(str(n)).set(n)

        class Client:
            def __init__(self): self.me = self
            @span("close")
            def close(self):
                with span("disconnect"):
                    self.closed = [{} for _ in range(5)]
            def __del__(self): self.close()

        gc.set_threshold(20)
        kept = []
        for n in range(2000):
            kept.append([[] for _ in range(n % 7)])      # so that it comes at every point
            Client()
            with span("work") as s:
                assert current_span() is s
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    names = [record["name"] for record in read(tmp_path / "traces.db")]
    assert names.count("work") == 2000 and names.count("close") > 1900


def test_a_span_may_be_left_in_another_thread_than_it_was_entered_in(spans: Any) -> None:
    import contextvars

    with span("root"):
        entered = span("entered")
        entered.__enter__()
        variables = contextvars.copy_context()

        def leave() -> None:
            entered.__exit__(None, None, None)
            assert name_of_current() == "root"

        thread = threading.Thread(target=variables.run, args=(leave,))
        thread.start()
        thread.join()
    assert statuses(spans()) == {"root": "ok", "entered": "ok"}
