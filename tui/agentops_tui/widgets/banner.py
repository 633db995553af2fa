"""The one line that says what failed."""

from __future__ import annotations

from agentops_tui.glances import reason
from agentops_tui.inks import Ink, Line, spread
from agentops_tui.widgets.painted import OneLine

__all__ = ["Banner"]


class Banner(OneLine):
    """The first error of a run, or the one under the cursor; not there where nothing failed."""

    DEFAULT_CSS = "Banner { display: none; }"
    GROUND = "alarm"

    def __init__(self) -> None:
        super().__init__()
        self._told: tuple[str, str, str, int, int] | None = None

    def tell(self, above: str, name: str, message: str, number: int, of: int) -> None:
        """Show error `number` (from 1) of so many."""
        if self._told != (above, name, message, number, of):
            self._told = above, name, message, number, of
            self.display = True
            self.refresh()

    def line(self, width: int) -> Line:
        if self._told is None:
            return ()
        above, name, message, number, of = self._told
        left = [Ink(" ✗ ", "error", bold=True)]
        if width >= 100:
            place = "first" if number == 1 else f"error {number}"
            count = "the only error" if of == 1 else f"{place} of {of} errors"
            if above:
                left.append(Ink(f"{above} › ", "error", bold=True))
        else:
            count = f"{number}/{of}" if of > 1 else ""
        left += [Ink(name, "error", bold=True), Ink("  "), Ink(message if width >= 100 else reason(message))]
        end = [Ink("  "), Ink(count, "muted")]
        if of > 1:
            end += [Ink("   "), Ink("e", bold=True), Ink(" next" if width >= 100 else "", "muted")]
        return spread(left, (*end, Ink(" ")), width)
