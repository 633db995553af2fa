"""What an output says by itself: that something failed, that nothing was found, why a model stopped.

Everything here is a guess about values of other people's programs, so it looks at shapes that providers and
frameworks share (`is_error`, `error`, empty lists under `documents`, ...) and at how people begin an error's text.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from itertools import accumulate
from typing import Any

__all__ = [
    "emptiness",
    "finish",
    "reasons",
    "said_error",
    "stopped_it",
    "tail",
    "text_of",
    "unwrapped",
    "worth_decoding",
]

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


_JSON_MAX = 200_000
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

_TRUE_STOPS = ("blocked", "flagged", "triggered", "tripwire_triggered", "violation", "rejected", "denied", "unsafe")
_FALSE_STOPS = ("allowed", "passed", "safe", "valid", "ok", "approved", "compliant")
_STOPS = ("block", "blocked", "deny", "denied", "reject", "rejected", "fail", "failed", "unsafe", "flagged")

_REFUSED = (
    "refusal", "content_filter", "content_filtered", "safety", "recitation", "blocklist", "prohibited_content",
    "guardrail_intervened", "blocked", "spii", "image_safety", "refused", "sensitive",
)  # fmt: skip
_CUT_OFF = (
    "length",
    "max_tokens",
    "max_output_tokens",
    "model_length",
    "max_length",
    "token_limit",
    "truncated",
    "incomplete",
)
_FULL = ("model_context_window_exceeded", "context_window_exceeded", "context_length_exceeded", "context_length")
_FAILED = ("error", "malformed_function_call", "malformed_response", "failed")
_REASON_KEYS = (
    "finish_reason", "stop_reason", "finishreason", "stopreason", "finish_reasons", "stop_reasons", "done_reason",
    "incomplete_details", "gen_ai.response.finish_reasons", "gen_ai.response.finish_reason", "llm.finish_reason",
    "llm.response.finish_reason", "llm.response.stop_reason", "gen_ai.completion.0.finish_reason",
)  # fmt: skip
_LEVELS = 5


def unwrapped(value: Any) -> Any:
    """What a tool gave, without the message or content block around it, and with JSON in a text read."""
    for _ in range(_LEVELS):
        if isinstance(value, dict):
            if value.get("type") in ("tool_result", "text", "output_text", "function_call_output", "tool") or (
                value.get("role") in ("tool", "function") and "content" in value
            ):
                inner = next((value[key] for key in ("content", "text", "output") if key in value), value)
                if inner is value:
                    return value
                value = inner
                continue
            return value
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            if value[0].get("type") in ("tool_result", "text", "output_text") or value[0].get("role") == "tool":
                value = value[0]
                continue
            return value
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") and len(value) < _JSON_MAX:
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return value
            continue
        return value
    return value


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


def stopped_it(value: Any) -> bool:
    """Whether a guardrail's output says that it let something not pass."""
    inner = unwrapped(value)
    if inner is False:
        return True
    if not isinstance(inner, dict):
        return isinstance(inner, str) and inner.strip().lower() in _STOPS
    facts = {key.lower(): found for key, found in inner.items()}
    return (
        any(facts.get(key) is True for key in _TRUE_STOPS)
        or any(facts.get(key) is False for key in _FALSE_STOPS)
        or any(isinstance(found, str) and found.lower() in _STOPS for found in facts.values())
    )


def reasons(value: Any) -> list[str]:
    """The reasons for stopping that stand in attributes or in a model's answer, in lower case."""
    found: list[str] = []
    todo: list[tuple[Any, int]] = [(value, 0)]
    while todo:
        item, level = todo.pop()
        if isinstance(item, dict):
            for key, inner in item.items():
                lower = key.lower() if isinstance(key, str) else ""
                if lower in _REASON_KEYS:
                    found += _reason(inner)
                elif (lower == "refusal" and isinstance(inner, str) and inner.strip()) or (
                    lower == "type" and inner == "refusal"
                ):
                    found.append("refusal")
                elif level < _LEVELS and isinstance(inner, (dict, list)):
                    todo.append((inner, level + 1))
        elif isinstance(item, list) and level < _LEVELS:
            todo += [(inner, level + 1) for inner in item[:20]]
    return found


def _reason(value: Any) -> list[str]:
    if isinstance(value, str):
        if value[:1] == "[":
            try:
                return _reason(json.loads(value))
            except (ValueError, RecursionError):
                pass
        return [value.rpartition(".")[2].lower()]
    if isinstance(value, list):
        return [reason for inner in value for reason in _reason(inner)]
    if isinstance(value, dict):
        return [reason for inner in value.values() for reason in _reason(inner)]
    return []


def finish(found: list[str]) -> str | None:
    """`refused`, `cut off`, `context full` or `failed`, by the reasons for stopping; None if all is well."""
    for word, bad in (("refused", _REFUSED), ("context full", _FULL), ("cut off", _CUT_OFF), ("failed", _FAILED)):
        if any(reason in bad for reason in found):
            return word
    return None


def text_of(value: Any, most: int = 4_000) -> str:
    """A value as a text: a message's or a block's own words, JSON for the rest."""
    inner = unwrapped(value) if not isinstance(value, str) else value
    if isinstance(inner, str):
        return inner
    if isinstance(inner, dict) and isinstance(inner.get("content"), (str, list)) and not inner.get("tool_calls"):
        return text_of(inner["content"], most)
    if isinstance(inner, dict) and isinstance(inner.get("tool_calls"), list):
        return " ".join(filter(None, [text_of(inner.get("content") or "", most), _blocks(inner["tool_calls"], most)]))
    if isinstance(inner, list) and inner and all(isinstance(item, dict) and "type" in item for item in inner):
        return _blocks(inner, most)
    return _json(inner, most)


def _blocks(blocks: list[Any], most: int) -> str:
    """Blocks of content: their words, and calls of tools as `name(arguments)`."""
    parts: list[str] = []
    for block in blocks[-20:]:
        call = block.get("function") if isinstance(block, dict) else None
        if isinstance(call, dict) and "name" in call:
            parts.append(f"{call['name']}({call.get('arguments', '')})")
        elif isinstance(block, dict) and block.get("type") in ("tool_use", "function_call", "tool_call"):
            given = block.get("input", block.get("arguments", block.get("args", "")))
            parts.append(f"{block.get('name')}({given if isinstance(given, str) else _json(given, most)})")
        elif isinstance(block, dict) and isinstance(block.get("text"), str):
            parts.append(block["text"])
        else:
            parts.append(_json(block, most))
    return " ".join(parts)


def _json(value: Any, most: int) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)[:most]
    except (ValueError, RecursionError):  # a store from elsewhere may hold anything
        return "…"


def tail(value: Any, most: int) -> str:
    """The end of a value as a text; of a conversation, of its last message."""
    while isinstance(value, list) and value and isinstance(value[-1], dict) and "role" in value[-1]:
        value = value[-1]
    if isinstance(value, dict) and isinstance(value.get("messages"), list) and value["messages"]:
        return tail(value["messages"], most)
    text = " ".join(text_of(value).split())
    return text if len(text) <= most else "…" + text[1 - most :]
