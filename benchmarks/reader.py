"""Reading a store of 1,000,000 spans; each time a fresh connection, as a user would."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import _fresh, _stores
from benchmarks._rows import Row, middle, percentile, ratios

LARGE, SMALL, ROUNDS, CONTENTS = 1_000_000, 10_000, 60, 300
_LATEST = (
    "SELECT no, trace_id, name, kind, status, start_ns, end_ns, spans, errors, open, llm_calls, input_tokens, "
    "output_tokens, cost_usd, session, user, tags FROM traces ORDER BY start_ns DESC LIMIT 100"
)
_SKELETON = (
    "SELECT span_id, parent_id, names.text, kind, status, start_ns, end_ns, models.text, input_tokens, output_tokens, "
    "cost_usd, error FROM spans JOIN names ON names.id = spans.name LEFT JOIN names AS models ON models.id = model "
    "WHERE trace = (SELECT no FROM traces WHERE trace_id = ?) ORDER BY start_ns"
)


def _bare(store: str, sql: str, *parameters: Any) -> list[Any]:
    connection = sqlite3.connect(store)
    rows = connection.execute(sql, parameters).fetchall()
    connection.close()
    return rows


def measure(large: str, small: str, rounds: int, contents: int) -> dict[str, list[float]]:
    """Milliseconds of wall time of each question, interleaved."""
    from agentops.store.filters import parse
    from agentops.store.reader import Reader

    whole = _stores.trace_id(_stores.LARGE_TRACE)

    def latest(store: str) -> list[Any]:
        with Reader(store) as reader:
            return reader.traces()

    def skeleton() -> list[Any]:
        with Reader(large) as reader:
            return reader.spans(reader.trace(whole.hex()))

    def rare() -> list[Any]:
        with Reader(large) as reader:
            return reader.traces(parse(_stores.RARE))

    works: dict[str, tuple[Callable[[], list[Any]], int]] = {
        "latest": (lambda: latest(large), 100),
        "latest bare": (lambda: _bare(large, _LATEST), 100),
        "latest small": (lambda: latest(small), 100),
        "rare": (rare, 1),
        "skeleton": (skeleton, _stores.LARGE_TRACE_SPANS),
        "skeleton bare": (lambda: _bare(large, _SKELETON, whole), _stores.LARGE_TRACE_SPANS),
    }
    found: dict[str, list[float]] = {name: [] for name in works}
    for n in range(rounds + 2):
        for name, (work, want) in works.items():
            rows: list[Any] = []  # those of the work before are let go of here, not while this one is timed
            start = time.perf_counter()
            rows = work()
            took = (time.perf_counter() - start) * 1e3
            if len(rows) != want:
                raise RuntimeError(f"{name} gave {len(rows)} rows, not {want}")
            if n >= 2:
                found[name].append(took)
    found["content"] = [_content(large, n) for n in random.Random(5).sample(range(1, LARGE // 11), contents)]
    return found


def _content(store: str, trace: int) -> float:
    """Milliseconds until one span of trace `trace` is there whole."""
    from agentops.store.reader import Reader

    start = time.perf_counter()
    with Reader(store) as reader:
        row = reader.trace(_stores.trace_id(trace).hex())
        detail = reader.span(row, _stores.span_id(trace, 5))
    took = (time.perf_counter() - start) * 1e3
    if len(detail.input) < 500:
        raise RuntimeError("the span's content is not what was stored")
    return took


def rows() -> Iterator[Row]:
    large, small = _stores.cached(LARGE), _stores.cached(SMALL)
    found = _fresh.call(measure, large, small, ROUNDS, CONTENTS)

    def compared(name: str, ours: str, theirs: str, against: str, must: float) -> Row:
        value, spread = middle(ratios(found[ours], found[theirs]))
        absolute = f"{middle(found[ours])[0]:.2f} against {middle(found[theirs])[0]:.2f} ms, wall time, {ROUNDS} pairs"
        return Row(name, value, against, absolute, spread, must)

    spans = f"{LARGE:,} spans"
    yield compared(f"latest 100 traces of {spans}", "latest", "latest bare", "the bare SQL", 3.0)
    yield compared(f"latest 100 traces of {spans}: growth", "latest", "latest small", f"the same at {SMALL:,}", 1.5)
    name = f"skeleton of a trace of {_stores.LARGE_TRACE_SPANS:,} spans"
    yield compared(name, "skeleton", "skeleton bare", "the bare SQL", 3.0)
    yield compared(f"a rare word in {spans}", "rare", "latest", "the latest 100 traces", 5.0)
    value, spread = middle(found["content"])
    note = f"{percentile(found['content'], 95):.2f} ms is the 95th percentile, wall time, n={CONTENTS}"
    yield Row(f"content of one span of {spans}", value, "trace and span by their ids", note, spread, 3.0, unit=" ms")
