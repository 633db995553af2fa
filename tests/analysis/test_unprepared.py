"""`why` on agents that nobody prepared: model calls alone, and what tools did in the messages between them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace as otel

import agentops
from agentops import span
from agentops.cli.main import main

MODEL = "chat claude-haiku-4-5"
Said = Callable[[], list[str]]
Block = dict[str, Any]


@pytest.fixture
def said(store: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """What `agentops why latest` prints."""

    def said() -> list[str]:
        assert agentops.flush()
        assert main(["why", "latest"]) == 0
        return capsys.readouterr().out.splitlines()

    return said


class Agent:
    """Calls a model with the whole conversation, as a client's instrumentation records it."""

    def __init__(self) -> None:
        self.messages: list[Any] = [{"role": "user", "content": "What is the port of the database, please?"}]
        self.ids: list[str] = []

    def chat(self, *answer: Block) -> None:
        with span(MODEL, kind="llm", input=self.messages) as s:
            self.ids.append(format(s.get_span_context().span_id, "016x"))
            s.output = list(answer)
        self.messages = [*self.messages, {"role": "assistant", "content": list(answer)}]

    def given(self, *results: Block) -> None:
        self.messages = [*self.messages, {"role": "user", "content": list(results)}]


def use(number: int | str, name: str = "read_file", **given: Any) -> Block:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": given}


def result(number: int | str, content: Any, **more: Any) -> Block:
    return {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": content, **more}


def text(words: str) -> Block:
    return {"type": "text", "text": words}


KAPUT: dict[str, Block] = {
    "text": result(2, "Error: kaput", is_error=True),
    "text that does not say so": result(2, "kaput", is_error=True),
    "blocks": result(2, [text("kaput it is")], is_error=True),
    "long": result(2, [text("kaput it is " + "and more of it " * 20)], is_error=True),
    "without a flag": result(2, "Error: kaput " + "and more of it " * 20),
}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first", "last"])
@pytest.mark.parametrize("kind", KAPUT)
def test_an_error_among_the_results_of_parallel_calls_is_found(kind: str, order: tuple[int, int], said: Said) -> None:
    results = [KAPUT[kind], result(1, "the port is not in this file, look elsewhere")]
    with span("agent.py"):
        agent = Agent()
        agent.chat(use(1, path="/etc/a"), use(2, "list_dir", path="/etc"))
        agent.given(*(results[n] for n in order))
        agent.chat(text("I do not know."))
    first = said()[0]
    assert f"agent.py ended ok, but {MODEL} (llm) was given an error of list_dir: kaput" in first, first


def test_an_error_among_many_results_that_say_they_are_none_is_found(said: Said) -> None:
    with span("agent.py"):
        agent = Agent()
        for n in range(200):
            agent.chat(use(n, path=f"/etc/{n}"))
            agent.given(result(n, f"port {n} is a port of something else", is_error=False))
        agent.chat(use("x", "list_dir"))
        agent.given(result("x", "kaput", is_error=True), result("y", "fine"))
        agent.chat(text("I do not know."))
    lines = said()
    assert any("was given an error of list_dir: kaput" in line for line in lines[:5]), "\n".join(lines)


def test_results_of_tools_that_worked_are_no_trouble(said: Said) -> None:
    with span("agent.py"):
        agent = Agent()
        for n in range(3):
            agent.chat(use(n, path=f"/etc/{n}"))
            agent.given(result(n, [text("errors are written to the log " * n)], is_error=False))
        agent.chat(text("Yes."))
    assert said()[0].endswith("agent.py ended ok: nothing failed")


def test_a_tools_error_that_comes_again_and_again_is_counted(said: Said) -> None:
    with span("agent.py"):
        agent = Agent()
        for n in range(8):
            agent.chat(text("Let me look at that file."), use(n, path=f"/etc/app/{n}.yaml"))
            agent.given(result(n, f"Error: file not found: /etc/app/{n}.yaml", is_error=True))
        agent.chat(text("I do not know."))
    lines = said()
    assert "was given an error of read_file 8 times: file not found" in lines[0], "\n".join(lines)


def test_a_tool_that_is_asked_for_again_and_again_is_a_loop(said: Said) -> None:
    with span("agent.py"):
        agent = Agent()
        for n in range(12):
            agent.chat(text("Let me look that file up once more."), use(n, path="/etc/app/config.yaml"))
            agent.given(result(n, "see /etc/app for the configuration"))
    lines = said()
    assert "read_file was asked for 12 times with the same input" in lines[0], "\n".join(lines)
    assert any(agent.ids[0][:8] in line for line in lines[:5])


@pytest.mark.parametrize("more", ["", "and a note of what this is for, so that the block is long " * 4])
def test_two_tools_that_are_asked_for_in_turn_are_a_loop(more: str, said: Said) -> None:
    with pytest.raises(SystemExit), span("agent.py"):
        agent = Agent()
        agent.chat(text("I begin."), use("a", "search", q="port"))
        agent.given(result("a", "3 files"))
        for n in range(12):
            agent.chat(
                text("Let me look. " * 12),
                use(n, "list_dir", path="/etc", why=more) if n % 2 else use(n, path="/etc/app", why=more),
            )
            agent.given(result(n, f"seen at {n}"))
        raise SystemExit(3)
    lines = said()
    found = [line for line in lines[:5] if "read_file was asked for 6 times with the same input" in line]
    assert found and agent.ids[1][:8] in found[0] and "in turn with list_dir" in found[0], "\n".join(lines)


def test_a_tool_that_is_asked_for_each_time_in_another_way_is_no_loop(said: Said) -> None:
    with span("agent.py"):
        agent = Agent()
        for n in range(12):
            agent.chat(use(n, path=f"/etc/app/{n}.yaml"))
            agent.given(result(n, "see the next one"))
    assert said()[0].endswith("agent.py ended ok: nothing failed")


def test_an_error_of_the_models_service_is_told_in_its_own_words(said: Said) -> None:
    answer = {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}}
    with pytest.raises(ConnectionError), span("agent.py"), span(MODEL, kind="llm", input=[]):
        raise ConnectionError(f"Error code: 400 - {answer}")
    assert said()[0].endswith(f"agent.py failed: {MODEL} (llm) raised ConnectionError 400: prompt is too long: 9 > 8")


