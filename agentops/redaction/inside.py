"""Texts inside of texts: base64 and JSON, in which a detector sees nothing as long as they are closed."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator

__all__ = ["as_json", "decoded", "may_be_base64", "opened_json", "was_json", "written_json"]

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
