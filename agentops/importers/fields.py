"""What the fields of a logged call say, whatever type and unit somebody gave them; None for what says nothing."""

from __future__ import annotations

import datetime
import decimal
import math
import re
from typing import Any

from agentops import conventions
from agentops.conventions import token_count

__all__ = [
    "Said", "amount", "anything", "count", "identity", "milliseconds_or_seconds", "moment", "seconds", "time_in",
    "verdict",
]  # fmt: skip

_GOOD_WORDS = ("ok", "success", "succeeded", "successful", "completed", "complete", "done", "true", "200")
_BAD_WORDS = ("error", "failed", "failure", "fail", "exception", "timeout", "cancelled", "false")
_PREFIX_CHARACTERS = 400
_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?Z| ?[+-]\d\d:?\d\d)?")
_NS_MAX = 2**63 - 1
_LATENCY_MAX_S = 30 * 86400


class Said:
    """The fields of an object, and those that nobody has taken yet: they are kept as attributes."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields
        self.rest = dict(fields)

    def take(self, names: tuple[str, ...], read: Any) -> Any:
        """What the first of `names` says that `read` can make something of; None if none does."""
        for name in names:
            if name in self._fields and (value := read(self._fields[name])) is not None:
                self.rest.pop(name, None)
                return value
        return None

    def replace(self, name: str, rest: dict[str, Any]) -> None:
        """What is left of a field whose parts were taken."""
        del self.rest[name]
        if rest:
            self.rest[name] = rest


def anything(value: object) -> object:
    """Whatever it is."""
    return value


def count(value: object) -> int | None:
    """A number of tokens."""
    found = token_count({"": value}, "")
    return found if found is not None and 0 <= found <= _NS_MAX else None


def amount(value: object) -> float | None:
    """US dollars."""
    if isinstance(value, str):
        try:
            value = float(value.strip().removeprefix("$"))
        except ValueError:
            return None
    return conventions.cost_usd({conventions.OI_COST: value})


def seconds(value: object, unit: float) -> float | None:
    """A duration in s, given in `unit` seconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value * unit if 0 <= value <= _LATENCY_MAX_S / unit else None


def milliseconds_or_seconds(value: object) -> float | None:
    """A duration in s: a whole number, and one of 100 or more, is ms, since few calls take as many seconds."""
    return seconds(value, 1.0 if isinstance(value, float) and value < 100 else 1e-3)


def verdict(value: object) -> bool | None:
    """Whether the call went well: a truth, a word, or the status of an HTTP answer."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return None if not 0 <= value < 600 else value < 400 if value > 1 else bool(value)
    word = value.strip().lower() if isinstance(value, str) else ""
    return True if word in _GOOD_WORDS else False if word in _BAD_WORDS else None


def identity(value: object) -> str | None:
    """An id."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value) or None


def moment(value: object) -> int | None:
    """A time as ns since 1970: a number of s, ms, µs or ns since then, or ISO 8601."""
    if isinstance(value, str):
        found = time_in(value)
        if found is not None:
            return found
        try:
            value = float(value) if "." in value else int(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    for least, unit in ((1e17, 1), (1e14, 1_000), (1e11, 1_000_000), (1e8, 1_000_000_000)):
        if value >= least:
            found = int(decimal.Decimal(repr(value)) * unit)
            return found if found <= _NS_MAX else None
    return None


def time_in(text: str) -> int | None:
    """The first date with a time in the beginning of a text, ns since 1970; local where it names no zone."""
    match = _DATE.search(text[:_PREFIX_CHARACTERS])
    if match is None:
        return None
    whole, _, fraction = match.group().replace(" ", "T", 1).replace(",", ".").replace(" ", "").partition(".")
    zone = re.search(r"Z$|[+-]\d\d:?\d\d$", fraction)
    digits = fraction[: zone.start()] if zone else fraction
    try:
        then = datetime.datetime.fromisoformat(whole + (zone.group() if zone else ""))
        whole_seconds = int(then.timestamp())
    except (ValueError, OverflowError, OSError):
        return None
    found = whole_seconds * 1_000_000_000 + int(digits.ljust(9, "0") or 0)
    return found if 0 <= found <= _NS_MAX else None
