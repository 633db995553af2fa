"""While an agent writes: runs and spans appear, and the reader keeps the place."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentops.store.filters import parse
from agentops.store.upkeep import Store
from agentops_tui.app import Explorer
from agentops_tui.widgets.span_tree import SpanTree
from agentops_tui.widgets.trace_list import TraceList
from tests.tui.seen import lacks, lines, run, screen, shows, until

#: Does what it is told, a line at a time, and says when it is on record.
AGENT = """
import sys, agentops
from agentops import span
open_ = []
for line in sys.stdin:
    word, _, name = line.strip().partition(" ")
    if word == "begin":
        open_.append(span(name)); open_[-1].__enter__()
    elif word == "end":
        open_.pop().__exit__(None, None, None)
    elif word == "fail":
        error = ValueError(name)
        open_.pop().__exit__(ValueError, error, None)
    assert agentops.flush()
    print("done", flush=True)
"""


class Agent:
    """A program that records at its own pace."""

    def __init__(self, store: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTOPS_")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", AGENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=store.parent,
            env={**kept, "AGENTOPS_STORE": str(store), "AGENTOPS_RAISE": "1"},
        )

    def does(self, *orders: str) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        for order in orders:
            self._process.stdin.write(order + "\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "done\n"

    def dies(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path / "traces.db")
    yield agent
    agent.dies()


@pytest.fixture
def app(tmp_path: Path) -> Explorer:
    return Explorer(str(tmp_path / "traces.db"), "a test")


def test_an_empty_screen_says_what_to_do_and_fills_when_a_run_begins(tmp_path: Path, app: Explorer) -> None:
    async def story(pilot: Any) -> None:
        await shows(app, "No runs yet")
        shown = screen(app)
        assert str(tmp_path.name) in shown and "a test" in shown
        assert "agentops run -- python agent.py" in shown and 'with span("answer", kind="agent")' in shown
        await pilot.press("down", "enter", "e", "y", "G", "slash", "escape")
        agent = Agent(tmp_path / "traces.db")
        agent.does("begin first")
        await shows(app, "● now")
        await shows(app, "waits for first")
        agent.does("end")
        await lacks(app, "waits for")
        await pilot.press("enter")
        await shows(app, "C first")
        agent.dies()

    run(story, app)


def test_the_list_follows_the_newest_until_the_reader_moves_away(agent: Agent, app: Explorer) -> None:
    agent.does("begin one", "end", "begin two", "end")

    async def story(pilot: Any) -> None:
        await shows(app, "2 runs")
        agent.does("begin three", "end")
        await shows(app, "3 runs")
        assert "three" in lines(app)[2]
        await pilot.press("down")
        agent.does("begin four", "end", "begin five", "end")
        await shows(app, "+2 new")
        chosen = app.screen.query_one(TraceList).chosen
        assert chosen is not None and chosen.name == "two" and "five" not in screen(app)
        await pilot.press("g")
        await shows(app, "5 runs")
        assert "five" in lines(app)[2] and "+2 new" not in lines(app)[0]

    run(story, app)


def test_an_open_run_grows_and_the_cursor_stays_on_its_span(agent: Agent, app: Explorer) -> None:
    agent.does("begin run", "begin step 1", "begin inner", "end", "end", "begin step 2")

    async def story(pilot: Any) -> None:
        await shows(app, "waits for step 2")
        await pilot.press("enter")
        await shows(app, "C step 2")
        assert "● live" in lines(app)[0]
        await pilot.press("down", "left", "down")  # step 1 folded, the cursor on step 2
        await shows(app, "▸ C step 1")
        agent.does("begin look", "end", "begin pay")
        await shows(app, "pay")
        tree = app.screen.query_one(SpanTree)
        assert tree.outline is not None and tree.chosen is not None
        assert tree.outline.lines[tree.chosen].span.name == "step 2"
        assert "▸ C step 1" in screen(app) and "inner" not in screen(app)
        agent.does("fail no money")
        await shows(app, "ValueError: no money")
        assert "the only error" in screen(app)
        agent.does("end", "end")
        await until(lambda: "live" not in lines(app)[0], "the end of the run", app)
        await lacks(app, "● runs")
        assert tree.outline.lines[tree.chosen].span.name == "step 2"
        await pilot.press("escape")
        await shows(app, "1 run ")

    run(story, app)


def test_a_program_that_is_killed_leaves_a_run_that_was_cut_off(agent: Agent, app: Explorer) -> None:
    agent.does("begin run", "begin call")

    async def story(pilot: Any) -> None:
        await shows(app, "waits for")
        await pilot.press("enter")
        await shows(app, "call")
        agent.dies()
        await shows(app, "no end recorded")
        await shows(app, "○ cut off")
        await pilot.press("escape")
        await shows(app, "broke off in")

    run(story, app)


def test_a_filtered_list_follows_too(agent: Agent, app: Explorer) -> None:
    agent.does("begin good", "end")

    async def story(pilot: Any) -> None:
        await shows(app, "good")
        await pilot.press("slash", *"status:error", "enter")
        await shows(app, "0 matching runs")
        agent.does("begin other", "end", "begin bad", "fail no money")
        await shows(app, "ValueError: no money")
        assert "other" not in screen(app) and "1 matching run" in screen(app)
        await pilot.press("escape")
        await shows(app, "3 runs")

    run(story, app)


def test_a_run_that_is_taken_out_while_it_is_looked_at_is_closed_and_leaves_the_list(
    agent: Agent, app: Explorer, tmp_path: Path
) -> None:
    agent.does("begin keep", "end", "begin go", "begin step", "end", "end")

    async def story(pilot: Any) -> None:
        await shows(app, "2 runs")
        await pilot.press("enter")
        await shows(app, "C step")
        with Store(str(tmp_path / "traces.db")) as store:
            store.prune(parse("name:step"))
        await shows(app, "taken out of the store")
        await shows(app, "1 run")
        assert "keep" in lines(app)[2] and "go" not in lines(app)[2]

    run(story, app)
