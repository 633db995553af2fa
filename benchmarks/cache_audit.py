"""`cache-audit` on a trace of 1,000 model calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks import _fresh
from benchmarks._rows import Row, middle
from benchmarks._texts import Texts

CALLS, TURNS, ROUNDS = 1_000, 25, 8
MARK = {"type": "ephemeral"}


def _record(conversations: int, turns: int) -> None:
    """Agents in one trace: each call sends what came before, with a breakpoint behind its last message, and a system
    prompt of 9 kB with the time in it."""
    from agentops import flush, span

    texts = Texts(3)
    tools = [{"name": f"tool_{n}", "description": texts.quick()[:600]} for n in range(12)]
    rules = " ".join(texts.quick() for _ in range(9))[:9_000]
    with span("many agents", kind="agent"):
        for number in range(conversations):
            messages: list[dict[str, Any]] = [{"role": "user", "content": f"ticket {number}: {texts.quick()[:900]}"}]
            with span("support", kind="agent"):
                for turn in range(turns):
                    sent = [*messages[:-1], {**messages[-1], "cache_control": MARK}]
                    content = [{"type": "text", "text": messages[-1]["content"], "cache_control": MARK}]
                    sent[-1] = {"role": "user", "content": content}
                    with span("chat", kind="llm", input=sent) as call:
                        call.set_attribute("gen_ai.provider.name", "anthropic")
                        call.set_attribute("gen_ai.request.model", "claude-sonnet-5")
                        call.set_attribute("gen_ai.tool.definitions", tools)
                        stamped = f"{rules}\n\nIt is 2026-11-25 18:{turn // 60 % 60:02d}:{turn % 60:02d}."
                        call.set_attribute("gen_ai.system_instructions", [{"type": "text", "text": stamped}])
                        call.set_attribute("gen_ai.usage.input_tokens", 5_000 + 300 * turn)
                        call.set_attribute("gen_ai.usage.cache_read.input_tokens", 0)
                        call.set_attribute("gen_ai.usage.cache_write.input_tokens", 5_000 + 300 * turn)
                    messages += [
                        {"role": "assistant", "content": texts.quick()[:500]},
                        {"role": "user", "content": f"{turn}: {texts.quick()[:600]}"},
                    ]
            flush()


def measure(conversations: int, turns: int, rounds: int) -> list[float]:
    """Milliseconds of an audit, each with a store opened anew."""
    import os

    import agentops
    from agentops.analysis.cache_audit import audit
    from agentops.store.reader import Reader

    _record(conversations, turns)
    agentops.shutdown()
    took = []
    for _ in range(rounds):
        with Reader(os.environ["AGENTOPS_STORE"]) as reader:
            start = time.perf_counter()
            found = audit(reader)
            took.append((time.perf_counter() - start) * 1e3)
        broken = sum(finding.times for finding in found.findings if finding.kind == "break")
        if (found.calls, broken) != (conversations * turns, conversations * (turns - 1)):
            raise RuntimeError(f"{found.calls} calls with {broken} breaks were found")
    return took


def rows() -> Iterator[Row]:
    for turns in (1, TURNS, CALLS):
        conversations = CALLS // turns
        value, spread = middle(_fresh.call(measure, conversations, turns, ROUNDS))
        shape = f"{conversations:,} conversations of {turns}" if conversations > 1 else "one conversation"
        note = f"the system prompt differs in each call, every break is found; wall time, n={ROUNDS}"
        yield Row(f"`cache-audit` of {CALLS:,} calls, {shape}", value, "nothing", note, spread, 1_000, unit=" ms")
