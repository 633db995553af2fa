"""One span, whole: a pane of tabs that scrolls."""

from __future__ import annotations

from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from agentops_tui.composing import TABS
from agentops_tui.inks import Ink, Line, strip
from agentops_tui.keys import bindings
from agentops_tui.outline import Outline
from agentops_tui.widgets.painted import palette_of

__all__ = ["Composed", "Detail"]

_PAD = 1
_SETTLE_S = 0.04  # a key that is held down asks for no span that it passes


class Composed(Message):
    """Lines for one span, tab and width: those above the tabs, and those of the tab."""

    def __init__(self, about: tuple[int, str, int], head: list[Line], lines: list[Line]) -> None:
        super().__init__()
        self.about = about
        self.head = head
        self.lines = lines


class Detail(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows the lines that are made for it beside the screen; asks for them by `Wanted`."""

    DEFAULT_CSS = "Detail { scrollbar-size: 0 0; overflow-x: hidden; overflow-y: scroll; }"
    BINDINGS = bindings("detail")

    class CopyWanted(Message):
        """The value of the current tab is to be copied."""

    class Wanted(Message):
        """Lines about line `place` of the run are needed."""

        def __init__(self, outline: Outline, place: int, about: tuple[int, str, int]) -> None:
            super().__init__()
            self.outline = outline
            self.place = place
            self.about = about

    def __init__(self) -> None:
        super().__init__()
        self.current = TABS[0]
        self._of: tuple[Outline, int] | None = None
        self._span_id: int | None = None
        self._head: list[Line] = []
        self._lines: list[Line] = []

    def tell(self, outline: Outline, place: int) -> None:
        """Show the span of line `place`."""
        span_id = outline.lines[place].span.span_id
        self._of = outline, place
        if span_id != self._span_id:
            self._span_id = span_id
            self.scroll_to(y=0, animate=False, force=True)
        self.set_timer(_SETTLE_S, self._ask) if self._lines else self._ask()

    def take(self, composed: Composed) -> None:
        """Lines that were asked for, if they are still what is wanted."""
        if composed.about == self._about:
            self._head, self._lines = [*composed.head, self._tabs(), ()], composed.lines
            self._resized()

    @property
    def place(self) -> tuple[Outline, int] | None:
        """The run and the line that are shown."""
        return self._of

    @property
    def _about(self) -> tuple[int, str, int]:
        return self._span_id or 0, self.current, self.size.width - 2 * _PAD

    def _ask(self) -> None:
        if self._of is not None and self.size.width > 2 * _PAD and self.display:
            self.post_message(self.Wanted(*self._of, self._about))

    def _resized(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._head) + len(self._lines))
        self.refresh()

    def on_resize(self) -> None:
        self._ask()
        self._resized()

    def render_line(self, y: int) -> Strip:
        width, palette = self.size.width, palette_of(self)
        n = y - len(self._head) + self.scroll_offset.y
        inks = self._head[y] if y < len(self._head) else self._lines[n] if n < len(self._lines) else ()
        return strip((Ink(" " * _PAD), *inks), palette, width, "surface")

    def _tabs(self) -> Line:
        inks: list[Ink] = []
        for tab in TABS:
            here = tab == self.current
            inks += [Ink(tab, "text" if here else "muted", bold=here, underline=here), Ink("   ")]
        return tuple(inks)

    def action_tab(self, by: int) -> None:
        self.current = TABS[(TABS.index(self.current) + by) % len(TABS)]
        self.scroll_to(y=0, animate=False, force=True)
        self._ask()
        self.refresh()

    def action_copy(self) -> None:
        self.post_message(self.CopyWanted())

    def action_scroll(self, by: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + by, animate=False, force=True)

    def action_page(self, pages: int) -> None:
        self.action_scroll(pages * max(1, self.size.height - len(self._head) - 1))

    def action_first(self) -> None:
        self.scroll_to(y=0, animate=False, force=True)

    def action_last(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False, force=True)