def test_an_exception_without_a_message_is_told_without_a_colon(said: Said) -> None:
    with span("agent.py"):
        with pytest.raises(KeyboardInterrupt), span(MODEL, kind="llm"):
            raise KeyboardInterrupt
        with span("last"):
            pass
    assert said()[0].endswith(f"agent.py ended ok, but {MODEL} (llm) raised KeyboardInterrupt; the run went on")


def test_of_a_run_that_runs_it_is_said_since_when_and_what_runs_now(said: Said) -> None:
    with span("agent.py"):
        with span(MODEL, kind="llm"):
            pass
        between = said()
        with span("look around", kind="tool"):
            within = said()
    assert re.search(r"agent\.py still runs, since \d\d:\d\d:\d\d; no step of it runs now$", between[0]), between
    assert len(between) == 1 or "open" not in "".join(between[1:]), between
    assert re.search(r"agent\.py still runs, since \d\d:\d\d:\d\d$", within[0]), within
    assert re.search(r"^  open +[0-9a-f]{8} look around \(tool\) runs since \d\d:\d\d:\d\d$", within[1]), within


@pytest.mark.parametrize(("took", "told"), [(24, False), (26, True)])
def test_of_a_run_that_went_well_only_a_slow_step_is_told(took: int, told: bool, said: Said) -> None:
    agentops.init(otel=True)
    tracer = otel.get_tracer("t")
    run = tracer.start_span("agent.py", start_time=10**18)
    inside = otel.set_span_in_context(run)
    for start, ends in ((0, took), (40, 60), (70, 75)):
        tracer.start_span(f"to {ends}", inside, start_time=10**18 + start * 10**9).end(10**18 + ends * 10**9)
    run.end(10**18 + 100 * 10**9)
    lines = said()
    assert lines[0].endswith("agent.py ended ok: nothing failed")
    assert any("slowest" in line and f"{took}% of the run" in line for line in lines[1:]) is told, lines


def test_what_went_wrong_at_the_end_of_a_huge_run_is_found(said: Said) -> None:
    with span("agent.py"):
        for n in range(2_600):
            agent = Agent()
            agent.chat(text(f"I looked at {n}. " * 10), use(n, path=f"/etc/{n}", why="it may be there " * 10))
        agent = Agent()
        for n in range(6):
            agent.chat(text(f"Let me look again. {n} " * 10), use(f"l{n}", path="/etc/a", why="it may be there " * 10))
            agent.given(result(f"l{n}", [text(f"no such file, I looked {n} times " * 8)], is_error=True))
        agent.chat(text("I do not know."))
    lines = said()
    assert any("read_file was asked for 6 times" in line for line in lines[:5]), "\n".join(lines)
    assert any("was given an error of read_file 6 times" in line for line in lines[:5]), "\n".join(lines)
