"""Recording into a store of the test's own, in this process or in another, and reading it back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

for name in ("TRACEPARENT", "AGENTOPS_PARENT"):  # the tests may have been started inside of somebody's span
    os.environ.pop(name, None)

Spans = Callable[[], list[dict[str, Any]]]


def exported(store: Path | str) -> list[dict[str, Any]]:
    """All spans of a store as `agentops export` writes them."""
    from agentops.exporters.jsonl import lines
    from agentops.store.reader import Reader

    with Reader(str(store)) as reader:
        return [json.loads(line) for line in lines(reader, reader.iter_traces())]


@pytest.fixture
def read() -> Callable[[Path], list[dict[str, Any]]]:
    """Reads a store, whoever recorded into it."""
    return exported


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store that this process records into for the length of a test."""
    import agentops
    from agentops.recorder.recorder import recorder

    path = tmp_path / "traces.db"
    monkeypatch.setenv("AGENTOPS_STORE", str(path))
    monkeypatch.setenv("AGENTOPS_RAISE", "1")
    agentops.shutdown()
    recorder.store = recorder._place = recorder.redact = recorder.screening = None
    recorder.given.clear()
    yield path
    monkeypatch.setenv("AGENTOPS_RAISE", "0")
    agentops.shutdown()
    recorder.store = recorder._place = recorder.redact = recorder.screening = None
    recorder.given.clear()
    recorder.hooks = ()


@pytest.fixture
def spans(store: Path) -> Spans:
    """Gives what was recorded so far, as exported; the newest trace first."""
    import agentops

    def read() -> list[dict[str, Any]]:
        assert agentops.flush()
        return exported(store)

    return read


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a Python program that records into this test's store."""

    def run(source: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "program.py"
        path.write_text(textwrap.dedent(source))
        return subprocess.run(
            [sys.executable, str(path), *arguments],
            cwd=tmp_path,
            env={
                **os.environ,
                "AGENTOPS_STORE": str(tmp_path / "traces.db"),
                "AGENTOPS_RAISE": "1",
                "PYTHONWARNINGS": "error",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


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
