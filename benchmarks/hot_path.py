"""Caller's cost of a span, ingest idle.

As the acceptance measures it: both edges and the content are written before each call returns, and all of it
must be there after SIGKILL.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

from benchmarks import _fresh
from benchmarks._idle import keep_idle
from benchmarks._rows import Row, middle, ratios
from benchmarks._shapes import CALLS, SPANS, TEXT, bare_tracer, bare_traces, costs, our_traces

TRACES, ROUNDS = 150, 15
_BARE = "bare `opentelemetry-sdk` provider without processor"


def measure(traces: int, rounds: int) -> None:
    """Interleaved blocks of both, then as many spans that nothing brings in, and death."""
    import agentops

    keep_idle()
    tracer = bare_tracer()
    found: dict[str, list[tuple[float, float]]] = {"bare": [], "ours": [], "bare empty": [], "ours empty": []}
    works: dict[str, Callable[[], object]] = {
        "bare": lambda: bare_traces(tracer, traces),
        "ours": lambda: our_traces(traces),
        "bare empty": lambda: bare_traces(tracer, traces, content=False),
        "ours empty": lambda: our_traces(traces, content=False),
    }
    for work in works.values():
        work()
    agentops.flush()
    for _ in range(rounds):
        for name, work in works.items():
            found[name].append(costs(work, traces * SPANS))
            agentops.flush()
    our_traces(traces)
    _fresh.report(found)
    os.kill(os.getpid(), signal.SIGKILL)


def measure_redacted(traces: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Interleaved blocks of both, with all texts looked at before they are written: there is nothing to find."""
    import agentops

    agentops.init(redact="pii")
    keep_idle()
    tracer = bare_tracer()
    found: dict[str, list[tuple[float, float]]] = {"bare": [], "ours": []}
    for n in range(rounds + 1):
        found["bare"].append(costs(lambda: bare_traces(tracer, traces), traces * SPANS))
        found["ours"].append(costs(lambda: our_traces(traces), traces * SPANS))
        agentops.flush()
        if not n:
            found = {name: [] for name in found}
    return found


def whole_calls() -> int:
    """How many llm spans of the store are there with their end and their text, each text once."""
    from agentops.store.reader import Reader

    with Reader() as reader:
        spans = [span for trace in reader.iter_traces() for span in reader.details(trace)]
    texts = [s.input for s in spans if s.row.name == "llm" and s.row.end_ns is not None and s.input is not None]
    return len({text for text in texts if text.endswith(TEXT)})


def rows() -> Iterator[Row]:
    with _fresh.temporary_store() as store:
        found = _fresh.call(measure, TRACES, ROUNDS, store=store)
        whole = _fresh.call(whole_calls, store=store)
    bare, ours = found["bare"], found["ours"]
    for clock, (kind, must, reach) in enumerate((("thread time", 0.50, 0.35), ("wall time", None, None))):
        a, b = [x[clock] for x in ours], [x[clock] for x in bare]
        value, spread = middle(ratios(a, b))
        name = "caller's thread, a trace of 11 spans with 1 kB of new content each"
        note = f"{middle(a)[0]:.1f} against {middle(b)[0]:.1f} µs a span, {kind}, {ROUNDS} pairs"
        yield Row(name if clock == 0 else f"{name}: wall time", value, _BARE, note, spread, must, reach)
    a, b = [x[0] for x in found["ours empty"]], [x[0] for x in found["bare empty"]]
    value, spread = middle(ratios(a, b))
    note = f"{middle(a)[0]:.1f} against {middle(b)[0]:.1f} µs a span, thread time, {ROUNDS} pairs"
    yield Row("caller's thread, the same without content", value, _BARE, note, spread)
    with _fresh.temporary_store() as store:
        found = _fresh.call(measure_redacted, TRACES, ROUNDS, store=store)
    a, b = [x[0] for x in found["ours"]], [x[0] for x in found["bare"]]
    value, spread = middle(ratios(a, b))
    note = f"{middle(a)[0]:.1f} against {middle(b)[0]:.1f} µs a span, thread time, {ROUNDS} pairs"
    yield Row('the same with content and `redact="pii"`', value, _BARE, note, spread, 0.75)
    want = TRACES * CALLS * (ROUNDS + 2)
    note = f"{whole} of {want} spans whole, {TRACES * CALLS} of them not flushed when the process was killed"
    yield Row("spans missing after SIGKILL", want - whole, "what had returned to the caller", note, None, 0)
