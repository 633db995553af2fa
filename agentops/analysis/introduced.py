"""The span that brought a value into a run: the first in which it stands.

A message often quotes the value that it fell over: an id, a text, a key; if it does not, the failed span was given
it. Outputs are contents of their own, so finding where it came from is a search in bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from agentops.analysis.run import LLM, Run, called
from agentops.analysis.texts import text_of, without_redactions
from agentops.journal.format import encode
from agentops.store.flow import Key
from agentops.store.plain_text import strings
from agentops.store.rows import SpanRow

__all__ = ["Cause", "given", "leaves", "pairs", "quoted", "short"]

_QUOTED = re.compile(r"(?<!\w)(?:'([^'\n]{2,160})'|\"([^\"\n]{2,160})\"|`([^`\n]{2,160})`)(?!\w)|“([^”]{2,160})”")
_ID = re.compile(r"[^\W_](?:[\w@/#+-]|[.:](?=\w))*[^\W_]")
_PART = re.compile(r"^(?=.*\d)\w[\w.-]{3,}$")
_CAPITALS = re.compile(r"\b[A-Z]{3,}\b")
_EXTRA = re.compile(r"(?i)unexpected|unknown|unrecogni|extra|not (allowed|permitted|supported)|no such|got an")
_SMALL = re.compile(r"[\d.,:]{1,2}")
_HTTP = re.compile(r"[45]\d\d")
_TYPE = re.compile(r"^[\w.]+(?:Error|Exception|Warning|Timeout|Exit|Interrupt|NotFound|Failure|Group)?: ")
#: Words of Python and of protocols, which an error's message quotes without meaning a value of the run.
_COMMON = {
    "NoneType", "str", "int", "dict", "list", "float", "bool", "tuple", "bytes", "object", "type", "utf-8", "utf8",
    "None", "null", "get", "HTTP", "JSON", "API", "URL", "GET", "POST", "base-10", "line", "column", "char", "error",
    "name", "value", "self", "key", "args",
}  # fmt: skip


class Cause(NamedTuple):
    span: SpanRow
    score: int
    text: str


def quoted(run: Run, failed: SpanRow, before: list[SpanRow], error: str) -> Iterator[Cause]:
    """The spans that brought in what the error quotes, and what the failed span was given.

    Args:
        run: the run, with the contents of `before` loaded.
        failed: the span that failed.
        before: spans that had ended before it.
        error: its words.
    """
    body = without_redactions(_TYPE.sub("", error, count=1))
    arguments = [] if failed.kind_number == LLM else [leaf for leaf in leaves(run.input(failed)) if _telling(leaf)]
    words: list[Any] = [next(filter(None, match)) for match in _QUOTED.findall(body)]
    words += [w for w in _ID.findall(body) if re.search(r"\d|\w[_@/-]\w", w) and len(w) >= 3]
    words += [part for word in words if "/" in word for part in re.split(r"[/?&=#]", word) if _PART.search(part)]
    words += [leaf for leaf in arguments if str(leaf) in body]
    words += _CAPITALS.findall(body)
    literals = [word for word in dict.fromkeys(words) if word not in _COMMON]
    moments = _moments(run, failed, before)
    for n, word in enumerate(literals[:12]):
        if isinstance(word, str) and (_SMALL.fullmatch(word) or (_HTTP.fullmatch(word) and word not in arguments)):
            continue
        if (cause := _introduced(run, moments, error, word, 92 - n)) is not None:
            yield cause
    for n, leaf in enumerate(arguments[:8]):
        if leaf not in literals and (cause := _introduced(run, moments, error, leaf, 64 - n)) is not None:
            yield cause


_Moment = tuple[int, SpanRow | None, SpanRow, Key]


def _moments(run: Run, failed: SpanRow, before: list[SpanRow]) -> list[_Moment]:
    """When something came in or out, in order: the time, the span that it came out of, the span, and what it was."""
    found: list[_Moment] = []
    for span in before:
        given, output, _ = run.exchange(span)
        if given is not None:
            found.append((span.start_ns, None, span, given))
        if output is not None:
            found.append((span.end_ns or 0, span, span, output))
    outside = [(s.start_ns, None, s, key) for s in run.path(failed) if (key := run.exchange(s).input) is not None]
    known = {span.span_id for span in before}
    found += [moment for moment in outside if moment[2].span_id not in known]
    found.sort(key=lambda moment: (moment[0], moment[1] is not None))
    return found


def _telling(leaf: Any) -> bool:
    if isinstance(leaf, str):
        return len(without_redactions(leaf).strip()) >= 3 and leaf not in _COMMON
    return type(leaf) in (int, float) and abs(leaf) >= 1_000


def _introduced(run: Run, moments: list[_Moment], error: str, word: Any, score: int) -> Cause | None:
    """The first span in which `word` stands, if it came out of it or was made there."""
    needles = _needles(word)
    for _, source, span, key in moments:
        raw = run.raw(key)
        if not any(needle in raw for needle in needles):
            continue
        value = run.own(key)
        if not _stands_in(word, value):
            continue
        if isinstance(word, str) and not any(word in str(leaf) for leaf in leaves(value)) and not _EXTRA.search(error):
            score -= 38  # it is the name of a field there, and fields have the same names everywhere
        shown = json.dumps(word, ensure_ascii=False)[:50]
        if source is not None:
            return Cause(span, score, f"{called(span)} was the first to give {shown}")
        if span.parent_id is None or span.end_ns is None or moments[-1][0] < span.end_ns:
            return None  # it came from outside, with the run or with a step that still ran
        weight = score - 35 if span.kind_number == LLM else score - 20
        return Cause(span, weight, f"{called(span)} was the first to be given {shown}")
    return None


def _needles(word: Any) -> list[bytes]:
    if isinstance(word, str):
        needles = [word.encode("utf-8", "replace")]
        escaped = json.dumps(word)[1:-1].encode()
        needles += [escaped] if escaped != needles[0] else []
        number = re.fullmatch(r"-?\d{3,15}", word)
        return [*needles, *_encoded(int(word))] if number else needles
    return [*_encoded(word), str(word).encode()]


def _encoded(*values: Any) -> list[bytes]:
    """Values one after the other as the store has them; nothing if they cannot stand there so."""
    try:
        return [b"".join(map(encode, values))]
    except (ValueError, OverflowError, TypeError):  # no Unicode, or more than 64 bits
        return []


def _stands_in(word: Any, value: Any) -> bool:
    text = str(word)
    pattern = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
    if any(pattern.search(part) or json.dumps(text)[1:-1] in part for part in strings(value)):
        return True
    return any(str(leaf) == text for leaf in leaves(value) if not isinstance(leaf, str))


def leaves(value: Any, most: int = 200) -> list[Any]:
    """Texts and numbers in a value, the first of them."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            value = [json.loads(value), value]
        except (ValueError, RecursionError):
            pass
    found: list[Any] = []
    todo = [value]
    while todo and len(found) < most:
        item = todo.pop()
        if isinstance(item, dict):
            todo += reversed(item.values())
        elif isinstance(item, list):
            todo += reversed(item[-50:])
        elif item is not None and not isinstance(item, bool):
            found.append(item)
    return found


