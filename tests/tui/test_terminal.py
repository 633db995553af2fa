"""`agentops` alone, as people start it: in a terminal, without one, and without Textual."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).parent / "agentops")


def environment(store: Path, **more: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("AGENTOPS_") and name != "NO_COLOR"
    }
    return {**kept, "AGENTOPS_STORE": str(store), "TERM": "xterm-256color", **more}


class Terminal:
    """A program in a terminal of 80 by 24."""

    def __init__(self, words: list[str], env: dict[str, str]) -> None:
        self._pid, self._end = pty.fork()
        if not self._pid:
            os.execve(words[0], words, env)
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.seen = b""

    def until(self, marker: bytes | None) -> None:
        """Read until `marker` was written, or (None) until the program has ended."""
        end = time.monotonic() + 30
        while marker is None or marker not in self.seen:
            assert time.monotonic() < end, self.seen[-2000:]
            if select.select([self._end], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self._end, 65536)
                except OSError:
                    assert marker is None, self.seen[-2000:]
                    return

    def press(self, keys: bytes) -> None:
        os.write(self._end, keys)

    def code(self) -> int:
        os.close(self._end)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def test_in_a_terminal_it_opens_and_q_leaves_it_as_it_was(shop: Path) -> None:
    terminal = Terminal([COMMAND], environment(shop))
    terminal.until(b"nightly")
    terminal.press(b"q")
    terminal.until(None)
    assert terminal.code() == 0
    assert b"\x1b[?1049l" in terminal.seen and b"Traceback" not in terminal.seen
    assert b"fonts.googleapis" not in terminal.seen


def test_it_opens_at_one_run_as_the_demo_does(shop: Path) -> None:
    terminal = Terminal([sys.executable, "-m", "agentops_tui", "latest"], environment(shop))
    terminal.until(b"fold")  # of the keys of a run, not of those of the list
    terminal.press(b"q")
    terminal.until(None)
    assert terminal.code() == 0


def test_ctrl_c_leaves_too(shop: Path) -> None:
    terminal = Terminal([COMMAND], environment(shop))
    terminal.until(b"nightly")
    terminal.press(b"\x03")
    terminal.until(None)
    assert terminal.code() == 0


def test_a_damaged_store_ends_with_its_code(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    path.write_bytes(b"a letter and no database " * 400)
    terminal = Terminal([COMMAND], environment(path))
    terminal.until(b"damaged")
    terminal.press(b"q")
    terminal.until(None)
    assert terminal.code() == 3
    assert b"Traceback" not in terminal.seen


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_without_a_terminal_it_prints_how_it_is_used(shop: Path, stream: str) -> None:
    master, slave = pty.openpty()
    streams = {"stdin": slave, "stdout": slave, "stderr": slave, stream: subprocess.PIPE}
    done = subprocess.Popen([COMMAND], env=environment(shop), **streams)  # type: ignore[call-overload]
    _, err = done.communicate(timeout=30)
    shown = (err or b"") if stream == "stderr" else os.read(master, 65536)
    os.close(slave)
    os.close(master)
    assert done.returncode == 2
    assert b"usage: agentops COMMAND" in shown and b"\x1b[?1049h" not in shown


def test_a_dumb_terminal_gets_words_alone(shop: Path) -> None:
    terminal = Terminal([COMMAND], environment(shop, TERM="dumb"))
    terminal.until(None)
    assert terminal.code() == 2
    assert b"usage: agentops COMMAND" in terminal.seen and b"\x1b[" not in terminal.seen


def test_without_textual_one_line_says_what_to_install(shop: Path, tmp_path: Path) -> None:
    program = tmp_path / "bare.py"
    program.write_text(
        "import sys\nsys.modules['textual'] = None\nfrom agentops.cli.main import main\nsys.exit(main([]))\n"
    )
    terminal = Terminal([sys.executable, str(program)], environment(shop))
    terminal.until(None)
    assert terminal.code() == 2
    assert terminal.seen.decode().strip().splitlines() == [
        'agentops: the explorer needs Textual, which is not installed: pip install "agentops-recorder[tui]"'
    ]


def test_the_first_screen_brings_in_nothing_heavy(shop: Path, tmp_path: Path) -> None:
    program = tmp_path / "first.py"
    program.write_text(
        """
import asyncio, sys
from agentops_tui.app import Explorer
from agentops_tui.widgets.trace_list import TraceList

async def story():
    app = Explorer(sys.argv[1], trace=sys.argv[2] if len(sys.argv) > 2 else None)
    async with app.run_test() as pilot:
        while not app.query_one(TraceList).rows:
            await pilot.pause(0.01)
asyncio.run(story())
heavy = ("anthropic", "genai_prices", "opentelemetry.sdk", "presidio_analyzer", "pydantic", "spacy", "sqlalchemy",
         "sqlmodel", "starlette", "uvicorn", "textual.widgets._markdown",
         "agentops.recorder.recorder", "agentops_tui.screens.trace", "agentops_tui.screens.help")
print([name for name in heavy if name in sys.modules])
"""
    )
    done = subprocess.run(
        [sys.executable, str(program), str(shop)], env=environment(shop), capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr
