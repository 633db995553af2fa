"""Where the reader is, and what the whole amounts to."""

from __future__ import annotations

from collections.abc import Sequence

from agentops_tui.inks import Ink, Line, cells, cut, spread
from agentops_tui.widgets.painted import OneLine

__all__ = ["Header"]


class Header(OneLine):
    """A breadcrumb at the left, facts at the right; where both do not fit, facts go first, from the left."""

    def __init__(self) -> None:
        super().__init__()
        self._path: Sequence[str] = ("agentops",)
        self._facts: Sequence[Line] = ()

    def tell(self, path: Sequence[str], facts: Sequence[Line]) -> None:
        """Show a path, of which the last is where the reader is, and facts, the most important last."""
        if (path, facts) != (self._path, self._facts):
            self._path, self._facts = path, facts
            self.refresh()

    def line(self, width: int) -> Line:
        facts = list(self._facts)
        here = cells(_crumbs(self._path[-1:], width))
        while facts and cells(self._right(facts)) + min(here, width // 2) + 2 > width:
            facts.pop(0)
        end = self._right(facts)
        room = width - cells(end) - 2
        return spread((Ink(" "), *_crumbs(self._path, room)), end, width)

    @staticmethod
    def _right(facts: list[Line]) -> Line:
        inks: list[Ink] = []
        for fact in facts:
            inks += [*fact, Ink("   ")]
        return (*inks[:-1], Ink(" ")) if inks else ()


def _crumbs(path: Sequence[str], width: int) -> Line:
    """The path in `width` cells: of a long one, the beginning and the end."""
    last = cut(path[-1], max(8, width - 2))
    inks: list[Ink] = [Ink(last, bold=True)]
    before = list(path[:-1])
    room = width - cells(inks)
    if before and len(before[0]) + 3 <= room:  # the first says which run
        first, rest = before[0], before[1:]
        room -= cells((Ink(first), Ink(" › ")))
        middle: list[str] = []
        while rest and cells((Ink(rest[-1]), Ink(" › "))) + (4 if len(rest) > 1 else 0) <= room:
            room -= cells((Ink(rest[-1]), Ink(" › ")))
            middle.insert(0, rest.pop())
        shown = [first, *(["…"] if rest and room >= 4 else []), *middle]
        inks = [part for name in shown for part in (Ink(name, "muted"), Ink(" › ", "faint"))] + inks
    return tuple(inks)
