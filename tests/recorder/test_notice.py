"""The one line that a program sees of us, on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "import agentops\nwith agentops.span('first'): pass\nwith agentops.span('second'): pass\nprint('done')"


def on_a_terminal(folder: Path, **more: str) -> list[str]:
    """What a program shows whose standard error is a terminal."""
    ours, terminal = pty.openpty()
    environment = {**os.environ, "AGENTOPS_STORE": str(folder / "traces.db"), **more}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen = b""
    try:
        while piece := os.read(ours, 4096):
            seen += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert process.wait(30) == 0
    return seen.decode().splitlines()


def test_the_first_span_says_on_a_terminal_where_it_records(tmp_path: Path) -> None:
    assert on_a_terminal(tmp_path) == [f"agentops: recording to {tmp_path / 'traces.db'}", "done"]


@pytest.mark.parametrize("more", [{"AGENTOPS_QUIET": "1"}, {"AGENTOPS_ENABLED": "false"}])
def test_it_is_left_out_on_request_and_where_nothing_is_recorded(more: dict[str, str], tmp_path: Path) -> None:
    assert on_a_terminal(tmp_path, **more) == ["done"]


def test_into_a_pipe_nothing_is_said(tmp_path: Path) -> None:
    environment = {**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db")}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("done\n", "")
