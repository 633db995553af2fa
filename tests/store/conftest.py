"""For the tests of reading: programs that record in an interpreter of their own, and stores to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentops.store.filters import parse
from agentops.store.reader import Reader

Record = Callable[[str], Path]

#: Three runs, oldest first: one that failed, one that went well, one of another kind.
SHOP = """
with span("refund ticket", kind="agent", session="s-1", user="ada", tags=["prod", "eu"]) as run:
    with span("ask model", kind="llm", input=[{"role": "user", "content": "Please refund order 4711"}]) as call:
        call.set_attribute("gen_ai.request.model", "claude-haiku-4-5")
        call.set_attribute("gen_ai.usage.input_tokens", 900)
        call.set_attribute("gen_ai.usage.output_tokens", 200)
        call.output = "The order could not be paid back"
    try:
        with span("pay", kind="tool", input={"amount": 12}):
            raise ValueError("card was declined")
    except ValueError:
        pass
    score("helpful", 0.25, trace=run)
    score("verdict", "bad", trace=run)
with span("greet", kind="agent", session="s-2", user="bob", tags=["prod"]) as run:
    with span("ask model", kind="llm", input="hello there") as call:
        call.set_attribute("gen_ai.request.model", "gpt-5")
        call.set_attribute("gen_ai.usage.input_tokens", 10)
        call.set_attribute("gen_ai.usage.output_tokens", 5)
    score("helpful", 1.0, trace=run)
with span("nightly") as run:
    with span("pay", kind="tool", input="an invoice"):
        pass
    with span("look up", kind="retrieval") as found:
        found.output = "declined orders"
"""


@pytest.fixture
def reader(record: Record) -> Iterator[Callable[[str], Reader]]:
    """Runs a program that records, and gives a reader of what it recorded."""
    opened: list[Reader] = []

    def read(program: str) -> Reader:
        opened.append(Reader(str(record(program))))
        return opened[-1]

    yield read
    for one in opened:
        one.close()


@pytest.fixture(scope="session")
def shop(recording: Callable[[str, Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three runs; only to be read."""
    return recording(SHOP, tmp_path_factory.mktemp("shop") / "traces.db")


@pytest.fixture
def selected(shop: Path) -> Iterator[Callable[[str], list[str]]]:
    """Names of the shop's runs that a filter selects, oldest first."""
    with Reader(str(shop)) as reading:
        yield lambda line: [trace.name for trace in reversed(reading.traces(parse(line)))]


@pytest.fixture
def selected_spans(shop: Path) -> Iterator[Callable[[str], list[str]]]:
    """The spans that a filter selects in the shop, as `run/span`, sorted."""
    with Reader(str(shop)) as reading:
        yield lambda line: sorted(f"{trace.name}/{span.name}" for trace, span in reading.find_spans(parse(line)))
