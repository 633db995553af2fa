"""What is not recorded is said nowhere else either: a run's arguments and last lines, our log, imports, exporters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.redaction.scanning import brought_in, held

TOKEN = "ghp_" + "k2w8y2e8r3y7x4n8v5z4r4y7q2l7x6q8z4h0"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """In a folder of its own, so that all there is ours."""
    (tmp_path / "left").mkdir()
    return tmp_path / "left" / "traces.db"


@pytest.fixture
def agentops(tmp_path: Path, store: Path) -> Run:
    """Runs the command."""

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        foreign = ("AGENTOPS_", "OTEL_", "PYTHON")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return subprocess.run(
            [str(Path(sys.executable).with_name("agentops")), *arguments],
            cwd=tmp_path,
            env={**kept, "AGENTOPS_STORE": str(store), **more},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def root_of(read: Any, store: Path) -> dict[str, Any]:
    return next(one for one in read(store) if one["parent_span_id"] is None)  # type: ignore[no-any-return]


PRINTS = f"""
import sys
print("connecting with {TOKEN}")
{{begin}}
print("still {TOKEN}", file=sys.stderr)
{{end}}
raise ValueError("refused {TOKEN}")
"""
OWN = f'import agentops; agentops.init(redact=lambda text: text.replace("{TOKEN}", "<mine>"))'
NAMED = 'import agentops; agentops.init(redact="secrets")'
KILL = "import os; os.kill(os.getpid(), 9)"


@pytest.mark.parametrize(
    ("begin", "by_environment", "arguments"),
    [
        ("", True, ["agent.py", "--token", "<GITHUB_TOKEN>"]),
        (NAMED, False, ["agent.py", "--token", "<GITHUB_TOKEN>"]),
        (OWN, False, ["<withheld: the program redacts what it records>"]),
    ],
    ids=["by the environment", "by init", "by a function of its own"],
)
@pytest.mark.parametrize("end", ["", KILL], ids=["raises", "killed"])
def test_a_run_tells_nothing_of_what_the_program_redacts(
    agentops: Run,
    read: Any,
    tmp_path: Path,
    store: Path,
    begin: str,
    by_environment: bool,
    arguments: list[str],
    end: str,
) -> None:
    (tmp_path / "agent.py").write_text(PRINTS.format(begin=begin, end=end))
    more = {"AGENTOPS_REDACT": "secrets"} if by_environment else {}
    done = agentops("run", "--", sys.executable, "agent.py", "--token", TOKEN, **more)
    assert done.returncode == (-9 if end else 1)
    raw = held(store)
    brought_in(store)
    assert TOKEN.encode() not in raw + held(store)
    root = root_of(read, store)
    assert root["status"] == "error"
    assert root["attributes"]["process.command_args"][1:] == arguments


def test_without_a_redactor_a_run_tells_its_arguments_and_last_lines(
    agentops: Run, read: Any, tmp_path: Path, store: Path
) -> None:
    (tmp_path / "agent.py").write_text(PRINTS.format(begin="", end=KILL))
    agentops("run", "--", sys.executable, "agent.py", "--token", TOKEN)
    root = root_of(read, store)
    assert root["attributes"]["process.command_args"] == [sys.executable, "agent.py", "--token", TOKEN]
    assert TOKEN in root["events"][0]["attributes"]["text"]


def test_a_native_crash_and_a_stuck_step_are_told_without_values(
    agentops: Run, read: Any, tmp_path: Path, store: Path
) -> None:
    (tmp_path / "agent.py").write_text(
        f"""
import ctypes, threading, time
from agentops import flush, span
def work(token):
    with span("stuck", input=token):
        flush()
        time.sleep(1.2)
        ctypes.string_at(0)
threading.current_thread().name = "worker with {TOKEN}"
work("{TOKEN}")
"""
    )
    more = {"AGENTOPS_REDACT": "secrets", "AGENTOPS_WATCH_AFTER": "0.3"}
    done = agentops("run", "--", sys.executable, "agent.py", **more)
    assert done.returncode == -11
    raw = held(store)
    brought_in(store)
    assert TOKEN.encode() not in raw + held(store)
    spans = read(store)
    assert any(event["name"] == "stacks" for one in spans for event in one["events"])
    assert any("in work" in str(event) for one in spans for event in one["events"] if event["name"] == "crash")


def test_our_log_tells_nothing_of_what_is_redacted(agentops: Run, tmp_path: Path, store: Path) -> None:
    (tmp_path / "agent.py").write_text(
        f"""
