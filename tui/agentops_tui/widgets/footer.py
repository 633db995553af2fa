"""The keys that matter here, or for a moment, what has just happened."""

from __future__ import annotations

from agentops_tui import keys
from agentops_tui.inks import Ink, Line, cells
from agentops_tui.widgets.painted import OneLine

__all__ = ["Footer"]


_SAID_S = 4.0


class Footer(OneLine):
    """Keys and their words, those that fit.

    Args:
        which: which keys, see `agentops_tui.keys`.
    """

    def __init__(self, which: str) -> None:
        super().__init__()
        self._which = which
        self._said: Line = ()

    def say(self, text: str, role: str = "text") -> None:
        """Show `text` for some seconds in the place of the keys."""
        self._said = said = (Ink(" "), Ink(text[:400], role, bold=role == "error"))
        self.refresh()

        def done() -> None:
            if self._said is said:
                self._said = ()
                self.refresh()

        self.set_timer(_SAID_S, done)

    def tell(self, which: str) -> None:
        """Other keys matter now."""
        if which != self._which:
            self._which = which
            self.refresh()

    def line(self, width: int) -> Line:
        if self._said:
            return self._said
        inks: tuple[Ink, ...] = (Ink(" "),)
        for label, word in keys.shown(self._which):
            more = (Ink(label, bold=True), Ink(f" {word}  ", "muted"))
            if cells((*inks, *more)) > width + 1:
                break
            inks = (*inks, *more)
        return inks
