"""For the tests of the explorer: stores to look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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
def shop(recording: Callable[[str, Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three runs, the one in the middle failed; only to be read."""
    return recording(SHOP, tmp_path_factory.mktemp("tui-shop") / "traces.db")
