"""What broke the provider's prompt cache: found to the byte, and priced as the provider billed it."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import genai_prices
import httpx2
import pytest

import agentops
from agentops.analysis.cache_audit import Audit, audit
from agentops.cli.main import main
from agentops.cli.schemas import SCHEMAS
from agentops.store.filters import parse
from agentops.store.reader import Reader

sys.path.insert(0, str(Path(__file__).parents[2]))
from examples.stand_in import PrefixCache, Reply, StandIn, Text
from tests.analysis.planted_breaks import KINDS, SHORT, Plan, Turn, conversation, marked, plan
from tests.analysis.planted_breaks import Writer as Texts

SYSTEM = "You answer customers of a shop.\n\n" + "Be kind and brief. " * 400


class Clock:
    """The provider's."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Provider:
    """A stand-in with its clock, and a client of it."""

    def __init__(self, stack: ExitStack, is_recorded: bool) -> None:
        self.clock = Clock()
        self.answer = Reply((Text("yes"),))
        server = StandIn(lambda request: self.answer, cache=PrefixCache(clock=self.clock))
        url = stack.enter_context(server).url
        http = httpx2.Client(trust_env=False)
        options: Any = {"base_url": url, "api_key": "any", "max_retries": 0, "http_client": http}
        if not is_recorded:
            options["open_telemetry"] = False
        client = stack.enter_context(anthropic.Anthropic(**options))
        self.client = agentops.wrap(client) if is_recorded else client
        #: When each call was made, by the provider's clock.
        self.times_s: list[float] = []

    def ask(self, turn: Turn) -> float:
        """Make a call; what it was billed, in US dollars."""
        self.clock.now_s += turn.pause_s
        self.times_s.append(self.clock.now_s)
        return billed(self.client.messages.create(**turn.request))


def billed(answer: anthropic.types.Message) -> float:
    """By the price list, from the counts of the answer: nothing of ours has seen them."""
    usage = answer.usage
    assert usage.cache_creation is not None
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    counts = genai_prices.Usage(
        input_tokens=usage.input_tokens + read + written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=usage.cache_creation.ephemeral_1h_input_tokens,
        output_tokens=usage.output_tokens,
    )
    return float(genai_prices.calc_price(counts, answer.model, provider_id="anthropic").total_price)


def record(provider: Provider, name: str, turns: list[Turn]) -> float:
    with agentops.span(name, kind="agent"):
        return sum(map(provider.ask, turns))


def move_times(store: Path, times_s: list[float]) -> None:
    """The provider's clock becomes that of the recording: nobody waits an hour for a test."""
    agentops.shutdown()
    with Reader(str(store)):
        pass
    with sqlite3.connect(store) as connection:
        select = "SELECT trace, span_id FROM spans WHERE kind = (SELECT kind FROM spans WHERE model NOT NULL LIMIT 1)"
        spans = connection.execute(f"{select} ORDER BY start_ns").fetchall()
        assert len(spans) == len(times_s)
        for (trace, span_id), time_s in zip(spans, times_s, strict=True):
            moved = "start_ns = start_ns + ?, end_ns = end_ns + ?"
            shift = round(time_s * 1e9)
            connection.execute(
                f"UPDATE spans SET {moved} WHERE trace = ? AND span_id = ?", (shift, shift, trace, span_id)
            )
    connection.close()


def check(found: Audit, planted: Plan, cost_usd: float) -> None:
    assert found.findings, planted.kind
    finding = next((each for each in found.findings if each.kind == planted.expected["kind"]), None)
    assert finding is not None, (planted.kind, found.findings)
    told = finding._asdict()
    assert {key: told[key] for key in planted.expected} == planted.expected
    assert finding.cost_usd == pytest.approx(cost_usd, rel=0.01), planted.kind
    others = [each for each in found.findings if each is not finding and each.cost_usd]
    assert not others, (planted.kind, others)


def plant(store: Path, seeds: range) -> float:
    """Record a conversation with each break; an audit has to find every one. Returns all that they cost."""
    with ExitStack() as stack:
        recorded, other = Provider(stack, is_recorded=True), Provider(stack, is_recorded=False)
        plans = [(f"plan-{seed:04d}", plan(seed)) for seed in seeds]
        costs = []
        for name, planted in plans:
            costs.append(record(recorded, name, planted.turns) - sum(map(other.ask, planted.well)))
            for provider in (recorded, other):  # so that none finds what another has left
                provider.clock.now_s += 8_000
        move_times(store, recorded.times_s)
    with Reader(str(store)) as reader:
        for (name, planted), cost_usd in zip(plans, costs, strict=True):
            check(audit(reader, parse([f"name:{name}"])), planted, cost_usd)
    return sum(costs)


