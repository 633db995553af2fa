"""The demo as a newcomer runs it: one command, from the root of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from examples.stand_in import StandIn, support_script

ROOT = Path(__file__).parents[2]

agentops = pytest.importorskip("agentops", exc_type=ImportError)
if not hasattr(agentops, "span"):  # a folder without an __init__.py imports too
    pytest.skip("agentops has no span yet", allow_module_level=True)

Demo = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of this process, but with a store of its own and without any provider's key."""
    foreign = ("ANTHROPIC_", "AGENTOPS_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    return {**kept, "AGENTOPS_STORE": str(tmp_path / "traces.db")}


@pytest.fixture
def demo(environment: dict[str, str]) -> Demo:
    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "examples.support_agent", *arguments],
            cwd=ROOT,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            # It takes 3 s; more is for a machine that is busy.
            timeout=20,
        )

    return run


def test_it_answers_and_says_which_model_it_used(demo: Demo) -> None:
    result = demo()

    assert result.returncode == 0, result.stderr
    assert "49.90 EUR" in result.stdout
    assert "RF-2041" in result.stdout
    assert re.search(
        r"^model: the stand-in on http://127\.0\.0\.1:\d+ \(no ANTHROPIC_API_KEY set\)$",
        result.stderr,
        re.MULTILINE,
    )
    assert "Traceback" not in result.stderr


def test_standard_output_is_the_answer_and_nothing_else(demo: Demo) -> None:
    result = demo()
    assert result.stdout.startswith("Hello Mira,")
    assert result.stdout.endswith("Harbour & Hearth support\n")


def test_the_ticket_can_be_given(demo: Demo) -> None:
    result = demo("Where is my order HH-2077?")
    assert result.returncode == 0, result.stderr
    assert "HH-2077 is on its way" in result.stdout
    assert "refunded" not in result.stdout


def test_a_proxy_in_the_environment_does_not_matter(demo: Demo) -> None:
    # Port 9 discards: whatever went to the proxy would fail.
    proxy = "http://127.0.0.1:9"
    result = demo(HTTP_PROXY=proxy, http_proxy=proxy, ALL_PROXY=proxy)
    assert result.returncode == 0, result.stderr


def test_with_a_key_it_talks_to_the_api(demo: Demo) -> None:
    with StandIn(support_script) as api:
        result = demo(
            ANTHROPIC_API_KEY="any",
            ANTHROPIC_BASE_URL=api.url,
            AGENTOPS_DEMO_MODEL="claude-sonnet-5",
            NO_PROXY="127.0.0.1",
        )
    assert result.returncode == 0, result.stderr
    assert f"model: claude-sonnet-5 on {api.url}" in result.stderr
    assert "the stand-in" not in result.stderr
    assert {request.body["model"] for request in api.requests} == {"claude-sonnet-5"}
    assert [bool(request.body.get("stream")) for request in api.requests] == [
        *[False] * 6,
        True,
    ]


def test_each_call_sends_all_that_came_before(demo: Demo) -> None:
    with StandIn(support_script) as api:
        demo(ANTHROPIC_API_KEY="any", ANTHROPIC_BASE_URL=api.url, NO_PROXY="127.0.0.1")
    bodies = [request.body for request in api.requests]
    assert len(bodies) == 7
    for earlier, later in pairwise(bodies):
        sent = earlier["messages"]
        assert later["messages"][: len(sent)] == sent
        assert len(later["messages"]) > len(sent)
        assert (later["system"], later["tools"]) == (
            bodies[0]["system"],
            bodies[0]["tools"],
        )


def test_the_trace_tells_the_story(demo: Demo, environment: dict[str, str]) -> None:
    command = shutil.which("agentops", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("the command is not installed")
    result = demo()
    assert result.returncode == 0, result.stderr
    export = subprocess.run(
        [command, "export", "--to", "jsonl"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    spans = [json.loads(line) for line in export.stdout.splitlines()]

    assert Counter(span["name"] for span in spans) == {
        "answer ticket": 1,
        "plan": 1,
        "solve": 1,
        **{f"iteration {number}": 1 for number in range(1, 6)},
        "chat claude-haiku-5-5": 7,
        "search_policies": 1,
        "lookup_order": 1,
        "issue_refund": 2,
        "write answer": 1,
    }
    [trace_id] = {span["trace_id"] for span in spans}
    assert f"trace: {trace_id}" in result.stderr
    failed = [span for span in spans if span["status"] == "error"]
    assert [span["name"] for span in failed] == ["issue_refund"]
    assert "payment service did not answer in 0.2 s" in json.dumps(failed)
    assert parents(spans, "search_policies") == {"iteration 1"}
    assert parents(spans, "issue_refund") == {"iteration 3", "iteration 4"}
    assert parents(spans, "iteration 5") == {"solve"}
    assert parents(spans, "solve") == {"answer ticket"}


def parents(spans: list[dict[str, Any]], name: str) -> set[str]:
    names = {span["span_id"]: span["name"] for span in spans}
    return {names[s["parent_span_id"]] for s in spans if s["name"] == name}
