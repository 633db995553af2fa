"""For the tests of the command line: a store to read, and the command in this process and as users start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agentops.cli.main import main


class Done(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def run_recording(program: str, store: Path) -> Path:
    """Runs `program`, to its end, so that it records into `store`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTOPS_", "OTEL_"))}
    source = "import agentops\nfrom agentops import score, span\n" + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=store.parent,
        env={**kept, "AGENTOPS_STORE": str(store), "AGENTOPS_RAISE": "1", "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return store


@pytest.fixture(scope="session")
def recording() -> Callable[[str, Path], Path]:
    """As `record`, into a store that is named: for stores that several tests read."""
    return run_recording


@pytest.fixture
def record(tmp_path: Path) -> Callable[[str], Path]:
    """Runs a program that records into this test's store; gives the store."""
    return lambda program: run_recording(program, tmp_path / "traces.db")


@pytest.fixture
def agentops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Calls a command in this process, over this test's store or another one."""
    monkeypatch.chdir(tmp_path)

    def agentops(*words: str, store: Path | None = None) -> Done:
        monkeypatch.setenv("AGENTOPS_STORE", str(store or tmp_path / "traces.db"))
        capsys.readouterr()
        try:
            code = main(list(words))
        except SystemExit as stopped:  # how argparse ends
            code = int(stopped.code or 0)
        done = capsys.readouterr()
        return Done(code, done.out, done.err)

    return agentops


@pytest.fixture
def executable(tmp_path: Path) -> Callable[..., Done]:
    """Starts `agentops` as users do."""

    def executable(*words: str, store: Path | None = None, **environment: str) -> Done:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTOPS_")}
        done = subprocess.run(
            [str(Path(sys.executable).parent / "agentops"), *words],
            cwd=tmp_path,
            env={**kept, "AGENTOPS_STORE": str(store or tmp_path / "traces.db"), **environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return executable


_SHOP = """
with span("refund ticket", kind="agent", session="s-1", user="ada", tags=["prod"], metadata={"build": 7}) as run:
    with span("ask model", kind="llm", input=[{"role": "user", "content": "Please refund order 4711"}]) as call:
        call.set_attribute("gen_ai.request.model", "claude-haiku-4-5")
        call.set_attribute("gen_ai.usage.input_tokens", 900)
        call.set_attribute("gen_ai.usage.output_tokens", 200)
        call.add_event("first token", {"n": 1})
        call.output = "The order could not be paid back.\\n" + "word " * 2000 + "the very end"
    try:
        with span("pay", kind="tool", input={"amount": 12}):
            raise ValueError("card was declined")
    except ValueError:
        pass
    score("helpful", 0.25, trace=run, comment="too slow")
for n in range(3):
    with span(f"greet {n}", kind="agent"):
        with span("hello", kind="llm"):
            pass
"""


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with four runs, the oldest of them rich; only to be read."""
    return run_recording(_SHOP, tmp_path_factory.mktemp("shop") / "traces.db")


@pytest.fixture
def refund(agentops: Callable[..., Done], shop: Path) -> str:
    """The id of the shop's rich run."""
    trace_id: str = agentops("ls", "--json", "session:s-1", store=shop).object["traces"][0]["trace_id"]
    return trace_id


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A file that is no store."""
    path = tmp_path / "damaged.db"
    path.write_bytes(b"a letter and no database " * 400)
    return path
