"""What stands in the place of the list where there is nothing to list."""

from __future__ import annotations

from textual.strip import Strip
from textual.widget import Widget

from agentops.errors import AgentopsError, StoreDamaged, StoreTooNew
from agentops_tui.inks import Ink, Line, strip, wrap
from agentops_tui.widgets.painted import palette_of

__all__ = ["Notice"]

_CODE = ("from agentops import span", "", 'with span("answer", kind="agent"):', "    ...")
_RECORD = "agentops run -- python agent.py"


class Notice(Widget):
    """Says where was looked, what was found there, and what to do; at the left, without a box."""

    DEFAULT_CSS = "Notice { display: none; height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[tuple[str, str, bool]] = []

    def tell_empty(self, store: str, reason: str) -> None:
        """Nothing was recorded yet."""
        self._parts = [
            ("No runs yet", "text", True),
            ("", "text", False),
            (f"looked at {store}", "muted", False),
            (f"because: {reason}", "muted", False),
            ("", "text", False),
            ("Record a program as it is:", "text", False),
            (f"    {_RECORD}", "llm", False),
            ("", "text", False),
            ("or say in it what is to be recorded:", "text", False),
            *((f"    {line}", "llm", False) for line in _CODE),
            ("", "text", False),
            ("Runs appear here as soon as they begin.", "muted", False),
        ]
        self.refresh()

    def tell_trouble(self, problem: AgentopsError) -> None:
        """The store cannot be read."""
        title, advice = "The store cannot be read", "agentops doctor"
        if isinstance(problem, StoreTooNew):
            title, advice = "The store was written by a newer agentops", "pip install --upgrade agentops-recorder"
        elif isinstance(problem, StoreDamaged):
            title = "The store is damaged"
        self._parts = [
            (title, "error", True),
            ("", "text", False),
            (str(problem), "text", False),
            ("", "text", False),
            ("What to do:", "muted", False),
            (f"    {advice}", "llm", False),
            ("", "text", False),
            ("This looks again by itself; q quits.", "muted", False),
        ]
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        lines: list[Line] = [()]
        for text, role, bold in self._parts:
            lines += [(Ink("   "), Ink(part, role, bold=bold)) for part in wrap(text, width - 6)]
        return strip(lines[y] if y < len(lines) else (), palette_of(self), width)
