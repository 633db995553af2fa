"""What differs in every call, whatever the call is about: times, ids made for one request, counts of attempts.

Two calls that differ in nothing else are the same call. What may be what a call is about stays: the id of an order,
a page, a day of a calendar, a slot that begins on the full minute.
"""

from __future__ import annotations

import datetime
import json
import re
from typing import Any

__all__ = ["VOLATILE", "is_volatile_name", "steady"]

_UUID = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"
_ZONE = r"(?:\s?(?:Z|UTC|GMT|[A-Z]{3,4}|[+-]\d\d:?\d\d))?"
_CLOCK = r"\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?(?:\s?[ap]\.?m\.?)?"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DAY = (
    r"(?:\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.]\d{4}"
    rf"|(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s)?(?:\d\d?\s{_MONTH}\s|{_MONTH}\s\d\d?,?\s)\d{{4}})"
)
#: A day with a time of it.
_TIME = rf"{_DAY}(?:T|,?\s(?:at\s)?){_CLOCK}{_ZONE}|\d{{8}}T\d{{6}}(?:[.,]\d+)?Z?"
#: Seconds, milli-, micro- or nanoseconds since 1970, of the years 2017 to 2033.
_EPOCH = r"(?<![\d.])(?:1[5-9]|20)\d{8}(?:\d{3}|\d{6}|\d{9})?(?:\.\d+)?(?![\d.]*\d)"
#: Letters and digits mixed, with what says whose id it is: req_8f3kq02mz1xa, 3f9c2ab1.
_MADE = (
    r"\b(?:[a-z]{1,12}[_-])?(?=[a-z]*\d)(?=\d*[a-z])[0-9a-z]{12,}\b"
    r"|\b(?:[a-z]{1,12}[_-])?(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}\b"
)
_OF_A_REQUEST = (
    r"\b(?:req|request|trace|span|call|corr|nonce)(?:[_ -]?id[\s:=]{1,3}|[_:=-]\s?)(?=[^\s\d]{0,40}\d)[\w-]+"
    r"|\b(?:attempt|try|retry)\s?(?:no\.?\s?|#\s?)?\d+\b|\b0x[0-9a-f]+\b"
)
_DURATION = r"\b\d+(?:\.\d+)?\s?(?:ms|milliseconds)\b|\b\d+\.\d+\s?(?:s|secs?|seconds)\b"
_TIMES = rf"{_TIME}|{_DURATION}|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b|{_EPOCH}"
#: Times of the clock, and ids that nobody chose, in a text.
VOLATILE = re.compile(rf"(?i)\b(?:{_UUID})\b|{_TIMES}|{_OF_A_REQUEST}|{_MADE}")
_REQUEST = re.compile(rf"(?i){_OF_A_REQUEST}")
#: The same in an answer, where an id that is no request's may be what was asked for.
_VOLATILE_ANSWER = re.compile(rf"(?i){_TIMES}|{_OF_A_REQUEST}")
_IS_TIME = re.compile(rf"(?i)(?:{_TIME}|{_EPOCH})\Z")
_DIGITS = re.compile(r"\d+")
#: A month, a day of the week or the word for a request stands so many characters before a digit, at most.
_AROUND = 24
_CLOCKS = re.compile(r"\d\d?:\d\d(?::(\d\d(?:[.,]\d+)?))?")

#: Of a URL.
_PARAMETER = re.compile(r"([?&])([\w.-]+)=[^&#]*")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_OF_REQUESTS = (
    r"^(?:ts|now|today|epoch|utc|clock|as_of|trace|span|rid|reqid|xid)$"
    r"|stamp|request_?id|req_?id|trace_?id|span_?id|correlation|traceparent|_(?:ts|at|now)$"
    r"|^(?:current|request|client|server|local|system)_(?:time|date|datetime|ts)$|^(?:tool_)?call_?id$"
    r"|^(?:invocation|execution)_?id$|^(?:elapsed|duration|latency|took)(?:$|_)"
)
#: Names of what says nothing in an answer; and of arguments that say nothing of what a call is about.
_NAMES_ANSWER = re.compile(_OF_REQUESTS)
_NAMES = re.compile(
    rf"{_OF_REQUESTS}|^(?:nonce|salt|cb|seq|sequence|sequence_no|sequence_number|try|tries|retry|retries|counter|uuid"
    r"|guid|tid|etag|rand|random)$|idempot|nonce|cache_?bust|attempt|^(?:try|retry)_"
)
#: Names of ids and times that stand for what a call is about, if nothing beside them says it.
_OR_SUBJECT = frozenset((
    "id", "uid", "key", "ref", "reference", "token", "run_id", "thread_id", "message_id", "event_id", "at", "when",
    "time", "date", "datetime", "date_time",
))  # fmt: skip
#: Names of ids that stand for what a call is about, if there is nothing beside them.
_OF_A_CALLER = frozenset(("session", "session_id", "sid", "conversation_id"))
#: Names of arguments that say what a call is about.
_SUBJECTS = frozenset((
    "q", "query", "queries", "question", "prompt", "text", "search", "term", "terms", "topic", "keyword", "keywords",
    "input", "path", "file", "filename", "url", "uri", "city", "location", "place", "expression", "sql", "statement",
    "command", "cmd", "code",
))  # fmt: skip
#: Ends of names of ids that stand for something.
_OF_SOMETHING = re.compile(r"_(?:id|key|no|number)$")

