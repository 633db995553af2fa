"""Lines of a screen, from pieces of text: the one way from a store's text to a terminal.

A piece (`Ink`) becomes a segment in `strip` alone, which shows control, bidirectional and invisible characters as
escapes, measures cells and cuts; nothing is ever read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rich.cells import cell_len, get_character_cell_size, set_cell_size
from rich.segment import Segment
from textual.strip import Strip

from agentops import inert
from agentops_tui.theme import Palette, style

__all__ = ["Ink", "Line", "cells", "cut", "fill", "right", "spread", "strip", "wrap"]


class Ink(NamedTuple):
    """A piece of text in one role."""

    text: str
    role: str = "text"
    bold: bool = False
    underline: bool = False
    ground: str = ""  # the line's own where empty; for bars, which paint both sides of a cell


Line = tuple[Ink, ...]


def cells(inks: Iterable[Ink]) -> int:
    """How many cells they take; for names and facts, not for whole values."""
    return sum(cell_len(inert.line(ink.text)) for ink in inks)


def cut(text: str, width: int) -> str:
    """`text` as it may be shown, in at most `width` cells, the last of them `…` where something was left out."""
    text = inert.line(text, None if len(text) <= width else width + 1)
    if cell_len(text) <= width:
        return text
    return "" if width < 1 else set_cell_size(text, width - 1).rstrip() + "…"


def fill(text: str, width: int) -> str:
    """`cut`, and spaces up to `width`."""
    text = cut(text, width)
    return text + " " * (width - cell_len(text))


def right(text: str, width: int) -> str:
    """`cut`, with spaces before it."""
    text = cut(text, width)
    return " " * (width - cell_len(text)) + text


def spread(left: Iterable[Ink], end: Iterable[Ink], width: int) -> Line:
    """`left` from the left edge and `end` at the right one; `left` is cut where both do not fit."""
    end = tuple(end)
    room = width - cells(end)
    kept: list[Ink] = []
    for ink in left:
        text = cut(ink.text, room)
        room -= cell_len(text)
        kept.append(ink._replace(text=text))
        if room <= 0 or (room == 1 and text.endswith("…")):  # a wide character leaves a cell free
            break
    return (*kept, Ink(" " * max(0, room)), *end)


def strip(inks: Iterable[Ink], palette: Palette, width: int, ground: str = "bg") -> Strip:
    """A line of exactly `width` cells."""
    segments: list[Segment] = []
    room = width
    for text, role, bold, underline, own in inks:
        text = cut(text, room)
        size = cell_len(text)
        if size:
            segments.append(Segment(text, style(palette, role, own or ground, bold, underline)))
            room -= size
        if room <= 0:
            break
    if room > 0:
        segments.append(Segment(" " * room, style(palette, "text", ground)))
    return Strip(segments, width)


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells, broken at spaces where there are some; newlines stay, tabs are spaces."""
    width = max(2, width)
    found: list[str] = []
    for paragraph in inert.block(text).split("\n"):
        paragraph = paragraph.expandtabs(4)
        while True:
            end = _fitting(paragraph, width)
            if end >= len(paragraph):
                found.append(paragraph)
                break
            space = paragraph.rfind(" ", 0, end + 1)
            if space > width // 3:
                found.append(paragraph[:space])
                paragraph = paragraph[space + 1 :]
            else:
                found.append(paragraph[:end])
                paragraph = paragraph[end:]
    return found


def _fitting(text: str, width: int) -> int:
    """How many characters from the beginning take at most `width` cells."""
    start = text[: width + 1]
    if start.isascii():
        return min(len(text), width)
    room = width
    for n, character in enumerate(text):
        room -= get_character_cell_size(character)
        if room < 0:
            return max(1, n)
    return len(text)