def test_planted_breaks_are_found_to_the_byte_and_priced_as_billed(store: Path) -> None:
    plant(store, range(2 * len(KINDS)))


@pytest.mark.proof
def test_three_hundred_planted_breaks(store: Path, record_property: Callable[[str, object], None]) -> None:
    cost_usd = plant(store, range(300))
    record_property("breaks found", 300)
    record_property("cost", f"${cost_usd:.2f}")


@pytest.fixture
def provider(store: Path) -> Iterator[Provider]:
    with ExitStack() as stack:
        yield Provider(stack, is_recorded=True)


def audited(store: Path, *words: str) -> Audit:
    agentops.flush()
    with Reader(str(store)) as reader:
        return audit(reader, parse(list(words)))


def test_a_conversation_that_reads_what_it_wrote_has_nothing_to_change(provider: Provider, store: Path) -> None:
    for way in ("whole", "ends"):
        record(provider, way, marked(conversation(Texts(7), "claude-sonnet-5", 6), way))
    found = audited(store)
    assert (found.calls, found.findings, found.wasted_usd) == (12, [], 0)
    assert found.read_tokens > found.input_tokens / 2


def test_conversations_side_by_side_are_told_apart(provider: Provider, store: Path) -> None:
    sides = [marked(conversation(Texts(seed), "claude-sonnet-5", 5), "whole") for seed in (1, 2)]
    with agentops.span("two at once", kind="agent"):
        for turns in zip(*sides, strict=True):
            for turn in turns:
                provider.ask(turn)
    found = audited(store)
    assert (found.conversations, found.findings) == (2, [])


def one_shot(text: str, system: str) -> Turn:
    block = {"type": "text", "text": system, "cache_control": SHORT}
    return Turn({"model": "claude-sonnet-5", "max_tokens": 9, "system": [block], "messages": says(text)})


