"""Most of what programs record is prose and can hold nothing sensitive: one look at the bytes tells, at memory's speed.

`calm` stands in front of the detectors' own questions, which are closer and cost more. It promises for the personal
data and the secrets that are looked for without being asked for more, and for texts in base64: each of these has
seven digits with little between them, or an `@`, or five colons, or two side by side, or thirteen characters without a
blank, or one of four words in front of it, or is a whole number that takes four bytes or eight in MessagePack. What is
escaped as in URLs, pages and JSON may be any of these.
"""

from __future__ import annotations

from agentops.redaction.inside import is_escaped

__all__ = ["calm"]

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = b"0123456789"
#: Digits and dots side by side, what may stand between them left out.
_NUMBERS = bytes(0x30 if n in _DIGITS + b"." else 0x20 for n in range(256))
_BETWEEN = b" -()[]/~" + bytes(range(128, 256))
_SEVEN = "0" * 7
#: With these begin the digits of other scripts, in UTF-8.
_NO_OTHER_DIGITS = bytes(n for n in range(256) if n not in b"\xd9\xdb\xdf\xe0\xe1\xea\xef\xf0")
_RUNS = bytes(0x78 if n in _LETTERS + _DIGITS + b"_-.+/~|:@=%" else 0x20 for n in range(256))
_LONG = "x" * 13
#: The head of a text in MessagePack.
_HEAD = 5


def calm(data: bytes) -> bool:
    """True promises that nothing is found in any text inside `data`: UTF-8, or MessagePack that holds some."""
    text = data.lower().decode("latin-1")  # in a str things are found faster than in bytes
    if "@" in text or "\xcf" in text or "\xce" in text or (":" in text and ("::" in text or text.count(":") > 4)):
        return False
    if _LONG in data.translate(_RUNS).decode() or _SEVEN in data.translate(_NUMBERS, _BETWEEN).decode():
        return False
    if ("%" in text or "&" in text or "\\" in text) and is_escaped(data):
        return False
    if not data[_HEAD:].isascii() and len(data.translate(None, _NO_OTHER_DIGITS)) > 3:
        return False
    return not ("pass" in text or "secret" in text or "token" in text or "pwd" in text)
