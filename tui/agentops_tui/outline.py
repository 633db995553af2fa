"""A run's spans as lines that fold: flat lists in pre-order; no recursion, and nothing of Textual."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from agentops.store.repeats import Call, Said, repeated
from agentops.store.rows import SpanRow, TraceRow
from agentops.store.tree import TreeRow, tree

__all__ = ["Outline"]

#: Kinds whose tokens and costs count: an agent that repeats its calls' sums would count them twice.
_COUNTED = ("llm", "embedding")
_WHOLE = 30  # lines up to which nothing is folded when a run is opened
_LARGE = 300  # lines from which a run that went well is opened folded


class Outline:
    """The lines of one run, and which of them are shown.

    Args:
        trace: the run.
        spans: its skeleton, in the order of starting.

    Attributes:
        lines: all lines, in pre-order.
        shown: which of them are shown, by their place in `lines`, in order.
        folded: ids of the spans whose children are hidden.
        failures: places of the spans that failed by themselves, not because a child did, in the order of failing.
        end_ns: when the last span ended or began.
    """

    def __init__(self, trace: TraceRow, spans: list[SpanRow]) -> None:
        self.trace = trace
        self.lines: list[TreeRow] = tree(spans)
        self.place = {line.span.span_id: n for n, line in enumerate(self.lines)}
        self.shown = list(range(len(self.lines)))
        self.folded: set[int] = set()
        self.start_ns = min((span.start_ns for span in spans), default=trace.start_ns)
        self.end_ns = max((span.end_ns or span.start_ns for span in spans), default=trace.start_ns)
        self.running = any(span.status == "running" for span in spans)
        above_failed = {span.parent_id for span in spans if span.status == "error"}
        self.failures = [
            n
            for n, line in enumerate(self.lines)
            if line.span.status == "error" and line.span.span_id not in above_failed
        ]
        self.failures.sort(key=self._ended)
        self.failure_places = frozenset(self.failures)
        rows = [line.span for line in self.lines]
        # Answers' ids are no part of the skeleton: what tells one call of two spans here is how they are nested.
        reports = (
            Call._make((*row[:2], row.kind_number, *row[5:7], *row[8:11], False))
            for row in rows
            if row.kind in _COUNTED
        )
        repeats = repeated(reports, lambda _: Said(None, ""))
        calls = [row if row.kind in _COUNTED and row.span_id not in repeats else None for row in rows]
        self._tokens = _sums([(row.input_tokens or 0) + (row.output_tokens or 0) if row else 0 for row in calls])
        self._costs = _sums([(row.cost_usd or 0.0) if row else 0.0 for row in calls])
        self._priced = _sums([row is not None and row.cost_usd is not None for row in calls])
        self._failed = _sums([n in self.failure_places for n in range(len(rows))])
        self._unwell = _sums([row.status != "ok" for row in rows])

    def _ended(self, n: int) -> int:
        span = self.lines[n].span
        return span.start_ns if span.end_ns is None else span.end_ns

    # -- what a line stands for ----------------------------------------------------------------------

    def tokens(self, n: int) -> int:
        """Of the calls in line `n` and below it; its own where there are none."""
        span = self.lines[n].span
        return int(self._within(self._tokens, n)) or (span.input_tokens or 0) + (span.output_tokens or 0)

    def cost(self, n: int) -> float | None:
        """As `tokens`, in US dollars; None where nobody said it."""
        return self._within(self._costs, n) if self._within(self._priced, n) else self.lines[n].span.cost_usd

    def failed_below(self, n: int) -> int:
        """How many spans below line `n` failed by themselves."""
        return int(self._within(self._failed, n)) - (n in self.failure_places)

    def _within(self, sums: list[float], n: int) -> float:
        return sums[n + self.lines[n].below + 1] - sums[n]

    def end_below(self, n: int) -> int:
        """When the last thing happened in line `n` and below it: the end of a span whose own was not recorded."""
        lines = self.lines[n : n + self.lines[n].below + 1]
        return max(line.span.end_ns or line.span.start_ns for line in lines)

    def path(self, n: int) -> list[int]:
        """Places of the spans above line `n`, the topmost first, and `n` itself."""
        found = [n]
        while self.lines[found[-1]].depth and not self.lines[found[-1]].lost:
            parent = self.place.get(self.lines[found[-1]].span.parent_id or 0)
            if parent is None or parent in found[-1:]:
                break
            found.append(parent)
        return found[::-1]

    def alike(self, n: int, limit: int) -> list[int]:
        """Places of spans of the same kind and name, in the order of the lines."""
        span, found = self.lines[n].span, []
        for place, line in enumerate(self.lines):
            if line.span.name == span.name and line.span.kind_number == span.kind_number:
                found.append(place)
                if len(found) >= limit:
                    break
        return found

    # -- folding -------------------------------------------------------------------------------------

    def row_of(self, n: int) -> int:
        """The shown row of line `n`, or of the folded line that hides it."""
        row = bisect_left(self.shown, n)
        return row if row < len(self.shown) and self.shown[row] == n else max(0, row - 1)

    def fold(self, n: int) -> bool:
        """Hide what is below line `n`; False if there is nothing to hide."""
        line = self.lines[n]
        if not line.below or line.span.span_id in self.folded:
            return False
        self.folded.add(line.span.span_id)
        row = bisect_left(self.shown, n)
        if row < len(self.shown) and self.shown[row] == n:
            del self.shown[row + 1 : bisect_left(self.shown, n + line.below + 1)]
        return True

    def unfold(self, n: int) -> bool:
        """Show what is below line `n`, but for what is folded itself; False if it is shown."""
        line = self.lines[n]
        if line.span.span_id not in self.folded:
            return False
        self.folded.discard(line.span.span_id)
        row = bisect_left(self.shown, n)
        if row < len(self.shown) and self.shown[row] == n:
            self.shown[row + 1 : row + 1] = self._visible(n + 1, n + line.below + 1)
        return True

    def _visible(self, first: int, end: int) -> list[int]:
        found, n = [], first
        while n < end:
            found.append(n)
            line = self.lines[n]
            n += 1 + (line.below if line.span.span_id in self.folded else 0)
        return found

    def fold_these(self, span_ids: set[int]) -> None:
        """Fold exactly these; ids that are no line with children are let go of."""
        self.folded = {
            span_id for span_id in span_ids if (n := self.place.get(span_id)) is not None and self.lines[n].below
        }
        self.shown = self._visible(0, len(self.lines))

    def fold_all(self) -> None:
        """Fold every line below the topmost ones."""
        self.fold_these({line.span.span_id for line in self.lines if line.below and line.depth})

    def unfold_all(self) -> None:
        self.fold_these(set())

    def reveal(self, n: int) -> int:
        """Unfold what is above line `n`; gives its row."""
        for above in self.path(n)[:-1]:
            self.unfold(above)
        return self.row_of(n)

    def open_at_first(self) -> None:
        """As a run is opened: of a long one, what went well is folded, and what failed, runs or broke off is not."""
        if len(self.lines) <= _WHOLE or (self._unwell[-1] == 0 and len(self.lines) <= _LARGE):
            return
        most = len(self.lines) // 2  # a line that holds most of the run stays open: a loop's, with its turns
        self.fold_these(
            {
                line.span.span_id
                for n, line in enumerate(self.lines)
                if line.depth and 0 < line.below < most and not self._within(self._unwell, n)
            }
        )


def _sums(values: list[float]) -> list[float]:
    return list(accumulate(values, initial=0))
