"""A list of which only the rows on the screen exist: the base of the list of runs and of the tree."""

from __future__ import annotations

from textual import events
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from agentops_tui.inks import Line, strip
from agentops_tui.keys import bindings
from agentops_tui.widgets.painted import explorer_of, palette_of

__all__ = ["VirtualRows"]

_CACHED_ROWS = 2_000


class VirtualRows(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows with a cursor, below a line of column heads that stays.

    A child says how many rows there are and paints one. Whatever changes how a painted row looks must call
    `look_again`, and whatever changes which rows there are, `repaint`. Rows are counted from 0.
    """

    DEFAULT_CSS = "VirtualRows { scrollbar-size: 0 0; overflow-x: hidden; overflow-y: scroll; }"
    BINDINGS = bindings("rows")

    class Moved(Message):
        """The cursor stands on another row."""

    class Chosen(Message):
        """The row under the cursor is to be opened."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.cursor = 0
        self._strips: LRUCache[tuple[int, bool], Strip] = LRUCache(_CACHED_ROWS)
        self._painted_for: tuple[object, ...] = ()

    # -- what a child says ---------------------------------------------------------------------------

    @property
    def rows(self) -> int:
        """How many there are."""
        raise NotImplementedError

    def head(self, width: int) -> Line:
        """The line of column heads."""
        raise NotImplementedError

    def row(self, row: int, width: int, ground: str) -> Line:
        """A row on `ground`, the name of a colour."""
        raise NotImplementedError

    @property
    def copied(self) -> tuple[str, str] | None:
        """What `y` copies, and what that is called."""
        raise NotImplementedError

    # -- painting ------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width, palette = self.size.width, palette_of(self)
        if y == 0:
            return strip(self.head(width), palette, width)
        row = y - 1 + self.scroll_offset.y
        return self._painted(row) if row < self.rows else strip((), palette, width)

    def _painted(self, row: int) -> Strip:
        width, palette = self.size.width, palette_of(self)
        if self._painted_for != (width, palette):
            self._strips.clear()
            self._painted_for = (width, palette)
        ground = "cursor" if row == self.cursor else "bg"
        painted = self._strips.get((row, row == self.cursor))
        if painted is None:
            painted = strip(self.row(row, width, ground), palette, width, ground)
            self._strips[row, row == self.cursor] = painted
        return painted

    def look_again(self) -> None:
        """The same rows, of which some may look different: only these are sent to the terminal."""
        before = {row: self._strips.get((row, row == self.cursor)) for row in self.on_screen}
        self._strips.clear()
        for row, old in before.items():
            if old is None or self._painted(row) != old:
                self._refresh_row(row)

    def _refresh_row(self, row: int) -> None:
        self.refresh(Region(0, row + 1 - self.scroll_offset.y, self.size.width, 1))

    def repaint(self) -> None:
        """Rows are others, or look different."""
        self._strips.clear()
        self.virtual_size = Size(self.size.width, self.rows + 1)
        self.cursor = max(0, min(self.cursor, self.rows - 1))
        self.refresh()

    def on_resize(self) -> None:
        self.repaint()
        self.show()

    @property
    def on_screen(self) -> range:
        """The rows that are on the screen."""
        first = self.scroll_offset.y
        return range(first, max(first, min(self.rows, first + self.size.height - 1)))

    # -- the cursor ----------------------------------------------------------------------------------

    def move_to(self, row: int, middle: bool = False) -> None:
        """Put the cursor on `row`, or the nearest there is, and show it; `middle` with some rows around it."""
        row = max(0, min(row, self.rows - 1))
        if row != self.cursor:
            old, self.cursor = self.cursor, row
            for changed in (old, row):
                self._refresh_row(changed)
            self.post_message(self.Moved())
        self.show(middle)

    def show(self, middle: bool = False) -> None:
        """Scroll so that the cursor is on the screen."""
        height = max(1, self.size.height - 1)
        first = self.scroll_offset.y
        if self.cursor < first or self.cursor >= first + height:
            if middle:
                first = self.cursor - height // 3
            else:
                first = self.cursor if self.cursor < first else self.cursor - height + 1
            self.scroll_to(y=max(0, first), animate=False, force=True)

    def action_move(self, by: int) -> None:
        self.move_to(self.cursor + by)

    def action_page(self, pages: float) -> None:
        self.move_to(self.cursor + int(pages * max(2, self.size.height - 2)))

    def action_first(self) -> None:
        self.move_to(0)

    def action_last(self) -> None:
        self.move_to(self.rows - 1)

    def action_choose(self) -> None:
        if self.rows:
            self.post_message(self.Chosen())

    def action_copy(self) -> None:
        if (copied := self.copied) is not None:
            explorer_of(self).copy(*copied)

    def on_click(self, event: events.Click) -> None:
        row = event.y - 1 + self.scroll_offset.y
        if event.y < 1 or row >= self.rows:
            return
        if row == self.cursor:
            self.action_choose()
        else:
            self.move_to(row)
