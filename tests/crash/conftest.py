"""Programs that run beside a test and record into its store."""

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

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a program, given as source or as a file, that records into this test's store.

    What still runs at the end is killed.
    """
    started: list[subprocess.Popen[str]] = []

    def start(program: str | Path, *arguments: str, folder: Path = tmp_path, **more: Any) -> subprocess.Popen[str]:
        if isinstance(program, str):
            source, program = program, folder / f"program-{len(started)}.py"
            program.write_text(textwrap.dedent(source))
        before = more.pop("before", ())
        environment = {**os.environ, "AGENTOPS_STORE": str(folder / "traces.db"), **more.pop("environment", {})}
        started.append(
            subprocess.Popen(
                [*before, sys.executable, str(program), *arguments],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                **more,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """Waits until a condition holds."""

    def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it never came"
            time.sleep(0.005)

    return wait_for
