"""`loop()`: a span an iteration, an end at its limits and where an agent goes in circles."""

from __future__ import annotations

import asyncio
import contextvars
import gzip
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentops import Circle, Loop, UsageError, current_span, loop, span
from tests.trace.conftest import APPLICATION
from tests.trace.made_loops import KINDS, MADE, Model, Tool, act, healthy, made

#: Of each kind.
PROOF_LOOPS = 500
TAU = Path(__file__).parents[3] / "shared" / "data" / "tau_airline_runs.jsonl.gz"

Spans = Callable[[], list[dict[str, Any]]]


def call(name: str, given: Any = None, answer: Any = None) -> None:
    with span(name, kind="tool", input=given) as s:
        s.output = answer


def played(iterations: list[list[Tool | Model]], **options: Any) -> Loop:
    """A loop whose body does one of `iterations` after the other."""
    steps = loop("solve", **options)
    for step, actions in zip(steps, iterations, strict=False):
        assert current_span() is step
        act(actions)
    return steps


# -- what is a circle --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_made_loop_is_stopped_by_its_third_repetition(kind: str, store: Path) -> None:
    missed = []
    for n, run in enumerate(made(kind)):
        steps = played(run.iterations)
        if steps.stopped != "circle" or not run.work + 2 <= steps.iterations <= run.until:
            missed.append((n, steps, run.until))
    assert not missed, f"{len(missed)} of {MADE}"


@pytest.mark.proof
def test_made_loops_in_number_are_stopped(store: Path, record_property: Callable[[str, object], None]) -> None:
    stopped = iterations = 0
    for kind in KINDS:
        for run in made(kind, PROOF_LOOPS):
            steps = played(run.iterations)
            stopped += steps.stopped == "circle" and run.work + 2 <= steps.iterations <= run.until
            iterations += steps.iterations - run.work
    of = PROOF_LOOPS * len(KINDS)
    record_property("made loops stopped by their third repetition", f"{stopped} of {of}")
    record_property("iterations in a loop until it was stopped", f"{iterations / of:.2f}")
    assert stopped == of


@pytest.mark.parametrize("what", healthy())
def test_an_agent_at_work_is_not_stopped(what: str, store: Path) -> None:
    iterations = healthy()[what]
    steps = played(iterations, max_iterations=len(iterations))
    assert steps.circle is None
    assert (steps.stopped, steps.iterations) == ("max_iterations", len(iterations))


def tau_runs(way: str) -> Iterator[list[list[Tool | Model]]]:
    """Runs of a real agent, each message of the model an iteration."""
    with gzip.open(TAU, "rt") as lines:
        for line in lines:
            messages = json.loads(line)["messages"]
            iterations: list[list[Tool | Model]] = []
            for n, message in enumerate(messages):
                if message["role"] != "assistant":
                    continue
                actions: list[Tool | Model] = []
                if way != "tools":
                    actions.append(Model(messages[:n], message))
                if way != "messages" and message.get("tool_calls"):
                    function = message["tool_calls"][0]["function"]
                    answer = messages[n + 1]["content"]
                    actions.append(Tool(function["name"], json.loads(function["arguments"]), answer))
                iterations.append(actions)
            yield iterations


@pytest.mark.skipif(not TAU.exists(), reason=f"{TAU.name} is not here")
@pytest.mark.parametrize("way", ["all", "tools", "messages"])
def test_no_run_of_a_real_agent_is_stopped(way: str, store: Path) -> None:
    found = [steps for run in tau_runs(way) if (steps := played(run, max_iterations=len(run))).circle]
    assert found == []


def anthropic(n: int, name: str, given: Any, answer: str) -> list[Tool | Model]:
    history: list[dict[str, Any]] = [{"role": "user", "content": "Where is my order?"}]
    for i in range(n):
        block = {"type": "tool_use", "id": f"toolu_{i}", "name": name, "input": given}
        history.append({"role": "assistant", "content": [block]})
        result = {"type": "tool_result", "tool_use_id": f"toolu_{i}", "content": [{"type": "text", "text": answer}]}
        history.append({"role": "user", "content": [result]})
    text = {"type": "text", "text": f"Thought {'again ' * n}"}
    block = {"type": "tool_use", "id": f"toolu_{n}", "name": name, "input": given}
    return [Model(history, [text, block])]


