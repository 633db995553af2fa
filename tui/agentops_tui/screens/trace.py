"""One run: its tree with the waterfall, and the detail of the span under the cursor."""

from __future__ import annotations

import json

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.screen import Screen

from agentops import formats
from agentops.store.reader import Reader
from agentops.store.rows import TraceRow
from agentops_tui.composing import compose, shown_value
from agentops_tui.glances import took
from agentops_tui.inks import Ink, Line, cut
from agentops_tui.keys import bindings
from agentops_tui.live import Changed
from agentops_tui.outline import Outline
from agentops_tui.values import preview
from agentops_tui.widgets.banner import Banner
from agentops_tui.widgets.detail import Composed, Detail
from agentops_tui.widgets.footer import Footer
from agentops_tui.widgets.header import Header
from agentops_tui.widgets.painted import explorer_of
from agentops_tui.widgets.span_tree import SpanTree

__all__ = ["TraceScreen", "ValueScreen"]

#: From so many columns on tree and detail stand side by side.
_BESIDE_FROM = 100
_TICK_S = 1.0


class Lines(Message):
    """The lines of a run."""

    def __init__(self, outline: Outline) -> None:
        super().__init__()
        self.outline = outline


class Previews(Message):
    """What was asked in spans."""

    def __init__(self, texts: dict[int, str]) -> None:
        super().__init__()
        self.texts = texts


class Copied(Message):
    """A value for the clipboard."""

    def __init__(self, text: str, what: str) -> None:
        super().__init__()
        self.text = text
        self.what = what


class _Answering(Screen[None]):
    """What a screen does that has a detail."""

    @on(Detail.Wanted)
    def _detail_wanted(self, wanted: Detail.Wanted) -> None:
        outline, place, about = wanted.outline, wanted.place, wanted.about

        def answer(reader: Reader) -> Composed:
            return Composed(about, *compose(reader, outline, place, about[1], about[2]))

        explorer_of(self).clerk.ask("detail", answer, self.post_message)

    @on(Composed)
    def _composed(self, composed: Composed) -> None:
        self.query_one(Detail).take(composed)

    @on(Detail.CopyWanted)
    def _copy_wanted(self) -> None:
        detail = self.query_one(Detail)
        if detail.place is None:
            return
        (outline, place), tab = detail.place, detail.current

        def answer(reader: Reader) -> Copied:
            value = shown_value(reader.span(outline.trace, outline.lines[place].span.span_id), tab)
            return Copied(json.dumps(value, ensure_ascii=False, indent=2), f"{tab} of the span")

        explorer_of(self).clerk.ask("copy", answer, self.post_message)

    @on(Copied)
    def _copied(self, copied: Copied) -> None:
        explorer_of(self).copy(copied.text, copied.what)


