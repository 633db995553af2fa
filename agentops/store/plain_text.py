"""Text as the index of words sees it, the same for what is stored and for what is looked for."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["Phrase", "indexable", "normal", "query", "strings"]

# Scripts that write without spaces between words: each character is a word of its own in the index.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_UNSPACED_CHARACTER = re.compile(f"([{_UNSPACED}])")
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W_{_UNSPACED}]+")


def strings(value: object) -> list[str]:
    """All texts in a value: keys of mappings too, bytes left out."""
    found: list[str] = []
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            found.append(item)
        elif type(item) is dict:
            todo.extend(item.values())
            found.extend(key for key in item if type(key) is str)
        elif type(item) is list:
            todo.extend(item)
    return found


def indexable(texts: list[str]) -> str:
    """What goes into the index for `texts`."""
    text = "\n".join(texts)
    if text.isascii():
        return text
    return _UNSPACED_CHARACTER.sub(r" \1 ", text).encode("utf-8", "replace").decode()


def normal(text: str) -> str:
    """Words of `text`, folded, with one space around each: a phrase of it is a substring of this."""
    if not text.isascii():
        text = "".join(_folded(character) for character in text)
    return f" {' '.join(_WORD.findall(text.lower()))} "


def _folded(character: str) -> str:
    """Without its accent, for alphabets that the index folds too; a kana keeps its voicing mark."""
    if character < "\x80" or character >= "\u2000":
        return character
    return "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))


def query(text: str) -> str | None:
    """An FTS5 query for documents that hold all words of `text`; None if it has none."""
    return " ".join(f'"{word}"' for word in _WORD.findall(text)) or None


class Phrase:
    """A text that is looked for.

    Args:
        text: its words have to stand one after the other.
        inside: its one word may also be a part of a longer one.
    """

    __slots__ = ("_pattern", "text", "words")

    def __init__(self, text: str, inside: bool = False) -> None:
        self.text = text
        self._pattern = normal(text)
        self.words = self._pattern.split()
        if inside:
            self._pattern = self._pattern.strip()

    def stands_in(self, normal_text: str) -> bool:
        """Whether it stands in a text that went through `normal`."""
        return bool(self.words) and self._pattern in normal_text
