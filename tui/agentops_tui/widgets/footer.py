"""The keys that matter here."""

from __future__ import annotations

from agentops_tui import keys
from agentops_tui.inks import Ink, Line, cells
from agentops_tui.widgets.painted import OneLine

__all__ = ["Footer"]


class Footer(OneLine):
    """Keys and their words, those that fit.

    Args:
        which: which keys, see `agentops_tui.keys`.
    """

    def __init__(self, which: str) -> None:
        super().__init__()
        self._which = which

    def tell(self, which: str) -> None:
        """Other keys matter now."""
        if which != self._which:
            self._which = which
            self.refresh()

    def line(self, width: int) -> Line:
        inks: tuple[Ink, ...] = (Ink(" "),)
        for label, word in keys.shown(self._which):
            more = (Ink(label, bold=True), Ink(f" {word}  ", "muted"))
            if cells((*inks, *more)) > width + 1:
                break
            inks = (*inks, *more)
        return inks
