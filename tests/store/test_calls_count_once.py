"""A call to a model that several spans report counts once in its trace and in the statistics."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

import agentops
from agentops import span
from agentops.store.reader import Reader

Record = Callable[[bool], None]

CALL: dict[str, Any] = {"given": 100, "made": 20}


def call(
    name: str, *inside: Record, kind: Any = "llm", id: str = "", given: int = 0, made: int = 0, cost: float = 0
) -> Record:
    """Records a span with others inside of it; each is brought into the store by itself if that is asked for."""
    facts = {
        "gen_ai.response.id": id,
        "gen_ai.usage.input_tokens": given,
        "gen_ai.usage.output_tokens": made,
        "llm.cost.total": cost,
    }

    def record(flush: bool) -> None:
        with span(name, kind=kind) as one:
            for other in inside:
                other(flush)
            one.set_attributes({key: value for key, value in facts.items() if value})
        if flush:
            agentops.flush()

    return record


WAYS: dict[str, tuple[Record, tuple[int, int, int, float | None]]] = {
    "one inside of the other, both with the usage": (
        call("outer", call("inner", **CALL), **CALL),
        (1, 100, 20, None),
    ),
    "the program's own says nothing": (
        call("own", call("outer", call("inner", **CALL, id="msg_1", cost=0.5), **CALL, id="msg_1")),
        (1, 100, 20, 0.5),
    ),
    "the outer one knows what it cost": (
        call("outer", call("inner", **CALL), **CALL, cost=0.5),
        (1, 100, 20, 0.5),
    ),
    "the inner one was left before its end": (
        call("outer", call("inner", given=100), **CALL),
        (1, 100, 20, None),
    ),
    "the same answer again later is a call again": (
        call("agent", call("first", **CALL, id="msg_1"), call("second", **CALL, id="msg_1"), kind="agent"),
        (2, 200, 40, None),
    ),
    "one around two calls says nothing": (
        call("own", call("first", **CALL, id="msg_1"), call("second", **CALL, id="msg_2")),
        (2, 200, 40, None),
    ),
    "one around two calls adds them up": (
        call("own", call("first", **CALL, cost=0.5), call("second", **CALL, cost=0.25), given=200, made=40),
        (2, 200, 40, 0.75),
    ),
    "a call inside of another's answer is one of its own": (
        call("outer", call("inner", given=7, made=1, id="msg_2"), **CALL, id="msg_1"),
        (2, 107, 21, None),
    ),
    "a call of a tool that a call has asked for": (
        call("outer", call("tool", call("inner", **CALL), kind="tool"), **CALL),
        (2, 200, 40, None),
    ),
    "an agent that adds up what its calls used": (
        call("agent", call("one", **CALL), call("two", **CALL), kind="agent", given=200, made=40),
        (2, 200, 40, None),
    ),
    "embeddings too": (
        call("outer", call("inner", given=9, kind="embedding"), given=9, kind="embedding"),
        (0, 9, 0, None),
    ),
}


@pytest.mark.parametrize("flush", [False, True], ids=["at once", "a batch each"])
@pytest.mark.parametrize("way", WAYS)
def test_a_call_counts_once(way: str, flush: bool, store: Path) -> None:
    record, expected = WAYS[way]
    record(flush)
    assert agentops.flush()
    with Reader(str(store)) as reader:
        (trace,) = reader.iter_traces()
        assert (trace.llm_calls, trace.input_tokens, trace.output_tokens, trace.cost_usd) == expected
        total = reader.stats().total
        assert (total.input_tokens, total.output_tokens, total.cost_usd) == expected[1:]
        assert total.calls == (expected[0] or 1)
        by_name = reader.stats(by="name").total
        assert (by_name.input_tokens, by_name.output_tokens, by_name.cost_usd) == expected[1:]


@pytest.mark.parametrize("flush", [False, True], ids=["at once", "a batch each"])
@pytest.mark.parametrize(("ids", "calls"), [(("msg_1", "msg_1"), 1), (("msg_1", "msg_2"), 2), (("", ""), 2)])
def test_reports_beside_each_other_are_one_call_if_they_name_one_answer(
    ids: tuple[str, str], calls: int, flush: bool, store: Path
) -> None:
    with span("agent", kind="agent"):
        beside = [(copy_context(), span(f"chat {n}", kind="llm")) for n in range(2)]
        for context, made in beside:
            context.run(made.__enter__)
        if flush:
            agentops.flush()
        for (context, made), id in zip(beside, ids, strict=True):
            made.set_attributes({"gen_ai.response.id": id, "gen_ai.usage.input_tokens": 100})
            context.run(made.__exit__)
            if flush:
                agentops.flush()
    assert agentops.flush()
    with Reader(str(store)) as reader:
        (trace,) = reader.iter_traces()
        assert (trace.spans, trace.llm_calls, trace.input_tokens) == (3, calls, calls * 100)
        assert reader.stats().total.calls == calls


def test_calls_at_the_same_time_that_used_the_same_are_many(store: Path) -> None:
    with span("agent", kind="agent"):
        facts = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20}
        beside = [(copy_context(), span("chat", kind="llm", attributes=facts)) for _ in range(5_000)]
        for turn in ("__enter__", "__exit__"):
            for context, made in beside:
                context.run(getattr(made, turn))
    assert agentops.flush()
    with Reader(str(store)) as reader:
        (trace,) = reader.iter_traces()
        assert (trace.llm_calls, trace.input_tokens) == (5_000, 500_000)
        assert reader.stats().total.calls == 5_000
