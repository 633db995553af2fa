"""On a terminal of 80 columns sentences break at words, and no error is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Terminal = Callable[..., list[str]]

_FAILS = """
try:
    with span("answer a ticket of a customer", kind="agent"):
        with span("refund", kind="tool"):
            raise TimeoutError("the payment service did not answer for order 88213 within thirty seconds")
except TimeoutError:
    pass
"""
_ERROR = "TimeoutError: the payment service did not answer for order 88213 within thirty seconds"


def words(lines: list[str]) -> list[str]:
    return " ".join(lines).split()


def breaks_at_words(lines: list[str], text: str) -> bool:
    """Whether all words of `text` stand one after the other in lines that have room."""
    said, wanted = words(lines), text.split()
    whole = any(said[n : n + len(wanted)] == wanted for n in range(len(said)))
    return whole and max(map(len, lines)) <= 80


def test_tail_tells_errors_whole(record: Callable[[str], Path], terminal: Terminal) -> None:
    record(_FAILS)
    lines = terminal("tail", until="thirty seconds")
    assert breaks_at_words(lines, _ERROR), "\n".join(lines)


def test_show_plain_breaks_at_words_and_stays_indented(record: Callable[[str], Path], terminal: Terminal) -> None:
    record(_FAILS)
    lines = terminal("show", "--plain")
    assert breaks_at_words(lines, f"error {_ERROR}."), "\n".join(lines)
    below = lines[next(n for n, line in enumerate(lines) if line.startswith("  Level 2")) + 1]
    assert below.startswith("  ") and below[2] != " "


def test_audit_breaks_at_words(record: Callable[[str], Path], terminal: Terminal) -> None:
    record(_FAILS)
    lines = terminal("audit", "--redact", "secrets", "--canary", "88213")
    assert breaks_at_words(lines, "agentops: `agentops audit --fix` takes it out of the store"), "\n".join(lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("command", ["tail", "audit", "import", "stats", "run"])
def test_help_breaks_at_words_and_leaves_examples_as_they_are(command: str, terminal: Terminal) -> None:
    lines = terminal(command, "--help")
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(f"  agentops {command}") for line in lines)
