"""What keeping a store within its bounds costs, and making a user forgotten."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import _fresh, _stores
from benchmarks._rows import Row, middle, ratios
from benchmarks._texts import Texts
from benchmarks.end_to_end import _since

FULL, SPANS, ROUNDS = 300_000, 50_000, 3
LARGE = 1_000_000


def fill(spans: int, bounded: bool, seed: int) -> tuple[float, int]:
    """Record into a store that is full; processor time until all of it is searchable, and traces that went."""
    import agentops
    from agentops import span
    from agentops.store.ring import LEAVES, used_bytes
    from agentops.store.schema import connect

    path = os.environ["AGENTOPS_STORE"]
    _stores.build(path, FULL)
    connection = connect(path)
    (before,) = connection.execute("SELECT count(*) FROM traces").fetchone()
    # As full as the ring leaves a store: what comes in fills it up, and as much goes.
    agentops.init(max_bytes=int(used_bytes(connection) / LEAVES) if bounded else 0)
    source = Texts(seed)
    texts = [source.text() for _ in range(spans)]
    start = _since()
    for n in range(0, spans - 10, 11):
        with span("agent", kind="agent", input=texts[n]):
            for i in range(n + 1, n + 11):
                with span("llm", kind="llm", input=texts[i]) as s:
                    s.set_attribute("gen_ai.usage.input_tokens", 250)
                    s.set_attribute("gen_ai.usage.output_tokens", 40)
    agentops.shutdown()
    took, _ = _since(start)
    (after,) = connection.execute("SELECT count(*) FROM traces").fetchone()
    return took, before + len(range(0, spans - 10, 11)) - after


def make_index_anew(path: str) -> float:
    """Seconds for all parts of the index."""
    from agentops.store.contents import Contents
    from agentops.store.removal import make_anew
    from agentops.store.schema import connect
    from agentops.store.words import parts

    connection = connect(path)
    contents = Contents(connection)
    start = time.perf_counter()
    for part in parts(connection):
        connection.execute("BEGIN IMMEDIATE")
        make_anew(connection, contents, part)
        connection.execute("COMMIT")
    return time.perf_counter() - start


def forget(path: str) -> tuple[float, int]:
    """Seconds for one user of a hundred, and how many traces that was."""
    from agentops.store.upkeep import Store

    start = time.perf_counter()
    with Store(path) as store:
        removed = store.forget(user="user 7").removed
    return time.perf_counter() - start, removed.traces


def rows() -> Iterator[Row]:
    bounded: list[float] = []
    unbounded: list[float] = []
    gone: list[Any] = []
    for seed in range(ROUNDS):
        unbounded.append(_fresh.call(fill, SPANS, False, seed)[0])
        took, traces = _fresh.call(fill, SPANS, True, seed)
        bounded.append(took)
        gone.append(traces)
    value, spread = middle(ratios(bounded, unbounded))
    note = (
        f"{middle(bounded)[0] / SPANS * 1e6:.0f} against {middle(unbounded)[0] / SPANS * 1e6:.0f} µs a span until "
        f"searchable, processor time, {SPANS:,} spans into a full store of {FULL:,}, {middle(gone)[0]:.0f} traces went"
    )
    yield Row("recording into a store at its bound", value, "the same without a bound", note, spread, 1.1)
    source = _stores.cached(LARGE)
    folder = os.path.join(os.path.dirname(source), "copy")
    os.mkdir(folder)
    path = os.path.join(folder, "traces.db")
    try:
        shutil.copyfile(source, path)
        anew = _fresh.call(make_index_anew, path)
        shutil.copyfile(source, path)
        took, traces = _fresh.call(forget, path)
    finally:
        shutil.rmtree(folder)
    note = f"{took:.1f} against {anew:.1f} s, wall time, {traces} traces of a user, store of {LARGE:,} spans, once"
    yield Row("forgetting a user with 1 % of a store", took / anew, "making its index anew alone", note, must=1.5)