def openai(n: int, name: str, given: Any, answer: str) -> list[Tool | Model]:
    history: list[dict[str, Any]] = [{"role": "user", "content": "Where is my order?"}]
    for i in range(n + 1):
        function = {"name": name, "arguments": json.dumps(given)}
        calls = [{"id": f"call_{i}", "type": "function", "function": function}]
        history.append({"role": "assistant", "content": None, "tool_calls": calls})
        history.append({"role": "tool", "tool_call_id": f"call_{i}", "content": answer})
    return [Model(history[:-2], history[-2])]


@pytest.mark.parametrize("form", [anthropic, openai])
def test_calls_that_stand_in_messages_alone_are_seen(form: Any, store: Path) -> None:
    steps = played([form(n, "get_order", {"order": "A-17"}, "not found") for n in range(20)])
    assert (steps.stopped, steps.iterations) == ("circle", 4)  # the answer to the third comes with the fourth
    assert steps.circle is not None
    assert (steps.circle.kind, steps.circle.tools) == ("same_call", ("get_order",))
    assert "get_order was called 3 times with the same arguments" in str(steps.reason)


@pytest.mark.parametrize("form", [anthropic, openai])
def test_answers_that_change_in_messages_are_no_circle(form: Any, store: Path) -> None:
    runs: list[list[Tool | Model]] = []
    history: list[Any] = [{"role": "user", "content": "Wait for the job."}]
    for n in range(9):
        [model] = form(0, "get_job", {"job": "j-1"}, "")
        assert isinstance(model, Model)
        output = json.loads(json.dumps(model.answer).replace("toolu_0", f"id_{n}").replace("call_0", f"id_{n}"))
        runs.append([Model(list(history), output)])
        history.append(output if isinstance(output, dict) else {"role": "assistant", "content": output})
        history.append({"role": "tool", "tool_call_id": f"id_{n}", "content": f"{n} of 9 parts are done"})
    steps = played(runs, max_iterations=9)
    assert (steps.stopped, steps.circle) == ("max_iterations", None)


def test_arguments_are_compared_as_they_were_when_the_call_began(store: Path) -> None:
    seen: list[int] = []
    steps = loop("solve", max_iterations=8)
    for step in steps:
        with span("add", kind="tool", input=seen) as s:
            seen.append(step.number)
            s.output = result = {"sum": 0}
            result["sum"] = step.number  # after it was set
    assert steps.stopped == "max_iterations"


def test_the_thresholds_can_be_set(store: Path) -> None:
    again: list[list[Tool | Model]] = [[Tool("get_job", {"id": 1}, "pending")] for _ in range(20)]
    assert played(again, repeats=2).iterations == 2
    assert played(again, repeats=7).iterations == 7
    texts = [[Tool("read", {"path": path}, path * 9)] for path in "abcdabdcbacddabcbd"]
    assert played(texts, no_new=3).iterations < played(texts, no_new=6).iterations


def test_a_circle_says_what_it_is_made_of(store: Path) -> None:
    ways: list[list[Tool | Model]] = [[Tool(name, {"at": name}, name * 3)] for name in ("read", "edit") * 9]
    steps = played(ways)
    assert steps.circle is not None
    assert (steps.circle.kind, steps.circle.tools) == ("cycle", ("read", "edit"))
    assert steps.circle.arguments == {"at": "read"}
    assert steps.reason == steps.circle.sentence
    assert "read and edit took turns" in steps.circle.sentence


_IDS = (
    "3f9c2ab1-7d10-4c8e-9a55-0e1f2a3b4c5d",
    "8e1d77aa-1b2c-4d3e-8f90-a1b2c3d4e5f6",
    "00c1ffee-aaaa-4bbb-8ccc-123456789abc",
)


