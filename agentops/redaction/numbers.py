"""Numbers of people: cards, accounts, phones, and those that authorities give.

A text is cut into runs of digits with what can stand between them; dates, times and fractions are taken out. What is
left is rare, and is shown to presidio's recognisers. To these are added, by form: cards of all brands and lengths,
IBANs in small letters, and phones that belong to no country that presidio looks at but stand where a phone stands.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from agentops.redaction.findings import Finding
from agentops.redaction.gates import luhn, without_dates
from agentops.redaction.presidio import Presidio

__all__ = ["Run", "cards", "ibans", "identifiers", "runs"]

_BETWEEN = (
    r" \-.()\[\]/~\xa0\xad\u2007\u200b\u2010-\u2015\u202f\u2053\u2060\u2212\u223c\u3000\u30fc"
    r"\uff08\uff09\uff0d-\uff0f\uff3b\uff3d\uff5e"
)
_STRETCH_LONGEST, _AGAIN = 2000, 64
_STRETCH = re.compile(rf"\d[\d{_BETWEEN}]{{5,{_STRETCH_LONGEST}}}\d")
_GAP = re.compile(rf"[|]+|[{_BETWEEN}]{{5,}}")
_DIGITS = re.compile(r"\d+")
#: Digits of all in a number of this module.
_FEWEST = 7


class Run(NamedTuple):
    """A stretch of digits with little between them; begins and ends with a digit."""

    start: int
    end: int
    groups: list[tuple[int, int]]  # of digits without anything between

    @property
    def digits(self) -> int:
        """How many there are."""
        return sum(end - start for start, end in self.groups)


def _stretches(text: str) -> Iterator[re.Match[str]]:
    """Of those that are longer than the pattern takes, the next begins a little before the end."""
    match = _STRETCH.search(text)
    while match:
        yield match
        long = match.end() - match.start() >= _STRETCH_LONGEST - _AGAIN
        match = _STRETCH.search(text, match.end() - _AGAIN if long else match.end())


def runs(text: str) -> Iterator[Run]:
    """The runs of a text that have digits enough."""
    for stretch in _stretches(text):
        left = without_dates(stretch[0])
        at = 0
        for gap in [*_GAP.finditer(left), None]:
            groups = [
                (stretch.start() + at + m.start(), stretch.start() + at + m.end())
                for m in _DIGITS.finditer(left[at : gap.start() if gap else len(left)])
            ]
            if sum(end - start for start, end in groups) >= _FEWEST:
                yield Run(groups[0][0], groups[-1][1], groups)
            at = gap.end() if gap else 0


def digits(text: str) -> str:
    """The digits in `text`, of whatever script, as 0 to 9."""
    return "".join(str(unicodedata.digit(c)) for c in text if c.isdecimal())


#: Prefixes and lengths of cards that are believed wherever they stand.
_CARD = re.compile(
    r"(?:[346]\d|5[0-5])\d{11,15}|(?:222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|220[0-4]\d{12}"
    r"|(?:2131|1800)\d{11}"
)
#: Those that are believed where cards are spoken of: Maestro, UnionPay, RuPay, Troy, UATP, and the long ones.
_CARD_RARE = re.compile(
    r"(?:5[06-8]|6\d)\d{10,17}|[346]\d{17,18}|(?:81|82)\d{14}|9792\d{12}|1\d{14,15}|220[0-4]\d{13,15}"
)
_CARD_WORDS = re.compile(
    r"card|visa|maestro|amex|american express|diners|discover|jcb|union ?pay|\bcc\b|credit|debit|\bpay|charge|billing"
    r"|karte|carte|tarjeta|carta\b|kort\b|cart[aã]o",
    re.IGNORECASE,
)
_CARD_GAPS = frozenset(" -.\xa0\u2007\u2010\u2011\u2012\u2013\u202f")


def cards(text: str, run: Run) -> Iterator[Finding]:
    """Card numbers in a run, by prefix, length and check digit."""
    groups, n = run.groups, 0
    while n < len(groups):
        last = _card_from(text, groups, n) if groups[n][1] - groups[n][0] >= 3 else None
        if last is not None:
            yield Finding(groups[n][0], groups[last][1], "CREDIT_CARD", 1.0)
            n = last
        n += 1


def _card_from(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """The last group of a card that begins with group `first`."""
    begin, found = groups[first][0], None
    gap = ""
    for n in range(first, min(len(groups), first + 7)):
        start, end = groups[n]
        if n > first:
            between = text[groups[n - 1][1] : start]
            gap = gap or between
            if between not in _CARD_GAPS or between != gap or groups[n - 1][1] - groups[n - 1][0] < 3:
                break
        if end - begin > 26:
            break
        if _is_card(text, begin, end):
            found = n
    before, after = text[max(0, begin - 1) : begin], text[groups[found][1] :][:1] if found is not None else ""
    if found is not None and (_glued(before) or _glued(after)):
        return None
    return found


def _glued(neighbour: str) -> bool:
    return neighbour.isalnum() or neighbour == "_"


def _is_card(text: str, start: int, end: int) -> bool:
    number = digits(text[start:end])
    if not 12 <= len(number) <= 19 or len(set(number)) == 1 or not luhn(number):
        return False
    if _CARD.fullmatch(number):
        return True
    if not _CARD_RARE.fullmatch(number):
        return False
    return bool(_CARD_WORDS.search(text, max(0, start - 64), start) or _CARD_WORDS.search(text, end, end + 24))


_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?=[ -]?[A-Za-z0-9]{4})")
_IBAN_LONGEST = 50
_SEVEN = re.compile(r"[0-9]{7}")


def ibans(text: str, presidio: Presidio) -> Iterator[Finding]:
    """IBANs in large or small letters; with seven digits in a row, as all have that banks give."""
    last = 0
    for match in _IBAN.finditer(text):
        start = match.start()
        if start < last or match[0][:2].upper() not in presidio.iban_countries:
            continue
        window = text[start : start + _IBAN_LONGEST]
        if not _SEVEN.search(re.sub("[ -]", "", window)):
            continue
        found = presidio.ask("IBAN_CODE", window, 0, _IBAN_LONGEST, 0) or presidio.ask(
            "IBAN_CODE", _upper(window), 0, _IBAN_LONGEST, 0
        )
        for one in found:
            if one.start == 0 and _SEVEN.search(re.sub("[ -]", "", window[: one.end])):
                last = start + one.end
                yield Finding(start, last, one.kind, one.score)
                break


def _upper(text: str) -> str:
    """In capitals; of what is not ASCII, as it was, so that places stay."""
    return "".join(c.upper() if c.isascii() else c for c in text)


def _has_nine(run: Run) -> bool:
    """Whether groups that follow each other have nine digits together, or one has the eight of a passport."""
    for n in range(len(run.groups)):
        size = 0
        for start, end in run.groups[n : n + 3]:
            size += end - start
            if size in (8, 9):
                return True
    return False


def identifiers(text: str, run: Run, kind: str, presidio: Presidio) -> Iterator[Finding]:
    """What presidio's recogniser for numbers of this kind says of a run and the letter before it."""
    if not _has_nine(run):
        return
    yield from presidio.ask(kind, text, run.start - 1 if kind == "US_PASSPORT" else run.start, run.end, 1)
