"""What stays the same when a failure happens again: texts without ids, numbers and quoted values."""

from __future__ import annotations

import re

__all__ = ["message", "without_ids"]

_UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
#: A word with a digit in it, or a long one of hex digits, with what is glued to it: A-17, req_0b9c, 2024-05-01T10:00Z.
_CODE = r"(?:[^\W_]|[_\-./:@+#])*(?:\d|\b[0-9a-fA-F]{12,}\b)(?:[^\W_]|[_\-./:@+#])*"
_IDS = re.compile(f"{_UUID}|{_CODE}")
_QUOTED = re.compile(r"(?<!\w)(?:'[^']*'|\"[^\"]*\"|`[^`]*`)(?!\w)|“[^”]*”|‘[^’]*’|«[^»]*»")
_HOLES = re.compile(r"<…>(?:[\s,;]*<…>)*")
_HOLE = "<…>"


def message(text: str) -> str:
    """An error's message without digits, ids and quoted texts; of the same failure always the same.

    >>> message("order 'A-17' of user 4711 not found")
    'order <…> of user <…> not found'
    """
    while True:  # what was next to a hole may be one now; each round leaves fewer digits and quotes
        made = _holes(_IDS.sub(_HOLE, _QUOTED.sub(_HOLE, text)))
        if made == text:
            return made
        text = made


def without_ids(text: str) -> str:
    """A name, an input or an output without index, digits and ids: `iteration 3` and `iteration 12` are one.

    Quoted texts stay.
    """
    while True:
        made = _holes(_IDS.sub(_HOLE, text))
        if made == text:
            return made
        text = made


def _holes(text: str) -> str:
    return " ".join(_HOLES.sub(_HOLE, text).split())