import logging
import agentops
from agentops import span
logging.basicConfig(filename="left/log")
agentops.init(redact="secrets")
@agentops.on_span_end
def hook(ended):
    raise ValueError("no use for {TOKEN}")
with span("x"): pass
agentops.flush()
"""
    )
    done = subprocess.run([sys.executable, "agent.py"], cwd=tmp_path, env={**os.environ, "AGENTOPS_STORE": str(store)})
    assert done.returncode == 0
    log = (store.parent / "log").read_text()
    assert "no use for <GITHUB_TOKEN>" in log
    assert "in hook" in log
    assert TOKEN not in log


def test_an_import_is_redacted_and_known_again(agentops: Run, read: Any, tmp_path: Path, store: Path) -> None:
    (tmp_path / "agent.py").write_text(
        f"""
import agentops
from agentops import score, span
with span("with {TOKEN}", session="{TOKEN}", tags=["{TOKEN}"], metadata={{"{TOKEN}": "{TOKEN}"}}) as s:
    s.input = {{"deep": ["{TOKEN}", {{"{TOKEN}": 1}}], "long": "clean words " * 40}}
    s.output = "it is {TOKEN}"
    s.set_attribute("{TOKEN}", "{TOKEN}")
    s.add_event("{TOKEN}", {{"what": "{TOKEN}"}})
    s.add_link(s.get_span_context(), {{"why": "{TOKEN}"}})
    score("{TOKEN}", "{TOKEN}", comment="{TOKEN}")
    s.fail(ValueError("{TOKEN}"))
with span("open {TOKEN}") as s:
    s.add_event("{TOKEN}")
    agentops.flush()
    import os; os.kill(os.getpid(), 9)
"""
    )
    elsewhere = {**os.environ, "AGENTOPS_STORE": str(tmp_path / "raw.db")}
    subprocess.run([sys.executable, "agent.py"], cwd=tmp_path, env=elsewhere)
    lines = agentops("export", "--to", "jsonl", AGENTOPS_STORE=str(tmp_path / "raw.db")).stdout
    assert TOKEN in lines
    (tmp_path / "lines.jsonl").write_text(lines)
    for _ in range(2):
        done = agentops("import", "lines.jsonl", AGENTOPS_REDACT="secrets")
        assert done.returncode == 0, done.stderr
    raw = held(store)
    brought_in(store)
    assert TOKEN.encode() not in raw + held(store)
    given = [json.loads(line) for line in lines.splitlines()]
    spans = {one["span_id"]: one for one in read(store)}
    assert set(spans) == {one["span_id"] for one in given}
    for one in given:
        found = spans[one["span_id"]]
        assert [len(found[part]) for part in ("events", "links", "scores", "attributes", "tags")] == [
            len(one[part]) for part in ("events", "links", "scores", "attributes", "tags")
        ]
        assert (found["name"], found["trace_id"]) == (one["name"].replace(TOKEN, "<GITHUB_TOKEN>"), one["trace_id"])
    closed = next(one for one in spans.values() if one["name"].startswith("with"))
    assert closed["input"] == {
        "deep": ["<GITHUB_TOKEN>", {"<GITHUB_TOKEN>": 1}],
        "long": "clean words " * 40,
    }


def test_the_settings_file_redacts_too(agentops: Run, read: Any, tmp_path: Path, store: Path) -> None:
    (tmp_path / "agentops.toml").write_text('redact = "secrets"\n')
    (tmp_path / "agent.py").write_text(f'from agentops import span\nwith span("x", input="{TOKEN}"): pass\n')
    assert agentops("run", "--", sys.executable, "agent.py", "--token", TOKEN).returncode == 0
    assert TOKEN.encode() not in held(store)
    assert {"<GITHUB_TOKEN>"} <= {one.get("input") for one in read(store)}


def test_what_the_application_sets_on_its_own_spans_is_its_exporters_and_redacted_here(
    program: Any, read: Any, tmp_path: Path
) -> None:
    done = program(
        f"""
        import agentops
        from agentops import span
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        token = "{TOKEN}"
        exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        agentops.init(redact="secrets")
        early = {{"early": token, "list": [token, "b"]}}
        with span(f"ours {{token}}", attributes=early, session=token, user=token) as s:
            s.set_attribute(f"key {{token}}", token)
            s.add_event(token, {{token: token}})
            s.add_link(s.get_span_context(), {{"why": token}})
            s.update_name(f"renamed {{token}}")
            with trace.get_tracer("theirs").start_as_current_span("theirs") as theirs:
                theirs.set_attribute("body", token)
            try:
                with span("fails"): raise ValueError(token)
            except ValueError as problem:
                s.record_exception(problem)
            s.set_status(trace.Status(trace.StatusCode.ERROR, token))
        for one in exporter.get_finished_spans():
            shown = one.to_json() + repr(one.name) + repr(dict(one.attributes)) + repr(one.events)
            print(one.name, token in shown, [event.name for event in one.events])
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "theirs True []",
        "fails False ['exception']",
        "renamed <GITHUB_TOKEN> False ['<GITHUB_TOKEN>', 'exception']",
    ]
    spans = {one["name"]: one for one in read(tmp_path / "traces.db")}
    assert spans["theirs"]["attributes"] == {"body": "<GITHUB_TOKEN>"}
    ours = spans["renamed <GITHUB_TOKEN>"]["attributes"]
    assert (ours["early"], ours["list"], ours["key <GITHUB_TOKEN>"]) == (
        "<GITHUB_TOKEN>",
        ["<GITHUB_TOKEN>", "b"],
        "<GITHUB_TOKEN>",
    )
    assert TOKEN not in json.dumps(list(spans.values()))


