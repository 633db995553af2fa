"""Caller's cost of a span while the watchdog is on, against off.

In one process, in turns: with the watchdog as it is by default, off, and watching so closely that it has something to
note all the time, since a span stays open around the traces.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks import _fresh
from benchmarks._rows import Row, middle, ratios
from benchmarks._shapes import SPANS, costs, our_traces

TRACES, ROUNDS = 600, 10
CLOSELY_S = 0.05
_NEVER = 1 << 60


def measure(traces: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Microseconds a span, thread time and wall time, in interleaved blocks."""
    import agentops
    from agentops.recorder import recorder as module
    from agentops.settings import resolve

    module.BACKLOG_BYTES = _NEVER  # in a block, the thread brings in what the watchdog asks for and nothing else
    our_traces(traces, content=False)
    agentops.flush()
    recorder, after_s = module.recorder, float(resolve({})["watch_after"].value)  # type: ignore[arg-type]
    found: dict[str, list[tuple[float, float]]] = {"on": [], "off": [], "closely": []}
    with agentops.span("open"):
        for _ in range(rounds):
            for name, watched in (("on", (after_s, True)), ("off", (0.0, False)), ("closely", (CLOSELY_S, True))):
                recorder._watching.asked = watched
                time.sleep(module.POLL_S * 1.5)  # by then it is the one that looks
                found[name].append(costs(lambda: our_traces(traces, content=False), traces * SPANS))
                agentops.flush()
    return {name: values[1:] for name, values in found.items()}


def rows() -> Iterator[Row]:
    found = _fresh.call(measure, TRACES, ROUNDS)
    for clock, kind in enumerate(("thread time", "wall time")):
        off = [costs[clock] for costs in found["off"]]
        for which, name, must in (
            ("on", "the watchdog, as it is by default", 1.03 if kind == "thread time" else None),
            ("closely", f"the watchdog, looking for spans open for {CLOSELY_S} s", None),
        ):
            on = [costs[clock] for costs in found[which]]
            value, spread = middle(ratios(on, off))
            note = f"{middle(on)[0]:.1f} against {middle(off)[0]:.1f} µs a span, {kind}, {len(off)} pairs"
            yield Row(f"caller's span with {name}: {kind}", value, "the same without it", note, spread, must)
