"""Looking for what a redactor would find, and putting it aside where it was recorded before there was a redactor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from agentops.redaction import inside
from agentops.redaction.canaries import Canary
from agentops.redaction.operators import OPERATORS, PUT_IN
from agentops.redaction.redactor import found_in_number, key_inside

if TYPE_CHECKING:
    from agentops.redaction.findings import Finding
    from agentops.redaction.redactor import Redactor

__all__ = ["CANARY", "Found", "Look"]

CANARY = "CANARY"
#: Recorded instead of what does not come to an end: a redacted text in which something is found, again and again.
WITHHELD = "<withheld: something was found in it even after redaction>"
_AGAIN_MAX = 4
_DEPTH_MAX = 3
#: What a redactor puts in is hardly longer.
_PUT_IN_MAX = 200
_TOLD_APART = frozenset(("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "PHONE_NUMBER"))
_SHOWN, _STARS = 40, 12
#: How sure presidio is at most of what nothing but the form of its digits speaks for.
_BY_FORM = 0.6
_UNMISTAKABLE = frozenset(("CRYPTO", "EMAIL_ADDRESS", "IBAN_CODE"))
_ONE_CARD = re.compile(r"\d{14,16}|\d{4}([ .-])\d{4}\1\d{4}\1\d{4}|\d{4}([ .-])\d{6}\2\d{4,5}")
_MORE_DIGITS = re.compile(r"[ .-]?\d")
#: Texts among bytes: as long as the shortest value of any kind, in UTF-8.
_TEXTS = re.compile(
    rb"(?:[\t\r\n\x20-\x7e]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}){8,}"
)


class Found(NamedTuple):
    """One thing that was found: its kind, and how it may be shown."""

    kind: str
    shown: str


class Look:
    """Looks for what a redactor finds, and for canaries.

    What a redactor has put in (`<EMAIL_ADDRESS>`) is no finding, whatever it looks like to a detector.

    Args:
        redactor: finds, and redacts.
        canaries: texts that must not be anywhere.
    """

    def __init__(self, redactor: Redactor, canaries: Sequence[str] = ()) -> None:
        self._redactor = redactor
        self.canaries = [Canary(text, n) for n, text in enumerate(canaries, 1)]
        #: What two pieces of one text have to share, so that no canary is cut.
        self.overlap = max((canary.longest for canary in self.canaries), default=0)

    def use_key(self, key: bytes | None) -> None:
        """Hashes are those of the programs that record into a store, if it has a key."""
        if key is not None and not self._redactor.key_is_given:
            self._redactor.key = key

    def may_hold(self, data: bytes) -> bool:
        """False promises that nothing is found in any text inside `data`: UTF-8, or MessagePack that holds some."""
        return any(True for one in self.canaries for _ in one.found(data)) or self._redactor.may_hold(data)

    def found(self, value: Any, key: str | None = None) -> list[Found]:
        """What the redactor finds in a value as decoded from MessagePack or JSON; see `Redactor.value`.

        Args:
            value: any.
            key: under which it stands in a mapping.
        """
        return list(self._found(value, key, 0))

    def hidden(self, data: bytes) -> list[Found]:
        """Canaries in bytes, in all spellings."""
        return [
            Found(CANARY, f"canary {one.number}, {how}")
            for one in self.canaries
            for how, times in one.found(data)
            for _ in range(times)
        ]

    def raw(self, data: bytes) -> list[Found]:
        """What the redactor finds in the texts among bytes that are no text, where it is sure.

        Where the cells of a database meet, digits that have nothing to do with each other stand side by side.
        """
        return [
            Found(one.kind, _shown(one.kind, text[one.start : one.end]))
            for match in _TEXTS.finditer(data)
            if self._redactor.may_hold(match[0])
            for text in (match[0].decode(errors="replace"),)
            for one in self._redactor.find(text)
            if _is_sure(one, text) and self._is_new(one, text, None)
        ]

    def clean(self, text: str) -> str:
        """`text` as it may be printed: neither what the redactor finds nor a canary stands in it."""
        return self.text(self.without_canaries(text))

    def without_canaries(self, text: str) -> str:
        """`text` with a mark in the place of each canary."""
        for one in self.canaries:
            for spelling in one.spellings:
                text = text.replace(spelling.decode("utf-8", "surrogateescape"), f"<{CANARY}>")
        return text

    # -- putting it aside ----------------------------------------------------------------------------

    def text(self, text: str) -> str:
        """`text` without what is found in it."""
        return str(self._settled(text, self._redactor.text))

    def identifier(self, value: Any) -> Any:
        """By what things are grouped, a text or a list of some, so that what differed still differs."""
        if isinstance(value, list):
            return [self.identifier(item) for item in value]
        return self._settled(value, self._redactor.identifier if isinstance(value, str) else self._redactor.value)

    def value(self, value: Any) -> Any:
        """Plain data of the same structure without what is found in it; `value` itself if that is nothing."""
        return self._settled(value, self._redactor.value)

    def _settled(self, value: Any, redact: Any) -> Any:
        """Redacted until nothing is found any more: what is taken out of a text may uncover something else."""
        for _ in range(_AGAIN_MAX):
            if not any(True for _ in self._found(value, None, 0)):
                return value
            value = redact(value)
        return WITHHELD if any(True for _ in self._found(value, None, 0)) else value

    # -- how: as the redactor goes through a value ----------------------------------------------------

    def _found(self, value: Any, key: str | None, depth: int) -> Iterator[Found]:
        todo: list[tuple[Any, str | None]] = [(value, key)]
        while todo:
            item, key = todo.pop()
            if isinstance(item, str):
                yield from self._in_text(item, key, depth)
            elif isinstance(item, dict):
                for name, inner in item.items():
                    todo.append((name, None))
                    todo.append((inner, key_inside(name, key)))
            elif isinstance(item, (list, tuple)):
                todo.extend((inner, key) for inner in item)
            elif isinstance(item, (bytes, bytearray)):
                yield from self._in_bytes(bytes(item), key)
            elif isinstance(item, int) and not isinstance(item, bool):
                for one in found_in_number(self._redactor.detectors, item, key):
                    yield Found(one.kind, _shown(one.kind, str(int(item))[one.start : one.end]))

    def _in_text(self, text: str, key: str | None, depth: int) -> Iterator[Found]:
        if not text:
            return
        if depth < _DEPTH_MAX and "\\" in text and (opened := inside.opened_json(text)) is not None:
            within = list(self._found(opened, key, depth + 1))
            if within:
                yield from within
                return
        for one in self._redactor.find(text, key):
            if self._is_new(one, text, key):
                yield Found(one.kind, _shown(one.kind, text[one.start : one.end]))

    def _in_bytes(self, data: bytes, key: str | None) -> Iterator[Found]:
        if self._redactor.may_hold(data):
            try:
                yield from self._in_text(data.decode(), key, 0)
            except UnicodeDecodeError:
                yield from self._in_text(data.decode("latin-1"), key, 0)

    def _is_new(self, one: Finding, text: str, key: str | None) -> bool:
        """Whether it is more than what a redactor has put in."""
        rest: list[str] = []
        at = one.start
        for tag in PUT_IN.finditer(text, max(0, one.start - _PUT_IN_MAX), one.end + _PUT_IN_MAX):
            if tag.end() <= one.start:
                continue
            if tag.start() >= one.end:
                break
            rest.append(text[at : max(at, tag.start())])
            at = min(one.end, tag.end())
        if at == one.start and not rest:
            return True
        left = "".join((*rest, text[at : one.end]))
        return bool(left.strip()) and bool(self._redactor.find(left, key))


def _is_sure(one: Finding, text: str) -> bool:
    """Whether a check digit, an unmistakable form or a word says what it is."""
    if one.kind == "CREDIT_CARD":
        return _ONE_CARD.fullmatch(text, one.start, one.end) is not None and not _MORE_DIGITS.match(text, one.end)
    return one.kind in _UNMISTAKABLE or one.score > _BY_FORM


def _shown(kind: str, found: str) -> str:
    """With all letters and digits hidden, but for the last ones of what people tell apart by them."""
    if kind not in _TOLD_APART:
        return "*" * min(len(found), _STARS)
    shown = OPERATORS["mask"](kind, found[-4 * _SHOWN :], b"", "")
    return shown if len(shown) <= _SHOWN else "…" + shown[1 - _SHOWN :]
