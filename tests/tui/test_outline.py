"""Folding: whatever is folded and unfolded in whatever order, the lines are those that a plain walk gives."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from agentops.store.rows import SpanRow, TraceRow
from agentops_tui.outline import Outline

OK, ERROR = 1, 2
LLM, CHAIN = 2, 8


def trace(spans: int) -> TraceRow:
    return TraceRow(1, "00" * 16, "run", 0, OK, 0, 100, spans, 0, 0, 0, 0, 0, None, None, None, None)


def span(span_id: int, parent: int | None, status: int = OK, kind: int = CHAIN, tokens: int | None = None) -> SpanRow:
    return SpanRow(span_id, parent, f"s{span_id}", kind, status, span_id, span_id + 1, None, tokens, None, None, None)


def outline(parents: list[int | None]) -> Outline:
    return Outline(trace(len(parents)), [span(n + 1, parent) for n, parent in enumerate(parents)])


@st.composite
def trees(draw: st.DrawFn) -> list[int | None]:
    count = draw(st.integers(1, 30))
    return [None, *(draw(st.integers(1, n)) for n in range(1, count))]


def walked(lines: Outline) -> list[int]:
    """The shown lines by the rule itself: a line is shown unless a line above it is folded."""
    return [
        n
        for n in range(len(lines.lines))
        if not any(lines.lines[above].span.span_id in lines.folded for above in lines.path(n)[:-1])
    ]


@given(trees(), st.lists(st.tuples(st.sampled_from("fur-="), st.integers(0, 29)), max_size=40))
def test_any_sequence_of_folding_leaves_what_a_walk_gives(
    parents: list[int | None], steps: list[tuple[str, int]]
) -> None:
    lines = outline(parents)
    for step, at in steps:
        n = at % len(lines.lines)
        if step == "f":
            lines.fold(n)
        elif step == "u":
            lines.unfold(n)
        elif step == "r":
            assert lines.shown[lines.reveal(n)] == n
        elif step == "-":
            lines.fold_all()
        else:
            lines.unfold_all()
        assert lines.shown == walked(lines)
        for place in range(len(lines.lines)):
            shown = lines.shown[lines.row_of(place)]
            assert shown == place or shown in lines.path(place)


@given(trees(), st.data())
def test_folds_stay_with_their_spans_when_more_spans_come(parents: list[int | None], data: st.DataObject) -> None:
    before = outline(parents)
    for n in data.draw(st.lists(st.integers(0, len(parents) - 1))):
        before.fold(n)
    folded = set(before.folded)
    after = outline([*parents, 1, len(parents)])
    after.fold_these(before.folded)
    assert after.folded == folded
    assert after.shown == walked(after)


def test_tokens_are_counted_once_where_an_agent_repeats_those_of_its_calls() -> None:
    spans = [span(1, None, tokens=300), span(2, 1, kind=LLM, tokens=100), span(3, 1, kind=LLM, tokens=200), span(4, 1)]
    lines = Outline(trace(4), spans)
    assert [lines.tokens(n) for n in range(4)] == [300, 100, 200, 0]


def test_tokens_of_a_call_that_two_spans_report_are_counted_once() -> None:
    spans = [span(1, None), span(2, 1, kind=LLM, tokens=100)._replace(end_ns=9), span(3, 2, kind=LLM, tokens=100)]
    lines = Outline(trace(3), spans)
    assert [lines.tokens(n) for n in range(3)] == [100, 100, 100]


def test_a_failure_counts_where_it_began_not_where_it_went_through() -> None:
    spans = [span(1, None, ERROR), span(2, 1, ERROR), span(3, 2, ERROR), span(4, 1, ERROR), span(5, 1)]
    lines = Outline(trace(5), spans)
    assert [lines.lines[n].span.span_id for n in lines.failures] == [3, 4]
    assert [lines.failed_below(n) for n in range(5)] == [2, 1, 0, 0, 0]


def test_what_failed_first_is_first_although_a_line_above_it_failed_later() -> None:
    spans = [span(1, None, ERROR)._replace(end_ns=90, error="gave up"), span(2, 1), span(3, 2, ERROR)]
    lines = Outline(trace(3), [*spans, span(4, 1, ERROR)._replace(end_ns=80)])
    assert [lines.lines[n].span.span_id for n in lines.failures] == [3, 4]
    lines = Outline(trace(2), [spans[0], span(2, 1, ERROR)._replace(parent_id=99)])
    assert [lines.lines[n].span.span_id for n in lines.failures] == [2, 1]


def test_of_a_long_run_only_what_failed_is_opened() -> None:
    spans = [span(1, None)]
    for turn in range(20):
        spans += [span(10 + turn * 3, 1), span(11 + turn * 3, 10 + turn * 3, ERROR if turn == 7 else OK)]
        spans += [span(12 + turn * 3, 10 + turn * 3)]
    lines = Outline(trace(len(spans)), spans)
    lines.open_at_first()
    assert len(lines.shown) == 1 + 20 + 2
    assert lines.lines[lines.failures[0]].span.span_id == 11 + 7 * 3
    assert lines.failures[0] in lines.shown


def test_parents_in_a_circle_and_parents_that_are_missing_are_lines_too() -> None:
    lines = Outline(trace(4), [span(1, 2), span(2, 1), span(3, 99), span(4, 4)])
    assert sorted(line.span.span_id for line in lines.lines) == [1, 2, 3, 4]
    for n in range(4):
        assert lines.path(n)[-1] == n
        lines.fold(n)
        lines.reveal(n)
    assert len(lines.shown) >= 3


def test_100000_spans_wide_or_deep_fold_in_a_moment() -> None:
    for parents in ([None, *[1] * 99_999], [None, *range(1, 100_000)], [None, *[n // 3 + 1 for n in range(99_999)]]):
        lines = outline(parents)
        begun = time.perf_counter()
        for _ in range(3):
            lines.fold(0)
            assert lines.shown == [0]
            lines.unfold(0)
            assert len(lines.shown) == 100_000
        lines.fold_all()
        lines.unfold_all()
        lines.reveal(99_999)
        assert time.perf_counter() - begun < 5
