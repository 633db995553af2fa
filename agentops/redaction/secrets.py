"""Secrets and credentials in texts.

A secret is known by a mark of its own (`marks`), by the name that it is given (`names`), or by the place where it
stands (`places`). In each of them stands a long run of characters without a blank, or it follows one of four words:
one pass over the text tells, and ordinary prose is left at once.

Everything is searched in bytes, one for each character of the text, what is not ASCII as `?`: places in both agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agentops.redaction import marks, names, places
from agentops.redaction.findings import Finding, resolve
from agentops.redaction.rules import PROVIDERS, TOKENS

__all__ = ["Secrets"]

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = b"0123456789"
#: A run of these, this long, stands in every secret that does not follow one of the words.
_RUN = bytes(0x78 if n in _LETTERS + _DIGITS + b"_-.+/~|:@=%" else 0x20 for n in range(256))
_LONG = b"x" * 13
_CLASS = bytes(0x61 if n in _LETTERS else 0x30 if n in _DIGITS else 0x20 for n in range(256))


class Secrets:
    """Finds credentials of some 150 providers, passwords, private keys, URLs and headers that hold a password.

    Has no state: any thread may use it. Takes time in proportion to the text, whatever it holds.
    """

    kinds: frozenset[str] = frozenset(
        {rule.kind for rule in TOKENS}
        | {f"{name.upper()}_API_KEY" for name in PROVIDERS}
        | {"AUTHORIZATION_HEADER", "BASIC_AUTH", "GENERIC_API_KEY", "KUBERNETES_SECRET", "PASSWORD", "PRIVATE_KEY"}
        | {"URL_CREDENTIALS"}
    )

    #: What `calm` promises holds for it.
    is_usual = True

    def may_hold(self, data: bytes) -> bool:
        """Whether `find` could find something in a text inside `data`, or `find_value` in a mapping inside.

        Args:
            data: a text in UTF-8, or MessagePack in which many stand. False is a promise, True is none.
        """
        runs = data.translate(_RUN)
        lower = data.lower()
        named = b"pass" in lower or b"secret" in lower or b"token" in lower or b"pwd" in lower
        if named and (names.may_be_named(lower) or places.may_be_in_file(lower)):
            return True
        return _LONG in runs and _may_hold_run(data, lower, runs)

    def find(self, text: str) -> list[Finding]:
        """All that is secret in `text`."""
        return resolve(_find(text.encode("ascii", "replace")))

    def find_value(self, key: str, text: str) -> list[Finding]:
        """All that is secret in `text`, which stands under `key` in a mapping: all of it, if the key says so."""
        data = text.encode("ascii", "replace")
        found = _find(data)
        runs = data.translate(_RUN)
        made = any(_looks_made(data[start:end]) for start, end in _each(runs))
        kind = names.kind_under(key.encode("ascii", "replace"), data, made)
        if kind is not None:
            found.append(Finding(0, len(data), kind, 0.9))
        return resolve(found)

    def number_gate(self, data: bytes) -> Callable[[str], bool]:
        """What tells of a whole number in `data`: False promises that `find_number` finds nothing in it."""
        named = names.may_name_number(data)
        return lambda number: named

    def find_number(self, number: str, key: str | None) -> list[Finding]:
        """As `find_value`: a whole number is secret if its key names a password or the like."""
        if key is None or not names.may_name_number(key.encode("ascii", "replace")):
            return []
        return self.find_value(key, number)


def _find(data: bytes) -> list[Finding]:
    found: list[Finding] = []
    runs, lower = data.translate(_RUN), data.lower()
    if _LONG in runs:
        plain = marks.unescaped(data)
        for start, end in _each(runs):
            if _looks_made(data[start:end]):
                found += marks.marked(plain, start, end)
                found += names.assigned(data, start, end)
            elif marks.BARE.search(data, start, end):
                found += marks.marked(plain, start, end)
        found += places.placed(data, lower)
    if b"pass" in lower or b"secret" in lower or b"token" in lower or b"pwd" in lower:
        found += names.named(data, lower)
        found += places.in_files(data, lower)
    return found


def _may_hold_run(data: bytes, lower: bytes, runs: bytes) -> bool:
    if places.may_be_placed(data, lower):
        return True
    plain = marks.unescaped(data)
    within: bool | None = None
    for start, end in _each(runs):
        made = _looks_made(data[start:end])
        if made and within is None and (within := not data.isascii() and names.may_hold_assigned(lower)):
            return True
        if made and names.may_be_assigned(lower, start, end):
            return True
        if (made or marks.BARE.search(data, start, end)) and marks.may_be_marked(data, plain, start, end):
            return True
    return False


def _each(runs: bytes) -> Iterator[tuple[int, int]]:
    """The first and last place of each long run."""
    start = runs.find(_LONG)
    while start >= 0:
        end = runs.find(b" ", start)
        end = len(runs) if end < 0 else end
        yield start, end
        start = runs.find(_LONG, end)


def _looks_made(run: bytes) -> bool:
    """Whether letters and digits stand side by side, or a long number does: so in all that is random, and no word."""
    classes = run.translate(_CLASS)
    return b"a0" in classes or b"0a" in classes or b"0000000000000000" in classes
