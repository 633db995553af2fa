"""What a detector says of a text."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

__all__ = ["Finding", "resolve"]


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
        if all(one.end <= other.start or other.end <= one.start for other in kept):
            kept.append(one)
    return sorted(kept)
