"""The trace that the issues measure with: 1 agent and 10 llm spans, each with 1 kB of new text and token counts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.trace import TracerProvider

__all__ = ["SPANS", "TEXT", "bare_tracer", "bare_traces", "costs", "our_traces"]

TEXT = "what is the fare from JFK to SEA on the 20th? " * 21
CALLS = 10
SPANS = CALLS + 1
_count = itertools.count()


def bare_tracer() -> Any:
    """Of an SDK provider without processor, which keeps nothing."""
    return TracerProvider().get_tracer("bare")


def bare_traces(tracer: Any, n: int, content: bool = True) -> None:
    """`n` traces with the SDK alone."""
    for _ in range(n):
        with tracer.start_as_current_span("agent"):
            for _ in range(CALLS):
                with tracer.start_as_current_span("llm") as s:
                    if content:
                        s.set_attribute("gen_ai.input.messages", f"{next(_count)} {TEXT}")
                    s.set_attribute("gen_ai.usage.input_tokens", 250)
                    s.set_attribute("gen_ai.usage.output_tokens", 40)


def our_traces(n: int, content: bool = True) -> None:
    """`n` traces with ours."""
    from agentops import span

    for _ in range(n):
        with span("agent", kind="agent"):
            for _ in range(CALLS):
                with span("llm", kind="llm", input=f"{next(_count)} {TEXT}" if content else None) as s:
                    s.set_attribute("gen_ai.usage.input_tokens", 250)
                    s.set_attribute("gen_ai.usage.output_tokens", 40)


def costs(work: Callable[[], object], spans: int) -> tuple[float, float]:
    """Microseconds a span: time of this thread, and on the wall."""
    wall, cpu = time.perf_counter(), time.thread_time()
    work()
    cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
    return cpu / spans * 1e6, wall / spans * 1e6
