"""Keyword search over the Markdown files in knowledge/ (Okapi BM25)."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import TypedDict

_WORD = re.compile(r"[a-z0-9]+")
# The usual constants: how fast a repeated word stops counting, and how much a
# long section is held against it.
_K1, _B = 1.5, 0.75


class Document(TypedDict):
    """A hit. These three keys are the shape that trace viewers look for."""

    id: str
    score: float
    content: str


class PolicyIndex:
    """The sections of a folder of Markdown files, one document each."""

    def __init__(self, folder: Path) -> None:
        self._sections = _read_sections(folder)
        self._counts = {id: Counter(_words(t)) for id, t in self._sections.items()}
        self._mean_length = sum(c.total() for c in self._counts.values()) / max(1, len(self._counts))
        self._found_in = Counter(word for c in self._counts.values() for word in c)

    def search(self, query: str, limit: int) -> list[Document]:
        """The best `limit` sections that share a word with the query."""
        words = set(_words(query))
        scores = {id: self._score(words, id) for id in self._counts}
        best = sorted(scores, key=lambda name: (-scores[name], name))[:limit]
        return [
            Document(id=id, score=round(scores[id], 3), content=self._sections[id]) for id in best if scores[id] > 0
        ]

    def _score(self, words: set[str], id: str) -> float:
        counts = self._counts[id]
        norm = _K1 * (1 - _B + _B * counts.total() / self._mean_length)
        return sum(
            self._rarity(word) * counts[word] * (_K1 + 1) / (counts[word] + norm) for word in words if word in counts
        )

    def _rarity(self, word: str) -> float:
        found_in = self._found_in[word]
        return math.log(1 + (len(self._counts) - found_in + 0.5) / (found_in + 0.5))


def _read_sections(folder: Path) -> dict[str, str]:
    sections = {}
    for file in sorted(folder.glob("*.md")):
        title, *parts = file.read_text(encoding="utf-8").split("\n## ")
        page = title.removeprefix("# ").strip()
        for part in parts:
            heading, _, text = part.partition("\n")
            slug = "-".join(_WORD.findall(heading.lower()))
            content = f"{page}: {heading}\n{text.strip()}"
            sections[f"{file.name}#{slug}"] = content
    return sections


def _words(text: str) -> list[str]:
    # "returned" and "returns" should meet; cutting a plural s and a past -ed is
    # crude, but wrong on both sides alike.
    return [re.sub(r"(ed|s)$", "", word) for word in _WORD.findall(text.lower())]