@pytest.mark.parametrize(
    ("is_circle", "given"),
    [
        (True, [{"q": "refund", "request_id": key} for key in _IDS]),
        (True, [{"q": "refund", "requestId": key} for key in "abc"]),
        (True, [{"q": "refund", "id": key} for key in _IDS]),
        (True, [{"path": "/etc/hosts", "ts": 1_795_597_200.25 + n} for n in range(3)]),
        (True, [{"order": 7, "requested_at": f"2026-11-25T10:0{n}:00Z"} for n in range(3)]),
        (True, [{"q": "refund", "date": f"2026-11-25T10:0{n}:00Z"} for n in range(3)]),
        (True, [{"order": 7, "meta": {"trace_id": key, "try": n}} for n, key in enumerate(_IDS)]),
        (True, [f"open orders of today, asked on Nov {n}, 2026 at {n}:15 p.m." for n in (1, 2, 3)]),
        (True, [f"refund (request {key})" for key in _IDS]),
        (True, [["refund policy", key] for key in _IDS]),
        (True, ['{"q": "refund", "nonce": "%s"}' % key for key in _IDS]),  # noqa: UP031 - braces
        (True, [{"order": 7, "attempt": n} for n in range(3)]),
        (False, [{"order_id": key} for key in _IDS]),
        (False, [{"order_id": key, "note": "please call back"} for key in _IDS]),
        (False, [{"id": key} for key in _IDS]),
        (False, [{"id": key, "state": "shipped"} for key in _IDS]),
        (False, list(_IDS)),
        (False, [f"https://shop.example/orders/{key}" for key in _IDS]),
        (False, [{"page": n} for n in range(3)]),
        (False, [{"q": "refund", "page": n} for n in range(3)]),
        (False, [{"date": f"2026-11-2{n}"} for n in range(3)]),
        (False, [{"start": f"2026-11-25T1{n}:00:00Z"} for n in range(3)]),
        (False, [{"time": f"1{n}:00", "people": 2} for n in range(3)]),
        (False, [{"phone": f"49301234567{n}"} for n in range(3)]),
        (False, [{"order_no": 1_795_597_200 + n} for n in range(3)]),
        (False, [f"order {n}" for n in range(3)]),
    ],
)
def test_arguments_may_differ_in_times_and_ids_that_are_not_what_a_call_is_about(
    is_circle: bool, given: list[Any], store: Path
) -> None:
    steps = played([[Tool("act", one, "done")] for one in given])
    assert (steps.circle is not None) is is_circle
    if steps.circle is not None:
        assert steps.circle.kind == "alike"


def test_what_a_tool_does_inside_is_its_own_affair(store: Path) -> None:
    steps = loop("solve", max_iterations=6)
    for step in steps:
        with span("fetch", kind="tool", input={"page": step.number}) as s:
            for _ in range(5):
                call("connect", {"host": "a"}, "refused")
            s.output = f"page {step.number}"
    assert steps.circle is None


def test_the_iteration_can_be_told_what_it_came_to(store: Path) -> None:
    steps = loop("solve", max_iterations=9)
    for step in steps:
        step.output = "I could not find it."
    assert (steps.stopped, steps.iterations) == ("circle", 3)
    assert steps.circle is not None
    assert steps.circle.kind == "nothing_new"


# -- what is done about it ---------------------------------------------------------------------------------


def test_each_iteration_is_a_span_and_the_last_one_has_the_reason(spans: Spans) -> None:
    with span("agent", kind="agent"):
        for _ in loop("solve"):
            call("search", {"q": "refund"}, [])
    found = [one for one in spans() if one["kind"] == "loop"]
    agent = next(one for one in spans() if one["name"] == "agent")
    assert [one["attributes"]["agentops.loop.iteration"] for one in found] == [1, 2, 3]
    assert {(one["kind"], one["parent_span_id"]) for one in found} == {("loop", agent["span_id"])}
    assert [one["attributes"].get("agentops.loop.stopped") for one in found] == [None, None, "circle"]
    last = found[-1]["attributes"]
    assert last["agentops.loop.circle"] == "same_call"
    assert (
        last["agentops.loop.reason"] == "search was called 3 times with the same arguments, and the answer was the same"
    )
    assert [event["name"] for event in found[-1]["events"]] == ["circle", "loop stopped"]
    tools = [one for one in spans() if one["name"] == "search"]
    assert {one["parent_span_id"] for one in tools} == {one["span_id"] for one in found}


def test_it_ends_at_its_limits(spans: Spans) -> None:
    steps = loop("solve", max_iterations=2)
    assert [step.number for step in steps] == [1, 2]
    assert (steps.stopped, steps.reason) == ("max_iterations", "it has made all of its 2 iterations")
    late = loop("late", max_seconds=0.05)
    for _ in late:
        time.sleep(0.03)
    assert late.stopped == "max_seconds"
    assert 2 <= late.iterations < 10
    assert list(loop("none", max_iterations=0)) == []
    found = {one["name"]: one for one in spans() if one["kind"] == "agent"}
    assert found["solve"]["attributes"]["agentops.loop.stopped"] == "max_iterations"
    assert found["late"]["attributes"]["agentops.loop.stopped"] == "max_seconds"
    assert "of 0.05 seconds" in found["late"]["attributes"]["agentops.loop.reason"]


