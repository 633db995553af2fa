"""Caller's cost of a conversation that is sent again with every call."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import _fresh
from benchmarks._idle import keep_idle
from benchmarks._rows import Row, middle, ratios
from benchmarks._texts import Texts

ROUNDS = 120
#: Messages of the calls that are measured: two more each time, 60 on average. The call before is not measured.
LENGTHS = range(50, 71, 2)


def measure(rounds: int) -> list[tuple[float, float, float]]:
    """Microseconds of thread time a call: span with the history, span without, `json.dumps` of the history."""
    import agentops
    from agentops import span

    keep_idle()
    texts = Texts(3)
    found = []
    for _ in range(rounds):
        messages: list[Any] = [
            {"role": "user" if n % 2 else "assistant", "content": texts.text()} for n in range(LENGTHS[-1])
        ]
        histories = [messages[:length] for length in LENGTHS]

        def spans(inputs: list[Any]) -> None:
            for value in inputs:
                with span("llm", kind="llm", input=value):
                    pass

        with span("agent", kind="agent"):
            spans([messages[: LENGTHS[0] - 2]])
            agentops.flush()  # so that the room for what comes is made, as it is when there is time
            with_input = _cost(spans, histories)
            without = _cost(spans, [None] * len(histories))
        floor = _cost(_dumps, histories)
        found.append((with_input, without, floor))
    return found[2:]


def _dumps(inputs: list[Any]) -> None:
    for value in inputs:
        json.dumps(value)


def _cost(work: Callable[[list[Any]], object], inputs: list[Any]) -> float:
    start = time.thread_time()
    work(inputs)
    return (time.thread_time() - start) / len(inputs) * 1e6


def rows() -> Iterator[Row]:
    found = _fresh.call(measure, ROUNDS)
    value, spread = middle(ratios([a - b for a, b, _ in found], [c for _, _, c in found]))
    ours, floor = (middle(values)[0] for values in ([a - b for a, b, _ in found], [c for _, _, c in found]))
    note = f"{ours:.0f} against {floor:.0f} µs a call, thread time, without what a span costs anyway, n={len(found)}"
    yield Row(
        "history of 60 messages of 1 kB, two of them new", value, "one `json.dumps` of it", note, spread, 0.30, 0.18
    )
