"""What an output says by itself: that something failed, or that nothing was found.

Everything here is a guess about values of other people's programs, so it looks at shapes that providers and
frameworks share (`is_error`, `error`, empty lists under `documents`, ...) and at how people begin an error's text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate
from typing import Any

from agentops.analysis.texts import text_of, unwrapped

__all__ = ["emptiness", "said_error", "worth_decoding"]

#: What an encoded output (in lower case) holds that may say that something failed, ...
_FAILED_MARKS = (
    b"error", b"fail", b"exception", b"traceback", b"timed out", b"timeout", b"denied", b"refused", b"unavailable",
    b"unable", b"not found", b"could not", b"cannot", b"panic", b"fatal", b"unauthori", b"success\xc2",
    b"succeeded\xc2", b"ok\xc2", b'success": false', b'success":false', b'ok": false', b'ok":false', b"status\xcd\x01",
    b"status\xcd\x02", b"code\xcd\x01", b"code\xcd\x02", b'status": 4', b'status": 5', b'code": 4', b'code": 5',
    b"exit_code", b"exitcode", b"return_code", b"returncode", b"no such",
)  # fmt: skip
#: ... or, if it is short, that nothing was found: empty arrays and mappings as the last of a key, counts of 0, words.
_EMPTY_MARKS = (
    b"s\x90", b"a\x90", b"t\x90", b"e\x90", b"s\xc0", b"a\xc0", b"t\xc0", b"e\xc0", b"\x91\x90", b"\x91\x80", b"[]",
    b"[ ]", b"{}", b"[[", b"total\x00", b"count\x00", b"found\x00", b"results\x00", b"hits\x00", b": 0", b":0", b"no ",
    b"nothing", b"none", b"null", b"empty", b"zero ", b"n/a", b"0 ", b"\xa0",
    b"found\xc2", b"exists\xc2", b'found": false', b'exists": false', b"n't find", b"not find", b"not locate",
)  # fmt: skip
_BARE = frozenset((b"\x90", b"\x80", b"\xa0", b"\xc0", b"\x91\x90", b"\x91\xa0"))
_SHORT_BYTES = 400
_MARKED_MAX = 150


def worth_decoding(raws: list[bytes]) -> list[int]:
    """Places of the encoded outputs that may say that something failed or was not found; all others say neither.

    All of them are looked through as one text, once for each mark: that takes a tenth of looking at one by one.
    """
    found = {n for n, raw in enumerate(raws) if raw in _BARE}
    for marks, chosen in (
        (_FAILED_MARKS, range(len(raws))),
        (_EMPTY_MARKS, [n for n, raw in enumerate(raws) if 1 < len(raw) <= _SHORT_BYTES]),
    ):
        text = b"\n".join([raws[n] for n in chosen]).lower()
        starts = list(accumulate((len(raws[n]) + 1 for n in chosen), initial=0))
        for mark in marks:
            at, times = text.find(mark), 0
            while at >= 0 and times < _MARKED_MAX:  # of a mark that stands everywhere, the first
                place = bisect_right(starts, at) - 1
                found.add(chosen[place])
                times += 1
                at = text.find(mark, starts[place + 1])
    return sorted(found)


_ERROR_TEXT = re.compile(
    r"""(?ix) ^\W{0,3}(?:
        (?-i:[A-Za-z_][\w.]*(?:Error|Exception|Timeout|Failure))(?:\s*[:(]|\W*$) |
        (?:[\w-]+\s){0,3}? (?:error|exception) (?:\s*[:(\[!]|\W*$) |
        (?:an?\s)?(?:internal\s|unexpected\s)?(?:error|exception)\s(?:executing|calling|while|during|occurred|code\b|running|
            processing|fetching|parsing|loading|reading|connecting|invoking|from|opening|in\s|at\s|\d) |
        failed(?:\s(?:to|with|because|after|while|in|at|on)\b|\W*[:!.]|\W*$) | failure\s*[:!(] | fatal(?:\serror)?\s*: |
        traceback\s\(most | panic: |
        (?:http|status)[ /:]?\s*(?:code)?\s*[\d.]*\s*[45]\d\d\b | [45]\d\d\s+(?-i:[A-Z])[a-z]+ |
        (?:the\s)?(?:request|connection|operation|call|query|command|tool)\s(?:has\s)?
            (?:failed|timed?\s?out|was\s(?:refused|denied)) |
        (?:permission|access)\s(?:was\s)?denied | unauthori[sz]ed\b | timed?\s?out\b |
        (?:i\s|we\s)?(?:could|can)\s?not\s(?:be\s)?(?:connect|reach|open|read|load|parse|process|complete|access)|
        unable\sto\s |
        [\w./-]{1,40}:\s(?:\([^)]*\)\s)?[^\n]{0,80}?(?:not\sfound|no\ssuch|cannot|could\snot|denied|refused|unable|failed)\b
    )"""
)
_FALSE = ("", "0", "none", "null", "no", "false", "ok", "success")
_BAD_STATES = ("error", "failed", "failure", "fail", "timeout", "timed_out", "exception")
_ERROR_KEYS = ("error", "errors", "exception", "error_message", "errormessage")
_MESSAGE_KEYS = ("message", "detail", "details", "msg", "text", "reason", "description", "content", "type", "code")

_NOTHING_TEXT = re.compile(
    r"""(?ix) ^\W*(?:
        (?:(?:sorry|unfortunately)\W+)?(?:(?:i|we)\s(?:found|have|got|see)\s)?
        (?:there\s(?:is|are|were)\s)?(?:no|0|zero)\s(?:[\w-]+\s){0,3}?
            (?:results?|documents?|match(?:es)?|hits?|records?|rows?|entries|items?|passages?|articles?|pages?|data|
               answers?|information|content)\b
            (?:\s(?:were|was|is|are|could|found|available|matched|match|for|returned|be)\b.*)? |
        nothing(?:\s(?:was|has|could|matched|matches|relevant|found|be)\b.*)? | none(?:\sfound)? |
        null | n/a | not\sfound | empty |
        (?:found|returned|got)\s(?:0|no|zero)\b.* | empty\s(?:dataframe|list|result|set|response)\b[\s\S]* |
        (?:(?:sorry|unfortunately)\W+)?(?:but\s)?(?:i\s|we\s)?
            (?:could\snot|couldn't|did\snot|didn't|cannot|can't)\s(?:find|locate|retrieve)\b.*
    )\W*$"""
)
_COLLECTIONS = (
    "documents", "docs", "results", "result", "hits", "matches", "items", "records", "rows", "data", "chunks",
    "passages", "entries", "nodes", "contexts", "context", "answers", "files", "messages", "output", "ids", "value",
    "values", "source_documents", "sources", "snippets", "articles", "objects", "list", "pages", "response",
)  # fmt: skip
_HEADINGS = ("columns", "fields", "headers", "schema", "column_names", "terms", "keywords")
_COUNTS = (
    "row_count",
    "rowcount",
    "total",
    "count",
    "total_count",
    "num_results",
    "found",
    "n",
    "size",
    "total_hits",
    "hit_count",
    "matches",
)

_LEVELS = 5


def said_error(value: Any, texts: bool = True) -> str | None:
    """What an output says went wrong, in its own words; None if it says no such thing.

    Args:
        value: an output.
        texts: whether a text that begins like an error is one (it is not, if a model wrote it).
    """
    return _error(value, texts, 0)


def _error(value: Any, texts: bool, level: int) -> str | None:
    if level > _LEVELS:
        return None
    if isinstance(value, str):
        found = unwrapped(value)
        if not isinstance(found, str):
            return _error(found, texts, level + 1)
        return found.strip() if texts and _ERROR_TEXT.match(found.lstrip()[:200]) else None
    if isinstance(value, list):
        if level == 0 and len(value) == 2 and isinstance(value[0], int) and 400 <= value[0] < 600:
            return _words(value)
        if len(value) == 2 and isinstance(value[0], str) and value[0].lower() in _BAD_STATES:
            return text_of(value[1])
        for item in value[:20]:
            if isinstance(item, (dict, str)) and (texts or isinstance(item, dict)):
                found = _error(item, texts and (len(value) == 1 or isinstance(item, dict)), level + 1)
                if found is not None:
                    return found
        return None
    if not isinstance(value, dict):
        return None
    facts = {key.lower(): inner for key, inner in value.items()}
    if facts.get("is_error") is True or facts.get("iserror") is True:
        return _words(value)
    for key in _ERROR_KEYS:
        inner = facts.get(key)  # a number may be a count of errors in something else
        if (inner and (inner is True or isinstance(inner, (dict, list)))) or _says(inner):
            return _words(inner) if inner is not True else _words(value)
    for key in ("status", "state", "result", "outcome", "type"):
        inner = facts.get(key)
        if isinstance(inner, str) and inner.lower() in _BAD_STATES and (len(facts) < 4 or "message" in facts):
            return _words(value)  # with more beside it, it is the state of what was asked about
    for key in ("status", "status_code", "statuscode", "http_status", "code"):
        inner = facts.get(key)
        if type(inner) is int and 400 <= inner < 600 and (key != "code" or "message" in facts):
            return _words(value)
    if facts.get("ok") is False or facts.get("success") is False or facts.get("succeeded") is False:
        return _words(value)
    for key in ("exit_code", "exitcode", "returncode", "return_code"):
        if type(facts.get(key)) is int and facts[key] != 0:
            return str(facts.get("stderr") or "").strip() or _words(value)
    if level < 3:
        for key in ("content", "result", "output", "response", "text", "body", "data"):
            inner = facts.get(key)
            if isinstance(inner, (dict, list, str)) and not (isinstance(inner, str) and len(facts) > 4):
                found = _error(inner, texts, level + 1)
                if found is not None:
                    return found
    return None


def _says(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() not in _FALSE


def _words(value: Any, level: int = 0) -> str:
    """The sentence in an error's value, where there is one; else all of it."""
    if isinstance(value, dict) and level < _LEVELS:
        for key in (*_ERROR_KEYS, *_MESSAGE_KEYS):
            inner = value.get(key)
            if isinstance(inner, str) and inner.strip() and inner not in ("tool_result", "error"):
                return inner.strip()
            if isinstance(inner, (dict, list)) and inner:
                return _words(inner, level + 1)
    if isinstance(value, list) and value and isinstance(value[0], dict) and level < _LEVELS:
        return _words(value[0], level + 1)
    return text_of(value)


def emptiness(value: Any, level: int = 0) -> str | None:
    """How an output says that nothing was found (`[]`, `no results`); None if there is something in it."""
    inner = unwrapped(value)
    if inner is None:
        return "None"
    if isinstance(inner, str):
        if not inner.strip():
            return "an empty text"
        return repr(inner.strip()) if len(inner) < 200 and _NOTHING_TEXT.match(inner.strip()) else None
    if isinstance(inner, list):
        return text_of(inner)[:60] if _hollow(inner) else None
    if isinstance(inner, dict):
        if not inner:
            return "{}"
        facts = {key.lower(): found for key, found in inner.items()}
        named = [facts[key] for key in _COLLECTIONS if key in facts]
        lists = [found for key, found in facts.items() if isinstance(found, list) and key not in _HEADINGS]
        if named and all(_hollow(found) for found in named) and all(_hollow(found) for found in lists):
            return text_of(inner)[:60]
        if facts.get("found") is False or facts.get("exists") is False:
            return text_of(inner)[:60]
        if any(type(facts.get(key)) is int and facts[key] == 0 for key in _COUNTS) and all(map(_hollow, lists)):
            return text_of(inner)[:60]
        if len(named) == 1 and isinstance(named[0], (str, dict)) and level < _LEVELS:
            return emptiness(named[0], level + 1)
    return None


def _hollow(value: Any, level: int = 0) -> bool:
    """Nothing in it at any depth."""
    if isinstance(value, (list, dict)):
        inside = value if isinstance(value, list) else list(value.values())
        return level < _LEVELS and all(_hollow(item, level + 1) for item in inside[:50])
    return value is None or (isinstance(value, str) and not value.strip())
