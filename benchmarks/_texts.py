"""Texts that were never seen before: words drawn from 6,000, about 1 kB each."""

from __future__ import annotations

import random
import string

__all__ = ["Texts"]

_VOCABULARY = 6_000
_PHRASES = 20_000


class Texts:
    """A seeded source of texts.

    Args:
        seed: the same seed gives the same texts.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        letters = string.ascii_lowercase
        words = random.Random(0)  # all sources write with the same words
        self.words = ["".join(words.choices(letters, k=words.randint(3, 10))) for _ in range(_VOCABULARY)]
        self._phrases: list[str] = []

    def text(self) -> str:
        """Every word drawn by itself."""
        return " ".join(self._random.choices(self.words, k=134))

    def quick(self) -> str:
        """Drawn by phrases of five words: a quarter of the time, for stores of a million texts."""
        if not self._phrases:
            self._phrases = [" ".join(self._random.choices(self.words, k=5)) for _ in range(_PHRASES)]
        return " ".join(self._random.choices(self._phrases, k=27))
