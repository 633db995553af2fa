"""The tree of a trace: every span once, under its parent, whatever the parents say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentops.store.rows import SpanRow
from agentops.store.tree import TreeRow, tree


def span(number: int, parent: int | None) -> SpanRow:
    return SpanRow(number, parent, f"s{number}", 0, 1, number, number + 1, None, None, None, None, None)


def shape(rows: list[TreeRow]) -> list[tuple[int, int]]:
    return [(row.span.span_id, row.depth) for row in rows]


@st.composite
def parent_arrays(draw: st.DrawFn) -> list[int | None]:
    """For each span its parent: none, another one, itself, or one that is not there."""
    count = draw(st.integers(0, 25))
    return draw(st.lists(st.none() | st.integers(0, count + 3), min_size=count, max_size=count))


@given(parent_arrays())
def test_every_span_stands_in_the_tree_once(parents: list[int | None]) -> None:
    rows = tree([span(n, parent) for n, parent in enumerate(parents)])
    assert sorted(row.span.span_id for row in rows) == list(range(len(parents)))


@given(parent_arrays())
def test_a_span_stands_one_level_below_its_parent(parents: list[int | None]) -> None:
    above: list[int] = []
    for row in tree([span(n, parent) for n, parent in enumerate(parents)]):
        assert row.depth <= len(above)
        del above[row.depth :]
        parent = row.span.parent_id
        if row.depth:
            assert parent == above[-1]
        else:
            assert parent is None or row.lost
        assert row.lost == (row.depth == 0 and parent is not None)
        above.append(row.span.span_id)


@given(parent_arrays())
def test_the_count_below_is_that_of_the_lines_that_a_fold_hides(parents: list[int | None]) -> None:
    rows = tree([span(n, parent) for n, parent in enumerate(parents)])
    for n, row in enumerate(rows):
        naive = 0
        for later in rows[n + 1 :]:
            if later.depth <= row.depth:
                break
            naive += 1
        assert row.below == naive


@given(parent_arrays())
def test_last_says_that_no_sibling_follows_below_one_parent(parents: list[int | None]) -> None:
    rows = tree([span(n, parent) for n, parent in enumerate(parents)])
    for n, row in enumerate(rows):
        if row.depth == 0:
            continue
        after = rows[n + 1 + row.below :]
        assert row.last == (not after or after[0].depth < row.depth)


@given(st.integers(0, 20).flatmap(lambda n: st.tuples(*[st.none() | st.integers(0, k) for k in range(n)])))
def test_children_stand_in_the_order_in_which_they_started(parents: tuple[int | None, ...]) -> None:
    ids = [span(n + 1, None if p is None else p) for n, p in enumerate(parents)]  # 0 is a parent that is missing
    rows = tree(ids)
    seen: dict[int | None, int] = {}
    for row in rows:
        key = None if row.depth == 0 else row.span.parent_id
        assert seen.get(key, 0) < row.span.span_id
        seen[key] = row.span.span_id


def test_a_span_whose_parent_is_missing_stands_at_the_top_and_says_so() -> None:
    rows = tree([span(1, None), span(2, 1), span(3, 99)])
    assert shape(rows) == [(1, 0), (2, 1), (3, 0)]
    assert [row.lost for row in rows] == [False, False, True]


def test_a_circle_of_parents_is_shown_once_around() -> None:
    rows = tree([span(1, 3), span(2, 1), span(3, 2), span(4, 4)])
    assert shape(rows) == [(1, 0), (2, 1), (3, 2), (4, 0)]
    assert [row.lost for row in rows] == [True, False, False, True]


def test_five_thousand_levels_are_no_deeper_than_the_stack() -> None:
    rows = tree([span(n, n - 1 if n else None) for n in range(5_000)])
    assert shape(rows) == [(n, n) for n in range(5_000)]
    assert (rows[0].below, rows[-1].below) == (4_999, 0)


def test_no_spans_are_no_lines() -> None:
    assert tree([]) == []
