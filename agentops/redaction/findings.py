"""What a detector says of a text."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

import msgspec

__all__ = ["Finding", "resolve", "unite"]


class Finding(msgspec.Struct, frozen=True, order=True):
    """A stretch of a text that is sensitive: characters `start` up to `end`; `kind` as presidio names its entities."""

    start: int
    end: int
    kind: str
    score: float


def resolve(findings: Iterable[Finding]) -> list[Finding]:
    """Of those that overlap, the longest, then the surest; in the order of the text."""
    kept: list[Finding] = []
    for one in sorted(findings, key=lambda f: (f.start - f.end, -f.score, f.start)):
        at = bisect.bisect_left(kept, one.start, key=lambda f: f.start)
        if (at == 0 or kept[at - 1].end <= one.start) and (at == len(kept) or one.end <= kept[at].start):
            kept.insert(at, one)
    return kept


def unite(findings: Iterable[Finding]) -> list[Finding]:
    """Those that overlap as one, of the kind of the longest of them: nothing of any of them may be left over."""
    united: list[Finding] = []
    longest = 0
    for one in sorted(findings):
        if united and one.start < united[-1].end:
            last = united[-1]
            kind, score = (one.kind, one.score) if one.end - one.start > longest else (last.kind, last.score)
            longest = max(longest, one.end - one.start)
            united[-1] = Finding(last.start, max(last.end, one.end), kind, score)
        else:
            united.append(one)
            longest = one.end - one.start
    return united