def says(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_a_system_prompt_that_differs_between_runs_is_found_too(provider: Provider, store: Path) -> None:
    for n in range(5):
        record(provider, "sort ticket", [one_shot(f"Ticket {n}: where is it?", f"{SYSTEM}\n\nIt is 18:0{n}:00 now.")])
    [finding] = [each for each in audited(store).findings if each.cost_usd]
    assert (finding.kind, finding.section, finding.what) == ("break", "system", "a timestamp")
    assert (finding.times, finding.runs) == (4, 4)
    assert finding.byte == len(f"{SYSTEM}\n\nIt is ")


def test_runs_that_share_a_system_prompt_have_nothing_to_change(provider: Provider, store: Path) -> None:
    for n in range(5):
        record(provider, "sort ticket", [one_shot(f"Ticket {n}: where is it?", SYSTEM)])
    assert audited(store).findings == []


def test_a_prefix_that_is_too_short_for_the_model_is_named(provider: Provider, store: Path) -> None:
    record(provider, "short", [one_shot("hello", "Be kind.")])
    [finding] = audited(store).findings
    assert (finding.kind, finding.section) == ("too_short", "system")


def test_calls_that_were_made_before_the_cache_was_there(provider: Provider, store: Path) -> None:
    turns = marked(conversation(Texts(5), "claude-sonnet-5", 2), "whole")
    provider.answer = Reply((Text("yes"),), delay_s=0.3)
    with agentops.span("at once", kind="agent"), ThreadPoolExecutor(2) as pool:
        for _ in pool.map(agentops.carry(provider.ask), [turns[0], turns[0]]):
            pass
    [finding] = [each for each in audited(store).findings if each.kind != "unread"]
    assert (finding.kind, finding.times) == ("concurrent", 1)


def test_a_breakpoint_that_is_left_out_in_between(provider: Provider, store: Path) -> None:
    turns = marked(conversation(Texts(9), "claude-sonnet-5", 4), "ends")
    turns[2].request["messages"][-1]["content"][-1].pop("cache_control")
    record(provider, "left out", turns)
    [finding] = audited(store).findings
    assert (finding.kind, finding.section, finding.position, finding.times) == ("uncovered", "messages", 0, 1)


def test_a_breakpoint_that_is_never_found_again_is_named(provider: Provider, store: Path) -> None:
    texts = Texts(3)
    texts.format = "iso"
    turns = conversation(texts, "claude-sonnet-5", 5)
    for turn in turns:
        turn.request["system"] = [
            {"type": "text", "text": SYSTEM, "cache_control": SHORT},
            {"type": "text", "text": f"It is {texts.stamp()}.", "cache_control": SHORT},
        ]
    record(provider, "stamped", turns)
    never = [each for each in audited(store).findings if each.kind == "never_hit"]
    assert [(each.section, each.position) for each in never] == [("system", 1)]


def test_a_call_that_two_spans_report_is_one(store: Path) -> None:
    with agentops.span("outer", kind="llm", input=says("hello")) as outer:
        outer.set_attribute("gen_ai.response.id", "msg_1")
        outer.set_attribute("gen_ai.usage.input_tokens", 10)
        with agentops.span("inner", kind="llm", input=says("hello")) as inner:
            inner.set_attribute("gen_ai.response.id", "msg_1")
            inner.set_attribute("gen_ai.usage.input_tokens", 10)
    found = audited(store)
    assert (found.calls, found.input_tokens, found.wasted_usd) == (1, 10, None)


def test_a_provider_that_needs_no_breakpoints_is_audited_too(store: Path) -> None:
    messages: list[Any] = [{"role": "system", "content": ""}, *says("Where is it?")]
    for turn in range(4):
        messages[0]["content"] = f"{SYSTEM}\n\nIt is 2026-11-25 18:{turn:02d}:00."
        with agentops.span("chat", kind="llm", input=messages) as call:
            call.set_attribute("gen_ai.provider.name", "openai")
            call.set_attribute("gen_ai.request.model", "gpt-5")
            call.set_attribute("gen_ai.usage.input_tokens", 2_000 + turn)
            call.set_attribute("gen_ai.usage.cache_read.input_tokens", 1_024)
        messages += [{"role": "assistant", "content": "Where?"}, *says(f"Order {turn}.")]
    found = audited(store, "since:1d")
    assert (found.conversations, found.calls) == (4, 4)  # traces without a session are told apart
    for turn in range(4):
        with agentops.span("run", kind="agent", session="s-1"):
            messages[0]["content"] = f"{SYSTEM}\n\nIt is 2026-11-25 18:{turn:02d}:00."
            with agentops.span("chat", kind="llm", input=messages) as call:
                call.set_attribute("gen_ai.provider.name", "openai")
                call.set_attribute("gen_ai.request.model", "gpt-5")
                call.set_attribute("gen_ai.usage.input_tokens", 2_000 + turn)
                call.set_attribute("gen_ai.usage.cache_read.input_tokens", 1_024)
    [finding] = audited(store, "session:s-1").findings
    assert (finding.kind, finding.section, finding.position) == ("break", "messages", 0)
    assert (finding.what, finding.byte, finding.times) == ("a timestamp", len(f"{SYSTEM}\n\nIt is "), 3)
    assert finding.cost_usd is not None
    assert finding.cost_usd > 0


def test_the_command_says_it_in_a_sentence(provider: Provider, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run in range(2):
        texts = Texts(run)
        turns = conversation(texts, "claude-sonnet-5", 5)
        for minute, turn in enumerate(turns):
            turn.request["system"] = f"{SYSTEM}\n\nIt is 2026-11-25 18:{minute:02d}:17."
        record(provider, "support", marked(turns, "whole"))
    agentops.flush()
    assert main(["cache-audit", "name:support"]) == 0
    said = capsys.readouterr().out
    byte = len(f"{SYSTEM}\n\nIt is ")
    stamps = "2026-11-25 18:00:17 -> 2026-11-25 18:01:17"
    assert f"system prompt, paragraph 3, byte {byte}, a timestamp ({stamps}): " in said
    assert "kB written again in 8 calls of 2 runs, $0.0" in said
    assert "a run (first in " in said
    assert main(["cache-audit", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    SCHEMAS["cache-audit"].model_validate(told, strict=True)
    assert told["findings"][0]["cost_usd_per_run"] == pytest.approx(told["findings"][0]["cost_usd"] / 2)
    assert main(["cache-audit", "name:nobody"]) == 0
    assert "no model calls" in capsys.readouterr().out
