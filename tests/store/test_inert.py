"""Text from models and tools: whatever it holds, a terminal does nothing but show it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentops.inert import block, line

_BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NASTY = st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"])
_TEXTS = st.text(st.one_of(st.characters(categories=["L", "N", "P", "S", "Z", "C"]), _NASTY))


def dangerous(text: str) -> set[str]:
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in _BIDI}


@given(_TEXTS)
def test_a_block_holds_no_control_but_newline_and_tab(text: str) -> None:
    assert dangerous(block(text)) <= {"\n", "\t"}


@given(_TEXTS, st.none() | st.integers(1, 40))
def test_a_line_holds_no_control_at_all(text: str, width: int | None) -> None:
    shown = line(text, width)
    assert not dangerous(shown)
    assert width is None or len(shown) <= width


@given(_TEXTS)
def test_the_rest_of_a_text_is_left_as_it_is(text: str) -> None:
    kept = "".join(c for c in text if c.isalnum() or c == " ")
    assert block(kept) == kept
    assert line(kept) == kept


@given(_TEXTS)
def test_a_block_keeps_its_lines(text: str) -> None:
    assert block(text).count("\n") == text.count("\n")


@pytest.mark.parametrize("character", ["\u200b", "\u2060", "\ufeff", "\u00ad", "\U000e0041", "\u2028", "\u180e"])
def test_what_cannot_be_seen_is_made_visible(character: str) -> None:
    shown = line(f"pay{character}pal")
    assert character not in shown
    assert f"{ord(character):x}" in shown


def test_a_long_text_is_cut_with_a_sign_that_it_was() -> None:
    assert line("x" * 10_000, 5) == "xxxx…"
    assert line("\x1b" * 10_000, 8) == "\\x1b\\x1…"
    assert line("12345", 5) == "12345"
