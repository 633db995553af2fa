"""Phone numbers in runs of digits: by the plans of countries, and by where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentops.redaction.findings import Finding
from agentops.redaction.numbers import Run, digits
from agentops.redaction.presidio import Presidio

__all__ = ["PLANS_MOST", "parts", "phones"]

#: What a number of a phone is called, or what is done with it.
_SPOKEN = (
    r"(?:tele)?phone|mobile|\bcell(?:phone|ular)?\b|\btel\b|\bfax\b|\bdesk\b|\bpager|\bmsisdn|\bcaller|hotline"
    r"|whats ?app|\bsms\b"
    r"|\b(?:text|ring|call|calls|called|calling) (?:me|us|him|her|them|back|you|my|at|on)\b|\bdial|\breach(?:ed)?\b"
    r"|\banswer(?:s|ed|ing)? (?:at|on)\b|\bcontact|handy|telefon|teléfono|téléphone|portable|móvil|celular|mobil"
)
_LABEL = re.compile(rf"(?:{_SPOKEN})[^\d;!?]{{0,28}}\Z", re.IGNORECASE)
_AFTER = re.compile(
    r"[\s,\\]{0,3}[-–(]?\s?(?:office|mobile|cell|fax|home|work|desk|direct|phone|tel|pager)\b", re.IGNORECASE
)
#: What else a number can be that stands after it.
_OTHER = re.compile(
    r"(?:licen[cs]e|\bssn|social security|passport|account|\bacct|\biban|card|order|invoice|ticket|booking|reservation"
    r"|confirmation|tracking|isbn|issn|serial|version|build|\bzip|postal|postcode|\bid\b|_id\b|\bids\b|price|amount|total"
    r"|\bsku|\bref\b|reference|\bcase\b|timestamp|epoch|\btime\b)[^\d\n]{0,20}\Z",
    re.IGNORECASE,
)
#: A part of a name that a machine made: `gift_card_`, `abc12-`, `/`.
_NAME = re.compile(
    r"[A-Za-z0-9][_/=#]\Z|_\Z|(?=[A-Za-z\-]*\d)(?=[\d\-]*[A-Za-z])[A-Za-z0-9\-]*[A-Za-z][A-Za-z0-9\-]*-\Z"
)
_EPOCH = re.compile(r"1[4-9]\d{8}")
_WORD = re.compile(r"[A-Za-z]-\Z")
_VERSION = re.compile(r"\d{1,3}\.\d\.\d")
_HEX, _PAIRS = re.compile(r"\b(?:[a-f][0-9a-f]|[0-9][a-f]) \Z", re.IGNORECASE), re.compile(r"\d\d(?: \d\d)+")
#: Digits in their order, and the largest whole numbers of computers.
_COUNTED, _LIMITS = "01234567890123456789", frozenset({"2147483647", "2147483648", "4294967295", "4294967296"})
_LEAD = re.compile(r"[(\[+＋（［]{0,2}\Z")
_EXTENSION = re.compile(r"\s{0,2}(?:x|ext\.?|extension|#)\s{0,2}\d{1,7}(?!\w)", re.IGNORECASE)
_PARENTHESES = re.compile(r"\(\d{2,4}\)[ -]?\d{3,4}[ -]\d{3,4}")
_AMERICAN = re.compile(r"(?:\+?(?:00)?1[-. ]{1,2})?(?:\([2-9]\d\d\)[-. ]{0,2}|[2-9]\d\d[-. ])\d{3}[-. ]\d{4}")
#: Digits of one text that are held against the plans of countries, which takes time; what comes after them is judged
#: by form alone, which finds more.
PLANS_MOST = 30_000
#: Runs with more digits are cut, where there is space, into parts of at least so many.
_LONG, _PART = 24, 10
#: What presidio gives a phone number with such a word before it.
_LABELLED = 0.75


def parts(text: str, run: Run) -> Iterator[Run]:
    """A run, or the parts of a long one: lists of numbers, and tables."""
    if run.digits <= _LONG:
        yield run
        return
    part: list[tuple[int, int]] = []
    size = 0
    for group in run.groups:
        if size >= 3 * _PART or (size >= _PART and text[part[-1][1] : group[0]].strip("-.")):
            yield Run(part[0][0], part[-1][1], part)
            part, size = [], 0
        part.append(group)
        size += group[1] - group[0]
    yield Run(part[0][0], part[-1][1], part)


def phones(text: str, run: Run, presidio: Presidio, plans: bool) -> Iterator[Finding]:
    """Phone numbers in a run.

    Args:
        text: all of it.
        run: where to look.
        presidio: whose recogniser is asked.
        plans: ask it at all.
    """
    start = run.start - len(_lead(text, run.start))
    before = text[max(0, start - 64) : start]
    labelled = bool(_LABEL.search(before) or _AFTER.match(text, run.end))
    international = text[start : run.start].endswith(("+", "＋"))
    size = run.digits
    if not labelled and not international:
        if 3 * size < 5 * len(run.groups):  # a row of single digits
            return
        if len(run.groups) == 1 and _named(text, run.start, run.end):
            return
    extension = _EXTENSION.match(text, run.end)
    end = extension.end() if extension else run.end
    if _by_form(text, start, run, labelled) and not _named_otherwise(text, start, labelled, international):
        yield Finding(start, end, "PHONE_NUMBER", _LABELLED if labelled else 0.4)
    elif international and size <= 15 and presidio.is_possible_phone("+" + digits(text[run.start : run.end])):
        yield Finding(start, end, "PHONE_NUMBER", _LABELLED if labelled else 0.5)
    elif plans:
        for one in presidio.phones(text, start, end):
            if one.start < run.end and _plausible(text, one, labelled, international):
                yield one
    elif _in_groups(run):
        yield Finding(start, end, "PHONE_NUMBER", 0.4)


def _lead(text: str, start: int) -> str:
    lead = _LEAD.search(text, max(0, start - 2), start)
    return lead[0] if lead else ""


def _plausible(text: str, one: Finding, labelled: bool, international: bool) -> bool:
    """Whether what fits the plan of some country is a phone number, by what stands before it."""
    number = digits(text[one.start : one.end])
    if len(number) < 7:
        return False
    if labelled or international:
        return True
    return not _named(text, one.start, one.end)


def _named(text: str, start: int, end: int) -> bool:
    """Whether a number is said to be something else, by what stands before it or by itself."""
    before = text[max(0, start - 48) : start]
    if _OTHER.search(before) or _NAME.search(before):
        return True
    number = digits(text[start:end])
    if number in _COUNTED or number in _LIMITS:
        return True
    if end - start == len(number):
        return bool(_EPOCH.fullmatch(number) or _WORD.search(before))
    return bool(_VERSION.match(text, start, end) or (_HEX.search(before) and _PAIRS.fullmatch(text, start, end)))


def _named_otherwise(text: str, start: int, labelled: bool, international: bool) -> bool:
    return not labelled and not international and _OTHER.search(text, max(0, start - 48), start) is not None


def _in_groups(run: Run) -> bool:
    return run.digits >= 9 and 2 <= len(run.groups) <= 5 and all(2 <= end - start <= 5 for start, end in run.groups)


def _by_form(text: str, start: int, run: Run, labelled: bool) -> bool:
    """Whether a run is written as only phone numbers are, or as they can be and stands where one does."""
    if _PARENTHESES.fullmatch(text, start, run.end) or _AMERICAN.fullmatch(text, start, run.end):
        return True
    sizes = [end - begin for begin, end in run.groups]
    return labelled and run.digits <= 15 and (max(sizes) <= 5 or len(sizes) == 1)
