"""A trace's spans as the lines of a tree: flat, in pre-order, without recursion."""

from __future__ import annotations

from typing import NamedTuple

from agentops.store.rows import SpanRow

__all__ = ["TreeRow", "tree"]


class TreeRow(NamedTuple):
    """One line of a tree.

    `below` counts the spans below it at any depth, so a folded line is skipped by adding it; `last` says
    that no sibling follows; `lost` that its parent is not in the store (or that parents run in a circle).
    """

    span: SpanRow
    depth: int
    below: int
    last: bool
    lost: bool


def tree(spans: list[SpanRow]) -> list[TreeRow]:
    """Lines for `spans`, children in the order of `spans` below their parent.

    A span whose parent is missing stands at the top. Each span is there once, whatever the parents say.
    """
    known = {span.span_id for span in spans}
    children: dict[int | None, list[SpanRow]] = {}
    lost: set[int] = set()
    for span in spans:
        parent = span.parent_id
        if parent is not None and parent not in known:
            lost.add(span.span_id)
            parent = None
        children.setdefault(parent, []).append(span)
    found: list[tuple[SpanRow, int, bool]] = []
    seen: set[int] = set()

    def walk(tops: list[SpanRow]) -> None:
        todo = [(span, 0, n == 0) for n, span in enumerate(reversed(tops))]
        while todo:
            span, depth, last = todo.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            found.append((span, depth, last))
            inside = children.get(span.span_id, ())
            todo.extend((child, depth + 1, n == 0) for n, child in enumerate(reversed(inside)))

    walk(children.get(None, []))
    for span in spans:  # what is left has itself above it
        if span.span_id not in seen:
            lost.add(span.span_id)
            walk([span])
    below = [0] * len(found)
    open_lines: list[int] = []
    for n in range(len(found) + 1):
        depth = found[n][1] if n < len(found) else 0
        while len(open_lines) > depth:  # a line's subtree ends where one of its depth or less begins
            above = open_lines.pop()
            below[above] = n - above - 1
        open_lines.append(n)
    return [TreeRow(span, depth, below[n], last, span.span_id in lost) for n, (span, depth, last) in enumerate(found)]
