"""The spans of a trace as a tree, flat: rows in the order of a tree's lines, whatever a store holds.

Pure, and without recursion: a trace may be thousands of levels deep, may have lost the parents of some
spans, and a hostile store may name a span as the parent of its own grandparent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from agentops.conventions import KIND_NUMBER
from agentops.store.rows import SpanRow

__all__ = ["CYCLE", "NO_PARENT", "TreeRow", "tree"]

#: Why a span stands at the top although it names a parent.
NO_PARENT = "its parent is not in this store"
CYCLE = "its parents go in a circle"

#: Kinds whose tokens count: as in the trace's roll-up, since an agent may repeat its models' sums.
_COUNTED = (KIND_NUMBER["llm"], KIND_NUMBER["embedding"])
_ERROR = 2


class TreeRow(NamedTuple):
    """One line of the tree. What is summed includes the span itself and all spans below it."""

    span: SpanRow
    depth: int
    note: str | None  # NO_PARENT or CYCLE, of a span at the top that names a parent
    children: int  # directly below
    spans: int  # 1 for a leaf
    errors: int
    tokens: int
    cost_usd: float | None  # None where nothing has a price


def tree(spans: Iterable[SpanRow]) -> list[TreeRow]:
    """Every span once, each directly followed by those below it; siblings in the order of starting.

    Args:
        spans: of one trace, in any order.

    Returns:
        One row a span. A span whose parent is not among `spans`, or whose parents go in a circle (there the
        one that started first), stands at the top with a note.
    """
    ordered = sorted(spans, key=_start)
    known = {span.span_id: span for span in ordered}
    tops: list[tuple[SpanRow, str | None]] = []
    below: dict[int, list[SpanRow]] = {}
    for span in ordered:
        if span.parent_id is None:
            tops.append((span, None))
        elif span.parent_id not in known:
            tops.append((span, NO_PARENT))
        else:
            below.setdefault(span.parent_id, []).append(span)
    lines: list[tuple[SpanRow, int, str | None]] = []
    placed: set[int] = set()
    for top, note in tops:
        _place(top, note, below, lines, placed)
    if len(lines) < len(ordered):  # what no top leads to hangs on a circle
        for top in _circles(ordered, known, placed):
            _place(top, CYCLE, below, lines, placed)
    return _summed(lines, below)


def _start(span: SpanRow) -> tuple[int, int]:
    return span.start_ns, span.span_id


def _place(
    top: SpanRow,
    note: str | None,
    below: dict[int, list[SpanRow]],
    lines: list[tuple[SpanRow, int, str | None]],
    placed: set[int],
) -> None:
    """Append `top` and all below it to `lines`, with their depths."""
    waiting: list[tuple[SpanRow, int, str | None]] = [(top, 0, note)]
    while waiting:
        line = waiting.pop()
        span, depth, _ = line
        if span.span_id in placed:
            continue
        placed.add(span.span_id)
        lines.append(line)
        for child in reversed(below.get(span.span_id, ())):
            waiting.append((child, depth + 1, None))


def _circles(ordered: list[SpanRow], known: dict[int, SpanRow], placed: set[int]) -> list[SpanRow]:
    """Of each circle of parents, the span that started first."""
    firsts: list[SpanRow] = []
    walked: dict[int, int] = {}  # span to the walk that came by
    for walk, span in enumerate(ordered):
        at = span
        while at.span_id not in placed and at.span_id not in walked:
            walked[at.span_id] = walk
            at = known[at.parent_id]  # type: ignore[index]  # has one, or it would be placed
        if walked.get(at.span_id) != walk:
            continue
        first, member = at, known[at.parent_id]  # type: ignore[index]
        while member is not at:
            first = min(first, member, key=_start)
            member = known[member.parent_id]  # type: ignore[index]
        firsts.append(first)
    return firsts


def _summed(lines: list[tuple[SpanRow, int, str | None]], below: dict[int, list[SpanRow]]) -> list[TreeRow]:
    """Rows with their sums: from the last line up, each adds itself to the sums of the level above."""
    rows: list[TreeRow] = []
    sums: list[tuple[int, int, int, int, float | None]] = []  # by depth: children, spans, errors, tokens, cost
    nothing = (0, 0, 0, 0, None)
    for span, depth, note in reversed(lines):
        while len(sums) < depth + 2:
            sums.append(nothing)
        children, spans, errors, tokens, cost = sums[depth + 1]
        sums[depth + 1] = nothing
        spans += 1
        errors += span.status_number == _ERROR
        if span.kind_number in _COUNTED:
            tokens += (span.input_tokens or 0) + (span.output_tokens or 0)
        cost = _plus(cost, span.cost_usd)
        rows.append(TreeRow(span, depth, note, children, spans, errors, tokens, cost))
        above = sums[depth]
        sums[depth] = (
            above[0] + 1, above[1] + spans, above[2] + errors, above[3] + tokens, _plus(above[4], cost)
        )  # fmt: skip
    rows.reverse()
    return rows


def _plus(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else one + other
