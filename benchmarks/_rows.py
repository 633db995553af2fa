"""The one shape that figures have."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Row", "middle", "percentile", "ratios"]


class Row(NamedTuple):
    """One figure: what was measured, and what was asked for."""

    name: str
    value: float
    against: str  # what it is a ratio to, or what is measured where it is none
    note: str  # absolute numbers, and which clock
    spread: tuple[float, float] | None = None  # quartiles, or smallest and largest of few
    must: float | None = None
    reach: float | None = None
    at_least: bool = False  # the bar is the least that will do, not the most
    unit: str = ""

    @property
    def verdict(self) -> str:
        """`reached`, `holds`, `**misses**`, or nothing where no bar is set."""
        if self.must is None:
            return ""
        sign = -1 if self.at_least else 1
        if sign * self.value > sign * self.must:
            return "**misses**"
        return "reached" if self.reach is not None and sign * self.value <= sign * self.reach else "holds"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Pair by pair, so that a neighbour on the machine hits both sides of a pair."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def middle(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Median, and the quartiles (of fewer than eight values, the smallest and the largest)."""
    if len(values) < 8:
        return statistics.median(values), (min(values), max(values))
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return median, (low, high)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