def test_a_flag_is_set_and_the_loop_goes_on(spans: Spans) -> None:
    steps = loop("solve", max_iterations=5, on_circle="flag")
    for _ in steps:
        call("search", {"q": "refund"}, [])
    assert (steps.stopped, steps.iterations) == ("max_iterations", 5)
    found = [one["attributes"] for one in spans() if one["kind"] == "loop"]
    assert [one.get("agentops.loop.circle") for one in found] == [None, None, *["same_call"] * 3]
    assert steps.circle is not None
    assert steps.circle.times == 5


def test_an_iteration_of_which_nothing_is_known_is_part_of_no_circle(spans: Spans) -> None:
    for step in loop("solve", max_iterations=6, on_circle="flag"):
        if step.number != 4:
            call("search", {"q": "refund"}, [])
    found = [one["attributes"] for one in spans() if one["kind"] == "loop"]
    assert ["agentops.loop.circle" in one for one in found] == [False, False, True, False, True, True]


def test_a_function_decides(store: Path) -> None:
    seen: list[Circle] = []

    def decide(circle: Circle) -> bool:
        seen.append(circle)
        return circle.times >= 5

    steps = loop("solve", on_circle=decide)
    for _ in steps:
        call("search", {"q": "refund"}, [])
    assert (steps.stopped, steps.iterations) == ("circle", 5)
    assert [circle.times for circle in seen] == [3, 4, 5]
    assert seen[0].arguments == {"q": "refund"}


def test_what_the_function_raises_comes_out_of_the_loop(spans: Spans) -> None:
    def give_up(circle: Circle) -> bool:
        raise RuntimeError(circle.sentence)

    with pytest.raises(RuntimeError, match="search was called 3 times"):
        for _ in loop("solve", on_circle=give_up):
            call("search", {"q": "refund"}, [])
    assert current_span() is None
    assert [one["status"] for one in spans() if one["kind"] == "loop"] == ["ok", "ok", "error"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_iterations": -1},
        {"max_iterations": 2.5},
        {"max_seconds": -1},
        {"max_seconds": float("nan")},
        {"max_seconds": "60"},
        {"repeats": 1},
        {"no_new": True},
        {"on_circle": "ignore"},
        {"on_circle": asyncio.sleep},
    ],
)
def test_a_limit_that_is_none_is_said_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        loop("solve", **wrong)


def test_a_loop_with_nothing_above_it_is_one_run(spans: Spans) -> None:
    for _ in loop("solve", max_iterations=3):
        call("search", {"q": "refund"}, current_span())
    with pytest.raises(TimeoutError):
        for _ in loop("pay"):
            with span("charge", kind="tool"):
                raise TimeoutError("no answer")
    found = spans()
    assert len({one["trace_id"] for one in found}) == 2
    runs = {one["name"]: one for one in found if one["parent_span_id"] is None}
    assert {name: (one["kind"], one["status"]) for name, one in runs.items()} == {
        "solve": ("agent", "ok"),
        "pay": ("agent", "error"),
    }
    assert runs["solve"]["attributes"]["agentops.loop.stopped"] == "max_iterations"
    assert runs["pay"]["exception"]["message"] == "no answer"
    assert current_span() is None


# -- however it is left ------------------------------------------------------------------------------------


def statuses(spans: Spans) -> list[str]:
    return [one["status"] for one in spans() if one["kind"] == "loop"]


def test_break_and_return_end_the_iteration_at_once(spans: Spans) -> None:
    def search() -> int:
        for step in loop("solve"):
            with span("inner"):
                if step.number == 2:
                    return step.number
        return 0

    with span("agent") as agent:
        steps = loop("solve")
        for step in steps:
            if step.number == 2:
                break
        assert (step.status, current_span()) == ("ok", agent)
        assert steps.stopped is None
        assert search() == 2
        assert current_span() is agent
    assert statuses(spans) == ["ok"] * 4


