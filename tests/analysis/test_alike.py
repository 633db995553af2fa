"""Runs that failed in the same way, and those that only look so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agentops
from agentops import span
from agentops.analysis.alike import alike
from agentops.analysis.normal import message, without_ids
from agentops.errors import NotFound
from agentops.store.reader import Reader


def order(
    number: str, iteration: int = 3, error: type[Exception] = LookupError, words: str = "order {} is gone"
) -> str:
    """A run that fails deep inside; gives its id."""
    with suppress(error), span("answer ticket", kind="agent") as run:
        with span("plan", kind="llm"):
            pass
        with span("solve", kind="loop"), span(f"iteration {iteration}"), span("refund", kind="tool", input=number):
            raise error(words.format(number))
    return run.trace_id


@pytest.fixture
def like(store: Path) -> Callable[[str], set[str]]:
    """Ids of the runs that failed like one."""

    def like(trace_id: str) -> set[str]:
        assert agentops.flush()
        with Reader(str(store)) as reader:
            return {row.trace_id for row in alike(reader, reader.trace(trace_id))}

    return like


def test_the_same_failure_with_other_ids_indices_and_quoted_texts_is_alike(like: Callable[[str], set[str]]) -> None:
    one = order("4711")
    others = [order("A-17", 12), order("0b9c1f2e-1111-4222-8333-944455556666", 1), order("'a kettle'")]
    assert like(one) == {one, *others} == like(others[0])


def test_another_type_place_or_message_is_not_alike(like: Callable[[str], set[str]]) -> None:
    one = order("4711")
    order("4711", error=KeyError)
    order("4711", words="order {} was paid back")
    with suppress(LookupError), span("answer ticket", kind="agent"), span("solve", kind="loop"), span("refund"):
        raise LookupError("order 4711 is gone")
    with suppress(LookupError), span("answer ticket", kind="agent"), span("solve", kind="loop"), span("iteration 3"):
        with span("charge", kind="tool"):
            raise LookupError("order 4711 is gone")
    assert like(one) == {one}


def test_a_run_that_got_over_the_failure_is_not_alike(like: Callable[[str], set[str]]) -> None:
    one = order("4711")
    with span("answer ticket", kind="agent") as went_on:
        with suppress(LookupError), span("solve", kind="loop"), span("iteration 3"), span("refund", kind="tool"):
            raise LookupError("order 4711 is gone")
    assert like(one) == {one}
    assert like(went_on.trace_id) == {went_on.trace_id}


def test_an_error_that_came_up_counts_where_it_was_raised(like: Callable[[str], set[str]]) -> None:
    with suppress(ValueError), span("run", kind="agent") as own:
        raise ValueError("no")
    with suppress(ValueError), span("run", kind="agent") as inner, span("step"):
        raise ValueError("no")
    assert like(own.trace_id) == {own.trace_id}
    assert like(inner.trace_id) == {inner.trace_id}


def test_nothing_is_like_a_run_in_which_nothing_failed(like: Callable[[str], set[str]]) -> None:
    with span("fine") as run:
        pass
    with pytest.raises(NotFound, match="nothing failed"):
        like(run.trace_id)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("order 'A-17' of user 4711 not found", 'order "x y" of user u-1 not found'),
        ("no answer in 0.2 s from 10.0.0.1:8080", "no answer in 30 s from 192.168.7.7:443"),
        ("request req_0123abc failed", "request req_9f8e7d failed"),
        ("trace 0b9c1f2e-1111-4222-8333-944455556666", "trace deadbeefdeadbeefdeadbeef"),
    ],
)
def test_ids_numbers_and_quoted_texts_make_no_difference(text: str, same: str) -> None:
    assert message(text) == message(same)


@given(st.text() | st.from_regex(r"[a-z0-9 '\"`_<>….:-]{0,60}", fullmatch=True))
def test_what_was_made_the_same_stays_the_same(text: str) -> None:
    assert message(message(text)) == message(text)
    assert without_ids(without_ids(text)) == without_ids(text)


@given(st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=8), st.integers(0), st.integers(0))
def test_numbers_make_no_difference(word: str, one: int, other: int) -> None:
    assert message(f"{word} {one} missing") == message(f"{word} {other} missing")
