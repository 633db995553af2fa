"""Values that make later steps fail: texts that are no JSON, None, nothing, zero, and mappings without a key."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from agentops.analysis.introduced import Cause, leaves, short
from agentops.analysis.judging import emptiness
from agentops.analysis.run import LLM, Run, called
from agentops.store.rows import SpanRow

__all__ = ["bad_values", "unreadable", "without_key"]

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


def unreadable(run: Run, failed: SpanRow, before: list[SpanRow], error: str) -> Iterator[Cause]:
    """Model calls whose answers cannot be parsed as the error says."""
    if not _JSON.search(error):
        return
    given = set(filter(lambda leaf: isinstance(leaf, str) and len(leaf) >= 8, leaves(run.input(failed))))
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
            yield Cause(span, min(score, 97), f"{called(span)} answered with what is no JSON: {short(text)}")
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
            whole.append((score, span, f"gave {word}" if value is None else f"gave {word}: {short(value)}"))
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


def bad_values(run: Run, failed: SpanRow, before: list[SpanRow], error: str) -> Iterator[Cause]:
    """Spans that gave what the error says it could not work with."""
    for pattern, bad, word in _BAD:
        if pattern.search(error):
            yield from _bad_value(run, failed, before, error, bad, word)


def without_key(run: Run, failed: SpanRow, before: list[SpanRow], error: str) -> Iterator[Cause]:
    """A span whose output lacks the key that was asked for, where others of its name, or one much like it, have it."""
    match = _MISSING_KEY.search(error)
    if match is None:
        return
    key = next(filter(None, match.groups()))
    having: set[str] = set()
    lacking: list[tuple[SpanRow, dict[str, Any]]] = []
    for span in before:
        output = run.exchange(span).output
        if output is None or len(run.raw(output)) > 20_000:
            continue
        value = run.own(output)
        if isinstance(value, str) and value[:1] == "{":
            value = _parsed(value)
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


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
