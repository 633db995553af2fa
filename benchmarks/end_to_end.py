"""From the first span until all of it is readable, and until it is searchable and compressed."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import _fresh
from benchmarks._rows import Row, middle, ratios
from benchmarks._texts import Texts

SPANS, ROUNDS = 50_000, 3
#: As peers and the floor were measured: 13 columns, one index, 1,000 rows a transaction.
_TABLE = """
CREATE TABLE spans (trace_id BLOB, span_id INTEGER, parent_id INTEGER, name TEXT, kind INTEGER, status INTEGER,
    start_ns INTEGER, end_ns INTEGER, session TEXT, model TEXT, input_tokens INTEGER, output_tokens INTEGER,
    attributes TEXT);
CREATE INDEX spans_trace ON spans (trace_id, start_ns);
"""
_Costs = list[tuple[float, float]]


def _since(start: tuple[float, float] | None = None) -> tuple[float, float]:
    """Processor time of the whole process, and wall time, since `start`."""
    at = time.process_time(), time.perf_counter()
    return at if start is None else (at[0] - start[0], at[1] - start[1])


def ours(spans: int, seed: int) -> dict[str, tuple[float, float]]:
    """Traces of 1 agent and 10 llm spans; each span has a text of its own and the llm spans token counts."""
    import agentops
    from agentops import span

    source = Texts(seed)
    texts = [source.text() for _ in range(spans)]
    with span("warm", input=source.text()):
        pass
    agentops.flush()
    start = _since()
    for n in range(0, spans - 10, 11):
        with span("agent", kind="agent", input=texts[n]):
            for i in range(n + 1, n + 11):
                with span("llm", kind="llm", input=texts[i]) as s:
                    s.set_attribute("gen_ai.usage.input_tokens", 250)
                    s.set_attribute("gen_ai.usage.output_tokens", 40)
    called = _since(start)
    agentops.flush()
    readable = _since(start)
    agentops.shutdown()
    return {"called": called, "readable": readable, "searchable": _since(start)}


def raw(spans: int, seed: int) -> dict[str, tuple[float, float]]:
    """Rows of the same facts and texts, made beforehand, by `executemany`."""
    source = Texts(seed)
    rows: list[tuple[Any, ...]] = [
        (
            (n // 11).to_bytes(16, "big"), n, n // 11 * 11, "llm", 2, 1, 10**18 + n, 10**18 + n + 1, None, None, 250,
            40, json.dumps({"gen_ai.input.messages": source.text(), "gen_ai.usage.input_tokens": 250}),
        )
        for n in range(spans - spans % 11)
    ]  # fmt: skip
    connection = sqlite3.connect(os.environ["AGENTOPS_STORE"], isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(_TABLE)
    statement = f"INSERT INTO spans VALUES ({', '.join('?' * 13)})"
    start = _since()
    for n in range(0, len(rows), 1000):
        connection.execute("BEGIN")
        connection.executemany(statement, rows[n : n + 1000])
        connection.execute("COMMIT")
    return {"rows": _since(start)}


def rows() -> Iterator[Row]:
    found: dict[str, _Costs] = {}
    works: tuple[Callable[..., Any], ...] = (raw, ours, raw)
    for seed in range(ROUNDS):
        for work in works:
            for name, costs in _fresh.call(work, SPANS, seed).items():
                found.setdefault(name, []).append(costs)
    # Each of ours lies between two of the floor's.
    floor = [
        ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in zip(found["rows"][::2], found["rows"][1::2], strict=True)
    ]
    for state, text, must, reach in (
        ("readable", "readable in the store", 0.15, 0.3),
        ("searchable", "also searchable and compressed", 0.08, 0.15),
    ):
        for clock, kind in enumerate(("processor time", "wall time")):
            us, them = [x[clock] for x in found[state]], [x[clock] for x in floor]
            value, spread = middle(ratios(them, us))
            per_span = [middle(values)[0] / SPANS * 1e6 for values in (us, them)]
            note = f"{per_span[0]:.0f} against {per_span[1]:.1f} µs a span, {kind}, {SPANS:,} spans, {ROUNDS} pairs"
            if state == "readable":
                note += f"; the caller's loop {middle([x[clock] for x in found['called']])[0] / SPANS * 1e6:.0f}"
            yield Row(
                f"rate until {text}, {kind}", value, "raw `sqlite3` `executemany` of equivalent rows", note, spread,
                must, reach, at_least=True,
            )  # fmt: skip
