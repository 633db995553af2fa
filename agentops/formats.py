"""Numbers and times as people read them; shared with whatever shows traces."""

from __future__ import annotations

import time

__all__ = ["cells", "cost", "count", "duration", "fit", "iso", "moment"]


def duration(ns: int | None) -> str:
    """`0.02ms`, `310ms`, `2.4s`, `1m21s`, `1h04m`; nothing for None."""
    if ns is None:
        return ""
    seconds = ns / 1e9
    if seconds < 0.001:
        return f"{max(0, ns) / 1e6:.2f}ms"  # not µs, which ASCII has not
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours < 100 else f"{hours // 24}d{hours % 24:02d}h"


def count(number: int | None) -> str:
    """`980`, `12.4k`, `3.1M`; nothing for None and 0."""
    if not number:
        return ""
    if number < 1_000:
        return str(number)
    if number < 99_950:
        return f"{number / 1e3:.1f}k"
    return f"{number / 1e3:.0f}k" if number < 999_500 else f"{number / 1e6:.1f}M"


def cost(usd: float | None, unpriced: int = 0) -> str:
    """`$0.021`; nothing where the cost is not known, and never zero for what is none.

    Where some of the calls have no price, it has a + behind it: they cost more than that. Where none has, `unpriced`.
    """
    if usd is None:
        return "unpriced" if unpriced else ""
    if unpriced:
        return "<$0.001+" if 0 < usd < 0.00005 else cost(usd) + "+"
    if 0 < usd < 0.00005:
        return "<$0.0001"
    return f"${usd:.2f}" if usd >= 1 else f"${usd:.4f}" if usd < 0.01 else f"${usd:.3f}"


def moment(ns: int, now: float | None = None) -> str:
    """A local time: `14:02:31` today, `Nov 23 14:02` this year, else with the year."""
    try:
        then = time.localtime(ns / 1e9)
    except (ValueError, OverflowError, OSError):  # a journal from elsewhere may say anything
        return "?"
    today = time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M:%S", then)
    return time.strftime("%b %d %H:%M" if then[0] == today[0] else "%Y-%m-%d %H:%M", then)


def iso(ns: int | None) -> str | None:
    """ISO 8601 in UTC with all nine digits of the fraction; None for None and for what is no time."""
    if ns is None:
        return None
    seconds, rest = divmod(ns, 1_000_000_000)
    try:
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"
    except (ValueError, OverflowError, OSError):
        return None


def cells(text: str) -> int:
    """How many cells of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fit(text: str, width: int, ascii: bool = False) -> str:
    """`text` in exactly `width` cells: filled up, or cut with `…` (`..` in ASCII)."""
    more = ".." if ascii else "…"
    have = cells(text)
    if have <= width:
        return text + " " * (width - have)
    kept = ""
    room = width - len(more)
    for character in text:
        room -= cells(character)
        if room < 0:
            break
        kept += character
    return kept + more + " " * (width - len(more) - cells(kept))
