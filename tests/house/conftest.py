"""For the tests about the house: golden files, and programs run in an interpreter of their own."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compares a text with a file of golden/; `AGENTOPS_GOLDEN=write` writes the file instead."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("AGENTOPS_GOLDEN") == "write":
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            return
        known = path.read_text() if path.exists() else ""
        if text != known:
            changes = difflib.unified_diff(known.splitlines(), text.splitlines(), "golden", "now", lineterm="")
            pytest.fail(
                f"users see a change that golden/{name} does not know. If it is meant, run\n"
                "  AGENTOPS_GOLDEN=write pytest tests/house\n"
                "and say in CHANGELOG.md, under Unreleased, what it means for them.\n" + "\n".join(changes),
                pytrace=False,
            )

    return compare


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a program that records into this test's folder, on no terminal, and cannot reach a provider."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AGENTOPS_", "ANTHROPIC_", "OTEL_"))
    }
    return {
        **kept,
        "AGENTOPS_STORE": str(tmp_path / "traces.db"),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "PATH": os.path.dirname(sys.executable) + os.pathsep + kept["PATH"],
        "PYTHONWARNINGS": "error",
    }


@pytest.fixture
def run(tmp_path: Path, environment: dict[str, str]) -> Callable[..., str]:
    """Runs a Python program in a fresh interpreter in this test's folder and gives its standard output."""

    def run(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
