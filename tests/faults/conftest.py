"""Real faults: small disks, mounts, limits, locks of other programs; where the right to make one is missing, a skip."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

#: What every program below begins with: the recorder tries again at once, not after some seconds.
AT_ONCE = """
import os, sys, time
import agentops.recorder.recorder as _recorder
_recorder._RETRY_S = 0.05
import agentops
from agentops import span, safety
"""


class Done:
    """A program that has ended: its exit code, what it printed, and the lines of ours among what it complained of."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err
        self.warnings = [line for line in err.splitlines() if line.startswith("agentops:")]

    def __repr__(self) -> str:
        return f"{self.code}\n{self.out}\n{self.err}"


def environment(store: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTOPS_", "OTEL_"))}
    return {**kept, "AGENTOPS_STORE": str(store), **more}


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a program; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str, store: Path, *words: str, **more: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", AT_ONCE + textwrap.dedent(source), *words],
                env=environment(store, **more),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def watched(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Done]:
    """Runs a program that records into a store, to its end."""

    def run(source: str, store: Path, *words: str, **more: str) -> Done:
        process = start(source, store, *words, **more)
        out, err = process.communicate(timeout=120)
        return Done(process.returncode, out, err)

    return run


@pytest.fixture
def doctor() -> Callable[..., dict[str, tuple[bool, str, str]]]:
    """What `agentops doctor` says about a store: for each check whether it is well, the finding and the advice."""

    def look(store: Path, *words: str) -> dict[str, tuple[bool, str, str]]:
        import json

        done = subprocess.run(
            [sys.executable, "-m", "agentops.cli.main", "doctor", "--json", *words],
            env=environment(store),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode in (0, 1), done.stderr
        found = json.loads(done.stdout)["checks"]
        assert all(check["ok"] or check["advice"] for check in found), "what is wrong comes with what to do"
        assert done.returncode == (not all(check["ok"] for check in found))
        return {check["name"]: (check["ok"], check["says"], check["advice"] or "") for check in found}

    return look


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true value of `condition`."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)
    return found


@pytest.fixture
def until() -> Callable[..., Any]:
    """Waits for a condition, with a deadline."""
    return wait_for


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a file system on a new folder of this test's; a skip where that is not allowed."""
    places: list[Path] = []

    def mount(kind: str, *options: str, source: str = "none") -> Path:
        place = tmp_path / f"mount-{len(places)}"
        place.mkdir()
        words = ["mount", *(["-t", kind] if kind else []), *options, source, str(place)]
        try:
            done = subprocess.run(words, capture_output=True, text=True)
        except OSError as problem:
            pytest.skip(f"there is no mount here: {problem}")
        if done.returncode:
            pytest.skip(f"no right to mount here: {done.stderr.strip()}")
        places.append(place)
        return place

    yield mount
    for place in reversed(places):
        subprocess.run(["umount", "-l", str(place)], check=True)
