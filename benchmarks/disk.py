"""Bytes on disk, index and search included."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import _fresh
from benchmarks._rows import Row

RUNS = Path(__file__).parents[2] / "shared" / "data" / "tau_airline_runs.jsonl.gz"


def measure(source: str) -> dict[str, Any]:
    """Record the runs with all messages so far as input of each model call, and read all back."""
    import agentops
    from agentops import span
    from agentops.store.reader import Reader

    with gzip.open(source, "rt") as file:
        runs = [json.loads(line) for line in file]
    unique: set[str] = set()
    naive = 0
    expected: dict[str, tuple[Any, Any]] = {}
    for run in runs:
        messages = run["messages"]
        with span("airline", kind="agent", session=str(run["task_id"])):
            for i, message in enumerate(messages):
                unique.add(json.dumps(message))
                if message["role"] == "assistant":
                    naive += len(json.dumps(messages[:i]))
                    with span("chat", kind="llm", input=messages[:i]) as s:
                        s.output = message
                    expected[s.span_id] = (messages[:i], message)
                elif message["role"] == "tool":
                    with span(message.get("name") or "tool", kind="tool") as s:
                        s.output = message["content"]
                    expected[s.span_id] = (None, message["content"])
    agentops.shutdown()
    folder = os.path.dirname(os.environ["AGENTOPS_STORE"])
    size = sum(os.path.getsize(os.path.join(d, name)) for d, _, names in os.walk(folder) for name in names)
    with Reader() as reader:
        spans = [span for trace in reader.iter_traces() for span in reader.details(trace)]
    got = {span.row.hex_id: (span.input, span.output) for span in spans}
    wrong = sum(got.get(number) != values for number, values in expected.items())
    return {"size": size, "u": sum(map(len, unique)), "naive": naive, "wrong": wrong, "values": len(expected)}


def rows() -> Iterator[Row]:
    if not RUNS.exists():
        print(f"  skipped: {RUNS.name} is not beside the checkout")
        return
    found = _fresh.call(measure, str(RUNS))
    u = found["u"]
    size, naive = found["size"] / 1e6, found["naive"] / 1e6
    note = f"{size:.2f} of {u / 1e6:.2f} MB, after `shutdown()`; the inputs in full are {naive:.1f} MB"
    against = "the different messages as JSON"
    yield Row("bytes on disk of the 100 tau runs", found["size"] / u, against, note, None, 1.2, 1.0)
    note = f"{found['wrong']} of {found['values']} inputs and outputs come back different"
    yield Row("tau runs: values that come back wrong", found["wrong"], "what was recorded", note, None, 0)