def test_an_exception_in_the_body_makes_its_iteration_an_error(spans: Spans) -> None:
    def fails(in_tool: bool) -> None:
        for step in loop("solve"):
            if step.number == 2 and in_tool:
                with span("pay", kind="tool"):
                    raise TimeoutError("no answer")
            elif step.number == 2:
                raise KeyError("missing")

    with pytest.raises(KeyError), span("agent") as agent:
        with pytest.raises(TimeoutError):
            fails(in_tool=True)
        assert current_span() is agent
        try:
            for step in loop("solve"):
                int("x" * step.number)
        except ValueError:
            assert current_span() is agent
        fails(in_tool=False)
    found = [one for one in spans() if one["kind"] == "loop"]
    assert [one["status"] for one in found] == ["ok", "error", "error", "ok", "error"]
    assert found[1]["exception"]["type"] == "TimeoutError"
    assert found[2]["exception"]["message"] == "left by an exception"  # nobody above has heard which
    assert (found[4]["exception"]["type"], found[4]["exception"]["message"]) == ("KeyError", "'missing'")


def test_the_exception_that_left_a_loop_is_told_from_others(spans: Spans) -> None:
    def fails() -> None:
        for _ in loop("inner"):
            with open(__file__):
                raise KeyError("missing")

    def agent(instead: Exception | None) -> None:
        try:
            for _ in loop("outer"):
                fails()
        except KeyError as problem:
            if instead is None:
                raise
            if str(instead):
                raise instead from problem
        raise ValueError("later")

    for instead in (None, RuntimeError("because of it"), RuntimeError("")):
        with pytest.raises((KeyError, RuntimeError, ValueError)), span("agent"):
            agent(instead)
    found = [(one["exception"]["type"], one["name"]) for one in spans() if one["kind"] == "loop"]
    assert sorted(found) == [("", "inner"), ("", "outer"), *[("KeyError", "inner")] * 2, *[("KeyError", "outer")] * 2]


async def _fails_later() -> None:
    await asyncio.sleep(0)
    raise KeyError("missing")


def test_the_exception_of_what_was_awaited_is_known(spans: Spans) -> None:
    async def agent() -> None:
        with span("agent"):
            async for _ in loop("solve"):
                await _fails_later()

    with pytest.raises(KeyError):
        asyncio.run(agent())
    [step] = [one for one in spans() if one["kind"] == "loop"]
    assert step["exception"]["type"] == "KeyError"


def test_a_failure_that_the_body_handles_is_none_of_the_iteration(spans: Spans) -> None:
    for step in loop("solve"):
        try:
            with span("pay", kind="tool"):
                raise TimeoutError
        except TimeoutError:
            if step.number == 2:
                break
    assert statuses(spans) == ["ok", "ok"]


def test_a_loop_in_a_generator_ends_when_that_is_closed(spans: Spans) -> None:
    def agent() -> Iterator[int]:
        for step in loop("solve"):
            yield step.number

    answers = agent()
    assert (next(answers), next(answers)) == (1, 2)
    answers.close()
    assert current_span() is None
    for number, _ in zip(agent(), "ab", strict=False):
        assert number
    assert current_span() is None
    assert statuses(spans) == ["ok"] * 5


def test_an_iterator_that_is_kept_attaches_nothing_later(store: Path) -> None:
    with span("agent"):
        iterator = iter(loop("solve"))
        step = next(iterator)
        assert current_span() is step
    assert current_span() is None
    with span("next") as following:
        del iterator
        assert current_span() is following
    assert current_span() is None
    assert step.status == "ok"


def test_a_loop_begins_anew_each_time(store: Path) -> None:
    steps = loop("solve", max_iterations=3)
    assert [step.number for step in steps] == [1, 2, 3]
    assert [step.number for step in steps] == [1, 2, 3]
    iterator = iter(steps)
    assert len(list(iterator)) == 3
    assert list(iterator) == []


# -- asyncio, threads, other loops -------------------------------------------------------------------------


