"""Bars of a waterfall in eighths of a cell, and the ruler above them."""

from __future__ import annotations

from typing import NamedTuple

from rich.cells import cell_len

from agentops_tui.inks import Ink, Line, cut

__all__ = ["Scale", "bar", "beside", "hairline", "round_times"]

#: A block that fills so many eighths of its cell from the left.
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LABEL = 8  # cells from one label of the ruler to the next
_LEAST = 2  # eighths: a quarter of a cell, or nobody sees it
_STEPS = (
    *(unit * step for unit in (1_000, 10_000, 100_000, 10**6, 10**7, 10**8) for step in (1, 2, 5)),
    *(second * 10**9 for second in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600, 43200)),
)  # fmt: skip


class Scale(NamedTuple):
    """Which time of a run stands in which eighth of a cell. Times in ns."""

    start: int
    end: int
    width: int

    def at(self, time: int) -> int:
        """Eighths from the left edge, within the width."""
        span = max(1, self.end - self.start)
        return min(max(0, (time - self.start) * self.width * 8 // span), self.width * 8)


def bar(scale: Scale, start: int, end: int, role: str, ground: str) -> tuple[int, Line, int]:
    """A bar: how many cells are free before it, the bar, and how many are free after it."""
    left, right = scale.at(start), scale.at(end)
    if right - left < _LEAST:
        left = min(left, scale.width * 8 - _LEAST)
        right = left + _LEAST
    first, inside = divmod(left, 8)
    last, rest = divmod(right, 8)
    if first == last or (last == first + 1 and not rest):  # all in one cell
        if inside >= 4 or right % 8 == 0:
            return first, (Ink("▐" if right - left >= 3 else "▕", role),), scale.width - first - 1
        return first, (Ink(_EIGHTHS[max(_LEAST, right - left)], role),), scale.width - first - 1
    inks: list[Ink] = []
    if inside:  # the empty part of the first cell, painted over the bar
        inks.append(Ink(_EIGHTHS[inside], ground, ground=role))
        first_whole = first + 1
    else:
        first_whole = first
    if last > first_whole:
        inks.append(Ink("█" * (last - first_whole), role))
    if rest:
        inks.append(Ink(_EIGHTHS[rest], role))
    return first, tuple(inks), scale.width - last - bool(rest)


def hairline(scale: Scale, start: int, end: int) -> tuple[int, Line, int]:
    """What stands for a span whose children are shown: their time is its time."""
    first = min(scale.at(start) // 8, scale.width - 1)
    last = max(first + 1, -(-scale.at(end) // 8))
    return first, (Ink("─" * (last - first), "faint"),), scale.width - last


def beside(placed: tuple[int, Line, int], note: str, role: str, mark: str = "") -> Line:
    """The bar with `note` on the side where there is more room; `mark` stands right at its end."""
    before, inks, after = placed
    if mark and after:
        inks, after = (*inks, Ink(mark, inks[-1].role)), after - 1
    if not note or max(before, after) < 4:
        return (Ink(" " * before), *inks, Ink(" " * after))
    if before > after:
        text = cut(note, before - 1)
        return (Ink(" " * (before - 1 - cell_len(text))), Ink(text, role), Ink(" "), *inks, Ink(" " * after))
    text = cut(note, after - 1)
    return (Ink(" " * before), *inks, Ink(" "), Ink(text, role), Ink(" " * (after - 1 - cell_len(text))))


def round_times(scale: Scale) -> str:
    """The ruler: a round time where it stands, as many as are easily read."""
    span = max(1, scale.end - scale.start)
    least = span * _LABEL // scale.width  # so long is what a label takes
    step = next((step for step in _STEPS if step >= least), None)
    if step is None:
        day = 86_400 * 10**9
        step = day * -(-least // day)
    ruler, time = "0", step
    while time < span:
        cell, label = scale.at(scale.start + time) // 8, _label(time)
        if cell > len(ruler) and cell + len(label) <= scale.width:
            ruler += " " * (cell - len(ruler)) + label
        time += step
    return ruler + " " * (scale.width - len(ruler))


def _label(ns: int) -> str:
    """`250ms`, `30s`, `1m30s`, `2h`: shorter than a duration, as it is round."""
    for unit, name in ((86_400 * 10**9, "d"), (3_600 * 10**9, "h"), (60 * 10**9, "m")):
        if ns >= unit:
            whole, rest = divmod(ns, unit)
            return f"{whole}{name}" + (_label(rest) if rest else "")
    if ns >= 10**9:
        return f"{ns / 1e9:g}s"
    return f"{ns / 1e6:g}ms"
