"""Widgets that paint lines of ink, and how they come by their colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.strip import Strip
from textual.widget import Widget

from agentops_tui.inks import Line, strip

if TYPE_CHECKING:
    from agentops_tui.app import Explorer
    from agentops_tui.theme import Palette

__all__ = ["OneLine", "explorer_of", "palette_of"]


def explorer_of(widget: Widget) -> Explorer:
    """The app that `widget` is in."""
    return cast("Explorer", widget.app)


def palette_of(widget: Widget) -> Palette:
    """The colours in force."""
    palette: Palette = explorer_of(widget).palette
    return palette


class OneLine(Widget):
    """A line that is told anew as a whole: header, banner, footer."""

    DEFAULT_CSS = "OneLine { height: 1; }"
    GROUND = "panel"

    def line(self, width: int) -> Line:
        """What stands there in `width` cells."""
        return ()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        return strip(self.line(width), palette_of(self), width, self.GROUND)