def given(run: Run, failed: SpanRow, before: list[SpanRow]) -> Iterator[Cause]:
    """The span whose output is the input of the failed one."""
    key = run.exchange(failed).input
    if key is None or (isinstance(key, bytes) and len(key) < 4):
        return
    for span in before:
        if run.exchange(span).output == key and not _is_redacted(run.output(span)):
            yield Cause(span, 80, f"{called(span)} gave what {failed.name} was called with: {short(run.output(span))}")
            return
    texts = [leaf for leaf in leaves(run.input(failed)) if isinstance(leaf, str)]
    texts = [leaf for leaf in texts if len(without_redactions(leaf).strip()) >= 12]
    for leaf in texts[:3]:
        for span in before:
            output = run.exchange(span).output
            if output is not None and any(needle in run.raw(output) for needle in _needles(leaf)):
                yield Cause(span, 68, f"{called(span)} gave what {failed.name} was called with: {short(leaf)}")
                return


def _is_redacted(value: Any) -> bool:
    """Whether nothing of a value is left that would tell it from others."""
    texts = [leaf for leaf in leaves(value) if isinstance(leaf, str)]
    return any(without_redactions(text) != text for text in texts) and not any(map(_telling, leaves(value)))


def pairs(run: Run, failed: SpanRow, before: list[SpanRow], error: str) -> Iterator[Cause]:
    """The spans that first gave an argument of the failed one under its own name, however short the value."""
    arguments = run.input(failed)
    if not isinstance(arguments, dict):
        return
    from_outside = [run.raw(run.exchange(span).input) for span in run.path(failed)[:-1]]
    for key, value in list(arguments.items())[:12]:
        if isinstance(value, (dict, list)) or value is None or (isinstance(value, str) and len(value) > 80):
            continue
        if _is_redacted(value):
            continue
        pair = json.dumps({key: value})[1:-1]
        needles = [*_encoded(key, value), pair.encode()]
        needles += [pair.replace('"', '\\"').encode(), pair.replace(": ", ":").encode()]
        if any(needle in raw for raw in from_outside for needle in needles):
            continue
        for span in before:
            raw = run.raw(run.exchange(span).output)
            if raw and any(needle in raw for needle in needles):
                said = key in error or (str(value) in error and len(str(value)) > 1)
                if said or span.kind_number == LLM:
                    yield Cause(span, 76 if said else 61, f"{called(span)} was the first to give {pair[:60]}")
                break


def short(value: Any, most: int = 60) -> str:
    """The beginning of a value as a text."""
    text = " ".join(text_of(value).split())
    return (text if len(text) <= most else text[: most - 1] + "…") if text else "an empty text"