def test_a_streamed_answer_is_redacted_as_a_whole(program: Any, read: Any, tmp_path: Path) -> None:
    """A piece of it may hold a half of what is found: pieces are not recorded."""
    done = program(
        f"""
        import anthropic, httpx2
        import agentops
        from examples.stand_in import Reply, StandIn, Text, ToolUse
        token = "{TOKEN}"
        answer = Reply((Text(f"it is {{token}} " * 9), ToolUse("use", {{"token": token}})))
        agentops.init(redact="secrets")
        with StandIn(lambda request: answer) as server:
            http = httpx2.Client(trust_env=False)
            client = agentops.wrap(anthropic.Anthropic(base_url=server.url, api_key="any", http_client=http))
            asked = [{{"role": "user", "content": f"say {{token}}"}}]
            for leaves in (False, True):
                stream = client.messages.create(model="m", max_tokens=9, messages=asked, system=token, stream=True)
                for n, event in enumerate(stream):
                    if n == 8 and leaves:
                        break
                stream.close()
        agentops.shutdown()
        """,
        PYTHONPATH=str(Path(__file__).parents[2]),
        PYTHONWARNINGS="default",
    )
    assert done.returncode == 0, done.stderr
    brought_in(tmp_path / "traces.db")
    assert TOKEN.encode() not in held(tmp_path / "traces.db").replace((tmp_path / "program.py").read_bytes(), b"")
    calls = read(tmp_path / "traces.db")
    assert len(calls) == 2
    for call in calls:
        assert call["input"] == [{"role": "user", "content": "say <GITHUB_TOKEN>"}]
        assert "<GITHUB_TOKEN>" in json.dumps(call["output"])
        assert call["events"] == []


def test_an_exporter_gets_nothing_that_broken_settings_leave_unsaid(agentops: Run, tmp_path: Path, store: Path) -> None:
    (tmp_path / "app.py").write_text(f"""
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
from agentops import span
with span("pay {TOKEN}") as s:
    s.set_attribute("note", "{TOKEN}")
print("ran")
""")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTOPS_", "OTEL_"))}
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=tmp_path,
        env={**kept, "AGENTOPS_STORE": str(store), "AGENTOPS_REDACT": "pie"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "ran" in done.stdout, done.stderr
    assert TOKEN not in done.stdout + done.stderr and "withheld" in done.stdout