class TraceScreen(_Answering):
    """Opens at the first failure, and follows the run while it is written."""

    BINDINGS = bindings("trace")
    DEFAULT_CSS = """
    TraceScreen SpanTree { width: 1fr; }
    TraceScreen Detail { width: 40; }
    """

    def __init__(self, trace: TraceRow) -> None:
        super().__init__()
        self._trace = trace

    @property
    def no(self) -> int:
        """The number of the run."""
        return self._trace.no

    @property
    def tree_rows(self) -> SpanTree:
        return self.query_one(SpanTree)

    def compose(self) -> ComposeResult:
        yield Header()
        yield Banner()
        with Horizontal():
            yield SpanTree()
            yield Detail()
        yield Footer("trace")

    def on_mount(self) -> None:
        self._arrange(self.app.size.width)
        self.tree_rows.focus()
        self._tell()
        trace = self._trace
        explorer_of(self).clerk.ask("run", lambda reader: Lines(Outline(trace, reader.spans(trace))), self.post_message)
        self.set_interval(_TICK_S, self._tick)

    def on_resize(self, event: events.Resize) -> None:
        self._arrange(event.size.width)

    def _arrange(self, width: int) -> None:
        detail = self.query_one(Detail)
        shown, detail.display = detail.display, width >= _BESIDE_FROM
        detail.styles.width = 40 if width < 140 else min(90, width * 38 // 100)
        if not detail.display and self.focused is detail:
            self.tree_rows.focus()
        self._tell_footer()
        if detail.display and not shown:
            self._moved()

    # -- what comes in -------------------------------------------------------------------------------

    @on(Lines)
    def _lines(self, lines: Lines) -> None:
        self._trace = lines.outline.trace
        if self.tree_rows.outline is None:  # else the follower was faster, and the reader may have moved since
            self.tree_rows.begin(lines.outline)

    def follow(self, changed: Changed) -> None:
        """The run went on."""
        if (outline := changed.outlines.get(self.no)) is not None:
            self._trace = outline.trace
            self.tree_rows.follow(outline)

    def _tick(self) -> None:
        outline = self.tree_rows.outline
        if outline is not None and outline.running:
            self.tree_rows.look_again()
            self._tell()

    @on(SpanTree.PreviewsWanted)
    def _previews_wanted(self, wanted: SpanTree.PreviewsWanted) -> None:
        trace = self._trace

        def answer(reader: Reader) -> Previews:
            return Previews({span_id: preview(reader.span(trace, span_id).input) for span_id in wanted.span_ids})

        explorer_of(self).clerk.ask("previews", answer, self.post_message)

    @on(Previews)
    def _previews(self, previews: Previews) -> None:
        self.tree_rows.take_previews(previews.texts)

    # -- what is told --------------------------------------------------------------------------------

    @on(SpanTree.Moved)
    def _moved(self) -> None:
        self._tell()
        outline, place = self.tree_rows.outline, self.tree_rows.chosen
        if outline is not None and place is not None and self.query_one(Detail).display:
            self.query_one(Detail).tell(outline, place)

    def _tell(self) -> None:
        outline, place, trace = self.tree_rows.outline, self.tree_rows.chosen, self._trace
        names = [f"{cut(trace.name, 40)} {trace.trace_id[:4]}"]
        if outline is not None and place is not None:
            names += [cut(outline.lines[above].span.name, 40) for above in outline.path(place)[1:][-8:]]
        if self.app.size.width >= _BESIDE_FROM:
            names.insert(0, "traces")
        self.query_one(Header).tell(names, self._facts(outline, trace))
        if outline is not None and place is not None and outline.failures:
            at = outline.failures.index(place) if place in outline.failure_places else 0
            path = outline.path(outline.failures[at])
            above = outline.lines[path[-2]].span.name if len(path) > 2 else ""
            span = outline.lines[path[-1]].span
            self.query_one(Banner).tell(
                cut(above, 40), cut(span.name, 60), cut(span.error or "failed", 400), at + 1, len(outline.failures)
            )

    def _facts(self, outline: Outline | None, trace: TraceRow) -> list[Line]:
        facts: list[Line] = []
        wide = self.app.size.width >= _BESIDE_FROM  # else the path says more
        if wide:
            facts.append((Ink(f"{trace.spans:,} span{'s' * (trace.spans != 1)}", "muted"),))
        if trace.tokens and wide:
            facts.append((Ink(f"{formats.count(trace.tokens)} tok", "muted"),))
        if trace.cost_usd is not None or trace.unpriced:
            facts.append((Ink(formats.cost(trace.cost_usd, trace.unpriced)),))
        facts.append((Ink(took(trace.start_ns, trace.end_ns, trace.status)),))
        marks: list[Ink] = []
        if outline is not None and outline.failures:
            marks += [Ink(f"✗{len(outline.failures)}", "error", bold=True)]
        if trace.status == "running":
            marks += [Ink(" " if marks else ""), Ink("● live", "tool", bold=True)]
        elif trace.open or trace.status == "interrupted":
            marks += [Ink(" " if marks else ""), Ink("○ cut off")]
        return [*facts, tuple(marks)] if marks else facts

    def _tell_footer(self) -> None:
        narrow = self.app.size.width < _BESIDE_FROM
        detail = isinstance(self.focused, Detail)
        self.query_one(Footer).tell("narrow" if narrow else "detail" if detail else "trace")

    def on_descendant_focus(self) -> None:
        self._tell_footer()

    # -- keys ----------------------------------------------------------------------------------------

    @on(SpanTree.Chosen)
    def _chosen(self) -> None:
        outline, place = self.tree_rows.outline, self.tree_rows.chosen
        if outline is None or place is None:
            return
        if self.query_one(Detail).display:
            self.query_one(Detail).focus()
        else:
            self.app.push_screen(ValueScreen(outline, place))

    def action_failed(self, by: int) -> None:
        self.tree_rows.next_failure(by)

    def action_bars(self) -> None:
        self.tree_rows.turn_bars()

    def action_pane(self) -> None:
        detail = self.query_one(Detail)
        if self.focused is detail:
            self.tree_rows.focus()
        elif detail.display:
            detail.focus()
        else:
            self._chosen()

    def action_back(self) -> None:
        if isinstance(self.focused, Detail):
            self.tree_rows.focus()
        else:
            explorer_of(self).close_trace()


class ValueScreen(_Answering):
    """The detail alone, where there is no room for it beside the tree."""

    BINDINGS = bindings("value")
    DEFAULT_CSS = "ValueScreen Detail { height: 1fr; }"

    def __init__(self, outline: Outline, place: int) -> None:
        super().__init__()
        self._of = outline, place

    def compose(self) -> ComposeResult:
        yield Header()
        yield Detail()
        yield Footer("value")

    def on_mount(self) -> None:
        outline, place = self._of
        names = [cut(outline.lines[above].span.name, 40) for above in outline.path(place)[-8:]]
        self.query_one(Header).tell(names, ())
        self.query_one(Detail).tell(outline, place)
        self.query_one(Detail).focus()

    def action_back(self) -> None:
        self.app.pop_screen()
