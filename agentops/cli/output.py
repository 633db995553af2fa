"""Standard output of a command: plain, coloured or JSON; nothing stored reaches a terminal unescaped."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from agentops import formats

__all__ = ["VERSION", "Output"]

#: Version of what --json prints; it changes when a field changes its meaning or goes.
VERSION = 1

_MARKS = {"error": "✗", "interrupted": "○", "running": "●", "ok": " "}
_ASCII_MARKS = {"error": "x", "interrupted": "o", "running": "*", "ok": " "}
_COLOURS = {"error": "31", "interrupted": "33", "running": "32", "dim": "2", "bold": "1"}


class Output:
    """Where a command prints.

    Args:
        json: print one JSON object instead of text.
        ascii: no glyphs beyond ASCII.
    """

    def __init__(self, json: bool = False, ascii: bool = False) -> None:
        self._stream = sys.stdout
        self.json = json
        try:  # what the terminal's encoding lacks is escaped, never an error
            self._stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
            "✗".encode(self._stream.encoding or "ascii")
        except (AttributeError, UnicodeEncodeError, LookupError):
            ascii = True
        self.ascii = ascii
        terminal = self._stream.isatty()
        self.coloured = not json and terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        #: Cells of a line of the terminal; None where it is none.
        self.width = os.get_terminal_size(self._stream.fileno()).columns or None if terminal else None

    def line(self, text: str = "") -> None:
        """Print one line."""
        self._stream.write(text + "\n")

    def aside(self, text: str) -> None:
        """Say something beside what was asked for: whoever reads the output by a program does not get it."""
        self._stream.flush()
        print(self.paint(text, "dim") if sys.stderr.isatty() else text, file=sys.stderr)

    def text(self, text: str, role: str = "") -> None:
        """Print a sentence: on a terminal it breaks at words, and goes on where it was indented to."""
        if self.width is None or formats.cells(text) <= self.width:
            self.line(self.paint(text, role))
            return
        import textwrap

        indent = text[: len(text) - len(text.lstrip(" "))][: self.width // 2]
        for part in textwrap.wrap(text.strip(), self.width - len(indent), break_on_hyphens=False):
            self.line(self.paint(indent + part, role))

    def row(self, text: str, role: str = "") -> None:
        """Print one line of a table: on a terminal it is cut where that ends, not wrapped."""
        if self.width is not None:
            text = formats.fit(text, self.width, self.ascii)
        self.line(self.paint(text.rstrip(), role))

    def object(self, fields: Mapping[str, Any]) -> None:
        """Print the object that --json promises."""
        import json

        whole = {"version": VERSION, **fields}
        try:
            text = json.dumps(whole, allow_nan=False)  # not indented: that would take ten times as long
        except ValueError:
            text = json.dumps(_finite(whole))
        self._stream.write(text.replace("\x7f", "\\u007f") + "\n")

    def mark(self, status: str) -> str:
        """The sign for a status: never colour alone."""
        return (_ASCII_MARKS if self.ascii else _MARKS).get(status, " ")

    def paint(self, text: str, role: str) -> str:
        """`text` in the colour of a status, `dim` or `bold`, where there are colours."""
        code = _COLOURS.get(role)
        return f"\x1b[{code}m{text}\x1b[0m" if self.coloured and code and text else text


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity; they become the texts `NaN`, `Infinity` and `-Infinity`."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
