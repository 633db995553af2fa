"""Beside the application's own SDK provider: every span is in both places.

The provider has no processor but ours; both edges are on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks import _fresh
from benchmarks._idle import keep_idle
from benchmarks._rows import Row, middle, ratios
from benchmarks._shapes import SPANS, bare_tracer, bare_traces, costs, our_traces

TRACES, ROUNDS = 60, 25


def measure(traces: int, rounds: int) -> dict[str, list[float]]:
    """Microseconds of thread time a span, in interleaved blocks."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    import agentops

    keep_idle()
    provider = TracerProvider()
    trace.set_tracer_provider(provider)
    our_traces(1)
    bare, theirs = bare_tracer(), provider.get_tracer("application")
    works: dict[str, Callable[[], object]] = {
        "bare": lambda: bare_traces(bare, traces),
        "ours": lambda: our_traces(traces),
        "theirs": lambda: bare_traces(theirs, traces),
    }
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            found[name].append(costs(work, traces * SPANS)[0])
            agentops.flush()
    return {name: values[1:] for name, values in found.items()}


def rows() -> Iterator[Row]:
    found = _fresh.call(measure, TRACES, ROUNDS)
    bare = found["bare"]
    for name, which in (
        ("joined: the application's own SDK spans, recorded by us too", "theirs"),
        ("joined: `span()` beside the application's provider", "ours"),
    ):
        value, spread = middle(ratios(found[which], bare))
        note = f"{middle(found[which])[0]:.1f} against {middle(bare)[0]:.1f} µs a span, thread time, {len(bare)} pairs"
        yield Row(name, value, "SDK spans of the same provider without us", note, spread, 1.5, 1.3)
