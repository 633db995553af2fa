"""For the tests of the explorer: stores to look at."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.tui.seen import Record


def run_recording(program: str, store: Path) -> Path:
    """Runs `program`, to its end, so that it records into `store`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTOPS_", "OTEL_"))}
    source = "import agentops\nfrom agentops import span\n" + textwrap.dedent(program)
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


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Runs a program that records into this test's store; gives the store."""
    return lambda program: run_recording(program, tmp_path / "traces.db")


#: One run that failed in a tool, deep inside, and two that went well around it.
SHOP = """

with span("greet", kind="agent", input="hello there"):
    pass
try:
    with span("support agent", kind="agent", input=[{"role": "user", "content": "Where is my order 4711?"}]):
        with span("guess", kind="plan"):
            with span("chat haiku", kind="llm") as call:
                call.set_attribute("gen_ai.usage.input_tokens", 900)
                call.set_attribute("gen_ai.usage.output_tokens", 200)
                call.add_event("first token", {"n": 1})
                call.output = "Let me look."
        with span("turns", kind="loop"):
            for n in (1, 2):
                try:
                    with span(f"turn {n}", input=f"question {n}"):
                        with span("look_up", kind="tool", input={"order": f"OB-{n}", "deep": {"a": [1, {"b": 2}]}}):
                            raise TimeoutError(f"no answer about OB-{n}")
                except TimeoutError:
                    pass
        with span("pay", kind="tool", input={"amount": 12}):
            raise ValueError("card was declined")
except ValueError:
    pass
with span("nightly"):
    with span("sweep", kind="tool") as sweep:
        sweep.output = ["a", "b"]
"""


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three runs, the one in the middle failed; only to be read."""
    return run_recording(SHOP, tmp_path_factory.mktemp("tui-shop") / "traces.db")
