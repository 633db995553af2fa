"""The explorer's first screen: from starting the process until runs are on the terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import _fresh, _stores
from benchmarks._rows import Row, middle, ratios

ROUNDS, TRACES, DEADLINE_S = 15, 1_000, 60.0
_SPANS_A_TRACE = 11
#: An app that shows one word and nothing else: what no Textual program gets below.
_EMPTY = """
from textual.app import App
from textual.widgets import Static

class Empty(App):
    def compose(self):
        yield Static("here I am")

Empty().run()
"""


def _until(words: list[str], marker: bytes, store: str) -> float:
    """Milliseconds from the fork until `marker` (a pattern) was written to a terminal of 120 by 40."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTOPS_", "TEXTUAL"))}
    environment |= {"AGENTOPS_STORE": store, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    start = time.perf_counter()
    process, terminal = pty.fork()
    if not process:
        os.execve(words[0], words, environment)
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        seen = b""
        while not re.search(marker, seen, re.DOTALL):
            if time.perf_counter() - start > DEADLINE_S:
                raise RuntimeError(f"{marker!r} did not come up: {seen[-500:]!r}")
            if select.select([terminal], [], [], 0.5)[0]:
                seen += os.read(terminal, 1 << 16)
        return (time.perf_counter() - start) * 1e3
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)


def rows() -> Iterator[Row]:
    explorer = [str(Path(sys.executable).parent / "agentops")]
    empty = [sys.executable, "-c", _EMPTY]
    ours: list[float] = []
    theirs: list[float] = []
    with _fresh.temporary_store() as store:
        _fresh.call(_stores.build, store, TRACES * _SPANS_A_TRACE)
        for n in range(ROUNDS + 1):
            for side in ((0, 1), (1, 0))[n % 2]:
                if side:
                    theirs.append(_until(empty, rb"here I am", store))
                else:
                    ours.append(_until(explorer, rb"agent [0-6] .*agent [0-6] ", store))
    value, spread = middle(ratios(ours[1:], theirs[1:]))
    absolute = f"{middle(ours[1:])[0]:.0f} against {middle(theirs[1:])[0]:.0f} ms"
    note = f"{absolute}, wall time, {TRACES:,} traces, {ROUNDS} pairs"
    yield Row("first screen of `agentops`", value, "an empty Textual app", note, spread, 1.7)