def test_async_for_and_await_inside(spans: Spans) -> None:
    async def search() -> None:
        with span("search", kind="tool", input="refund") as s:
            await asyncio.sleep(0)
            s.output = []

    async def agent(name: str) -> Loop:
        with span(name, kind="agent") as above:
            steps = loop(f"{name} step")
            async for step in steps:
                await asyncio.gather(search(), search())
                assert current_span() is step
            assert current_span() is above
            return steps

    async def several() -> list[Loop]:
        return await asyncio.gather(*(agent(name) for name in ("one", "two", "three")))

    for steps in asyncio.run(several()):
        assert (steps.stopped, steps.iterations) == ("circle", 3)
    found = {one["span_id"]: one for one in spans()}
    for one in found.values():
        if one["name"] == "search":
            step = found[one["parent_span_id"]]
            assert found[step["parent_span_id"]]["name"] == step["name"].removesuffix(" step")


def test_async_for_that_is_left(spans: Spans) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    async def agent() -> None:
        with span("agent") as above:
            async for _ in loop("broken off"):
                await asyncio.sleep(0)
                break
            assert current_span() is above
            with pytest.raises(ValueError, match="no"):
                async for _ in loop("failed"):
                    await fails()
            assert current_span() is above
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    for _ in loop("timed out"):
                        await asyncio.sleep(60)
            assert current_span() is above

    async def answers() -> AsyncIterator[int]:
        async for step in loop("closed"):
            yield step.number

    async def closes() -> None:
        iterator = answers()
        assert await anext(iterator) == 1
        await iterator.aclose()  # type: ignore[attr-defined]
        assert current_span() is None

    asyncio.run(agent())
    asyncio.run(closes())
    found = {one["name"]: one["status"] for one in spans()}
    assert found == {"agent": "ok", "broken off": "ok", "failed": "error", "timed out": "error", "closed": "ok"}


def test_a_task_that_is_cancelled_leaves_no_iteration_open(spans: Spans) -> None:
    async def agent() -> None:
        for _ in loop("solve"):
            await asyncio.sleep(60)

    async def cancels() -> None:
        task = asyncio.create_task(agent())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancels())
    assert statuses(spans) == ["error"]


def test_loops_in_loops_each_look_at_their_own(store: Path) -> None:
    outer = loop("outer", max_iterations=5)
    inner_ends = []
    for step in outer:
        inner = loop("inner", max_iterations=6)
        for _ in inner:
            call("get_job", {"job": step.number}, "pending")
            assert current_span() is not step
        assert current_span() is step
        inner_ends.append((inner.stopped, inner.iterations))
    assert inner_ends == [("circle", 3)] * 5
    assert outer.stopped == "max_iterations"
    again = loop("outer")
    for _ in again:
        for _ in loop("inner", max_iterations=1):
            call("get_job", {"job": 7}, "pending")
    assert (again.stopped, again.iterations) == ("circle", 3)


def test_calls_in_other_threads_are_seen_where_the_context_goes_with_them(spans: Spans) -> None:
    steps = loop("solve")
    for _ in steps:
        threads = [
            threading.Thread(target=contextvars.copy_context().run, args=(call, name, {"q": 1}, name))
            for name in ("search", "fetch", "read")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (steps.stopped, steps.iterations) == ("circle", 3)
    assert steps.circle is not None
    assert sorted(steps.circle.tools) == ["fetch", "read", "search"]


def test_one_loop_can_be_gone_through_by_many_at_once(store: Path) -> None:
    steps = loop("solve", max_iterations=30)
    counts: list[int] = []

    def agent() -> None:
        counts.append(len(list(steps)))

    threads = [threading.Thread(target=agent) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [30] * 4


def test_what_goes_on_in_another_thread_is_none_of_a_later_iteration(store: Path) -> None:
    go = threading.Event()

    def late() -> None:
        with span("slow", kind="tool", input={"q": 1}) as s:
            assert go.wait(30)
            s.output = "new"
        call("other", {"q": 2}, "new")

    steps = loop("solve", max_iterations=9)
    for step in steps:
        if step.number == 1:
            thread = threading.Thread(target=contextvars.copy_context().run, args=(late,))
            thread.start()
        if step.number == 2:
            go.set()
            thread.join()
        call("search", {"q": "refund"}, [])
    assert (steps.stopped, steps.iterations) == ("circle", 3)


def test_each_thread_has_its_own_loop(store: Path) -> None:
    ended: list[tuple[str | None, int]] = []

    def agent(thread: int) -> None:
        steps = loop("solve", max_iterations=30)
        for step in steps:
            call("read", {"path": f"{thread}-{step.number}"}, f"{thread}-{step.number}")
        ended.append((steps.stopped, steps.iterations))

    threads = [threading.Thread(target=agent, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [("max_iterations", 30)] * 4


# -- whatever the recording does ---------------------------------------------------------------------------

Program = Callable[..., subprocess.CompletedProcess[str]]
_BODY = """
import agentops
from agentops import loop, span
{first}
steps = loop("solve", max_iterations=20)
for _ in steps:
    with span("search", kind="tool", input="refund") as s:
        s.output = []
assert (steps.stopped, steps.iterations) == ("circle", 3), steps
limited = loop("solve", max_iterations=20)
assert len(list(limited)) == 20
"""


def test_limits_and_circles_hold_while_recording_is_off(program: Program, tmp_path: Path) -> None:
    done = program(_BODY.format(first="agentops.init(enabled=False)"))
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "traces.db").exists()


def test_limits_and_circles_hold_where_nothing_can_be_recorded(program: Program) -> None:
    done = program(_BODY.format(first=""), AGENTOPS_STORE="/proc/nowhere/traces.db", AGENTOPS_RAISE="0")
    assert done.returncode == 0, done.stderr


def test_beside_the_applications_provider(program: Program, tmp_path: Path, read: Any) -> None:
    body = """
application()
from agentops import loop
def theirs(n):
    with trace.get_tracer("other").start_as_current_span("execute_tool lookup") as s:
        s.set_attribute("gen_ai.operation.name", "execute_tool")
        s.set_attribute("gen_ai.tool.name", "lookup")
        s.set_attribute("gen_ai.tool.call.arguments", '{"q": "refund"}')
        s.set_attribute("gen_ai.tool.call.result", n)
with span("agent") as agent:
    steps = loop("solve")
    for step in steps:
        with span("search", kind="tool", input="refund") as s:
            s.output = []
        assert agentops.current_span() is step
    assert (steps.stopped, steps.iterations) == ("circle", 3), steps
    other = loop("others'")
    for step in other:
        theirs("nothing")
    assert (other.stopped, other.iterations, other.circle.tools) == ("circle", 3, ("lookup",)), other
    working = loop("others' at work", max_iterations=5)
    for step in working:
        theirs(f"answer {step.number}")
    assert working.circle is None
    for step in loop("left"):
        break
    try:
        for step in loop("failed"):
            with span("pay", kind="tool"):
                raise ValueError("no")
    except ValueError:
        pass
    assert agentops.current_span() is agent
spans = exporter.get_finished_spans()
solve = [s for s in spans if s.name == "solve"]
assert [s.attributes["agentops.loop.iteration"] for s in solve] == [1, 2, 3]
assert solve[-1].attributes["agentops.loop.stopped"] == "circle"
assert [s.attributes for s in spans if s.name == "search"][0].get("input.value") is None
assert {s.parent.span_id for s in solve} == {int(agent.span_id, 16)}
assert [s.status.description for s in spans if s.name == "failed"] == ["ValueError: no"]
"""
    done = program(APPLICATION + body + "\nagentops.shutdown()\n")
    assert done.returncode == 0, done.stderr
    assert "agentops" not in done.stderr
    found = read(tmp_path / "traces.db")
    assert [one["status"] for one in found if one["name"] in ("left", "failed")] == ["ok", "error"]
    counts = Counter(one["name"] for one in found)
    assert counts == {
        "agent": 1, "solve": 3, "search": 3, "others'": 3, "others' at work": 5, "execute_tool lookup": 8, "left": 1,
        "failed": 1, "pay": 1,
    }  # fmt: skip


def test_an_agent_of_the_decorator(store: Path) -> None:
    @span("search", kind="retrieval")
    def search(query: str) -> list[str]:
        return ["Refunds take five days."]

    steps = loop("solve", max_iterations=9)
    for query in ("refund", "money back", "how long", "when is it paid"):
        for _ in steps if query == "refund" else ():
            search(f"{query} {steps.iterations * 'again '}")
    assert (steps.stopped, steps.iterations) == ("circle", 3)
    assert "gave the same answer to each question" in str(steps.reason)


def test_the_command_shows_why_it_ended(spans: Spans, store: Path) -> None:
    for _ in loop("solve"):
        call("search", {"q": "refund"}, [])
    spans()
    command = [Path(sys.executable).with_name("agentops"), "show", "latest", "--content"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    assert "search was called 3 times with the same arguments, and the answer was the same" in shown.stdout
