"""`why` on a trace of 10,000 spans, and the runs that failed like one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from benchmarks import _fresh, _stores
from benchmarks._rows import Row, middle, ratios
from benchmarks._texts import Texts

ROUNDS, FAILED_RUNS = 40, 3_000


def _long_run() -> None:
    """An agent that goes on for 2,500 iterations: a model, a tool, a search; the last tool fails."""
    from agentops import flush, span

    texts = Texts(5)
    with suppress(ValueError), span("long run", kind="agent", input="do it"):
        for n in range(2_499):
            with span(f"iteration {n}"):
                with span("chat", kind="llm", input=[{"role": "user", "content": texts.quick()[:600]}]) as s:
                    s.set_attribute("gen_ai.usage.input_tokens", 1_000 + n % 70)
                    s.set_attribute("gen_ai.response.finish_reasons", ["tool_use"])
                    s.output = [{"type": "tool_use", "id": f"toolu_{n}", "name": "lookup", "input": {"order": n}}]
                with span("lookup", kind="tool", input={"order": n, "fields": ["status", "total"]}) as s:
                    s.output = {"order": n, "status": "shipped", "total": n * 3, "text": texts.quick()[:300]}
                with span("search", kind="retrieval", input=f"policy number {n}") as s:
                    s.output = [{"id": n, "text": texts.quick()[:500]}, {"id": n + 1, "score": 0.5}]
            if n % 500 == 0:
                flush()
        with span("pay", kind="tool", input={"order": 77, "reference": "X-2313-B"}):
            raise ValueError("reference X-2313-B cannot be paid")


def _failed_runs(n: int) -> None:
    from agentops import flush, span

    for i in range(n):
        with suppress(LookupError), span("answer ticket", kind="agent"), span(f"iteration {i % 9}"):
            for _ in range(7):
                with span("chat", kind="llm"):
                    pass
            with span("refund" if i % 2 else "charge", kind="tool", input=i):
                raise LookupError(f"order {i} is gone")
        if i % 500 == 0:
            flush()


def measure(large: str, rounds: int, failed: int) -> dict[str, Any]:
    """Milliseconds of both sides of each pair, on a trace as issues measure with, and on that of a real agent's shape;
    milliseconds of a list of runs that are alike."""
    import agentops
    from agentops.analysis.alike import alike
    from agentops.analysis.why import why
    from agentops.store.reader import Reader

    _long_run()
    agentops.shutdown()
    own = os.environ["AGENTOPS_STORE"]
    found: dict[str, Any] = {}
    for name, store, which in (
        ("calls", large, _stores.trace_id(_stores.LARGE_TRACE).hex()),
        ("agent", own, "latest"),
    ):
        for n in range(rounds + 2):
            took = [0.0, 0.0]
            for side in ((0, 1), (1, 0))[n % 2]:
                with Reader(store) as reader:  # a fresh connection each, as a user would
                    trace = reader.trace(which)
                    start = time.perf_counter()
                    spans = len(reader.spans(trace)) if side else len(why(reader, trace).headline)
                    took[side] = (time.perf_counter() - start) * 1e3
                if side and spans < _stores.LARGE_TRACE_SPANS - 10:
                    raise RuntimeError(f"{name} has {spans} spans")
            if n >= 2:
                found.setdefault(name, []).append(took)
    _failed_runs(failed)
    agentops.shutdown()
    for _ in range(8):
        with Reader(own) as reader:
            trace = reader.trace("latest")
            start = time.perf_counter()
            same = alike(reader, trace)
            found.setdefault("alike", []).append((time.perf_counter() - start) * 1e3)
        if len(same) != failed // 2:
            raise RuntimeError(f"{len(same)} runs are alike, not {failed // 2}")
    return found


def rows() -> Iterator[Row]:
    found = _fresh.call(measure, _stores.cached(100_000), ROUNDS, FAILED_RUNS)
    for name, shape in (("calls", "all of them model calls"), ("agent", "an agent with tools that failed at last")):
        ours, theirs = ([pair[side] for pair in found[name]] for side in (0, 1))
        value, spread = middle(ratios(ours, theirs))
        note = f"{middle(ours)[0]:.0f} against {middle(theirs)[0]:.0f} ms, wall time, {ROUNDS} pairs"
        yield Row(f"`why` on 10,000 spans, {shape}", value, "its skeleton, `Reader.spans`", note, spread, 3.0)
    value, spread = middle(found["alike"])
    note = f"of {FAILED_RUNS:,} failed runs of 10 spans, half are alike; wall time, n={len(found['alike'])}"
    yield Row("`ls --alike`", value, "nothing: it is what a user waits for", note, spread, 1_000, unit=" ms")
