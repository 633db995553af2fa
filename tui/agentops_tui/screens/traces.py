"""The list of runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.screen import Screen

from agentops.errors import AgentopsError, FilterError, NotFound
from agentops.store.filters import Filter
from agentops.store.reader import Reader
from agentops.store.rows import TraceRow
from agentops_tui.glances import glance
from agentops_tui.inks import Ink, Line
from agentops_tui.keys import bindings
from agentops_tui.live import Changed
from agentops_tui.widgets.footer import Footer
from agentops_tui.widgets.header import Header
from agentops_tui.widgets.notice import Notice
from agentops_tui.widgets.painted import explorer_of
from agentops_tui.widgets.trace_list import PAGE, Glanced, TraceList

if TYPE_CHECKING:
    from agentops_tui.widgets.filter_line import FilterLine

__all__ = ["TracesScreen"]

_TICK_S = 1.0


class Page(Message):
    """Runs for one page of the list; of the first one, the list begins anew."""

    def __init__(self, page: int, traces: list[TraceRow], total: int, filter: Filter) -> None:
        super().__init__()
        self.page = page
        self.traces = traces
        self.total = total
        self.filter = filter


class Glances(Message):
    """What to say about runs."""

    def __init__(self, lines: dict[Glanced, Line]) -> None:
        super().__init__()
        self.lines = lines


class TracesScreen(Screen[None]):
    """All runs, newest first; follows the newest unless the reader has moved away from the top."""

    BINDINGS = bindings("traces")

    def __init__(self, store: str, reason: str) -> None:
        super().__init__()
        self._store = store
        self._reason = reason
        self._filter = Filter()
        self._filter_text = ""
        self._fresh: set[int] = set()
        self._newest = 0  # runs with a higher number came after what the list was asked for
        self.known = False  # whether an answer has come yet
        self._filter_line: FilterLine | None = None
        self.trouble: AgentopsError | None = None

    def compose(self) -> ComposeResult:
        yield Header()
        yield TraceList()
        yield Notice()
        yield Footer("traces")

    def on_mount(self) -> None:
        self.reload()
        self.set_interval(_TICK_S, self._tick)

    @property
    def list(self) -> TraceList:
        return self.query_one(TraceList)

    # -- what is asked, and what comes in ------------------------------------------------------------

    def reload(self) -> None:
        """Ask for the first page anew."""
        self._newest = max(self._fresh, default=self._newest)
        self._ask(0, None)

    def _ask(self, page: int, before: TraceRow | None) -> None:
        filter = self._filter

        def answer(reader: Reader) -> Page:
            skip = 0 if before is not None else page * PAGE
            traces = reader.traces(filter, PAGE, before, skip)
            if filter.terms:  # counting takes as long as finding: there is one more as long as pages are full
                total = page * PAGE + len(traces) + (len(traces) == PAGE)
            else:
                total = reader.count()
            return Page(page, traces, total, filter)

        explorer_of(self).clerk.ask(f"page {page}", answer, self.post_message)

    @on(TraceList.PageWanted)
    def _page_wanted(self, wanted: TraceList.PageWanted) -> None:
        self._ask(wanted.page, wanted.before)

    @on(TraceList.GlancesWanted)
    def _glances_wanted(self, wanted: TraceList.GlancesWanted) -> None:
        def answer(reader: Reader) -> Glances:
            return Glances({(trace.no, trace.status): glance(reader, trace) for trace in wanted.traces})

        explorer_of(self).clerk.ask("glances", answer, self.post_message)

    @on(TraceList.NoneFailed)
    def _none_failed(self) -> None:
        explorer_of(self).say("no further run with an error in sight: / errors>0 lists them all")

    @on(Page)
    def _page(self, page: Page) -> None:
        if page.filter != self._filter:
            return
        self.known = True
        if page.page:
            self.list.take_page(page.page, page.traces, max(page.total, self.list.rows))
        else:
            self._newest = max(self._newest, max((trace.no for trace in page.traces), default=0))
            self._fresh = {no for no in self._fresh if no > self._newest}
            self.list.begin(page.traces, page.total)
        self.tell_trouble(None)
        self._tell()

    @on(Glances)
    def _glances(self, glances: Glances) -> None:
        self.list.take_glances(glances.lines)

    def follow(self, changed: Changed) -> None:
        """Runs began, went on or ended."""
        self.list.update_traces(changed.traces)
        self._fresh |= {trace.no for trace in changed.traces if trace.no > self._newest}
        if self._fresh and self.known and self.list.cursor == 0:
            self.reload()
        self._tell()

    def tell_trouble(self, problem: AgentopsError | None) -> None:
        """The store cannot be read, or (None) can be again."""
        notice = self.query_one(Notice)
        self.trouble = None if problem is None or isinstance(problem, NotFound) else problem
        empty = self.known and not self.list.rows and not self._filter.terms
        notice.display = problem is not None or empty
        if not notice.display and not self.known:
            return
        self.list.display = not notice.display
        if self.trouble is not None:
            notice.tell_trouble(self.trouble)
        else:
            notice.tell_empty(_short(self._store), self._reason)
        if self.list.display and self.focused is None:
            self.list.focus()
        self.query_one(Footer).tell("notice" if notice.display else "traces")
        self._tell()

    # -- what is told --------------------------------------------------------------------------------

    def _tell(self) -> None:
        facts: list[Line] = [(Ink(_short(self._store), "muted"),)]
        count = f"{self.list.rows:,} run{'s' * (self.list.rows != 1)}"
        if self._filter.terms:
            facts = [(Ink("/ ", "muted"), Ink(self._filter_text[:60])), (Ink(count.replace(" ", " matching ", 1)),)]
        elif self.list.rows:
            facts.append((Ink(count, "muted"),))
        if self._fresh:
            facts.append((Ink(f"+{len(self._fresh)} new", "tool", bold=True), Ink("  g", bold=True)))
        elif self.trouble is None:
            facts.append((Ink("● ", "tool"), Ink("live", "tool", bold=True)))
        self.query_one(Header).tell(("agentops", "traces"), facts)

    def _tick(self) -> None:
        """Times go on."""
        if self.trouble is not None:
            self.reload()
        if self.list.display and self.list.rows:
            self.list.look_again()

    # -- keys ----------------------------------------------------------------------------------------

    @on(TraceList.Moved)
    def _moved(self) -> None:
        if self._fresh and self.list.cursor == 0:
            self.reload()

    @on(TraceList.Chosen)
    def _chosen(self) -> None:
        if (trace := self.list.chosen) is not None:
            explorer_of(self).open_trace(trace)

    def action_filter(self) -> None:
        """Ask for a filter, in a line of its own below the list."""
        from agentops_tui.widgets.filter_line import FilterLine

        if self._filter_line is None:
            self._filter_line = FilterLine()
            self.mount(self._filter_line, before=self.query_one(Footer))
        self._filter_line.ask(self._filter_text)
        self.query_one(Footer).tell("filter")

    def on_descendant_focus(self) -> None:
        if self.focused is self.list:
            self.query_one(Footer).tell("traces")

    def action_clear(self) -> None:
        if self._filter.terms:
            self.filter_by("")

    def filter_by(self, text: str) -> FilterError | None:
        """List only what `text` selects; gives what is wrong with it, if it is."""
        from agentops.store.filters import parse

        try:
            self._filter = parse(text)
        except FilterError as problem:
            return problem
        self._filter_text = text
        self.reload()
        self.list.focus()
        return None


def _short(path: str) -> str:
    """A path as people write it: from here, or from home."""
    here = os.path.relpath(path)
    if not here.startswith(".."):
        return os.path.join(".", here)
    home = os.path.expanduser("~")
    return "~" + path.removeprefix(home) if path.startswith(home + os.path.sep) else path
