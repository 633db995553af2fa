"""Where a filter is typed, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from agentops import inert
from agentops.errors import FilterError
from agentops_tui.inks import Ink, Line, cells, strip
from agentops_tui.keys import bindings
from agentops_tui.widgets.painted import OneLine, palette_of

if TYPE_CHECKING:
    from agentops_tui.screens.traces import TracesScreen

__all__ = ["FilterLine"]


class Wrong(Widget):
    """A mark below the wrong word, and what would be right."""

    DEFAULT_CSS = "Wrong { height: 2; display: none; }"

    def __init__(self) -> None:
        super().__init__()
        self._lines: tuple[Line, Line] = ((), ())

    def tell(self, problem: FilterError | None, indent: int) -> None:
        """Show what is wrong, or nothing."""
        self.display = problem is not None
        if problem is not None:
            before, wrong = problem.line[: problem.start], problem.line[problem.start : problem.end]
            at = indent + cells((Ink(before),))
            mark = "^" * max(1, cells((Ink(inert.line(wrong)),)))
            self._lines = (
                (Ink(" " * at), Ink(mark, "error", bold=True)),
                (Ink(" ✗ ", "error"), Ink(str(problem.args[0]))),
            )
        self.refresh()

    def render_line(self, y: int) -> Strip:
        return strip(self._lines[y] if y < 2 else (), palette_of(self), self.size.width, "panel")


class Prompt(OneLine):
    """The slash that was pressed."""

    DEFAULT_CSS = "Prompt { width: 3; }"

    def line(self, width: int) -> Line:
        return (Ink(" / ", bold=True),)


class FilterLine(Vertical):
    """Enter lists what it selects, Esc leaves things as they were."""

    DEFAULT_CSS = """
    FilterLine { height: auto; display: none; }
    FilterLine Horizontal { height: 1; }
    FilterLine Input { width: 1fr; height: 1; border: none; background: $panel; }
    FilterLine Input:focus { border: none; }
    """
    BINDINGS = bindings("filter")

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Prompt()
            yield Input(placeholder='status:error took>5s kind:tool name:refund since:1h "free text"', compact=True)
        yield Wrong()

    def ask(self, text: str) -> None:
        """Let the reader type, beginning with `text`."""
        self.display = True

        def begin() -> None:
            field = self.query_one(Input)
            field.value = text
            field.focus()

        self.call_after_refresh(begin)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        problem = cast("TracesScreen", self.screen).filter_by(event.value)
        self.query_one(Wrong).tell(problem, indent=3)
        if problem is None:
            self.display = False

    @on(Input.Changed)
    def _changed(self) -> None:
        self.query_one(Wrong).tell(None, 0)

    def action_away(self) -> None:
        self.display = False
        cast("TracesScreen", self.screen).list.focus()
