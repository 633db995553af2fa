"""Caller's cost while ingest is at work, with a pause of 5 ms after each trace.

In one process, in turns: ingest is off for some hundred traces; then a backlog is recorded without a pause, and
ingest is on until it is done with that. A trace counts as "at work" if the recorder's thread was at work before
or after it. Packing (compressing and indexing), which waits for a longer pause or 64 MB, is a turn of its own.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from benchmarks import _fresh
from benchmarks._rows import Row, middle, percentile, ratios
from benchmarks._shapes import our_traces

PROCESSES, TRACES_OFF, TRACES_ON, BACKLOG = 6, 250, 900, 2_000
_TURNS = ("ingest", "ingest", "packing", "ingest", "ingest")
PAUSE_S = 0.005
_NEVER = 1 << 60
_Turns = dict[str, list[list[float]]]


def measure(traces_off: int, traces_on: int, backlog: int) -> _Turns:
    """Of each turn's traces: seconds of wall time, of this thread's time, and that the pause took."""
    from agentops.recorder import recorder as module

    normal = module.BACKLOG_BYTES
    lock = module.recorder._intake.lock  # held while the thread is at work
    found: _Turns = {}

    def run(name: str, traces: int, at_work: bool) -> None:
        costs: list[float] = []
        threads: list[float] = []
        pauses: list[float] = []
        for _ in range(traces):
            before = lock.locked()
            thread, start = time.thread_time(), time.perf_counter()
            our_traces(1)
            end, thread = time.perf_counter(), time.thread_time() - thread
            working = before or lock.locked()
            time.sleep(PAUSE_S)
            if working == at_work:
                costs.append(end - start)
                threads.append(thread)
                pauses.append(time.perf_counter() - end)
            elif at_work and costs:
                break
        found.setdefault(name, []).append(costs)
        found.setdefault(f"{name} thread", []).append(threads)
        found.setdefault(f"{name} pause", []).append(pauses)

    module.BACKLOG_BYTES = _NEVER
    run("warm", 100, False)
    module.recorder.flush()
    for turn in _TURNS:
        module.BACKLOG_BYTES = _NEVER  # the thread goes on making room in the journal, and ingests nothing
        run("off", traces_off, False)
        our_traces(backlog)
        module.BACKLOG_BYTES, module.UNPACKED_BYTES = normal, 0 if turn == "packing" else _NEVER
        run(turn, traces_on, True)
        module.BACKLOG_BYTES = _NEVER
        while lock.locked():
            time.sleep(0.01)
    return found


def rows() -> Iterator[Row]:
    runs: list[_Turns] = [_fresh.call(measure, TRACES_OFF, TRACES_ON, BACKLOG) for _ in range(PROCESSES)]
    for turn, what, must in (("ingest", "ingest", 1.15), ("packing", "ingest and packing", None)):
        for name, kind, percent, bar in (
            (f"caller's trace with {what} at work: median", "", 50, must),
            (f"caller's trace with {what} at work: p99", "", 99, must),
            (f"caller's trace with {what} at work: p99 of thread time", " thread", 99, None),
            (f"caller's pause of 5 ms with {what} at work: p99", " pause", 99, None),
        ):
            on, off = ([_pooled(run[which + kind]) for run in runs] for which in (turn, "off"))
            sides = [[percentile(values, percent) for values in side] for side in (on, off)]
            value, spread = middle(ratios(*sides))
            absolute = [statistics.median(side) * 1e6 for side in sides]
            # What the machine does to two halves of the same: it has neighbours, and they take cores away.
            halves = [[percentile(_pooled(run["off" + kind][n::2]), percent) for n in (0, 1)] for run in runs]
            noise = [a / b for a, b in halves]
            counts = f"{sum(map(len, on))} and {sum(map(len, off))} traces in {PROCESSES} processes"
            clock = "thread time" if kind == " thread" else "wall time"
            note = f"{absolute[0]:.0f} against {absolute[1]:.0f} µs, {clock}, {counts}"
            note += f"; off against off {min(noise):.2f}-{max(noise):.2f}"
            yield Row(name, value, "the same with ingest off", note, spread, bar)


def _pooled(turns: list[list[float]]) -> list[float]:
    return [value for turn in turns for value in turn]
