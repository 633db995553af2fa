"""Credentials that say by themselves what they are."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from agentops.redaction.findings import Finding
from agentops.redaction.forms import DIGIT, entropy, is_random, is_template
from agentops.redaction.rules import RANDOM, TOKENS, Token, expand

__all__ = ["BARE", "marked", "may_be_marked", "unescaped"]

_LEFT = r"(?<!\w)"
_BEYOND = 64  # characters that a token may reach beyond the run in which it begins
_ODD_LENGTH = 36  # the tokens that may begin with anything are not shorter
#: Of other kinds, what has neither a digit nor letters of both cases is made of words.
_WORDLIKE = {"ARTIFACTORY_CREDENTIAL", "AWS_ACCESS_KEY", "SIDEKIQ_SECRET", "TWILIO_API_KEY"}
#: The tokens that are short, or of letters: they may well have no digit next to a letter.
BARE = re.compile(
    rb"gl[a-z]{2,6}-|GR1348941|gh[a-z]_|hf_|api_org_|npm_|sm_|[rs]k_|sk-|gsk_|xai-|github_pat_|sq0|A(?:KI|SI|BI|CC|3T|KC|P[0-9A-FI]|Iza|C[a-z0-9]{32})"
    rb"|SK[a-z0-9]{32}|BUNDLE_|EAA|LTAI"
)
_ESCAPE = re.compile(rb"\\[nrtbf]|%(?:3[ADad]|2[0267]|0[AD])")


def _begin(pattern: str) -> list[tuple[str, str]]:
    """What a pattern begins with, and its rest, for each of the alternatives that it begins with."""
    fork = re.match(r"\(\?:([^()]*)\)(?![?*+{])", pattern)
    heads = fork[1].split("|") if fork is not None else [""]
    whole = [head + pattern[fork.end() if fork is not None else 0 :] for head in heads]
    return [(one[0], one[1:]) if one[0].isalnum() or one[0] in "/_" else ("", one) for one in whole]


def _any(odd: bool, packed: bool) -> re.Pattern[bytes]:
    """One pattern for all rules, sorted by their first character, since `re` looks there before it tries.

    Args:
        odd: of the rules that begin with anything, and not of the others.
        packed: whatever comes after.
    """
    begin: dict[str, list[str]] = {}
    for rule in TOKENS:
        for first, rest in _begin(expand(rule.pattern)):
            if odd == (not first):
                begin.setdefault(first, []).append(rest + ("" if packed else rule.after))
    return re.compile("|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in begin.items()).encode())


def _at_words(pattern: re.Pattern[bytes]) -> re.Pattern[bytes]:
    return re.compile(_LEFT.encode() + b"(?:" + pattern.pattern + b")")


_RULES: dict[str, list[Token]] = {}
for _rule in TOKENS:
    for _character in {first for first, _ in _begin(expand(_rule.pattern))}:
        _RULES.setdefault(_character, []).append(_rule)
_ANY, _ANY_PACKED = _at_words(_any(odd=False, packed=False)), _at_words(_any(odd=False, packed=True))
_ODD = _at_words(_any(odd=True, packed=True))
_GLUED = re.compile(_any(odd=False, packed=True).pattern + b"|" + _any(odd=True, packed=True).pattern)


def unescaped(data: bytes) -> bytes:
    """`data`, in which what is escaped is no letter: the token in `\\nghp_...` or `token%3Dghp_...` begins a word."""
    if b"\\" in data or b"%" in data:
        return _ESCAPE.sub(lambda match: b"\\ " if match[0][:1] == b"\\" else b" % ", data)
    return data


def marked(data: bytes, start: int, end: int) -> Iterator[Finding]:
    """Tokens that begin in the run of `data` from `start` to `end`."""
    stop = min(end + _BEYOND, len(data))
    for pattern in (_ANY, _ODD) if end - start >= _ODD_LENGTH else (_ANY,):
        at = start
        while (hit := pattern.search(data, at, stop)) and hit.start() < end:
            at = hit.start() + 1
            for rule in (*_RULES.get(chr(data[hit.start()]), ()), *_RULES[""]):
                exact = _exact(rule)
                match = exact.match(data, hit.start(), stop)
                if match is not None:
                    at = max(at, match.end())
                    whole = rule.entropy == RANDOM or not exact.groups
                    first, last = match.span(0 if whole else 1)
                    if is_random(match[1]) if rule.entropy == RANDOM else _is_token(rule, data[first:last]):
                        yield Finding(first, last, rule.kind, 0.95)
                        break


@functools.cache
def _exact(rule: Token) -> re.Pattern[bytes]:
    return re.compile(f"{rule.before or _LEFT}(?:{expand(rule.pattern)}){rule.after}".encode())


def _is_token(rule: Token, value: bytes) -> bool:
    one_case = value.islower() or value.isupper()
    if rule.kind not in _WORDLIKE and one_case and not DIGIT.search(value):
        return False
    return entropy(value) >= rule.entropy and (rule.entropy < 2 or not is_template(value))


def may_be_marked(data: bytes, plain: bytes, start: int, end: int) -> bool:
    """Whether a token may begin in the run, where `data` may be MessagePack; `plain` is what `unescaped` made of it.

    In MessagePack the length of a string stands before it, in up to four bytes that may look like letters or like the
    beginning of an escape, and what comes after it may look like its continuation.
    """
    return _may_be_marked(data, start, end) or (plain is not data and _may_be_marked(plain, start, end))


def _may_be_marked(data: bytes, start: int, end: int) -> bool:
    stop = min(end + _BEYOND, len(data))
    if _ANY_PACKED.search(data, start, stop):
        return True
    if end - start >= _ODD_LENGTH and _ODD.search(data, start, stop):
        return True
    if not data[max(0, start - 6) : start].isascii():
        return any(_GLUED.match(data, at, stop) for at in range(start + 1, min(start + 7, end)))
    return False
