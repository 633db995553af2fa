"""`why` on agents that go wrong in known ways, and on those that do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import agentops
from agentops.cli.main import main
from tests.analysis.planted import PLANTED


@pytest.fixture
def said(store: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """What `agentops why latest` prints."""

    def said() -> list[str]:
        assert agentops.flush()
        assert main(["why", "latest"]) == 0
        return capsys.readouterr().out.splitlines()

    return said


@pytest.mark.parametrize("name", PLANTED)
def test_the_span_at_fault_is_named_in_the_first_five_lines(name: str, said: Callable[[], list[str]]) -> None:
    cause = PLANTED[name]()
    lines = said()
    assert any(cause[:8] in line for line in lines[:5]), "\n".join(lines)
    assert len(lines) <= 20 and max(map(len, lines)) <= 100