#: Longer texts are compared as they are: to look through them would take the program's time.
_CHARACTERS_MAX = 20_000
_HOLE = "…"


def is_volatile_name(name: str) -> bool:
    """Whether an argument of this name differs in every call, whatever the call is about."""
    return _NAMES.search(_snake(name)) is not None


def steady(value: Any, is_answer: bool = False) -> str:
    """A text of plain data that is the same for two calls, or two answers, that differ in times and ids only.

    Args:
        value: as JSON has it, and other values in it as their repr says. Texts that are JSON are read.
        is_answer: of ids in its texts only those of requests are left out.

    Raises:
        RecursionError: it is nested too deep.
    """
    return _steady(value, "", False, _VOLATILE_ANSWER if is_answer else VOLATILE)


def _steady(value: Any, name: str, is_said: bool, volatile: re.Pattern[str]) -> str:
    """`is_said`: beside the value stands what the call is about."""
    if isinstance(value, dict):
        return _mapping(value, volatile)
    if isinstance(value, (list, tuple)):
        with_words = sum(map(_has_words, value))
        parts = [_steady(item, name, with_words > _has_words(item), volatile) for item in value]
        return "[" + ",".join(parts) + "]"
    if isinstance(value, str):
        return _text(value, name, is_said, volatile)
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, (int, float)):
        return _HOLE if _IS_TIME.match(str(value)) and not _OF_SOMETHING.search(name) else repr(value)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return _text(value.isoformat(), name, is_said, volatile)
    return volatile.sub(_HOLE, repr(value))


def _mapping(value: dict[Any, Any], volatile: re.Pattern[str]) -> str:
    named = {_snake(key) if isinstance(key, str) else str(key): item for key, item in value.items()}
    names = _NAMES if volatile is VOLATILE else _NAMES_ANSWER
    subjects = sum(name in _SUBJECTS or _has_words(item) for name, item in named.items())
    parts = []
    for name, item in named.items():
        if not (names.search(name) or (name in _OF_A_CALLER and len(named) > 1)):
            mine = name in _SUBJECTS or _has_words(item)
            parts.append(f"{name}:{_steady(item, name, subjects > mine, volatile)}")
    return "{" + ",".join(sorted(parts)) + "}"


def _has_words(value: Any) -> bool:
    return isinstance(value, str) and " " in value.strip() and not _IS_TIME.match(value.strip())


def _text(text: str, name: str, is_said: bool, volatile: re.Pattern[str]) -> str:
    stripped = text.strip()
    if len(stripped) > _CHARACTERS_MAX:
        return stripped
    if stripped[:1] in ("{", "["):
        try:
            return _steady(json.loads(stripped), name, is_said, volatile)
        except (ValueError, RecursionError):
            pass
    if _IS_TIME.match(stripped):
        return _time(stripped, name, is_said)
    if not any(character.isspace() for character in stripped):  # one word: what the call is about, if it is an id
        stripped = _PARAMETER.sub(_without_volatile, stripped) if "=" in stripped else stripped
        is_beside = is_said and (not name or name in _OR_SUBJECT)
        pattern = volatile if is_beside else _REQUEST
        return _HOLE if pattern.fullmatch(stripped) else stripped
    return " ".join(_without(stripped, volatile).split())


def _without(text: str, volatile: re.Pattern[str]) -> str:
    """`text` without what matches; only around its digits, of which each match has one."""
    hole: Any = _HOLE if volatile is VOLATILE else _hole
    parts: list[str] = []
    done = 0
    for digits in _DIGITS.finditer(text):
        if digits.end() <= done:
            continue
        start = text.rfind(" ", done, max(done, digits.start() - _AROUND)) + 1 or done
        end = digits.end() + _AROUND
        while (further := _DIGITS.search(text, end - _AROUND, end)) is not None:
            end = further.end() + _AROUND
        end = text.find(" ", end)
        end = len(text) if end < 0 else end
        parts += [text[done:start], volatile.sub(hole, text[start:end])]
        done = end
    return "".join(parts) + text[done:]


def _is_full_minute(text: str) -> bool:
    clock = _CLOCKS.search(text)
    return clock is not None and not (clock[1] or "").strip("0.,")


def _hole(found: re.Match[str]) -> str:
    """In an answer, a time on the full minute may be what was asked for."""
    return found[0] if _is_full_minute(found[0]) else _HOLE


def _without_volatile(parameter: re.Match[str]) -> str:
    return parameter[1] if _NAMES.search(_snake(parameter[2])) else parameter[0]


def _time(text: str, name: str, is_said: bool) -> str:
    """A moment; on the full minute it may be a slot that is asked for."""
    is_slot = _is_full_minute(text) and not (is_said and name in _OR_SUBJECT)
    return text if is_slot or _OF_SOMETHING.search(name) else _HOLE


def _snake(name: str) -> str:
    return _HUMP.sub("_", name).replace("-", "_").lower()
