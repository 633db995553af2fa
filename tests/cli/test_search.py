"""`agentops search`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentops.cli.schemas import SCHEMAS

Agentops = Callable[..., Any]


def test_a_place_is_shown_with_its_run_its_span_and_the_words_around(
    agentops: Agentops, shop: Path, refund: str
) -> None:
    done = agentops("search", "could not be paid", store=shop)
    assert (done.code, done.err) == (0, "")
    place, words = done.lines
    assert refund[:8] in place
    assert place.endswith("refund ticket > llm ask model, output")
    assert "The order could not be paid back. word" in words


def test_several_words_are_one_phrase(agentops: Agentops, shop: Path) -> None:
    assert len(agentops("search", "could", "not", "be", store=shop).lines) == 2
    assert agentops("search", "not", "could", store=shop).out == "nothing matches\n"


def test_a_word_with_a_minus_in_front_can_be_looked_for(agentops: Agentops, record: Any) -> None:
    record("with span('a', input='run it with -verbose'): pass")
    assert "-verbose" in agentops("search", "-verbose").out


def test_a_limit_is_kept(agentops: Agentops, shop: Path) -> None:
    two = agentops("search", "hello", "--limit", "2", store=shop)
    assert len(two.lines) == 4 and two.err.startswith("more than 2")
    every = agentops("search", "hello", "--limit", "0", store=shop).lines
    assert len(every) > 5 and len(every) % 2 == 0


@pytest.mark.parametrize("text", ["hello", "declined", "nowhere"])
def test_as_json_it_is_what_the_schema_says(agentops: Agentops, shop: Path, text: str) -> None:
    found = agentops("search", text, "--json", store=shop).object
    SCHEMAS["search"].model_validate(found, strict=True)
    assert len(found["hits"]) == {"hello": 3, "declined": 1, "nowhere": 0}[text]


def test_a_text_without_words_is_called_wrongly(agentops: Agentops, shop: Path) -> None:
    done = agentops("search", "!?", store=shop)
    assert (done.code, done.out) == (2, "")
    assert done.err == "agentops: there is no word in '!?' that could be looked for\n"
