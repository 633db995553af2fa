"""Caller's cost while ingest is at work, with a pause of 5 ms after each trace.

In one process, in turns: ingest is off for some hundred traces, which are then its backlog, and on until it is
done with it. A trace counts as "at work" if the recorder's thread was at work before or after it. Packing
(compressing and indexing), which waits for a longer pause or 64 MB, is a turn of its own.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from benchmarks import _fresh
from benchmarks._rows import Row, middle, percentile
from benchmarks._shapes import our_traces

PROCESSES, ROUNDS, TRACES_OFF, TRACES_ON = 4, 3, 320, 900
PAUSE_S = 0.005
_NEVER = 1 << 60
_Turns = dict[str, list[list[float]]]


def measure(rounds: int, traces_off: int, traces_on: int) -> _Turns:
    """Seconds a trace, and seconds that its pause took, of each turn."""
    from agentops.recorder import recorder as module

    backlog, unpacked = module.BACKLOG_BYTES, module.UNPACKED_BYTES
    lock = module.recorder._ingest_lock  # held while the thread is at work
    found: _Turns = {}

    def run(name: str, traces: int, at_work: bool) -> None:
        costs: list[float] = []
        pauses: list[float] = []
        for _ in range(traces):
            before = lock.locked()
            start = time.perf_counter()
            our_traces(1)
            end = time.perf_counter()
            working = before or lock.locked()
            time.sleep(PAUSE_S)
            if working == at_work:
                costs.append(end - start)
                pauses.append(time.perf_counter() - end)
            elif at_work and costs:
                break
        found.setdefault(name, []).append(costs)
        found.setdefault(f"{name} pause", []).append(pauses)

    module.BACKLOG_BYTES = _NEVER
    run("warm", 100, False)
    module.recorder.flush()
    for n in range(2 * rounds):
        module.BACKLOG_BYTES = _NEVER  # the thread goes on making room in the journal, and ingests nothing
        run("off", traces_off, False)
        module.BACKLOG_BYTES, module.UNPACKED_BYTES = (backlog, _NEVER) if n % 2 else (backlog, 0)
        run("ingest" if n % 2 else "packing", traces_on, True)
        module.BACKLOG_BYTES = _NEVER
        while lock.locked():
            time.sleep(0.01)
    module.UNPACKED_BYTES = unpacked
    return found


def rows() -> Iterator[Row]:
    runs: list[_Turns] = [_fresh.call(measure, ROUNDS, TRACES_OFF, TRACES_ON) for _ in range(PROCESSES)]
    for turn, what, must in (("ingest", "ingest", 1.15), ("packing", "ingest and packing", None)):
        for name, kind, percent, bar in (
            (f"caller's trace with {what} at work: median", "", 50, must),
            (f"caller's trace with {what} at work: p99", "", 99, must),
            (f"caller's pause of 5 ms with {what} at work: p99", " pause", 99, None),
        ):
            on, off = ([_pooled(run[which + kind]) for run in runs] for which in (turn, "off"))
            value, spread = middle(
                [percentile(a, percent) / percentile(b, percent) for a, b in zip(on, off, strict=True)]
            )
            absolute = [statistics.median(percentile(x, percent) for x in side) * 1e6 for side in (on, off)]
            # What the machine does to two halves of the same.
            noise = [
                percentile(_pooled(run["off" + kind][::2]), percent)
                / percentile(_pooled(run["off" + kind][1::2]), percent)
                for run in runs
            ]
            note = (
                f"{absolute[0]:.0f} against {absolute[1]:.0f} µs, wall time, {sum(map(len, on))} and "
                f"{sum(map(len, off))} traces in {PROCESSES} processes; off against off {min(noise):.2f}-{max(noise):.2f}"
            )
            yield Row(name, value, "the same with ingest off", note, spread, bar)


def _pooled(turns: list[list[float]]) -> list[float]:
    return [value for turn in turns for value in turn]
