"""Where one value leaves another, to the byte, and what kind of thing stands there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from agentops.volatile import VOLATILE

__all__ = ["Difference", "common", "difference"]

#: So much of a text around the place is looked at for what changes there.
_AROUND = 80
_SHOWN = 60
_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d\d?[./]\d\d?[./]\d{4}")
_TIME = re.compile(
    r"(?i)\d\d?:\d\d|\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.]\d{4}|^1[5-9]\d{8}|^20\d{8}|^\d{8}T\d{6}"
    r"|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s\d|\d(?:ms|s)$|\d\s?(?:ms|secs?|seconds)$"
)
#: A word after a time is taken for a zone there; most are none.
_ZONELESS = re.compile(r"\s(?!UTC|GMT|[A-Z]{2,3}T$|[ap]\.?m)[A-Za-z]{3,4}$")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_encode = msgspec.json.Encoder().encode


class Difference(NamedTuple):
    """The first place where two values differ.

    Args:
        path: of the text in the value, such as `.input_schema.properties.city`; empty for the value itself.
        byte: in that text, where what has changed begins; in the value's JSON, if it is not inside of a text.
        paragraph: of the text, counted from 1.
        what: `a timestamp`, `an id`, `a number`, `text`, `the order of keys`, `keys`, `a value`.
        before, after: what stood there and what stands there now, the beginning of it.
    """

    path: str
    byte: int
    paragraph: int
    what: str
    before: str
    after: str


def common(one: Sequence[object], other: Sequence[object]) -> int:
    """How many items two sequences, or characters two texts, have in common at their beginnings."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:  # as nearly always
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def difference(before: Any, after: Any) -> Difference | None:
    """The first place where `after` leaves `before`; None if they are the same, keys in the same order.

    Args:
        before, after: values as JSON has them.
    """
    path = ""
    whole = _json(before), _json(after)
    if whole[0] == whole[1]:
        return None
    what = "a value"
    while True:
        found = _step(before, after)
        if isinstance(found, str):
            what = found
            break
        name, before, after = found
        path += name
        if isinstance(before, str) and isinstance(after, str):
            # The words of a block are what everybody calls its text.
            return _in_text(before, after)._replace(path="" if path == ".text" else path)
    at = _bytes(whole[0][: common(*whole)])
    return Difference(path, at, 1, what, _short(_json(before)), _short(_json(after)))


def _step(before: Any, after: Any) -> tuple[str, Any, Any] | str:
    """One level further in: name, and both values there; or what differs, if it is here."""
    if isinstance(before, str) and isinstance(after, str):
        return "", before, after
    if isinstance(before, dict) and isinstance(after, dict):
        for key, other in zip(before, after, strict=False):
            if key != other:
                return "the order of keys" if before.keys() == after.keys() else "keys"
            if _json(before[key]) != _json(after[key]):
                return f".{key}", before[key], after[key]
        return "keys"
    if isinstance(before, list) and isinstance(after, list):
        for n, (one, other) in enumerate(zip(before, after, strict=False)):
            if _json(one) != _json(other):
                if sorted(map(_json, before)) == sorted(map(_json, after)):
                    return "the order of a list"
                return f"[{n}]", one, other
        return "the length of a list"
    return "a value"


def _in_text(before: str, after: str) -> Difference:
    at = common(before, after)
    start, what, old, new = _changed(before, after, at)
    paragraph = before.count("\n\n", 0, start) + 1
    return Difference("", _bytes(before[:start]), paragraph, what, _short(old), _short(new))


def _changed(before: str, after: str, at: int) -> tuple[int, str, str, str]:
    """Where what changes at `at` begins, what it is, and how it reads in both."""
    low = max(0, at - _AROUND)
    parts = before[low : at + _AROUND], after[low : at + _AROUND]
    for pattern in (VOLATILE, _DATE, _NUMBER):
        old, new = (_over(pattern, part, at - low) for part in parts)
        if old is not None and new is not None and old.start() == new.start() and old[0] != new[0]:
            if pattern is _NUMBER:
                what = "a number"
            elif pattern is _DATE or _TIME.search(old[0]):
                what = "a timestamp"
            else:
                what = "an id"
            return low + old.start(), what, _ZONELESS.sub("", old[0]), _ZONELESS.sub("", new[0])
    return at, "text", before[at : at + _SHOWN + 1], after[at : at + _SHOWN + 1]


def _over(pattern: re.Pattern[str], text: str, at: int) -> re.Match[str] | None:
    """What matches at the place, or ends there."""
    for found in pattern.finditer(text):
        if found.start() <= at <= found.end() and found.end() > found.start():
            return found
        if found.start() > at:
            break
    return None


def _json(value: Any) -> str:
    return _encode(value).decode()


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
