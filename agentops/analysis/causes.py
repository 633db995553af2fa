"""Where a failure came from: the earlier span that gave the value which made a later one fail.

A message often quotes the value that it fell over: an id, a text, a key. Outputs are contents of their own, so
the span that brought such a value in is the first in which it stands, and finding it is a search in bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from agentops.analysis.judging import emptiness, text_of
from agentops.analysis.run import LLM, RETRIEVAL, TOOL, Run, called
from agentops.journal.format import encode
from agentops.store.plain_text import strings
from agentops.store.rows import SpanRow

__all__ = ["Cause", "caller", "causes", "is_overflow", "is_timeout", "largest"]

_TIMEOUT = re.compile(r"(?i)time-?\s?d?\s?-?out|deadline|took too long|did not (answer|respond) in")
_OVERFLOW = re.compile(
    r"(?i)prompt (is )?too long|context[ _]?(length|window|limit|size)|maximum context|too many (input )?tokens"
    r"|input (is )?too (long|large)|tokens? (>|exceed)|exceeds? .{0,40}tokens|request_too_large"
)
_JSON = re.compile(
    r"(?i)json|expecting (value|property|',|':)|unterminated string|extra data|unexpected (token|character|end)"
    r"|invalid (control|\\escape|escape)|pars(e|ing|er)|malformed|validationerror|decode|yaml|not a valid|schema"
)
_NONE = re.compile(r"NoneType|\bNone\b|\bnull\b|\bundefined\b|\bnil\b")
_EMPTY = re.compile(
    r"(?i)IndexError|\bempty\b|out of range|StopIteration|not enough values|no (data|results|items)|at least one"
    r"|zero-size|EmptyDataError"
)
_ZERO = re.compile(r"(?i)ZeroDivision|division by zero|divide by zero|\bnan\b|infinit")
_MISSING_KEY = re.compile(
    r"""^KeyError: ['"](.+)['"]$|(?i:missing (?:key|field|column|required\s\w+):? ['"`]?([\w.-]+))"""
    r"""|has no attribute '(\w+)'|no field of name ['"]?(\w+)"""
)
_QUOTED = re.compile(r"(?<!\w)(?:'([^'\n]{2,160})'|\"([^\"\n]{2,160})\"|`([^`\n]{2,160})`)(?!\w)|“([^”]{2,160})”")
_ID = re.compile(r"[^\W_](?:[\w@/#+-]|[.:](?=\w))*[^\W_]")
_PART = re.compile(r"^(?=.*\d)\w[\w.-]{3,}$")
_CAPITALS = re.compile(r"\b[A-Z]{3,}\b")
_EXTRA = re.compile(r"(?i)unexpected|unknown|unrecogni|extra|not (allowed|permitted|supported)|no such|got an")
_ARGUMENT = re.compile(
    r"(?i)ValueError|TypeError|KeyError|LookupError|invalid|must (be|not)|not found|no such|unknown|missing|required"
    r"|does not exist|validation|argument|parameter|unexpected|bad request|not a valid|4(00|04|22)"
)
_SMALL = re.compile(r"[\d.,:]{1,2}")
_HTTP = re.compile(r"[45]\d\d")
_TYPE = re.compile(r"^[\w.]+(?:Error|Exception|Warning|Timeout|Exit|Interrupt|NotFound|Failure|Group)?: ")
#: Words of Python and of protocols, which an error's message quotes without meaning a value of the run.
_COMMON = {
    "NoneType", "str", "int", "dict", "list", "float", "bool", "tuple", "bytes", "object", "type", "utf-8", "utf8",
    "None", "null", "get", "HTTP", "JSON", "API", "URL", "GET", "POST", "base-10", "line", "column", "char", "error",
    "name", "value", "self", "key", "args",
}  # fmt: skip
#: Spans of a huge trace that may be causes: the first and the last before the failure.
_FIRST, _LAST = 150, 350


class Cause(NamedTuple):
    span: SpanRow
    score: int
    text: str


def is_timeout(error: str | None) -> bool:
    return bool(error and _TIMEOUT.search(error))


def is_overflow(error: str | None) -> bool:
    return bool(error and _OVERFLOW.search(error))


def causes(run: Run, failed: SpanRow, error: str) -> list[Cause]:
    """Where the failure of `failed` may have come from, the best guess first.

    Args:
        run: the run.
        failed: the span in which the error was raised, or that gave it as a value.
        error: its words.
    """
    before = run.before(failed, _LAST if run.huge else None)
    if run.huge:  # a cause is near, or it is what everything began with
        known = {span.span_id for span in before}
        first = [s for s in run.spans[:_FIRST] if s.end_ns is not None and s.end_ns <= failed.start_ns]
        before = [s for s in first if s.span_id not in known] + before
    run.load([key for span in (*before[::-1], failed) for key in _keys(run, span)])
    found: list[Cause] = []
    if is_timeout(error):
        found += _slow(run, failed, before)
    if _JSON.search(error):
        found += _unreadable(run, failed, before, error)
    if is_overflow(error):
        found += largest(run, before)
    found += _quoted(run, failed, before, error)
    for pattern, bad, word in _BAD:
        if pattern.search(error):
            found += _bad_value(run, failed, before, error, bad, word)
    found += _without_key(run, failed, before, error)
    if failed.kind_number != LLM and not is_timeout(error):  # a conversation is made of earlier outputs anyway
        found += _given(run, failed, before)
        found += _pairs(run, failed, before, error)
        found += _asked(run, failed, error)
    found.sort(key=lambda cause: -cause.score)
    best: dict[int, Cause] = {}
    for cause in found:
        best.setdefault(cause.span.span_id, cause)
    return list(best.values())


def caller(run: Run, failed: SpanRow) -> SpanRow | None:
    """The model call that asked for a call: the latest before it that names it, else the latest before it."""
    models = [span for span in run.before(failed, 200) if span.kind_number == LLM][-8:]
    run.load([key for span in models if (key := run.exchange(span).output) is not None])
    name = failed.name.encode("utf-8", "replace")
    for span in reversed(models):
        if name and name in run.raw(run.exchange(span).output):
            return span
    return models[-1] if models else None


def _keys(run: Run, span: SpanRow) -> Iterator[int]:
    exchange = run.exchange(span)
    if isinstance(exchange.output, int):
        yield exchange.output
    if isinstance(exchange.input, int):
        yield exchange.input


# -- a value that the message quotes, or that the failed span was given ---------------------------


def _quoted(run: Run, failed: SpanRow, before: list[SpanRow], error: str) -> Iterator[Cause]:
    body = _TYPE.sub("", error, count=1)
    given = [] if failed.kind_number == LLM else [leaf for leaf in _leaves(run.input(failed)) if _telling(leaf)]
    words = [next(filter(None, match)) for match in _QUOTED.findall(body)]
    words += [w for w in _ID.findall(body) if re.search(r"\d|\w[_@/-]\w", w) and len(w) >= 3]
    words += [part for word in words if "/" in word for part in re.split(r"[/?&=#]", word) if _PART.search(part)]
    words += [leaf for leaf in given if isinstance(leaf, str) and leaf in body]
    words += [leaf for leaf in given if not isinstance(leaf, str) and str(leaf) in body]
    words += _CAPITALS.findall(body)
    quoted = [word for word in dict.fromkeys(words) if isinstance(word, (int, float)) or word not in _COMMON]
    for n, word in enumerate(quoted[:12]):
        if isinstance(word, str) and (
            re.fullmatch(r"[\d.,:]{1,2}", word) or (_HTTP.fullmatch(word) and word not in given)
        ):
            continue
        if (cause := _introduced(run, failed, before, error, word, 92 - n)) is not None:
            yield cause
    for n, leaf in enumerate(given[:8]):
        if leaf not in quoted and (cause := _introduced(run, failed, before, error, leaf, 64 - n)) is not None:
            yield cause


def _telling(leaf: Any) -> bool:
    if isinstance(leaf, str):
        return len(leaf) >= 3 and leaf not in _COMMON
    return type(leaf) in (int, float) and abs(leaf) >= 1_000


def _introduced(run: Run, failed: SpanRow, before: list[SpanRow], error: str, word: Any, score: int) -> Cause | None:
    """The first span in which `word` stands, if it came out of it or was made there."""
    needles = _needles(word)
    moments = [(s.end_ns or 0, 1, s, run.exchange(s).output) for s in before]
    moments += [(s.start_ns, 0, s, run.exchange(s).input) for s in before]
    moments += [(s.start_ns, 0, s, run.exchange(s).input) for s in run.path(failed)]
    moments.sort(key=lambda moment: moment[:2])
    for _, out, span, key in moments:
        if key is None or not any(needle in run.raw(key) for needle in needles):
            continue
        value = run.own(key)
        if not _stands_in(word, value):
            continue
        if isinstance(word, str) and not any(word in str(leaf) for leaf in _leaves(value)) and not _EXTRA.search(error):
            score -= 38  # it is the name of a field there, and fields have the same names everywhere
        shown = json.dumps(word, ensure_ascii=False)[:50]
        if out:
            return Cause(span, score, f"{called(span)} was the first to give {shown}")
        if span.parent_id is None or span.span_id not in {s.span_id for s in before}:
            return None  # it came from outside
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
    return any(str(leaf) == text for leaf in _leaves(value) if not isinstance(leaf, str))


def _leaves(value: Any, most: int = 200) -> list[Any]:
    """Texts and numbers in a value; the last message of a conversation stands for all of it."""
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


def _given(run: Run, failed: SpanRow, before: list[SpanRow]) -> Iterator[Cause]:
    """The span whose output is the input of the failed one."""
    key = run.exchange(failed).input
    if key is None or (isinstance(key, bytes) and len(key) < 4):
        return
    for span in before:
        if run.exchange(span).output == key:
            yield Cause(span, 80, f"{called(span)} gave what {failed.name} was called with: {_short(run.output(span))}")
            return
    text = run.input(failed)
    leaves = [leaf for leaf in _leaves(text) if isinstance(leaf, str) and len(leaf) >= 12]
    for leaf in leaves[:3]:
        for span in before:
            output = run.exchange(span).output
            if output is not None and any(needle in run.raw(output) for needle in _needles(leaf)):
                yield Cause(span, 68, f"{called(span)} gave what {failed.name} was called with: {_short(leaf)}")
                return


def _pairs(run: Run, failed: SpanRow, before: list[SpanRow], error: str) -> Iterator[Cause]:
    """The spans that first gave an argument of the failed one under its own name, however short the value."""
    given = run.input(failed)
    if not isinstance(given, dict):
        return
    from_outside = [run.raw(run.exchange(span).input) for span in run.path(failed)[:-1]]
    for key, value in list(given.items())[:12]:
        if isinstance(value, (dict, list)) or value is None or (isinstance(value, str) and len(value) > 80):
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


def _asked(run: Run, failed: SpanRow, error: str) -> Iterator[Cause]:
    """The model call that asked for a call which did not like its arguments."""
    if failed.kind_number not in (TOOL, RETRIEVAL):
        return
    model = caller(run, failed)
    if model is not None:
        named = failed.name.encode("utf-8", "replace") in run.raw(run.exchange(model).output)
        score = 50 + 6 * named + 6 * bool(_ARGUMENT.search(error))
        yield Cause(model, score, f"{called(model)} {'asked for it' if named else 'was the model call before it'}")


# -- a text that is no JSON ------------------------------------------------------------------------


def _unreadable(run: Run, failed: SpanRow, before: list[SpanRow], error: str) -> Iterator[Cause]:
    """Model calls whose answers cannot be parsed as the error says."""
    given = set(filter(lambda leaf: isinstance(leaf, str) and len(leaf) >= 8, _leaves(run.input(failed))))
    nearest = 0
    for span in [s for s in before if s.kind_number == LLM and run.exchange(s).output is not None][:-31:-1]:
        exchange = run.exchange(span)
        asked = b"json" in run.raw(exchange.input).lower() or b"json" in exchange.body.lower()
        for text in _answers(run.output(span)):
            problem = _problem(text)
            if problem is None:
                continue
            exact = problem in error
            score = 58 - nearest
            score += 10 * asked + 8 * exact + (15 if exact and "(char 0)" not in problem else 0)
            score += 12 * (text.lstrip()[:1] in ("{", "[", "`"))
            score += 30 * (text in given or any(text.strip() in leaf or leaf in text for leaf in given))
            yield Cause(span, min(score, 97), f"{called(span)} answered with what is no JSON: {_short(text)}")
            nearest += 1
            break


def _answers(output: Any) -> list[str]:
    """What a parser may be given of a model's answer: arguments of the calls in it, or its words if it has none."""
    if isinstance(output, str):
        return [output]
    arguments: list[str] = []
    texts: list[str] = []
    calls = False
    todo: list[Any] = [output]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            calls = calls or item.get("type") in ("tool_use", "function_call", "tool_call")
            arguments += [item["arguments"]] if isinstance(item.get("arguments"), str) else []
            texts += [item[key] for key in ("text", "content") if isinstance(item.get(key), str)]
            todo += item.values()
        elif isinstance(item, list):
            todo += item
    return arguments or ([] if calls else texts)


def _problem(text: str) -> str | None:
    try:
        json.loads(text)
    except ValueError as problem:
        return str(problem)
    except RecursionError:
        pass
    return None


# -- None, nothing, zero ---------------------------------------------------------------------------


def _is_none(value: Any) -> bool:
    return value is None


def _is_zero(value: Any) -> bool:
    return type(value) in (int, float) and (value == 0 or value != value)


def _is_empty(value: Any) -> bool:
    return value is not None and emptiness(value) is not None


_BAD: tuple[tuple[re.Pattern[str], Callable[[Any], bool], str], ...] = (
    (_NONE, _is_none, "None"),
    (_EMPTY, _is_empty, "nothing"),
    (_ZERO, _is_zero, "zero"),
)
_FINDS = re.compile(
    r"(?i)look|get|find|fetch|load|resolve|parse|search|extract|read|query|retriev|select|pick|choose|detect|match"
    r"|rout|classif"
)


def _bad_value(
    run: Run, failed: SpanRow, before: list[SpanRow], error: str, bad: Callable[[Any], bool], word: str
) -> Iterator[Cause]:
    """Spans that gave None (or nothing, or zero) before something fell over it."""
    given = run.input(failed)
    keys = {key for key, inner in given.items() if bad(inner)} if isinstance(given, dict) else set()
    names = set(re.findall(r"[^\W\d_]{3,}", error.lower()))
    whole: list[tuple[int, SpanRow, str]] = []
    others: dict[str, int] = {}
    for n, span in enumerate(before):
        output = run.exchange(span).output
        if output is None or (run.contains(span) and span.parent_id is None):
            continue
        raw = run.raw(output)
        if len(raw) > 4_000:
            continue
        value = run.own(output)
        if bad(value):
            score = 66 + 10 * bool(_FINDS.search(span.name)) - 6 * run.contains(span)
            whole.append((score, span, f"gave {word}" if value is None else f"gave {word}: {_short(value)}"))
        else:
            others[span.name] = n
            for key in _bad_keys(value, bad):
                score = 88 if key in keys else 72 if key.lower() in names else 58
                whole.append((score - 6 * run.contains(span), span, f"gave {word} for {key!r}"))
                break
    for n, (score, span, says) in enumerate(sorted(whole, key=lambda found: -found[0])[:4]):
        yield Cause(span, score + 8 * (span.name in others) - n, f"{called(span)} {says}")


def _bad_keys(value: Any, bad: Callable[[Any], bool]) -> list[str]:
    if isinstance(value, str) and value[:1] == "{":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    if not isinstance(value, dict):
        return []
    found = [key for key, inner in value.items() if bad(inner)]
    return found or [key for inner in value.values() if isinstance(inner, dict) for key, i in inner.items() if bad(i)]


def _without_key(run: Run, failed: SpanRow, before: list[SpanRow], error: str) -> Iterator[Cause]:
    """A span whose output lacks the key that was asked for, where others of its name, or one much like it, have it."""
    match = _MISSING_KEY.search(error)
    if match is None:
        return
    import difflib

    key = next(filter(None, match.groups()))
    having: set[str] = set()
    lacking: list[tuple[SpanRow, dict[str, Any]]] = []
    for span in before:
        output = run.exchange(span).output
        if output is None or len(run.raw(output)) > 20_000:
            continue
        value = run.own(output)
        if isinstance(value, str) and value[:1] == "{":
            value = _json(value)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = next((item for item in value if isinstance(item, dict) and key not in item), value[0])
        if isinstance(value, dict):
            if key in value:
                having.add(span.name)
            else:
                lacking.append((span, value))
    for span, value in lacking:
        like = difflib.get_close_matches(key, [k for k in value if isinstance(k, str)], 1, 0.6)
        has = ", ".join(map(str, value))[:60]
        if span.name in having:
            yield Cause(span, 95, f"{called(span)} gave no {key!r}, which it gave at other times; it gave {has}")
        elif like or any(key.lower() in str(k).lower() for k in value):
            yield Cause(span, 84, f"{called(span)} gave no {key!r}; it gave {has}")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


# -- time and size ---------------------------------------------------------------------------------


def _slow(run: Run, failed: SpanRow, before: list[SpanRow]) -> Iterator[Cause]:
    """What took the time that was up: a step inside of the failed one, or before it."""
    slow = failed
    while inside := [span for span in run.children.get(slow.span_id, ()) if span.duration_ns]:
        slow = max(inside, key=lambda span: span.duration_ns or 0)
    if slow is not failed:
        yield Cause(slow, 88, f"{called(slow)} took most of the time")
        return
    steps = [span for span in before if span.duration_ns and not run.contains(span)]
    if steps:
        slow = max(steps, key=lambda span: span.duration_ns or 0)
        if (slow.duration_ns or 0) > 2 * (failed.duration_ns or 0):
            yield Cause(slow, 70, f"{called(slow)} took the longest before it")


def largest(run: Run, before: list[SpanRow]) -> Iterator[Cause]:
    """The step whose output is the largest part of what became too long."""
    sized = [(len(run.raw(run.exchange(span).output)), span) for span in before if not run.contains(span)]
    sized += [(len(run.raw(run.exchange(span).output)), span) for span in before if run.contains(span)]
    if sized:
        size, span = max(sized, key=lambda pair: pair[0])
        if size > 2_000:
            yield Cause(span, 86, f"{called(span)} gave the largest output, {size / 1000:.0f} kB")


def _short(value: Any, most: int = 60) -> str:
    text = " ".join(text_of(value).split())
    return (text if len(text) <= most else text[: most - 1] + "…") if text else "an empty text"
