"""`agentops export --to otlp`, and what `doctor` and `config` say of exports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentops.cli.schemas import SCHEMAS
from tests.exporters.sink import Sink, attributes

Command = Callable[..., Any]

RUNS = """
with span("good", kind="agent", input="x"):
    with span("step", kind="tool"): pass
try:
    with span("bad", kind="agent"): raise ValueError("declined")
except ValueError: pass
"""


@pytest.fixture
def sink() -> Iterator[Sink]:
    one = Sink()
    yield one
    one.close()


@pytest.fixture
def command(agentops: Any, monkeypatch: pytest.MonkeyPatch) -> Command:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    return lambda store, *words: agentops(*words, store=store)


def test_whole_traces_are_sent(command: Command, record: Any, sink: Sink) -> None:
    store = record(RUNS)
    done = command(store, "export", "--to", "otlp", sink.url, "name:step", "-H", "x-key=a=b", "-H", "x-other: c")
    assert done == (0, f"2 spans sent to {sink.url}/v1/traces\n", "")
    assert sorted(sink.names) == ["good", "step"]
    assert (sink.requests[0]["x-key"], sink.requests[0]["x-other"]) == ("a=b", "c")
    again = command(store, "export", "--to", "otlp", sink.url, "--json", "--dialect", "openinference")
    assert json.loads(again.out) == {
        "version": 1, "target": f"{sink.url}/v1/traces", "spans": 3, "refused": 0, "running": 0,
    }  # fmt: skip
    SCHEMAS["export otlp"].model_validate(json.loads(again.out), strict=True)
    assert "gen_ai.operation.name" not in attributes(sink.spans[-1])


def test_the_variables_may_name_the_url(
    command: Command, record: Any, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = record(RUNS)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
    done = command(store, "export", "--to", "otlp", "status:error")
    assert done.out == f"1 span sent to {sink.url}/v1/traces\n"


def test_a_target_that_takes_nothing_is_a_problem(command: Command, record: Any, sink: Sink) -> None:
    store = record(RUNS)
    sink.reply = lambda _: (401, {"Content-Type": "application/json"}, b'{"message": "no \x1b[31m key"}')
    done = command(store, "export", "--to", "otlp", sink.url)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"agentops: {sink.url}/v1/traces: it answered 401") and "nothing was sent" in done.err
    assert "\x1b" not in done.err
    sink.away()
    gone = command(store, "export", "--to", "otlp", sink.url, "--json")
    assert (gone.code, gone.out) == (1, "") and "Connection refused" in json.loads(gone.err)["error"]["message"]


def test_a_span_that_is_refused_is_counted_and_the_others_are_sent(command: Command, record: Any, sink: Sink) -> None:
    store = record(RUNS)
    sink.reply = lambda spans: (400, {}, b"") if any(one.name == "bad" for one in spans) else True
    done = command(store, "export", "--to", "otlp", sink.url)
    assert done.code == 1
    assert done.out == f"2 spans sent to {sink.url}/v1/traces\n1 was refused: it answered 400\n"


def test_what_is_called_wrongly_is_said(command: Command, record: Any, tmp_path: Path) -> None:
    store = record(RUNS)
    for words, says in (
        (["--to", "otlp"], "say where to: agentops export --to otlp http://localhost:4318"),
        (["--to", "otlp", "name:x"], "say where to"),
        (["--to", "otlp", "ftp://host"], "is no target"),
        (["--to", "otlp", "http://host", "-H", "nothing"], "a header is given as NAME=VALUE"),
        (["--to", "otlp", "http://host", "-o", "x"], "--output is for --to jsonl"),
        (["--to", "otlp", "http://host", "--waiting", "name:x"], "leave out the filter"),
        (["--waiting"], "--waiting is for --to otlp"),
        (["--discard"], "--discard is for --to otlp"),
        (["--to", "otlp", "127.0.0.1:4318"], "http:// is missing"),
        (["--to", "otlp", "localhost:4318", "status:error"], "http:// is missing"),
        (["--to", "otlp", "session:17"], "say where to"),
        (["--to", "otlp", "http://host", "-H", "x key=1"], "'x key' is no name of a header"),
        (["--to", "otlp", "http://host", "--discard", "name:x"], "leave out the rest"),
    ):
        done = command(store, "export", *words)
        assert done.code == 2 and says in done.err, (words, done)


def test_what_waits_can_be_sent_by_hand_and_doctor_tells_how_it_stands(
    command: Command, tmp_path: Path, sink: Sink
) -> None:
    store = tmp_path / "traces.db"
    sink.away()
    source = "import sys, agentops\nagentops.init(export=sys.argv[1])\nwith agentops.span('late'): pass\n"
    given = {**os.environ, "AGENTOPS_STORE": str(store)}
    subprocess.run([sys.executable, "-c", source, sink.url], env=given, capture_output=True, timeout=60, check=True)
    ill = command(store, "doctor")
    (line,) = [one for one in ill.out.splitlines() if "export" in one and "sent" in one and "wait" in one][:1]
    assert ill.code == 1 and f"{sink.url}/v1/traces: 0 sent; 1 wait" in line and "Connection refused" in line
    failed = command(store, "export", "--to", "otlp", sink.url, "--waiting")
    assert failed.code == 1 and "it cannot be reached (Connection refused)" in failed.err
    sink.back()
    done = command(store, "export", "--to", "otlp", sink.url, "--waiting")
    assert done == (0, f"1 span sent to {sink.url}/v1/traces\n", "")
    assert command(store, "export", "--to", "otlp", sink.url, "--waiting").out.startswith("0 spans sent")
    assert sink.names == ["late"]
    well = command(store, "doctor")
    assert well.code == 0 and f"{sink.url}/v1/traces: 1 sent, the last at" in well.out


def late(store: Path, target: str, more: str = "") -> str:
    """A program that exports to `target` and ends, or does `more` before; gives what it says."""
    source = f"import agentops\nagentops.init(export={target})\nwith agentops.span('late', kind='llm'): pass\n{more}"
    given = {**os.environ, "AGENTOPS_STORE": str(store)}
    return subprocess.run([sys.executable, "-c", source], env=given, capture_output=True, text=True, timeout=60).stderr


def test_what_waits_can_be_given_up(command: Command, tmp_path: Path, sink: Sink) -> None:
    store = tmp_path / "traces.db"
    sink.away()
    late(store, f"['{sink.url}', agentops.Target('{sink.url}/other', name='mine')]")
    assert command(store, "doctor").code == 1
    asks = command(store, "export", "--to", "otlp", sink.url, "--discard")
    assert asks.code == 2 and f"give up 1 span that waits for {sink.url}/v1/traces, for good: add --yes" in asks.err
    given_up = command(store, "export", "--to", "otlp", sink.url, "--discard", "--yes")
    assert given_up == (0, f"1 span given up for {sink.url}/v1/traces; the store has them still\n", "")
    named = command(store, "export", "--to", "otlp", "mine", "--discard", "--yes", "--json")
    assert json.loads(named.out) == {"version": 1, "target": "mine", "discarded": 1}
    SCHEMAS["export discard"].model_validate(json.loads(named.out), strict=True)
    well = command(store, "doctor")
    assert well.code == 0 and "0 sent, 1 taken out of the store or given up before" in well.out
    assert command(store, "ls").out.count("late") == 1
    sink.back()
    assert command(store, "export", "--to", "otlp", sink.url, "--waiting").out.startswith("0 spans sent")


def test_a_url_that_nobody_exported_to_is_said(command: Command, tmp_path: Path, sink: Sink) -> None:
    store = tmp_path / "traces.db"
    late(store, f"'{sink.url}'")
    for option in ("--waiting", "--discard"):
        done = command(store, "export", "--to", "otlp", f"{sink.url}/v2", option)
        assert (done.code, done.out) == (1, "")
        assert f"no program has exported to {sink.url}/v2; those in this store: {sink.url}/v1/traces" in done.err


def test_doctor_counts_what_a_killed_program_left_in_its_journal(command: Command, tmp_path: Path, sink: Sink) -> None:
    store = tmp_path / "traces.db"
    sink.away()
    late(store, f"'{sink.url}'")
    many = "for _ in range(500):\n    with agentops.span('n'): pass\n"
    late(store, f"'{sink.url}'", f"{many}import os; os.kill(os.getpid(), 9)")
    assert "0 sent; 502 wait" in command(store, "doctor").out


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        ((401, {}, b""), "give it the right headers, by Target(headers=...) or OTEL_EXPORTER_OTLP_HEADERS"),
        ((403, {}, b""), "give it the right headers"),
        ((404, {}, b""), "agentops appends /v1/traces to a URL without a path, and takes one with a path as it is"),
        ((400, {"Content-Type": "text/plain"}, b"no such field"), "what it answered says why"),
        ((415, {}, b""), "what it answered says why"),
        ((503, {}, b""), "has trouble of its own"),
        (None, "see that it is there"),
    ],
)
def test_doctor_says_what_to_do_by_what_the_target_answered(
    command: Command, tmp_path: Path, sink: Sink, reply: Any, advice: str
) -> None:
    store = tmp_path / "traces.db"
    sink.reply = lambda _: reply
    late(store, f"'{sink.url}'")
    ill = command(store, "doctor")
    assert ill.code == 1 and f"{sink.url}/v1/traces: 0 sent; 1 wait" in ill.out
    assert advice in ill.out and f"`agentops export --to otlp {sink.url}/v1/traces --discard` gives them up" in ill.out
    if reply is not None:
        assert f"it answered {reply[0]}" in ill.out


def test_metrics_that_are_refused_are_not_counted_as_sent(command: Command, tmp_path: Path, sink: Sink) -> None:
    store = tmp_path / "traces.db"
    sink.metrics_reply = 405
    said = late(store, f"agentops.Target('{sink.url}', metrics=True)")
    assert said.count(f"{sink.url}/v1/traces (metrics)") == 1 and "it answered 405" in said
    ill = command(store, "doctor")
    assert ill.code == 1
    (line,) = [one for one in ill.out.splitlines() if "(metrics)" in one]
    assert ": 0 sent, 1 counted and not taken by it" in line and "it answered 405" in line
    assert "if it takes no metrics, leave out metrics=True" in ill.out
    sink.metrics_reply = 200
    assert late(store, f"agentops.Target('{sink.url}', metrics=True)") == ""
    assert command(store, "doctor").code == 0


def test_doctor_for_production_names_what_programs_export_to(command: Command, tmp_path: Path, sink: Sink) -> None:
    store = tmp_path / "traces.db"
    late(store, f"'{sink.url}'")
    found = json.loads(command(store, "doctor", "--production", "--json").out)["checks"]
    assert [one["says"] for one in found if one["name"] == "export"][-1] == (
        f"by programs' own agentops.init(export=...): {sink.url}/v1/traces"
    )


def test_doctor_for_production_names_a_setting_that_cannot_be_used(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTOPS_EXPORT", "localhost:4318")
    done = command(tmp_path / "traces.db", "doctor", "--production")
    assert done.code == 1 and "http:// is missing" in done.out and "correct it in AGENTOPS_EXPORT" in done.out


def test_settings_show_targets_without_their_secrets(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTOPS_EXPORT", "http://ada:pass-word@host:4318?token=t-1, console")
    for words in (["config"], ["config", "--json"], ["doctor", "--production"]):
        done = command(tmp_path / "traces.db", *words)
        assert "http://host:4318/v1/traces" in done.out and "pass-word" not in done.out and "t-1" not in done.out
