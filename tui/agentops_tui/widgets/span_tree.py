"""The spans of a run as a tree that folds, with a waterfall beside it."""

from __future__ import annotations

import time

from textual.geometry import Region
from textual.message import Message

from agentops import formats
from agentops.store.tree import TreeRow
from agentops_tui.glances import reason, took
from agentops_tui.inks import Ink, Line, cells, cut, fill, right, spread
from agentops_tui.keys import bindings
from agentops_tui.outline import Outline
from agentops_tui.theme import KIND_LETTER, KIND_ROLE
from agentops_tui.waterfall import Scale, bar, beside, hairline, round_times
from agentops_tui.widgets.virtual_rows import VirtualRows

__all__ = ["SpanTree"]

_MARKS = {"error": ("✗", "error"), "running": ("●", "tool"), "interrupted": ("○", "text"), "ok": (" ", "text")}
#: From so many columns on there is room for costs.
_COSTS_FROM = 88
_BARS_FROM = 60
_PREVIEW = 10


class SpanTree(VirtualRows):
    """Fold state and cursor belong to spans, not to rows: both stay where spans come in above them."""

    BINDINGS = bindings("tree")

    class PreviewsWanted(Message):
        """What was asked in these spans (ids) is needed."""

        def __init__(self, span_ids: list[int]) -> None:
            super().__init__()
            self.span_ids = span_ids

    def __init__(self) -> None:
        super().__init__()
        self.outline: Outline | None = None
        self.bars = True
        self._previews: dict[int, str] = {}
        self._unsaid: set[int] = set()

    @property
    def rows(self) -> int:
        return len(self.outline.shown) if self.outline is not None else 0

    @property
    def chosen(self) -> int | None:
        """The line under the cursor, by its place in the outline."""
        return self.outline.shown[self.cursor] if self.outline is not None and self.rows else None

    @property
    def copied(self) -> tuple[str, str] | None:
        if self.outline is None or (place := self.chosen) is None:
            return None
        return self.outline.lines[place].span.hex_id, "the span's id"

    # -- what comes in -------------------------------------------------------------------------------

    def begin(self, outline: Outline) -> None:
        """Show a run: what is well may be folded; the cursor stands on the first failure, or at the top."""
        self.outline = outline
        outline.open_at_first()
        self.cursor = 0
        self.repaint()
        if outline.failures:
            self.go_to(outline.failures[0])
        self.post_message(self.Moved())

    def follow(self, outline: Outline) -> None:
        """The same run as it is now."""
        old, chosen = self.outline, self.chosen
        if old is None or chosen is None:
            self.begin(outline)
            return
        span_id, top = old.lines[chosen].span.span_id, self.cursor - self.scroll_offset.y
        outline.fold_these(old.folded)
        self.outline = outline
        place = outline.place.get(span_id)
        self.cursor = outline.row_of(place) if place is not None else self.cursor
        self._previews.clear()
        self.repaint()
        self.scroll_to(y=max(0, self.cursor - top), animate=False, force=True)
        self.post_message(self.Moved())

    def take_previews(self, previews: dict[int, str]) -> None:
        """What was asked, by span."""
        self._previews.update(previews)
        self.look_again()

    def look_again(self) -> None:
        super().look_again()
        self.refresh(Region(0, 0, self.size.width, 1))  # the ruler of a run that runs

    def turn_bars(self) -> None:
        self.bars = not self.bars
        self.repaint()

    # -- moving and folding --------------------------------------------------------------------------

    def go_to(self, place: int) -> None:
        """Show line `place`, whatever hides it, and put the cursor there."""
        if self.outline is not None:
            row = self.outline.reveal(place)
            self.repaint()
            self.move_to(row, middle=True)

    def next_failure(self, by: int) -> None:
        """To the failure after the one under the cursor, or with -1 the one before, and around.

        From elsewhere, to the nearest one further down, or up.
        """
        outline, chosen = self.outline, self.chosen
        if outline is None or chosen is None or not outline.failures:
            return
        if chosen in outline.failure_places:
            at = outline.failures.index(chosen)
            self.go_to(outline.failures[(at + by) % len(outline.failures)])
            return
        beyond = [place for place in outline.failures if (place - chosen) * by > 0]
        self.go_to(min(beyond or outline.failures, key=lambda place: place * by))

    def action_fold(self) -> None:
        if self.outline is None or (place := self.chosen) is None:
            return
        if self.outline.fold(place):
            self.repaint()
            self.post_message(self.Moved())
        else:
            self.move_to(self.outline.row_of(self.outline.path(place)[-2:][0]))

    def action_unfold(self) -> None:
        if self.outline is None or (place := self.chosen) is None:
            return
        if self.outline.unfold(place):
            self.repaint()
        elif self.outline.lines[place].below:
            self.move_to(self.cursor + 1)

    def action_turn(self) -> None:
        if self.outline is None or (place := self.chosen) is None:
            return
        if self.outline.unfold(place) or self.outline.fold(place):
            self.repaint()

    def action_fold_all(self) -> None:
        self._all(fold=True)

    def action_unfold_all(self) -> None:
        self._all(fold=False)

    def _all(self, fold: bool) -> None:
        if self.outline is None or (place := self.chosen) is None:
            return
        if fold:
            self.outline.fold_all()
        else:
            self.outline.unfold_all()
        self.cursor = self.outline.row_of(place)
        self.repaint()
        self.show(middle=True)
        self.post_message(self.Moved())

    # -- painting ------------------------------------------------------------------------------------

    def _widths(self, width: int) -> tuple[int, bool, int]:
        """Cells of the name, whether there are costs, cells of the bars."""
        costs = width >= _COSTS_FROM
        rest = width - 15 - (8 if costs else 0)
        bars = min(max(14, rest * 41 // 100), 44) if self.bars and width >= _BARS_FROM else 0
        return rest - bars, costs, bars

    def _scale(self, bars: int) -> Scale:
        outline = self.outline
        assert outline is not None
        end = max(outline.end_ns, time.time_ns()) if outline.running else outline.end_ns
        return Scale(outline.start_ns, end, bars)

    def head(self, width: int) -> Line:
        if self.outline is None:
            return (Ink("   reading …", "muted"),)
        name, costs, bars = self._widths(width)
        ruler = " " + round_times(self._scale(bars)) if bars else ""
        return (Ink(fill("   span", name) + "   took   tok" + ("       $" if costs else "") + ruler, "muted"),)

    def row(self, row: int, width: int, ground: str) -> Line:
        outline = self.outline
        assert outline is not None
        place = outline.shown[row]
        line = outline.lines[place]
        span = line.span
        name, costs, bars = self._widths(width)
        whole = max(1, outline.end_ns - outline.start_ns)
        long = (span.duration_ns or 0) * 20 >= whole
        return (
            *self._named(place, line, name, ground, note=not bars),
            Ink(right(took(span.start_ns, span.end_ns, span.status), 7), "text" if long else "muted"),
            Ink(right(formats.count(outline.tokens(place)), 6), "muted"),
            *((Ink(right(formats.cost(outline.cost(place)), 8), "muted"),) if costs else ()),
            *((Ink(" "), *self._bar(place, line, bars, ground)) if bars else ()),
        )

    def _named(self, place: int, line: TreeRow, width: int, ground: str, note: bool) -> Line:
        outline, span = self.outline, line.span
        assert outline is not None
        failed = span.status == "error"
        mark, role = _MARKS[span.status]
        folded = span.span_id in outline.folded
        below = outline.failed_below(place) if folded else 0
        if below and not failed:
            mark, role = "✗", "error"
        depth = max(0, line.depth - 1)
        indent = " " * (2 * depth) if 2 * depth <= width // 3 else right(f"{line.depth}› ", width // 3)
        chevron = "▸ " if folded else "▾ " if line.below else "  "
        letter = KIND_LETTER[span.kind]
        inks = [
            Ink(f" {mark} ", role, bold=failed),
            Ink(indent + chevron, "muted"),
            Ink(letter + " ", KIND_ROLE.get(span.kind, "muted" if line.depth else "text"), bold=True),
            Ink(cut(span.name, 200), "error" if failed else "text", bold=not line.depth),
        ]
        if folded:
            inks.append(Ink(f"  +{line.below}", "muted"))
            if below:
                inks.append(Ink(f" ✗{below}", "error"))
        if line.below and line.depth:
            if said := self._previews.get(span.span_id):
                if width - cells(inks) >= _PREVIEW:
                    inks.append(Ink("  " + cut(said, width), "muted"))
            elif said is None:
                self._ask_for(span.span_id)
        if line.lost:
            inks.append(Ink("  its parent was not recorded here", "muted"))
        if note and (text := self._note(place, line)[0]):
            inks.append(Ink("  " + cut(text, width), self._note(place, line)[1]))
        return (*spread(inks, (), width - 1), Ink(" "))

    def _note(self, place: int, line: TreeRow) -> tuple[str, str]:
        """What stands beside the bar: why it failed, or that it has no end; with its role."""
        outline, span = self.outline, line.span
        if outline is not None and span.status == "error" and place in outline.failure_places:
            return reason(span.error or "failed"), "error"
        if span.status == "interrupted" and not (line.below and span.span_id not in self._folded()):
            return "no end recorded", "muted"
        return "", "muted"

    def _folded(self) -> set[int]:
        return self.outline.folded if self.outline is not None else set()

    def _bar(self, place: int, line: TreeRow, width: int, ground: str) -> Line:
        span, scale = line.span, self._scale(width)
        end = span.end_ns
        if end is None:
            assert self.outline is not None
            end = scale.end if span.status == "running" else self.outline.end_below(place)
        text, role = self._note(place, line)
        if line.below and span.span_id not in self._folded():
            return beside(hairline(scale, span.start_ns, end), text, role)
        hue = "error" if span.status == "error" else KIND_ROLE.get(span.kind, "muted")
        if line.below:
            hue = "quiet"
        unended = span.end_ns is None
        return beside(bar(scale, span.start_ns, end, hue, ground), text, role, "▸" if unended else "")

    def _ask_for(self, span_id: int) -> None:
        if not self._unsaid:
            self.call_after_refresh(self._ask_for_previews)
        self._unsaid.add(span_id)

    def _ask_for_previews(self) -> None:
        span_ids, self._unsaid = list(self._unsaid), set()
        self.post_message(self.PreviewsWanted(span_ids))
