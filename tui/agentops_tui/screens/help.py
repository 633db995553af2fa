"""All keys, from the one list of them."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.geometry import Size
from textual.screen import Screen
from textual.scroll_view import ScrollView
from textual.strip import Strip

from agentops_tui.inks import Ink, Line, fill, strip, wrap
from agentops_tui.keys import KEYS, bindings
from agentops_tui.widgets.footer import Footer
from agentops_tui.widgets.header import Header
from agentops_tui.widgets.painted import palette_of

__all__ = ["HelpScreen"]

_PLACES = (
    ("everywhere", ("app",)),
    ("in lists", ("rows",)),
    ("runs", ("list", "traces", "filter")),
    ("one run", ("tree", "trace")),
    ("detail", ("detail", "value")),
)
_MARKS = (
    ("✗", "error", "failed"), ("!", "text", "ended well, with errors in it"),
    ("●", "tool", "runs"), ("○", "text", "was cut off: no end was recorded"),
)  # fmt: skip
_KINDS = "A agent  P plan  L llm  T tool  R retrieval  E embedding  K rerank  O loop  C chain  G guardrail  V eval"


class HelpText(ScrollView, can_focus=True):
    """The text, which scrolls."""

    DEFAULT_CSS = "HelpText { scrollbar-size: 0 0; overflow-y: scroll; }"

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._text()))

    def render_line(self, y: int) -> Strip:
        lines, n = self._text(), y + self.scroll_offset.y
        return strip(lines[n] if n < len(lines) else (), palette_of(self), self.size.width)

    def _text(self) -> list[Line]:
        lines: list[Line] = []
        for title, places in _PLACES:
            lines += [(), (Ink(f"   {title}", bold=True),)]
            lines += [(Ink("   " + fill(key.label, 8)), Ink(key.help, "muted")) for key in KEYS if key.place in places]
        lines += [(), (Ink("   marks and letters", bold=True),)]
        lines += [(Ink("   " + mark + " " * 7, role), Ink(words, "muted")) for mark, role, words in _MARKS]
        lines += [(Ink("   " + text, "muted"),) for text in wrap(_KINDS, self.size.width - 6)]
        lines += [(), (Ink("   `agentops show --plain` prints a run as sentences, for screen readers.", "muted"),), ()]
        return lines


class HelpScreen(Screen[None]):
    """Esc, q or ? goes back."""

    BINDINGS = bindings("help")

    def compose(self) -> ComposeResult:
        yield Header()
        yield HelpText()
        yield Footer("help")

    def on_mount(self) -> None:
        self.query_one(Header).tell(("agentops", "keys"), ())

    def action_back(self) -> None:
        self.app.pop_screen()
