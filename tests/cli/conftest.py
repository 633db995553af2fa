"""For the tests of the command line: a store to read, and the command in this process and as users start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


@pytest.fixture
def terminal(tmp_path: Path) -> Callable[..., list[str]]:
    """Starts `agentops` on a terminal of 80 columns; gives the lines that come until it ends or is to be ended."""

    def terminal(*words: str, until: str | None = None) -> list[str]:
        import pty
        import termios

        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (50, 80))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTOPS_")}
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "agentops"), *words],
            cwd=tmp_path,
            env={**kept, "AGENTOPS_STORE": str(tmp_path / "traces.db"), "NO_COLOR": "1", "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        seen = b""
        with process:
            try:
                while piece := os.read(ours, 65536):
                    seen += piece
                    if until is not None and until in seen.decode("utf-8", "replace"):
                        process.kill()
            except OSError:  # how Linux says that the other end is closed
                pass
            finally:
                os.close(ours)
        return seen.decode("utf-8", "replace").splitlines()

    return terminal


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
def shop(recording: Callable[[str, Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with four runs, the oldest of them rich; only to be read."""
    return recording(_SHOP, tmp_path_factory.mktemp("shop") / "traces.db")


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
