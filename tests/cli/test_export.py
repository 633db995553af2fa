"""`agentops export`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentops.cli.schemas import SCHEMAS

Agentops = Callable[..., Any]


def test_every_line_is_a_span_as_the_schema_says(agentops: Agentops, shop: Path) -> None:
    done = agentops("export", "--to", "jsonl", store=shop)
    assert (done.code, done.err) == (0, "")
    assert len(done.lines) == 9
    for line in done.lines:
        SCHEMAS["export"].model_validate(json.loads(line), strict=True)


def test_a_line_has_everything_that_was_recorded(agentops: Agentops, shop: Path) -> None:
    root, ask, pay = (json.loads(line) for line in agentops("export", "session:s-1", store=shop).lines)
    assert root["parent_span_id"] is None
    assert ask["parent_span_id"] == pay["parent_span_id"] == root["span_id"]
    assert {span["trace_id"] for span in (root, ask, pay)} == {root["trace_id"]}
    assert (root["session"], root["user"], root["tags"], root["metadata"]) == ("s-1", "ada", ["prod"], {"build": 7})
    assert ask["usage"] == {"input_tokens": 900, "output_tokens": 200}
    assert [(event["name"], event["attributes"]) for event in ask["events"]] == [("first token", {"n": 1})]
    assert (pay["status"], pay["exception"]["type"], pay["exception"]["message"]) == (
        "error", "ValueError", "card was declined",
    )  # fmt: skip
    assert "Traceback" in pay["exception"]["stacktrace"]
    assert pay["cost_usd"] is None


def test_values_come_back_as_they_were(agentops: Agentops, record: Any) -> None:
    value = {
        "": None, "a\u2028b": [True, False, 0, -1, 2**53 + 1, 2**63, -(2**63), 2**64, 10**40, 1e308, 5e-324, 0.1, -0.0],
        "nested": [[], {}, [[["x"]]], "é\U0001f600\x00\x1b[31m", "\ud800"], "long": "y" * 70_000, "1": 1,
    }  # fmt: skip
    record(f"value = {value!r}\nwith span('a', input=value, attributes={{'v': value}}) as s: s.output = [value, value]")
    (line,) = agentops("export").lines
    found = json.loads(line)
    for got, expected in (
        (found["input"], value),
        (found["output"], [value, value]),
        (found["attributes"]["v"], value),
    ):
        assert json.dumps(got) == json.dumps(expected)


def test_a_file_takes_what_standard_output_would_have(agentops: Agentops, shop: Path, tmp_path: Path) -> None:
    printed = agentops("export", store=shop).out
    done = agentops("export", "-o", "out.jsonl", store=shop)
    assert (done.code, done.out) == (0, "")
    assert done.err == "agentops: 9 spans in out.jsonl\n"
    assert (tmp_path / "out.jsonl").read_text() == printed
    assert agentops("export", "--output", "b.jsonl", "--json", store=shop).object == {
        "version": 1, "file": "b.jsonl", "spans": 9,
    }  # fmt: skip


def test_a_file_that_cannot_be_written_is_said_in_a_sentence(agentops: Agentops, shop: Path) -> None:
    done = agentops("export", "-o", "no/such/folder.jsonl", store=shop)
    assert done.code == 2
    assert done.err == "agentops: no/such/folder.jsonl cannot be written: No such file or directory\n"


def test_a_filter_selects_whole_runs(agentops: Agentops, shop: Path) -> None:
    names = [json.loads(line)["name"] for line in agentops("export", "kind:tool", store=shop).lines]
    assert names == ["refund ticket", "ask model", "pay"]


def test_an_open_span_has_no_end(agentops: Agentops, record: Any) -> None:
    record("import os\nspan('open').__enter__()\nos._exit(0)")
    (line,) = agentops("export").lines
    assert (json.loads(line)["end_time_unix_nano"], json.loads(line)["status"]) == (None, "interrupted")


def test_a_reader_that_stops_early_ends_it_quietly(record: Any, tmp_path: Path) -> None:
    store = record("for n in range(40):\n    with span('a', input='x' * 20_000): pass")
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "agentops"), "export"],
        env={**os.environ, "AGENTOPS_STORE": str(store)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    assert json.loads(process.stdout.readline())["name"] == "a"
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), complaint) == (0, b"")
