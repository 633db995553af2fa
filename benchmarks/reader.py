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


def measure(large: str, small: str, rounds: int, contents: int) -> dict[str, Any]:
    """Milliseconds of wall time of both sides of each pair, and of contents."""
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

    many = _stores.LARGE_TRACE_SPANS
    pairs: dict[str, tuple[tuple[Callable[[], list[Any]], int], tuple[Callable[[], list[Any]], int]]] = {
        "latest": ((lambda: latest(large), 100), (lambda: _bare(large, _LATEST), 100)),
        "growth": ((lambda: latest(large), 100), (lambda: latest(small), 100)),
        "skeleton": ((skeleton, many), (lambda: _bare(large, _SKELETON, whole), many)),
        "rare": ((rare, 1), (lambda: latest(large), 100)),
    }
    found: dict[str, Any] = {}
    for name, works in pairs.items():
        for n in range(rounds + 2):
            took = [0.0, 0.0]
            for side in ((0, 1), (1, 0))[n % 2]:  # the first of a pair finds colder caches
                work, want = works[side]
                rows: list[Any] = []  # those of the work before are let go of here, not while this one is timed
                start = time.perf_counter()
                rows = work()
                took[side] = (time.perf_counter() - start) * 1e3
                if len(rows) != want:
                    raise RuntimeError(f"{name} gave {len(rows)} rows, not {want}")
            if n >= 2:
                found.setdefault(name, []).append(took)
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

    def compared(name: str, pair: str, against: str, must: float) -> Row:
        ours, theirs = ([both[side] for both in found[pair]] for side in (0, 1))
        value, spread = middle(ratios(ours, theirs))
        absolute = f"{middle(ours)[0]:.2f} against {middle(theirs)[0]:.2f} ms, wall time, {ROUNDS} pairs"
        return Row(name, value, against, absolute, spread, must)

    spans = f"{LARGE:,} spans"
    yield compared(f"latest 100 traces of {spans}", "latest", "the bare SQL", 3.0)
    yield compared(f"latest 100 traces of {spans}: growth", "growth", f"the same at {SMALL:,}", 1.5)
    yield compared(f"skeleton of a trace of {_stores.LARGE_TRACE_SPANS:,} spans", "skeleton", "the bare SQL", 3.0)
    yield compared(f"a rare word in {spans}", "rare", "the latest 100 traces", 5.0)
    value, spread = middle(found["content"])
    note = f"{percentile(found['content'], 95):.2f} ms is the 95th percentile, wall time, n={CONTENTS}"
    yield Row(f"content of one span of {spans}", value, "trace and span by their ids", note, spread, 3.0, unit=" ms")
