"""One row a call of a model: buckets that add up, and what it cost by which price."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

import agentops
from agentops import span
from agentops.cli.main import main
from agentops.errors import SettingError
from agentops.prices import PricedCall, price_of
from agentops.store.reader import Reader
from agentops.store.rows import CallRow, TraceRow
from agentops.usage import BUCKETS, Usage, usage_of

PICO = 10**12
CLAUDE = {"gen_ai.provider.name": "anthropic", "gen_ai.response.model": "claude-sonnet-5"}
READ, WRITE = "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_write.input_tokens"
LONG = "anthropic.usage.cache_creation.ephemeral_1h_input_tokens"
SHORT = "anthropic.usage.cache_creation.ephemeral_5m_input_tokens"


def used(given: int, output: int | None = 0, **more: Any) -> dict[str, Any]:
    """Attributes of a call of a model that has a price; None for output that nobody said."""
    counts = {"gen_ai.usage.input_tokens": given, "gen_ai.usage.output_tokens": output, **more}
    return CLAUDE | {key: value for key, value in counts.items() if value is not None}


@pytest.fixture
def recorded(store: Path) -> Callable[..., tuple[TraceRow, list[CallRow]]]:
    """Records a call with each of the given attributes, below an agent; gives the trace and its calls."""

    def record(*calls: dict[str, Any], kind: Any = "llm") -> tuple[TraceRow, list[CallRow]]:
        with span("agent", kind="agent"):
            for attributes in calls:
                with span("ask", kind=kind, attributes=attributes):
                    pass
        assert agentops.flush()
        with Reader(str(store)) as reader:
            (trace,) = reader.traces(limit=1)
            return trace, reader.calls(trace)

    return record


def filled(usage: Usage) -> dict[str, int]:
    return {name: number for name, number in zip(BUCKETS, usage, strict=False) if number is not None}


# -- buckets -----------------------------------------------------------------------------------------

COUNT = st.integers(0, 10**9)


@given(fresh=COUNT, read=COUNT, short=COUNT, long=COUNT, heard=COUNT, text=COUNT, thinking=COUNT, said=COUNT)
def test_buckets_do_not_overlap_and_add_up_to_the_inclusive_totals(
    fresh: int, read: int, short: int, long: int, heard: int, text: int, thinking: int, said: int
) -> None:
    whole = {
        "gen_ai.usage.input_tokens": fresh + read + short + long + heard,
        READ: read, WRITE: short + long, SHORT: short, LONG: long, "gen_ai.usage.audio.input_tokens": heard,
        "gen_ai.usage.output_tokens": text + thinking + said,
        "gen_ai.usage.reasoning.output_tokens": thinking, "gen_ai.usage.audio.output_tokens": said,
    }  # fmt: skip
    usage = usage_of(whole)
    assert usage is not None
    assert usage[:8] == (fresh, read, short, long, heard, text, thinking, said)
    assert usage.input_tokens == whole["gen_ai.usage.input_tokens"]
    assert usage.output_tokens == whole["gen_ai.usage.output_tokens"]


@given(st.dictionaries(st.sampled_from([
    "gen_ai.usage.input_tokens", READ, WRITE, SHORT, LONG, "gen_ai.usage.audio.input_tokens",
    "gen_ai.usage.output_tokens", "gen_ai.usage.reasoning.output_tokens", "llm.token_count.prompt",
    "llm.token_count.prompt_details.cache_read", "gen_ai.usage.audio.output_tokens", "usage",
]), st.none() | st.integers(-(2**70), 2**70) | st.text(max_size=5) | st.floats() | st.dictionaries(
    st.sampled_from(["input_tokens", "prompt_tokens", "cache_read_input_tokens"]), st.integers(-5, 500))))  # fmt: skip
def test_whatever_a_span_says_no_bucket_is_negative_and_none_is_lost(attributes: dict[str, Any]) -> None:
    usage = usage_of(attributes)
    if usage is None:
        return
    assert all(number is None or 0 <= number < 2**63 for number in usage[:10])
    for name, number in zip(BUCKETS, usage, strict=False):
        assert (usage.mark(name) == "missing") == (number is None)
    if usage.input_tokens is not None:
        assert usage.input_tokens == min(2**63 - 1, sum(number or 0 for number in usage[:5]))


def test_cached_tokens_are_not_counted_twice(recorded: Any) -> None:
    trace, (call,) = recorded(used(1000, 10, **{READ: 600, WRITE: 300}))
    assert trace.input_tokens == 1000
    assert filled(call.usage) == {"fresh_input": 100, "cache_read": 600, "cache_write_5m": 300, "output": 10}


def test_an_instrumentation_that_leaves_the_cache_out_of_its_prompt_tokens_is_put_right(recorded: Any) -> None:
    trace, (call,) = recorded(used(10, 1, **{READ: 600, WRITE: 300}))
    assert trace.input_tokens == 910
    assert (call.usage.fresh_input, call.usage.mark("fresh_input")) == (10, "estimated")


def test_writes_to_the_cache_for_an_hour_are_not_priced_as_for_five_minutes(recorded: Any) -> None:
    lifetimes = {WRITE: 10**6, SHORT: 0, LONG: 10**6}
    _, (long, short) = recorded(used(10**6, **lifetimes), used(10**6, **{WRITE: 10**6}))
    assert (long.cost_pico, short.cost_pico) == (4 * PICO, 5 * PICO // 2)  # $4 and $2.50 a million
    assert long.usage.mark("cache_write_1h") == "reported"
    assert short.usage.mark("cache_write_5m") == "estimated"  # nobody said for how long


def test_usage_as_the_provider_gave_it_is_understood_in_either_form(recorded: Any) -> None:
    of_anthropic = {
        "input_tokens": 10, "cache_read_input_tokens": 600, "cache_creation_input_tokens": 300, "output_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
    }  # fmt: skip
    of_openai = {
        "prompt_tokens": 910, "prompt_tokens_details": {"cached_tokens": 600}, "completion_tokens": 7,
        "completion_tokens_details": {"reasoning_tokens": 5},
    }  # fmt: skip
    trace, calls = recorded({"usage": of_anthropic}, {"usage": of_openai})
    assert [filled(call.usage) for call in calls] == [
        {"fresh_input": 10, "cache_read": 600, "cache_write_5m": 100, "cache_write_1h": 200, "output": 7},
        {"fresh_input": 310, "cache_read": 600, "output": 2, "thinking": 5},
    ]
    assert (trace.input_tokens, trace.output_tokens) == (1820, 14)


def test_what_is_said_in_several_parts_while_a_call_runs_is_one_row(store: Path) -> None:
    with span("ask", kind="llm", attributes=dict(CLAUDE)) as call:
        assert agentops.flush()
        call.set_attribute("gen_ai.usage.input_tokens", 100)
        assert agentops.flush()
        call.set_attribute("gen_ai.usage.output_tokens", 10)
    assert agentops.flush()
    with Reader(str(store)) as reader:
        (trace,) = reader.traces()
        (one,) = reader.calls(trace)
    assert (one.cost_pico, one.model, one.provider) == (100 * 2 * 10**6 + 10 * 10**7, "claude-sonnet-5", "anthropic")
    assert trace.cost_usd == 0.0003


# -- prices ------------------------------------------------------------------------------------------


@given(
    model=st.sampled_from(["claude-sonnet-5", "claude-sonnet-4-5", "claude-opus-5-5", "claude-haiku-4-5"]),
    counts=st.tuples(*5 * [st.integers(0, 300_000)]),
    searches=st.integers(0, 5),
    tier=st.sampled_from([None, "batch", "fast"]),
)
def test_costs_are_those_of_the_list_to_the_last_digit(
    model: str, counts: tuple[int, ...], searches: int, tier: str | None
) -> None:
    fresh, read, short, long, output = counts
    usage = genai_prices.Usage(
        input_tokens=fresh + read + short + long, cache_read_tokens=read, cache_write_tokens=short + long,
        cache_write_1h_tokens=long, output_tokens=output, web_searches=searches,
    )  # fmt: skip
    context = {None: None, "batch": {"processing": "batch"}, "fast": {"speed": "fast"}}[tier]
    theirs = genai_prices.calc_price(usage, model, provider_id="anthropic", price_context=context).total_price
    import time

    ours = Usage(fresh, read, short, long, None, output, None, None, searches)
    found = price_of(PricedCall("anthropic", model, time.time_ns(), tier, ours))
    assert found is not None
    assert Decimal(found[1]) / PICO == theirs


def test_the_price_is_that_of_the_day_of_the_call_and_of_its_tier(recorded: Any) -> None:
    mine = {"m": [{"input": 1, "output": 1}, {"from": "2020-01-01", "input": 2, "batch": {"input": "0.5"}}]}
    agentops.init(prices=mine)
    usage = {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 10**6, "gen_ai.usage.output_tokens": 0}
    _, (plain, batch) = recorded(usage, usage | {"anthropic.usage.service_tier": "batch"})
    assert (plain.cost_pico, batch.cost_pico) == (2 * PICO, PICO // 2)
    before = price_of(PricedCall(None, "m", 10**18, None, Usage(10**6, None, None, None, None, 0)))
    assert before is not None and before[1] == PICO  # of 2001


def test_a_price_of_ones_own_comes_before_the_list_and_has_long_contexts(recorded: Any) -> None:
    agentops.init(prices={"claude-*": {"input": "0.1", "output": 0.2, "over": {"1000": {"input": 1}}}})
    _, (short, long) = recorded(used(1000, 10), used(1001, 10))
    assert (short.cost_pico, long.cost_pico) == (102_000_000, 1_003_000_000)
    assert short.price is not None and short.price[:2] == ("init()", "claude-*")


def test_a_function_says_first_what_a_call_costs(recorded: Any) -> None:
    @agentops.price
    def flat(call: PricedCall) -> Decimal | None:
        return Decimal("0.07") if call.usage.input_tokens == 100 else None

    trace, (mine, listed) = recorded(used(100), used(200))
    assert (mine.cost_pico, listed.cost_pico) == (70_000_000_000, 400_000_000)
    assert trace.cost_usd == 0.0704


def test_a_price_function_that_raises_leaves_the_price_to_the_list(
    recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTOPS_RAISE", "0")

    @agentops.price
    def broken(call: PricedCall) -> float:
        raise ZeroDivisionError

    _, (call,) = recorded(used(200))
    assert call.cost_pico == 400_000_000


def test_what_somebody_said_that_a_call_cost_stands_before_any_list(recorded: Any) -> None:
    _, (call,) = recorded(used(200, **{"llm.cost.total": 0.1}))
    assert (call.cost_pico, call.price) == (PICO // 10, None)


@pytest.mark.parametrize(
    "prices", [3, {"m": 3}, {"m": {"input": -1}}, {"m": {"inptu": 1}}, {"m": {"input": "0.0000001"}}, {"": {}},
               {"m": {"input": float("nan")}}, {"m": {"from": "soon"}}, {"m": {"over": {"many": {}}}}],
)  # fmt: skip
def test_prices_that_cannot_be_used_are_said_at_once(store: Path, prices: Any) -> None:
    with pytest.raises(SettingError, match="prices"):
        agentops.init(prices=prices)


# -- sums --------------------------------------------------------------------------------------------


def test_a_model_without_a_price_is_unpriced_in_every_sum_and_never_nothing(recorded: Any, store: Path) -> None:
    unknown = {"gen_ai.request.model": "house-model", "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 1}
    trace, (_, call) = recorded(used(1000), unknown)
    assert (call.cost_pico, trace.cost_usd, trace.unpriced) == (None, 0.002, 1)
    with Reader(str(store)) as reader:
        found = reader.stats()
    assert {row.key: (row.cost_usd, row.unpriced) for row in found.rows} == {
        "claude-sonnet-5": (0.002, 0), "house-model": (None, 1)
    }  # fmt: skip
    assert (found.total.cost_usd, found.total.unpriced) == (0.002, 1)


def test_a_stream_that_was_left_has_what_was_heard_of_it_and_no_cost(recorded: Any) -> None:
    trace, (call,) = recorded(used(1000, None))
    assert (call.usage.mark("fresh_input"), call.usage.mark("output")) == ("reported", "missing")
    assert (call.cost_pico, trace.unpriced, trace.input_tokens) == (None, 1, 1000)


def test_an_embedding_has_a_price_though_it_gives_no_tokens(recorded: Any) -> None:
    usage = {"gen_ai.provider.name": "openai", "gen_ai.request.model": "text-embedding-3-small"}
    _, (call,) = recorded(usage | {"gen_ai.usage.input_tokens": 10**6}, kind="embedding")
    assert call.cost_pico == PICO * 2 // 100


def test_an_answer_from_a_cache_of_ones_own_costs_nothing_and_says_what_it_saved(recorded: Any) -> None:
    trace, (call,) = recorded(used(1000, **{"agentops.cache.hit": True}))
    assert (call.cost_pico, call.saved_pico) == (0, 2 * 10**9)
    assert (trace.cost_usd, trace.unpriced) == (0.0, 0)


def test_sums_are_exact_whatever_is_added_up(recorded: Any, store: Path) -> None:
    agentops.init(prices={"m": {"input": "0.1", "output": 0}})
    one = {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 10**6, "gen_ai.usage.output_tokens": 0}
    trace, _ = recorded(*10 * [one])
    with Reader(str(store)) as reader:
        assert trace.cost_usd == reader.stats().total.cost_usd == 1.0  # where floats come to 0.9999999999999999


def test_an_agent_that_repeats_its_calls_usage_is_no_call(store: Path) -> None:
    with span("agent", kind="agent", attributes=used(1000)), span("ask", kind="llm", attributes=used(1000)):
        pass
    assert agentops.flush()
    with Reader(str(store)) as reader:
        (trace,) = reader.traces()
        assert (trace.cost_usd, trace.input_tokens, len(reader.calls(trace))) == (0.002, 1000, 1)


def test_an_imported_log_of_calls_has_its_rows_and_prices(store: Path, tmp_path: Path, capsys: Any) -> None:
    usage: dict[str, Any] = {"input_tokens": 1000, "cache_read_input_tokens": 600, "cache_creation_input_tokens": 300}
    usage |= {"output_tokens": 7, "cache_creation": {"ephemeral_1h_input_tokens": 300}, "service_tier": "batch"}
    log = tmp_path / "calls.log"
    log.write_text(json.dumps({"model": "claude-sonnet-5", "prompt": "hello", "response": "hi", "usage": usage}))
    assert main(["import", str(log)]) == 0
    with Reader(str(store)) as reader:
        (trace,) = reader.traces()
        (call,) = reader.calls(trace)
    assert filled(call.usage) == {"fresh_input": 1000, "cache_read": 600, "cache_write_1h": 300, "output": 7}
    assert (trace.input_tokens, call.tier) == (1900, "batch")
    assert call.cost_pico == (1000 * 1_000_000 + 600 * 100_000 + 300 * 2_000_000 + 7 * 5_000_000)


def test_a_store_of_before_gets_the_rows_of_its_calls_and_reprice_their_prices(recorded: Any, store: Path) -> None:
    trace, before = recorded(used(1000, 10, **{READ: 600}), used(5, **{"llm.cost.total": 0.25}))
    agentops.shutdown()
    connection = sqlite3.connect(store, isolation_level=None)
    for statement in (
        "DROP TABLE calls", "DROP TABLE prices", "ALTER TABLE traces DROP COLUMN unpriced",
        "UPDATE spans SET cost_usd = NULL WHERE cost_usd < 0.25", "PRAGMA user_version = 3",
    ):  # fmt: skip
        connection.execute(statement)
    connection.close()
    with Reader(str(store)) as reader:
        (one,) = reader.traces()
        found = reader.calls(one)
    assert [call.usage for call in found] == [call.usage for call in before]
    assert ([call.cost_pico for call in found], one.unpriced) == ([None, PICO // 4], 1)
    assert main(["reprice"]) == 0
    with Reader(str(store)) as reader:
        (again,) = reader.traces()
        assert [call.cost_pico for call in reader.calls(again)] == [call.cost_pico for call in before]
        assert (again.cost_usd, again.unpriced) == (trace.cost_usd, 0)
