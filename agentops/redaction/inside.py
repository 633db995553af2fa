"""Texts inside of texts: base64, JSON and what is escaped, in which a detector sees nothing as long as it is closed."""

from __future__ import annotations

import base64
import binascii
import bisect
import html
import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = [
    "View", "as_json", "decoded", "is_escaped", "may_be_base64", "opened_json", "unescaped", "view", "was_json",
    "written_json",
]  # fmt: skip

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_RUNS = bytes(0x78 if n in _ALPHABET else 0x20 for n in range(256))
#: Shorter ones hold no value of a kind that is looked for.
_LEAST = 16
_LONG = b"x" * _LEAST
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t\r\n"
_URL_ALPHABET = bytes.maketrans(b"-_", b"+/")
#: What is an image or an archive is not text, and need not be opened as a whole to know that.
_TASTE = 64
_JSON_BYTES_MAX = 4 << 20

#: One character or byte, as URLs, pages and JSON write it.
_ESCAPE = r"%[0-9A-Fa-f]{2}|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});|\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2})"
_ESCAPES, _ESCAPES_BYTES = re.compile(_ESCAPE), re.compile(_ESCAPE.encode())
#: In MessagePack the length of a text may look like the first sign of one.
_LENGTH = re.compile(rb"((?:[\xc4\xd9]|[\xc5\xda].|[\xc6\xdb]...))[%&\\]", re.DOTALL)
_PERCENTS = re.compile("(?:%[0-9A-Fa-f]{2})+")


def may_be_base64(data: bytes) -> bool:
    """Whether a run of the alphabet's characters stands in it that reads as text."""
    if _LONG not in data.translate(_RUNS):
        return False
    return any(True for _ in decoded(data))


def decoded(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Where something in base64 stands that reads as text, and the text."""
    for found in _BASE64.finditer(data):
        token = found[0].rstrip(b"=")
        for skipped in (0, 1, 2, 3):  # a word may stand in front, without anything in between
            if len(token) - skipped < _LEAST:
                break
            if _reads_as_text(_open(token[skipped : skipped + _TASTE])):
                text = _open(token[skipped:])
                if _reads_as_text(text):
                    yield found.start() + skipped, found.end(), text
                    break


def _open(token: bytes) -> bytes:
    token = token[: len(token) - (len(token) % 4 == 1)].translate(_URL_ALPHABET)
    try:
        return base64.b64decode(token + b"=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return b""


def _reads_as_text(data: bytes) -> bool:
    return len(data) > 8 and len(data.translate(None, _PRINTABLE)) * 16 <= len(data)


def opened_json(text: str) -> object:
    """The value of a text that is JSON; None for any other text."""
    if len(text) > _JSON_BYTES_MAX or text.lstrip()[:1] not in ("{", "[", '"'):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def written_json(value: object) -> str | None:
    """A value as JSON; None if it cannot be."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return None


def was_json(before: str, after: str) -> bool:
    """Whether a text was a mapping or a list in JSON, and is none any more."""
    return before.lstrip()[:1] in ("{", "[") and opened_json(before) is not None and opened_json(after) is None


def as_json(text: str, redact: Callable[[object], object]) -> str | None:
    """`text`, which is JSON with escapes that may hide something, redacted; None if nothing has to change."""
    value = opened_json(text) if "\\" in text else None
    if value is None:
        return None
    redacted = redact(value)
    return None if redacted == value else written_json(redacted)


class View(NamedTuple):
    """A text with all escapes decoded, and where its characters stand in the original."""

    text: str
    #: Of each piece that is as long in both: where it begins here, and there.
    here: list[int]
    there: list[int]

    def place(self, at: int) -> int:
        """Where what begins at `at` begins in the original."""
        n = bisect.bisect_right(self.here, at) - 1
        return min(self.there[n] + at - self.here[n], self.there[n + 1] if n + 1 < len(self.there) else 1 << 62)

    def end(self, at: int) -> int:
        """Where what ends before `at` ends in the original: an escape is not cut."""
        n = bisect.bisect_left(self.here, at) - 1
        if n < 0:
            return 0
        whole = n + 1 < len(self.here) and self.here[n + 1] == at
        return self.there[n + 1] if whole else self.there[n] + at - self.here[n]


def is_escaped(data: bytes) -> bool:
    """Whether something in it is."""
    return (b"%" in data or b"&" in data or b"\\" in data) and _ESCAPES_BYTES.search(data) is not None


def view(text: str) -> View | None:
    """`text` with its escapes decoded; None if it has none."""
    if "%" not in text and "&" not in text and "\\" not in text:
        return None
    pieces: list[str] = []
    here, there = [0], [0]
    done = size = 0
    for match in _ESCAPES.finditer(text):
        if match.start() < done:  # one of a row of bytes
            continue
        if match[0][0] == "%":
            row = _PERCENTS.match(text, match.start())
            end = row.end() if row else match.end()
            opened = bytes.fromhex(text[match.start() : end].replace("%", "")).decode("utf-8", "surrogateescape")
            lengths = [3 * len(c.encode("utf-8", "surrogateescape")) for c in opened]
        else:
            opened = _one(match[0])
            end, lengths = match.end(), [len(match[0])]
        if opened == match[0]:
            continue
        pieces += (text[done : match.start()], opened)
        size += match.start() - done
        at = match.start()
        for length in lengths:
            here.append(size)
            there.append(at)
            size, at = size + 1, at + length
        here.append(size)
        there.append(end)
        done = end
    if not pieces:
        return None
    return View("".join((*pieces, text[done:])), here, there)


def unescaped(data: bytes) -> Iterator[bytes]:
    """`data`, UTF-8 or MessagePack that holds some, with its escapes decoded; nothing if it has none."""
    if not is_escaped(data):
        return
    yield _ESCAPES_BYTES.sub(_one_of_bytes, data)
    if not data.isascii() and (plain := _LENGTH.sub(rb"\1 ", data)) != data:
        yield _ESCAPES_BYTES.sub(_one_of_bytes, plain)


def _one(escape: str) -> str:
    """What an escape that is not of a byte stands for: one character, or itself if nobody knows."""
    if escape[0] == "&":
        opened = html.unescape(escape)
        return opened if len(opened) == 1 else escape
    return chr(int(escape[2:], 16))


def _one_of_bytes(match: re.Match[bytes]) -> bytes:
    if match[0][:1] == b"%":
        return bytes((int(match[0][1:], 16),))
    return _one(match[0].decode()).encode("utf-8", "surrogatepass")
