"""`agentops stats`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentops.cli.schemas import SCHEMAS

Agentops = Callable[..., Any]

#: Twenty calls of one model that take 1 to 20 ms, one that fails, one of another model, one that never ends.
_CALLS = """
import os
def call(name, model, took_ms, kind="llm", fail=False, tokens=(10, 2), end=True):
    s = span(name, kind=kind)
    s.__enter__()
    if model:
        s.set_attribute("gen_ai.request.model", model)
    s.set_attribute("gen_ai.usage.input_tokens", tokens[0])
    s.set_attribute("gen_ai.usage.output_tokens", tokens[1])
    if fail:
        s.fail(ValueError("no"))
    s.checkpoint()
    if end:
        s.end(s._start_ns + took_ms * 1_000_000)
        s.__exit__()
with span("run", kind="agent") as run:
    run.set_attribute("gen_ai.request.model", "haiku")
    run.set_attribute("gen_ai.usage.input_tokens", 10_000)
for n in range(20, 0, -1):
    call("chat", "haiku", n, fail=n == 7)
call("chat", "opus", 500, tokens=(1000, 300))
call("embed", "small", 3, kind="embedding")
call("chat", None, 9)
call("look", None, 2, kind="tool", tokens=(0, 0))
call("chat", "opus", 0, end=False)
os._exit(0)
"""


@pytest.fixture(scope="module")
def calls(recording: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store: Path = recording(_CALLS, tmp_path_factory.mktemp("calls") / "traces.db")
    return store


def rows(agentops: Agentops, store: Path, *words: str) -> dict[Any, dict[str, Any]]:
    """Lines of the table by their key, the total under `total`."""
    done = agentops("stats", "--json", *words, store=store)
    assert (done.code, done.err) == (0, "")
    SCHEMAS["stats"].model_validate(done.object, strict=True)
    found = {(row["kind"], row["key"]) if row["kind"] else row["key"]: row for row in done.object["rows"]}
    return {**found, "total": done.object["total"]}


def test_by_model_each_call_of_a_model_is_counted_and_a_sum_over_calls_is_not(agentops: Agentops, calls: Path) -> None:
    found = rows(agentops, calls)
    assert {key: row["calls"] for key, row in found.items()} == {
        "haiku": 20, "opus": 2, "small": 1, None: 1, "total": 24,
    }  # fmt: skip
    assert (found["haiku"]["errors"], found["haiku"]["input_tokens"], found["haiku"]["output_tokens"]) == (1, 200, 40)
    assert (found["total"]["errors"], found["total"]["input_tokens"]) == (1, 200 + 1010 + 10 + 10)


def test_percentiles_are_the_nearest_rank_of_ended_spans(agentops: Agentops, calls: Path) -> None:
    found = rows(agentops, calls)
    assert (found["haiku"]["p50_ns"], found["haiku"]["p95_ns"]) == (10_000_000, 19_000_000)
    assert (found["opus"]["p50_ns"], found["opus"]["p95_ns"]) == (500_000_000, 500_000_000)
    # 23 ended calls: places 12 and 22 of 1 2 3 3 4 5 6 7 8 9 9 10 ... 20 500
    assert (found["total"]["p50_ns"], found["total"]["p95_ns"]) == (10_000_000, 20_000_000)


def test_by_name_all_spans_are_counted_with_their_kind(agentops: Agentops, calls: Path) -> None:
    found = rows(agentops, calls, "--by", "name")
    assert {key: row["calls"] for key, row in found.items()} == {
        ("llm", "chat"): 23, ("embedding", "embed"): 1, ("tool", "look"): 1, ("agent", "run"): 1, "total": 26,
    }  # fmt: skip


def test_by_day_calls_stand_under_the_local_day_with_their_runs(
    agentops: Agentops, calls: Path, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1_790_000_000  # 2026-09-21 13:33:20 UTC
    store = record(f"""
        from opentelemetry.sdk.trace import TracerProvider
        import agentops
        agentops.init(otel=True)
        from opentelemetry import trace
        tracer = trace.get_tracer("x")
        for seconds in (0, 1, 40_000):
            at = ({moment} + seconds) * 10**9
            root = tracer.start_span("run", start_time=at)
            for n in range(2):
                inside = trace.set_span_in_context(root)
                tracer.start_span("chat", inside, attributes={{"gen_ai.operation.name": "chat"}}, start_time=at).end(at)
            root.end(at)
        """)
    for zone, days in (
        ("UTC", {"2026-09-21": (4, 2), "2026-09-22": (2, 1)}),
        ("Asia/Tokyo", {"2026-09-21": (4, 2), "2026-09-22": (2, 1)}),
        ("Pacific/Kiritimati", {"2026-09-22": (6, 3)}),
    ):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        try:
            found = rows(agentops, store, "--by", "day")
        finally:
            monkeypatch.delenv("TZ")
            time.tzset()
        total = found.pop("total")
        assert {day: (row["calls"], row["runs"]) for day, row in found.items()} == days
        assert (total["calls"], total["runs"]) == (6, 3)
        assert list(found) == sorted(days, reverse=True)


def test_the_filter_selects_spans(agentops: Agentops, calls: Path, shop: Path) -> None:
    assert rows(agentops, calls, "status:error")["total"]["calls"] == 1
    assert rows(agentops, calls, "model:opus", "--by", "name")["total"]["calls"] == 2
    assert rows(agentops, calls, "took>15ms", "-model:opus")["total"]["calls"] == 5
    assert set(rows(agentops, shop, "session:s-1", "--by", "name")) == {
        ("agent", "refund ticket"), ("llm", "ask model"), ("tool", "pay"), "total",
    }  # fmt: skip
    assert set(rows(agentops, shop, "refund order 4711", "--by", "name")) == {("llm", "ask model"), "total"}
    assert set(rows(agentops, shop, "refund order 4711", "kind:tool", "--by", "name")) == {"total"}
    assert agentops("stats", "kind:toll", store=shop).code == 2


def test_a_cost_that_is_not_known_is_never_nothing(agentops: Agentops, calls: Path) -> None:
    found = rows(agentops, calls)
    assert {row["cost_usd"] for row in found.values()} == {None}
    assert (found["haiku"]["unpriced"], found["total"]["unpriced"]) == (20, 24)
    assert rows(agentops, calls, "--by", "name")[("tool", "look")]["unpriced"] == 0
    assert "24 calls have no price: not in the cost" in agentops("stats", store=calls).out


def test_the_table_has_a_line_for_each_model_and_a_total(agentops: Agentops, calls: Path) -> None:
    done = agentops("stats", store=calls)
    assert (done.code, done.err) == (0, "")
    head, first, *_, total, _ = done.lines
    assert head.split() == ["model", "calls", "errors", "input", "output", "cost", "p50", "p95"]
    assert first.split() == ["haiku", "20", "1", "200", "40", "unpriced", "10ms", "19ms"]
    assert total.split() == ["total", "24", "1", "1.2k", "346", "unpriced", "10ms", "20ms"]


def test_nothing_to_count_is_said(agentops: Agentops, record: Any) -> None:
    record("with span('a', kind='tool'): pass")
    assert agentops("stats").out == "no model calls were recorded yet\n"
    assert agentops("stats", "kind:llm").out == "nothing matches: every key of the filter is the span's here\n"
    assert agentops("stats", "--json").object["total"]["calls"] == 0
    assert agentops("stats", "--by", "week").err == "agentops: --by takes model, name or day, not 'week'\n"


def test_hostile_names_and_counts_harm_nothing(agentops: Agentops, record: Any) -> None:
    record("""
        for n in range(3):
            with span("\\x1b[31m\\u202e", kind="llm") as s:
                s.set_attribute("gen_ai.request.model", "\\x1b]0;gone\\x07")
                s.set_attribute("gen_ai.usage.output_tokens", 2**63 - 1 if n == 0 else -5)
        """)
    assert rows(agentops, agentops("config", "--json").object["store"])["total"]["output_tokens"] == 2**63 - 1
    for by in ("model", "name"):
        assert not {"\x1b", "\x07", "\u202e"} & set(agentops("stats", "--by", by).out)


def test_a_small_cost_is_not_shown_as_nothing(agentops: Agentops, record: Any) -> None:
    record("""
        for cost in (0.00003, 0.00001):
            with span("chat", kind="llm", attributes={"gen_ai.request.model": "m", "llm.cost.total": cost}): pass
        with span("chat", kind="llm", attributes={"gen_ai.request.model": "free", "llm.cost.total": 0}): pass
        """)
    model, free, total = (line.split() for line in agentops("stats").lines[1:])
    assert model[2] == total[2] == "<$0.0001" and free[2] == "$0.0000"
    assert rows(agentops, agentops("config", "--json").object["store"])["m"]["cost_usd"] == pytest.approx(0.00004)
