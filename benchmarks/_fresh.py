"""Fresh processes: each has a store of its own, an empty working directory and no settings from outside."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Used", "call", "report", "temporary_store", "whole"]

_ROOT = Path(__file__).parents[1]
_SETTINGS = ("AGENTOPS_", "OTEL_", "PYTHON")


class Used(NamedTuple):
    """What a whole process took, in seconds, and what it printed."""

    wall: float
    cpu: float
    output: str
    ended: float  # on the monotonic clock, which all processes share


@contextmanager
def temporary_store() -> Iterator[str]:
    """Path of a store that is not there yet, alone in its folder; all of it is deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="agentops-bench-") as folder:
        yield os.path.join(folder, "traces.db")


def _environment(store: str | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    return kept if store is None else {**kept, "AGENTOPS_STORE": store}


def whole(command: Sequence[str], store: str | None = None) -> Used:
    """Run a program and wait for its end.

    Raises:
        RuntimeError: it failed; its last words are in the message.
    """
    environment = _environment(store)
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment, cwd=tempfile.gettempdir()
        )
        _, status, usage = os.wait4(process.pid, 0)
        end = time.monotonic()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)[:200]} failed: {errors.read()[-2000:]}")
        return Used(end - start, usage.ru_utime + usage.ru_stime, output.read(), end)


def call(function: Callable[..., Any], *arguments: Any, store: str | None = None) -> Any:
    """Result of `function`, one of a benchmark's module, called in a fresh process; all of it as JSON.

    Args:
        function: found again there by module and name. It may instead `report` and die.
        arguments: for it.
        store: where that process records; a temporary one if None.

    Raises:
        RuntimeError: it reported nothing.
    """
    with temporary_store() as own:
        environment = {**_environment(store or own), "PYTHONPATH": str(_ROOT)}
        done = subprocess.run(
            [sys.executable, "-m", __name__, function.__module__, function.__qualname__, json.dumps(arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            cwd=os.path.dirname(own),
        )
        if not done.stdout:
            raise RuntimeError(f"{function.__module__}.{function.__qualname__} failed: {done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])


def report(value: Any) -> None:
    """Hand a result to `call` before the end of the process."""
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    report(getattr(importlib.import_module(sys.argv[1]), sys.argv[2])(*json.loads(sys.argv[3])))
