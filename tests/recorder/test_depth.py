"""Values that are nested deeply: as deep as JSON takes them they come back, deeper they harm nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import agentops
from agentops import span

READ_BACK = """
import json, sys
import agentops
from agentops import span
from agentops.exporters.jsonl import lines
from agentops.store.reader import Reader
kind, redacted = sys.argv[1], sys.argv[2] == "redacted"
if redacted:
    agentops.init(redact=lambda text: text)
expected = {}
for depth in map(int, sys.argv[3:]):
    value = "bottom"
    for _ in range(depth):
        value = [value] if kind == "lists" else {"key": value} if kind == "mappings" else [{"key": value}]
    with span(f"deep {depth}", input=value) as s:
        s.set_attribute("a", value)
        s.output = {"value": value, "text": "x" * 200}
    expected[f"deep {depth}"] = json.loads(json.dumps(value))
agentops.flush()
with Reader() as reader:
    found = {record["name"]: record for record in map(json.loads, lines(reader, reader.iter_traces()))}
wrong = []
for name, value in expected.items():
    record = found.get(name) or {"attributes": {}, "output": None, "input": None}
    parts = [record["input"], record["attributes"].get("a"), (record["output"] or {}).get("value")]
    wrong += [f"{name}: {part}" for part, got in zip(("input", "attribute", "output"), parts) if got != value]
print(*wrong, sep=", ")
"""


@pytest.mark.parametrize("way", ["plain", "redacted"])
@pytest.mark.parametrize("kind", ["lists", "mappings", "both"])
def test_what_json_takes_comes_back(program: Any, kind: str, way: str) -> None:
    depths = (20, 60, 70, 130, 200, 300) if kind == "both" else (20, 60, 70, 130, 200, 300, 600)
    done = program(READ_BACK, kind, way, *map(str, depths))  # `json.dumps` gives up somewhere below 1,000
    assert (done.stdout, done.returncode) == ("\n", 0), done.stderr[-1_000:]


def nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize("depth", [1_000, 100_000])
@pytest.mark.parametrize(
    "wrap",
    [lambda v: [v], lambda v: {"k": v}, lambda v: [{"k": v}, "x" * 200], lambda v: {"k": [v], "t": "x" * 200}],
    ids=["lists", "mappings", "messages", "requests"],
)
def test_what_is_deeper_is_marked_and_the_record_goes_on(
    store: Path, spans: Any, depth: int, wrap: Callable[[Any], Any]
) -> None:
    value = nested(depth, wrap)
    with span("deep", input=value) as s:
        s.set_attribute("a", value)
        s.add_event("e", {"v": value})
        s.output = value
        with span("below"):
            pass
    found = {record["name"]: record for record in spans()}
    assert found["below"]["parent_span_id"] == found["deep"]["span_id"]
    assert found["deep"]["status"] == "ok"
    for part in (found["deep"]["input"], found["deep"]["output"], found["deep"]["attributes"]):
        assert "nested deeper" in json.dumps(part)
    agentops.shutdown()
