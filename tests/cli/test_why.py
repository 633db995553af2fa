"""`agentops why` and `agentops ls --alike`."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentops.cli.schemas import SCHEMAS

_FAILED = """
try:
    with span("answer ticket", kind="agent", input="Where is my money?"):
        with span("lookup", kind="tool", input={"name": "Ann"}) as s:
            s.output = {"order": "ORD-7781"}
        with span("chat", kind="llm", input="What next?") as s:
            s.output = "refund it"
        with span("refund", kind="tool", input={"order": "ORD-7781"}):
            raise TimeoutError("payment service did not answer")
except TimeoutError:
    pass
"""
_FINE = """
with span("answer ticket", kind="agent"):
    with span("chat", kind="llm", input="hello") as s:
        s.output = "Good morning"
"""


def test_the_first_line_says_what_happened_and_others_where_to_look(
    record: Callable[[str], Path], agentops: Callable[..., Any]
) -> None:
    record(_FAILED)
    said = agentops("why")
    assert said.code == 0
    first, *others = said.lines
    words = "answer ticket failed: refund (tool) raised TimeoutError: payment service did not answer"
    assert first.split(" ", 1)[1][:80] == words[:80]
    assert any("answer ticket > refund" in line for line in others)
    assert any('"ORD-7781"' in line for line in others)
    assert len(said.lines) <= 20


def test_a_run_that_went_well_is_said_to_have(record: Callable[[str], Path], agentops: Callable[..., Any]) -> None:
    record(_FINE)
    assert "answer ticket ended ok: nothing failed" in agentops("why", "latest").lines[0]


def test_json_has_the_spans_to_jump_to(record: Callable[[str], Path], agentops: Callable[..., Any]) -> None:
    record(_FAILED)
    found = agentops("why", "--json").object
    SCHEMAS["why"].model_validate(found)
    shown = agentops("show", "--json").object
    by_id = {span["span_id"]: span["name"] for span in shown["spans"]}
    path = next(f for f in found["findings"] if f["kind"] == "path")
    assert found["failed"] is True and by_id[path["span_id"]] == "refund"
    assert path["path"] == ["answer ticket", "refund"]


def test_what_was_open_when_a_program_died_is_named(
    program: Callable[..., Any], agentops: Callable[..., object], tmp_path: Path
) -> None:
    program(
        """
        import os, signal
        from agentops import span
        with span("nightly", kind="agent"), span("step 2"), span("download", kind="tool", input="big.zip"):
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    said = agentops("why")
    assert "nightly was cut off: download (tool) was open at the end" in said.lines[0]
    assert any("nightly > step 2 > download" in line for line in said.lines)


def test_stored_text_cannot_act_on_a_terminal(record: Callable[[str], Path], agentops: Callable[..., Any]) -> None:
    record(
        """
        try:
            with span("a\\x1b]0;owned\\x07", kind="agent"):
                with span("b\\n\\x1b[2J", kind="tool", input="\\x1b[31m"):
                    raise ValueError("c\\u202e\\x1b[8m")
        except ValueError:
            pass
        """
    )
    said = agentops("why")
    assert said.code == 0 and "\x1b" not in said.out and "\u202e" not in said.out
    assert all(line.isprintable() for line in said.lines)


def test_no_such_trace(record: Callable[[str], Path], agentops: Callable[..., Any]) -> None:
    record(_FINE)
    assert agentops("why", "ffffffff").code == 4


def test_alike_lists_the_runs_that_failed_in_the_same_way(
    record: Callable[[str], Path], agentops: Callable[..., Any]
) -> None:
    record(_FAILED)
    record(_FAILED.replace("7781", "9"))
    record(_FAILED.replace("TimeoutError", "OSError"))
    record(_FINE)
    ids = [trace["trace_id"] for trace in agentops("ls", "--json").object["traces"]]
    found = agentops("ls", "--alike", ids[3], "--json").object
    SCHEMAS["ls"].model_validate(found)
    assert [trace["trace_id"] for trace in found["traces"]] == [ids[2], ids[3]]
    assert agentops("ls", "--alike", ids[3], "--limit", "1", "--json").object["more"] is True
    assert agentops("ls", "--alike", ids[3], "name:nobody").lines == ["nothing matches"]


@pytest.mark.parametrize(
    ("words", "code"), [(("--alike", "latest"), 4), (("--alike", "latest", "--spans"), 2), (("--alike", "ffff"), 4)]
)
def test_alike_says_why_it_cannot(
    words: tuple[str, ...], code: int, record: Callable[[str], Path], agentops: Callable[..., Any]
) -> None:
    record(_FINE)
    done = agentops("ls", *words)
    assert done.code == code and done.err.startswith("agentops: ")


def test_the_place_in_the_users_own_code_is_told(
    executable: Callable[..., Any], agentops: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "parsing.py").write_text("import json\n\n\ndef parse(text):\n    return json.loads(text)\n")
    (tmp_path / "triage.py").write_text("from steps.parsing import parse\n\nparse('{')\n")
    executable("run", "--", sys.executable, "triage.py")
    said = agentops("why")
    assert "triage.py failed: JSONDecodeError: Expecting property name" in said.lines[0]
    assert any(line.endswith("raised at steps/parsing.py:5 in parse") for line in said.lines[:5]), said.out


