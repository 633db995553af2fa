"""Caller's cost while ingest is at work, with a pause of 5 ms after each trace.

In one process ingest is off for some hundred traces, which are then its backlog, and on until it is done with
it; a trace counts as "at work" if the recorder's thread was ingesting or packing before or after it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from benchmarks import _fresh
from benchmarks._rows import Row, middle, percentile
from benchmarks._shapes import our_traces

PROCESSES, ROUNDS, TRACES_OFF, TRACES_ON = 5, 4, 450, 900
PAUSE_S = 0.005
_OFF = 1 << 60


def measure(rounds: int, traces_off: int, traces_on: int) -> dict[str, list[list[float]]]:
    """Seconds a trace and seconds that its pause took, with ingest off and at work; share of time at work."""
    from agentops.recorder import recorder as module

    normal = module.BACKLOG_BYTES
    lock = module.recorder._ingest_lock
    found: dict[str, list[list[float]]] = {"off": [], "on": [], "pause off": [], "pause on": []}

    def run(traces: int, until_done: bool) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        quiet: list[tuple[float, float]] = []
        working: list[tuple[float, float]] = []
        for _ in range(traces):
            before = lock.locked()
            start = time.perf_counter()
            our_traces(1)
            end = time.perf_counter()
            at_work = before or lock.locked()
            time.sleep(PAUSE_S)
            (working if at_work else quiet).append((end - start, time.perf_counter() - end))
            if until_done and working and not at_work:
                break
        return quiet, working

    module.BACKLOG_BYTES = _OFF
    run(100, False)
    module.recorder.flush()
    for _ in range(rounds):
        module.BACKLOG_BYTES = _OFF
        quiet, _ = run(traces_off, False)
        module.BACKLOG_BYTES = normal
        _, working = run(traces_on, True)
        module.BACKLOG_BYTES = _OFF
        while lock.locked():
            time.sleep(0.01)
        found["off"].append([cost for cost, _ in quiet])
        found["on"].append([cost for cost, _ in working])
        found["pause off"].append([pause for _, pause in quiet])
        found["pause on"].append([pause for _, pause in working])
    return found


def rows() -> Iterator[Row]:
    runs = [_fresh.call(measure, ROUNDS, TRACES_OFF, TRACES_ON) for _ in range(PROCESSES)]
    pooled = [{name: [x for block in blocks for x in block] for name, blocks in run.items()} for run in runs]
    medians = [
        statistics.median(on) / statistics.median(off)
        for run in runs
        for on, off in zip(run["on"], run["off"], strict=True)
        if len(on) > 20
    ]
    counts = f"{sum(len(p['on']) for p in pooled)} traces at work, {sum(len(p['off']) for p in pooled)} off"

    def absolute(name: str, percent: float) -> str:
        on, off = (statistics.median(percentile(p[which], percent) for p in pooled) for which in name.split("/"))
        return f"{on * 1e6:.0f} against {off * 1e6:.0f} µs"

    value, spread = middle(medians)
    note = f"{absolute('on/off', 50)} a trace, wall time, {counts}"
    yield Row("caller's trace with ingest at work: median", value, "the same with ingest off", note, spread, 1.15)
    value, spread = middle([percentile(p["on"], 99) / percentile(p["off"], 99) for p in pooled])
    note = f"{absolute('on/off', 99)} a trace, wall time, {PROCESSES} processes"
    yield Row("caller's trace with ingest at work: p99", value, "the same with ingest off", note, spread, 1.15)
    value, spread = middle([percentile(p["pause on"], 99) / percentile(p["pause off"], 99) for p in pooled])
    note = f"{absolute('pause on/pause off', 99)}: how long the pause of 5 ms took, wall time"
    yield Row("caller's pause with ingest at work: p99", value, "the same with ingest off", note, spread)
