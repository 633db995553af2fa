"""The one filter language: for lists, the command line, rules and export.

    status:error kind:tool -name:ping took>5s cost>0.05 since:1h "could not be paid"

Words are free text. `key:value` compares; `-` in front negates; `key>x` and `key<x` take numbers and times.
Quotes hold a phrase together. It selects whole traces: what is about a span (`kind`, `name`, `model` and the
free words) must hold together on one span, a negated one on none; the other keys are the trace's.
"""

from __future__ import annotations

import re
import time
from typing import NamedTuple

from agentops.conventions import KINDS
from agentops.errors import FilterError

__all__ = ["KEYS", "Filter", "Term", "parse"]

STATUSES = ("running", "ok", "error", "interrupted")
#: Keys with the colon, and what they mean.
KEYS = {
    "status": "running, ok, error or interrupted",
    "kind": "kind of a span: " + ", ".join(KINDS),
    "name": "a part of a span's name",
    "model": "a part of a model's name",
    "session": "the session's id",
    "user": "the user's id",
    "tag": "one of the tags",
    "trace": "the beginning of the trace's id",
    "score": "a score's name, as in score:helpful or score:helpful<1",
    "since": "a time ago (30m, 2h, 7d) or a date (2026-11-01, 2026-11-01T10:30)",
    "until": "as since",
}
NUMBERS = {
    "cost": "US dollars",
    "took": "a duration such as 300ms, 2s, 5m, 1h",
    "tokens": "a number",
    "spans": "a number",
    "errors": "a number",
}
_LATER = {"verdict": "guardrails", "action": "guardrails"}
_SPAN_KEYS = ("kind", "name", "model", "text")
_UNITS = {"ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9, "d": 86400e9, "w": 604800e9}
_TOKEN = re.compile(r'\s*(?P<token>(?:"[^"]*"?|[^\s"])+)')
_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,15})?|\.\d{1,15})(ms|s|m|h|d|w)?")
_NS_MAX = 2.0**62


class Term(NamedTuple):
    """One word of a filter. `value` is text, a number, or ns for times; `operator` is `:`, `>` or `<`."""

    key: str
    operator: str
    value: str | float
    negated: bool = False
    name: str = ""

    @property
    def of_span(self) -> bool:
        return self.key in _SPAN_KEYS


class Filter(NamedTuple):
    """A parsed filter; without terms it selects everything."""

    terms: tuple[Term, ...] = ()

    @property
    def words(self) -> list[str]:
        """Free text that must be there."""
        return [str(term.value) for term in self.terms if term.key == "text" and not term.negated]


def parse(words: str | list[str], now_ns: int | None = None) -> Filter:
    """Parse a filter.

    Args:
        words: one line, or the words of a command line (there, one with spaces is a phrase).
        now_ns: what `since:1h` counts from; the time now if None.

    Raises:
        FilterError: a word is wrong; it knows the word's place in the line.
    """
    line = words if isinstance(words, str) else " ".join(_quoted(word) for word in words)
    line = line.encode("utf-8", "backslashreplace").decode()  # as what is recorded with half a character
    now = time.time_ns() if now_ns is None else now_ns
    terms = []
    for match in _TOKEN.finditer(line):
        start, end = match.span("token")
        token = match.group("token")
        if token.count('"') % 2:
            raise FilterError("a quote is opened and not closed", line, start, end)
        terms.append(_term(token, line, start, end, now))
    return Filter(tuple(terms))


def _quoted(word: str) -> str:
    if not re.search(r"\s", word) or '"' in word:
        return word
    head = re.match(r"-?\w+:(?=\S)", word)
    place = head.end() if head and head.group().strip("-:") in KEYS else 0
    return f'{word[:place]}"{word[place:]}"'


def _term(token: str, line: str, start: int, end: int, now: int) -> Term:
    def wrong(message: str) -> FilterError:
        return FilterError(message, line, start, end)

    negated = token.startswith("-") and len(token) > 1
    body = token[1:] if negated else token
    if body in ("OR", "AND", "NOT"):
        raise wrong(f"there is no {body}: all words must hold, a minus in front negates; quote it to look for the word")
    equals = re.match(r"([A-Za-z_]+)=", body)
    if equals and equals.group(1).lower() in (*KEYS, *NUMBERS):
        key = equals.group(1).lower()
        raise wrong(f"{key} is compared with {'> or <' if key in NUMBERS else 'a colon'}, not with =")
    match = re.match(r"([A-Za-z_]+)([:<>])(.*)", body, re.DOTALL)
    if match is None or body.startswith('"'):
        text = body.replace('"', "")
        if not text.strip():
            raise wrong("there is nothing between the quotes")
        return Term("text", ":", text, negated)
    key, operator, raw = match.group(1).lower(), match.group(2), match.group(3).replace('"', "")
    if key in _LATER:
        raise wrong(f"{key}: is recorded by {_LATER[key]}, which this version does not have yet")
    if key not in KEYS and key not in NUMBERS:
        known = ", ".join([*KEYS, *NUMBERS])
        raise wrong(f"there is no key {key!r}; there are {known} (put quotes around it to look for the text)")
    if not raw:
        raise wrong(f"{key}{operator} needs a value: {(KEYS | NUMBERS)[key]}")
    if key in NUMBERS:
        if operator == ":":
            raise wrong(f"{key} is compared with > or <, as in {key}>{'2s' if key == 'took' else '1'}")
        amount = _AMOUNT.fullmatch(raw.removeprefix("$"))
        if amount is None or (amount.group(2) and key != "took") or (key == "took" and not amount.group(2)):
            raise wrong(f"{key} takes {NUMBERS[key]}, not {raw!r}")
        return Term(key, operator, float(amount.group(1)) * _UNITS.get(amount.group(2) or "", 1.0), negated)
    if operator != ":":
        raise wrong(f"{key} is compared with a colon, as in {'score:helpful<1' if key == 'score' else f'{key}:{raw}'}")
    if key in ("since", "until"):
        if negated:
            raise wrong(f"{key} cannot be negated: use {'until' if key == 'since' else 'since'}")
        return Term(key, operator, _moment(raw, now, wrong))
    if key == "status" and raw.lower() not in STATUSES:
        raise wrong(f"there is no status {raw!r}; there are {', '.join(STATUSES)}")
    if key == "kind" and raw.lower() not in KINDS:
        raise wrong(f"there is no kind {raw!r}; there are {', '.join(KINDS)}")
    if key == "trace" and not re.fullmatch("[0-9a-fA-F]{1,32}", raw):
        raise wrong("a trace's id is made of hex digits")
    if key == "score":
        compared = re.fullmatch(r"(.+?)([<>])(-?\d+(?:\.\d+)?)", raw)
        if compared:
            return Term(key, compared.group(2), float(compared.group(3)), negated, compared.group(1))
        return Term(key, operator, raw, negated, raw)
    return Term(key, operator, raw.lower() if key in ("status", "kind", "trace") else raw, negated)


def _moment(raw: str, now: int, wrong: object) -> float:
    amount = _AMOUNT.fullmatch(raw)
    if amount and amount.group(2):
        return max(-_NS_MAX, now - float(amount.group(1)) * _UNITS[amount.group(2)])
    for form in ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"):
        try:
            return max(-_NS_MAX, min(time.mktime(time.strptime(raw, form)) * 1e9, _NS_MAX))
        except (ValueError, OverflowError):
            continue
    raise wrong(f"{raw!r} is neither a time ago (30m, 2h, 7d) nor a date (2026-11-01)")  # type: ignore[operator]
