"""Canaries: texts that must not be anywhere, in all the ways in which bytes can hold them."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Iterable, Iterator

from agentops.errors import UsageError

__all__ = ["Canary"]

_LEAST = 4
#: A shorter piece of base64 stands in anything.
_LEAST_PIECE = 6


class Canary:
    """A text that is looked for in bytes.

    Args:
        text: what is looked for.
        number: what it is called where it is found.

    Raises:
        UsageError: it is so short that it would be found everywhere.
    """

    def __init__(self, text: str, number: int) -> None:
        if len(text.strip()) < _LEAST:
            raise UsageError(f"a canary has {_LEAST} characters or more: a shorter one is found everywhere")
        self.text = text
        self.number = number
        self.spellings: dict[bytes, str] = {}
        for how, spelling in _spellings(text):
            if len(spelling) >= _LEAST:
                self.spellings.setdefault(spelling, how)
        self.longest = max(map(len, self.spellings))

    def found(self, data: bytes) -> Iterator[tuple[str, int]]:
        """In which spellings it stands in `data`, and how often."""
        for spelling, how in self.spellings.items():
            if spelling in data:
                yield how, data.count(spelling)


def _spellings(text: str) -> Iterator[tuple[str, bytes]]:
    plain = _bytes(text)
    yield "as it is", plain
    yield "without blanks", _bytes("".join(text.split()))
    yield "quoted for a URL", urllib.parse.quote(plain).encode()
    yield "quoted for a URL", urllib.parse.quote_plus(plain).encode()
    for ascii in (True, False):
        once = _json(text, ascii)
        yield "escaped as JSON", _bytes(once)
        yield "escaped as JSON twice", _bytes(_json(once, ascii))
    for variant in dict.fromkeys((plain, _bytes("".join(text.split())))):
        yield "in hexadecimal", variant.hex().encode()
        yield "in hexadecimal", variant.hex().upper().encode()
        yield from (("in base64", piece) for piece in _base64(variant))


def _base64(data: bytes) -> Iterable[bytes]:
    """What of its base64 does not depend on what stands before and after it, at the three places that it can begin."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data + bytes(3))
        piece = encoded[(8 * before + 5) // 6 : 8 * (before + len(data)) // 6]
        if len(piece) >= _LEAST_PIECE:
            yield piece
            yield piece.translate(bytes.maketrans(b"+/", b"-_"))


def _json(text: str, ascii: bool) -> str:
    return json.dumps(text, ensure_ascii=ascii)[1:-1]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape" if any("\udc80" <= c <= "\udcff" for c in text) else "surrogatepass")