def test_a_process_that_died_in_a_run_that_went_on_is_named_first(
    executable: Callable[..., Any], agentops: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "fmt.py").write_text("def render():\n    raise ValueError('no such format')\n\n\nrender()\n")
    source = """
        import subprocess, sys
        from agentops import span
        subprocess.run([sys.executable, "fmt.py"], stderr=subprocess.DEVNULL)
        with span("search", kind="retrieval", input="q") as s:
            s.output = []
        """
    (tmp_path / "main.py").write_text(textwrap.dedent(source))
    executable("run", "--", sys.executable, "main.py")
    said = agentops("why")
    assert (
        "main.py ended ok, but fmt.py (chain), a process it started, died: ValueError: no such format" in said.lines[0]
    )
    assert any(line.endswith("raised at fmt.py:2 in render") for line in said.lines[:5]), said.out


_CHARGES = """
import asyncio, sys
from agentops import span

def charge():
    with span("charge", kind="tool", input={"amount": 12}):
        raise RuntimeError("card declined")

def later():
    raise ValueError("no such format")

"""


@pytest.mark.parametrize(
    "ends",
    [
        "try: charge()\nexcept RuntimeError: pass\nlater()",
        "try: charge()\nexcept RuntimeError: later()",
    ],
    ids=["after it", "while it was handled"],
)
def test_an_error_that_was_handled_is_not_what_ended_the_program(
    ends: str, executable: Callable[..., Any], agentops: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "pay.py").write_text(_CHARGES + ends)
    ran = executable("run", "--", sys.executable, "pay.py")
    assert " failed in pay.py (ValueError) " in ran.err.splitlines()[-1]
    said = agentops("why")
    assert said.lines[0].endswith("pay.py failed: ValueError: no such format")
    assert any(line.endswith("raised at pay.py:10 in later") for line in said.lines[:3]), said.out
    told = next(line for line in said.lines if "charge (tool) raised RuntimeError: card declined" in line)
    assert told.split()[0] == "before"


@pytest.mark.parametrize(
    "ends",
    [
        "charge()",
        "try: charge()\nexcept RuntimeError as problem: raise ValueError('not paid') from problem",
        "try: charge()\nexcept RuntimeError as problem: raise ValueError(f'not paid: {problem}')",
        "try: charge()\nexcept RuntimeError: sys.exit(4)",
        """
async def all():
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(charge))
asyncio.run(all())""",
    ],
    ids=["it went up", "raised from it", "quoted", "exit", "in a group"],
)
def test_an_error_that_ended_the_program_is_named_where_it_began(
    ends: str, executable: Callable[..., Any], agentops: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "pay.py").write_text(_CHARGES + ends)
    executable("run", "--", sys.executable, "pay.py")
    assert agentops("why").lines[0].endswith("pay.py failed: charge (tool) raised RuntimeError: card declined")


_DEADLOCK = """
import contextvars, threading
from agentops import span

savings, checking = threading.Lock(), threading.Lock()
both = threading.Barrier(2)

def transfer_between_two_accounts_of_one_customer(name, first, second):
    with span(name, kind="tool"), first:
        both.wait()
        with second:
            pass

with span("bank", kind="agent"):
    threads = [
        threading.Thread(
            target=contextvars.copy_context().run,
            args=(transfer_between_two_accounts_of_one_customer, *arguments),
        )
        for arguments in (("there", savings, checking), ("back", checking, savings))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_a_deadlock_is_told_while_it_lasts_and_of_the_threads_at_their_locks(
    agentops: Callable[..., Any], terminal: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "bank.py").write_text(_DEADLOCK)
    environment = {**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db"), "AGENTOPS_WATCH_AFTER": "0.2"}
    place = "/bank.py:11 in transfer_between_two_accounts_of_one_customer"
    with subprocess.Popen([sys.executable, "bank.py"], cwd=tmp_path, env=environment) as process:
        try:
            end = time.monotonic() + 30
            said = agentops("why")
            while "deadlock" not in said.out:
                assert time.monotonic() < end, said.out
                time.sleep(0.05)
                said = agentops("why")
            narrow = terminal("why")
        finally:
            process.kill()
    assert " bank still runs, and is in a deadlock: " in said.lines[0]
    stacks = [line for line in said.lines if line.split()[0] == "stack"]
    assert sorted(line.split()[2] for line in stacks) == ["back", "there"]
    assert all(line.endswith(place) for line in stacks), said.out
    assert "threading.py" not in said.out
    assert max(map(len, narrow)) <= 80
    assert "".join(line.strip() for line in narrow).replace(" ", "").count(place.replace(" ", "")) == 3, narrow
    later = " ".join(agentops("why").lines[:2])
    assert " bank was cut off in a deadlock: " in later and place in later


def test_the_users_own_frame_comes_before_those_of_libraries(agentops: Callable[..., Any], tmp_path: Path) -> None:
    source = """
        import queue
        from agentops import span
        def fetch():
            queue.Queue().get(timeout=600)
        with span("fetch", kind="tool"):
            fetch()
        """
    (tmp_path / "agent.py").write_text(textwrap.dedent(source))
    environment = {**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db"), "AGENTOPS_WATCH_AFTER": "0.2"}
    with subprocess.Popen([sys.executable, "agent.py"], cwd=tmp_path, env=environment) as process:
        try:
            end = time.monotonic() + 30
            while not (tmp_path / "traces.db").exists() or "stacks" not in agentops("show", "--content").out:
                assert time.monotonic() < end
                time.sleep(0.05)
        finally:
            process.kill()
    [stack] = [line for line in agentops("why").lines if line.split()[0] == "stack"]
    assert "agent.py:5 in fetch (in " in stack and stack.index("agent.py:5") < stack.index("threading.py")
