"""All runs of a store, newest first, of which a few pages are in memory."""

from __future__ import annotations

import statistics
import time

from textual.cache import LRUCache
from textual.message import Message

from agentops import formats
from agentops.store.rows import TraceRow
from agentops_tui.glances import ago, took
from agentops_tui.inks import Ink, Line, fill, right, spread
from agentops_tui.keys import bindings
from agentops_tui.widgets.painted import palette_of
from agentops_tui.widgets.virtual_rows import VirtualRows

__all__ = ["PAGE", "Glanced", "TraceList"]

PAGE = 200
_PAGES = 50
_GLANCES = 4_000
_MARKS = {"error": ("✗", "error"), "running": ("●", "tool"), "interrupted": ("○", "text"), "ok": (" ", "muted")}

#: A run's number, and the status that it had.
Glanced = tuple[int, str]


class TraceList(VirtualRows):
    """Rows are numbered from the newest run; pages of them are asked for when they come into view."""

    BINDINGS = bindings("list")

    class PageWanted(Message):
        """Page `page` is needed; `before` is the run before it, None where that is not known."""

        def __init__(self, page: int, before: TraceRow | None) -> None:
            super().__init__()
            self.page = page
            self.before = before

    class NoneFailed(Message):
        """There is no run with an error further on, in what was looked at."""

    class GlancesWanted(Message):
        """What to say about these runs is needed."""

        def __init__(self, traces: list[TraceRow]) -> None:
            super().__init__()
            self.traces = traces

    def __init__(self) -> None:
        super().__init__()
        self._total = 0
        self._pages: LRUCache[int, list[TraceRow]] = LRUCache(_PAGES)
        self._asked: set[int] = set()
        self._glances: LRUCache[Glanced, Line] = LRUCache(_GLANCES)
        self._unsaid: dict[int, TraceRow] = {}
        self._usual = (0.0, 0.0)

    @property
    def rows(self) -> int:
        return self._total

    def trace_at(self, row: int) -> TraceRow | None:
        """The run in `row`; None while its page is not there."""
        page = self._pages.get(row // PAGE)
        return page[row % PAGE] if page is not None and row % PAGE < len(page) else None

    @property
    def chosen(self) -> TraceRow | None:
        """The run under the cursor."""
        return self.trace_at(self.cursor)

    @property
    def copied(self) -> tuple[str, str] | None:
        return (self.chosen.trace_id, "the run's id") if self.chosen is not None else None

    # -- what comes in -------------------------------------------------------------------------------

    def begin(self, traces: list[TraceRow], total: int) -> None:
        """Show a list anew, from its first page; the cursor goes to its top."""
        self._pages.clear()
        self._asked.clear()
        self._pages[0] = traces
        self._total = total
        durations = [trace.duration_ns or 0 for trace in traces]
        costs = [trace.cost_usd or 0.0 for trace in traces]
        enough = len(traces) >= 8
        self._usual = (statistics.median(durations), statistics.median(costs)) if enough else (0.0, 0.0)
        self.cursor = 0
        self.scroll_to(y=0, animate=False, force=True)
        self.repaint()
        self.post_message(self.Moved())

    def take_page(self, page: int, traces: list[TraceRow], total: int) -> None:
        """A page that was asked for."""
        self._asked.discard(page)
        self._pages[page] = traces
        self._total = total
        self.repaint()

    def take_glances(self, glances: dict[Glanced, Line]) -> None:
        """What to say about runs, by their numbers and what state they were in."""
        for glanced, line in glances.items():
            self._glances[glanced] = line
        self.look_again()

    def update_traces(self, traces: list[TraceRow]) -> None:
        """Runs as they are now, in their places."""
        changed = {trace.no: trace for trace in traces}
        for page in list(self._pages.keys()):
            rows = self._pages.get(page) or []
            for n, old in enumerate(rows):
                if old.no in changed:
                    rows[n] = changed[old.no]
                    self._glances.discard((old.no, changed[old.no].status))
        self.look_again()

    def action_failed(self, by: int) -> None:
        """To the next run with an error of those that are in memory."""
        row = self.cursor + by
        while 0 <= row < self._total and (trace := self.trace_at(row)) is not None:
            if trace.errors or trace.status in ("error", "interrupted"):
                self.move_to(row)
                return
            row += by
        self.post_message(self.NoneFailed())

    # -- painting ------------------------------------------------------------------------------------

    def head(self, width: int) -> Line:
        wide = width >= 100
        columns = "   took" + (" spans    tok" if wide else "") + "       $   ✗ "
        name = self._name_cells(width)
        asked = "asked, or what failed"
        return (Ink(f"   {'when':6}{'run':{name}}{fill(asked, width - 9 - name - len(columns))}{columns}", "muted"),)

    @staticmethod
    def _name_cells(width: int) -> int:
        return 16 if width < 140 else 26

    def row(self, row: int, width: int, ground: str) -> Line:
        trace = self.trace_at(row)
        if trace is None:
            self._want(row // PAGE)
            return (Ink("   …", "muted"),)
        name = self._name_cells(width)
        mark, role = _MARKS[trace.status] if trace.status != "ok" or not trace.errors else ("!", "text")
        failed = trace.status == "error"
        numbers = self._numbers(trace, width >= 100)
        room = width - 9 - name - sum(len(ink.text) for ink in numbers)
        return (
            Ink(f" {mark} ", role, bold=failed),
            Ink(fill(ago(trace.start_ns, time.time_ns()), 6), "muted"),
            Ink(fill(trace.name, name - 1) + " ", bold=failed and palette_of(self).bold_errors),
            *self._said(trace, room),
            *numbers,
        )

    def _numbers(self, trace: TraceRow, wide: bool) -> Line:
        duration, cost = self._usual
        slow = duration > 0 and (trace.duration_ns or 0) > 1.6 * duration
        dear = cost > 0 and (trace.cost_usd or 0.0) > 2 * cost
        spans = (Ink(right(str(trace.spans), 6), "muted"), Ink(right(formats.count(trace.tokens), 7), "muted"))
        return (
            Ink(right(took(trace.start_ns, trace.end_ns, trace.status), 7), "text" if slow else "muted"),
            *(spans if wide else ()),
            Ink(right(formats.cost(trace.cost_usd, trace.unpriced).replace("$", ""), 8), "text" if dear else "muted"),
            Ink(right(str(trace.errors or ""), 4), "error" if trace.status == "error" else "muted"),
            Ink(" "),
        )

    def _said(self, trace: TraceRow, room: int) -> Line:
        line = self._glances.get((trace.no, trace.status))
        if line is None:
            if not self._unsaid:
                self.call_after_refresh(self._ask_for_glances)
            self._unsaid[trace.no] = trace
            return (Ink(" " * room),)
        if room < 40 and len(line) > 1 and trace.status == "error":  # the tool's name would leave no room for why
            line = line[2:]
        return (*spread(line, (), room - 1), Ink(" "))

    def _ask_for_glances(self) -> None:
        traces, self._unsaid = list(self._unsaid.values()), {}
        if traces:
            self.post_message(self.GlancesWanted(traces))

    def _want(self, page: int) -> None:
        if page not in self._asked:
            self._asked.add(page)
            before = self._pages.get(page - 1)
            self.post_message(self.PageWanted(page, before[-1] if before else None))
