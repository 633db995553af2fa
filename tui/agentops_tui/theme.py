"""Colours by role, dark and light, and what paints with them: red is the one loud hue and means failed."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from rich.style import Style
from textual.theme import Theme

__all__ = ["DARK", "KIND_LETTER", "KIND_ROLE", "LIGHT", "MONO", "Palette", "style", "theme"]


class Palette(NamedTuple):
    """The colours of one theme by role."""

    name: str
    dark: bool
    bg: str
    surface: str
    panel: str
    cursor: str
    alarm: str  # the ground of a banner
    text: str
    muted: str
    faint: str  # hair lines, never text
    quiet: str  # bars of folded spans, never text
    error: str
    verdict: str
    llm: str
    tool: str
    data: str
    lifted: str  # muted, on the cursor's ground
    bold_errors: bool = False  # where a hue cannot say it


DARK = Palette(
    "agentops-dark", True,
    bg="#12151b", surface="#171b23", panel="#202633", cursor="#253350", alarm="#2e1a1e",
    text="#d5dae3", muted="#8d96a6", faint="#4d5667", quiet="#3a4353",
    error="#ff7b72", verdict="#e3b341", llm="#79a8f5", tool="#5fb8a6", data="#b79bea", lifted="#a3abba",
)  # fmt: skip
LIGHT = Palette(
    "agentops-light", False,
    bg="#fcfcfa", surface="#f3f4f1", panel="#e6e8e6", cursor="#dbe6fb", alarm="#fbe6e4",
    text="#20262e", muted="#5b6572", faint="#a9b0b8", quiet="#c6ccd2",
    error="#c4252d", verdict="#8a5a00", llm="#2457b8", tool="#0b6e5e", data="#6b42b5", lifted="#525c69",
)  # fmt: skip
#: For NO_COLOR, where Textual makes greys of hues: failures are the brightest, and bold.
MONO = Palette(
    "agentops-mono", True,
    bg="#121212", surface="#181818", panel="#262626", cursor="#3c3c3c", alarm="#262626",
    text="#c6c6c6", muted="#8e8e8e", faint="#565656", quiet="#444444",
    error="#ffffff", verdict="#e4e4e4", llm="#b0b0b0", tool="#b0b0b0", data="#b0b0b0", lifted="#b0b0b0",
    bold_errors=True,
)  # fmt: skip

#: The first letter of a line says the kind; four hues say it again.
KIND_LETTER = {
    "agent": "A", "plan": "P", "llm": "L", "tool": "T", "retrieval": "R", "embedding": "E", "rerank": "K",
    "loop": "O", "chain": "C", "guardrail": "G", "eval": "V",
}  # fmt: skip
KIND_ROLE = {
    "llm": "llm", "tool": "tool", "retrieval": "data", "embedding": "data", "rerank": "data", "guardrail": "verdict",
}  # fmt: skip


@lru_cache(maxsize=1024)
def style(palette: Palette, role: str, ground: str, bold: bool = False, underline: bool = False) -> Style:
    """The style of text in `role` on `ground`, both names of the palette's colours."""
    if ground == "cursor" and role == "muted":
        role = "lifted"
    if role == "error" and palette.bold_errors:
        bold = True
    return Style(
        color=getattr(palette, role), bgcolor=getattr(palette, ground), bold=bold or None, underline=underline or None
    )


def theme(palette: Palette) -> Theme:
    """The palette as Textual's own widgets know it."""
    return Theme(
        palette.name, primary=palette.llm, secondary=palette.tool, accent=palette.llm, success=palette.tool,
        warning=palette.verdict, error=palette.error, foreground=palette.text, background=palette.bg,
        surface=palette.surface, panel=palette.panel, dark=palette.dark,
        variables={"cursor-ground": palette.cursor, "alarm": palette.alarm, "muted": palette.muted},
    )  # fmt: skip
