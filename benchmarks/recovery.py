"""Recovery: 100 MB of journals that a killed program left, until a reader has all of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from benchmarks import _fresh
from benchmarks._rows import Row, middle, ratios
from benchmarks._texts import Texts
from benchmarks.end_to_end import _since, raw

SPANS, ROUNDS = 88_000, 3


def record(spans: int, seed: int) -> None:
    """As `end_to_end.ours`, with nothing ingested, until SIGKILL."""
    import agentops.recorder.recorder as recorder

    recorder.POLL_S = recorder.POLL_IDLE_S = 1e6
    from agentops import span

    source = Texts(seed)
    for _ in range(spans // 11):
        with span("agent", kind="agent", input=source.text()):
            for _ in range(10):
                with span("llm", kind="llm", input=source.text()) as s:
                    s.set_attribute("gen_ai.usage.input_tokens", 250)
                    s.set_attribute("gen_ai.usage.output_tokens", 40)
    folder = Path(os.environ["AGENTOPS_STORE"]).with_suffix(".journal")
    _fresh.report(sum(path.stat().st_size for path in folder.glob("*.journal")))
    os.kill(os.getpid(), signal.SIGKILL)


def recover() -> tuple[int, tuple[float, float]]:
    """How many spans are readable then, and what it took."""
    from agentops.store.reader import Reader

    start = _since()
    with Reader() as reader:
        took = _since(start)
        return sum(trace.spans for trace in reader.iter_traces()), took


def rows() -> Iterator[Row]:
    ours: list[tuple[float, float]] = []
    floor: list[tuple[float, float]] = []
    size = 0
    for seed in range(ROUNDS):
        floor.append(_fresh.call(raw, SPANS, seed)["rows"])
        with _fresh.temporary_store() as store:
            size = _fresh.call(record, SPANS, seed, store=store)
            spans, took = _fresh.call(recover, store=store)
        if spans != SPANS:
            raise RuntimeError(f"{spans} of {SPANS} spans were recovered")
        ours.append(took)
    for clock, kind in enumerate(("processor time", "wall time")):
        us, them = [x[clock] for x in ours], [x[clock] for x in floor]
        value, spread = middle(ratios(them, us))
        seconds = middle(us)[0]
        note = (
            f"{size / 1e6:.0f} MB, {SPANS:,} spans in {seconds:.1f} s: {size / 1e6 / seconds:.0f} MB a second, {kind}"
        )
        against = "raw `sqlite3` `executemany` of equivalent rows"
        yield Row(f"rate of recovery, {kind}", value, against, note, spread, 0.15, 0.3, at_least=True)
