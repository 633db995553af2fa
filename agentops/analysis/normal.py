"""What stays the same when a failure happens again: texts without ids, numbers and quoted values."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["message", "without_ids"]

#: A word with what is glued to it: A-17, req_0b9c, 2024-05-01T10:00Z, 10.0.0.1:8080.
_WORD = re.compile(r"[\w\-./:@+#]+")
_ID = re.compile(r"\d|\b[0-9a-fA-F]{12,}\b")
_QUOTED = re.compile(r"(?<!\w)(?:'[^']*'|\"[^\"]*\"|`[^`]*`)(?!\w)|“[^”]*”|‘[^’]*’|«[^»]*»")
_HOLES = re.compile(r"<…>(?:[\s,;]*<…>)*")
_HOLE = "<…>"


def message(text: str) -> str:
    """An error's message without digits, ids and quoted texts; of the same failure always the same.

    >>> message("order 'A-17' of user 4711 not found")
    'order <…> of user <…> not found'
    """
    return _made(text, lambda text: _without(_QUOTED.sub(_HOLE, text)))


def without_ids(text: str) -> str:
    """A name, an input or an output without index, digits and ids: `iteration 3` and `iteration 12` are one.

    Quoted texts stay.
    """
    return _made(text, _without)


def _made(text: str, make: Callable[[str], str]) -> str:
    while (
        made := make(text)
    ) != text:  # what stands beside a hole may be one now; there are fewer characters each time
        text = made
    return made


def _without(text: str) -> str:
    text = _WORD.sub(lambda word: _HOLE if _ID.search(word[0]) else word[0], text)
    return " ".join(_HOLES.sub(_HOLE, text).split())
