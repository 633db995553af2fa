"""Calls that are made again and again: with the same input, or with one that differs in ids and times only."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter, defaultdict
from typing import Any, NamedTuple

from agentops.analysis.asked import Call
from agentops.analysis.normal import without_ids
from agentops.analysis.run import AGENT, LLM, LOOP, PLAN, RETRIEVAL, TOOL, Run
from agentops.analysis.texts import text_of
from agentops.store.rows import SpanRow
from agentops.volatile import VOLATILE, is_volatile_name

__all__ = ["LOOP_CALLS", "AskedAgain", "Repeated", "asked_again", "repeated"]

#: So many calls alike are a loop.
LOOP_CALLS = 4
#: Only so many calls of a name, the last, have their inputs read.
_READ, _READ_OF_HUGE = 48, 16
_NAMES = 6
#: More that tells nothing, where the answers are known to have been the same: values, and names of arguments.
_LONG = re.compile(r"\d{9,}")
_OF_A_CALL = re.compile(r"(?i)time|(?:run|message|event)_?id$")

_CALLS = frozenset((TOOL, RETRIEVAL))
_NO_CALLS = frozenset((AGENT, LOOP, PLAN))
_NOT_COMPARED = _NO_CALLS | {LLM}


#: A word with a digit that is long enough to be an id; `page 3` and `u-7` may mean what they say.
_MARKED = re.compile(r"(?=[\w-]*\d)[\w-]{4,}")


class Repeated(NamedTuple):
    """Calls of one name that are alike; `exact` if their inputs are the same to the byte."""

    spans: list[SpanRow]
    exact: bool
    with_name: str | None  # another call that alternates with it


class AskedAgain(NamedTuple):
    """Calls of one tool without a span that models asked for with the same input; `with_name` as of `Repeated`."""

    calls: list[Call]
    with_name: str | None


def asked_again(calls: list[Call]) -> list[AskedAgain]:
    """Those of `calls`, which models asked for, that are loops; most calls first."""
    groups: defaultdict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in calls:
        groups[call.name, _canonical(call.given)].append(call)
    found = [AskedAgain(alike, None) for alike in groups.values() if len(alike) >= LOOP_CALLS]
    found.sort(key=lambda group: -len(group.calls))
    return [group._replace(with_name=_asked_in_turn(group, found)) for group in found[:20]]


def _canonical(given: Any) -> str:
    try:
        return given if isinstance(given, str) else json.dumps(given, sort_keys=True, default=str)
    except (ValueError, RecursionError):  # a store from elsewhere may hold anything: it is like nothing else
        return f"{id(given)}"


def repeated(run: Run) -> list[Repeated]:
    """What was called more than once alike, most calls first."""
    exchanges = run.exchanges
    # Most inputs are there once, and no group is made for them.
    often = {key for key, n in Counter([exchange[0] for exchange in exchanges.values()]).items() if n > 1}
    groups: defaultdict[object, list[SpanRow]] = defaultdict(list)
    for span, (given, output, _) in zip(run.spans, exchanges.values(), strict=True):
        if given in often and span.kind_number not in _NO_CALLS:
            if given is not None:
                groups[span.name, given, None].append(span)
            elif span.kind_number in _CALLS:
                groups[span.name, None, output].append(span)
    found = [Repeated(spans, True, None) for spans in groups.values() if len(spans) > 1]
    exact = {spans[0].name: len(spans) for spans, _, _ in found}
    names = Counter([span.name for span in run.spans if span.kind_number not in _NOT_COMPARED])
    many = [(n, name) for name, n in names.items() if n >= LOOP_CALLS and n > exact.get(name, 0)]
    for _, name in sorted(many, reverse=True)[:_NAMES]:
        alike = _alike(run, [span for span in run.spans if span.name == name])
        if len(alike) >= LOOP_CALLS and len(alike) > exact.get(name, 0):
            found.append(Repeated(alike, False, None))
    found.sort(key=lambda group: (-len(group.spans), not group.exact))
    return [group._replace(with_name=_partner(group, found)) for group in found[:20]]


def _alike(run: Run, spans: list[SpanRow]) -> list[SpanRow]:
    """The largest group of calls whose inputs are the same but for ids and times, and whose answers are the same.

    To call one tool for each of many things is no loop: what differs has to be of the kind that always does, or a
    model must have decided for each of many calls.
    """
    spans = spans[-(_READ_OF_HUGE if run.huge else _READ) :]
    run.load(key for span in spans for key in run.exchange(span)[:2] if key is not None)
    groups: dict[tuple[str, str], list[tuple[SpanRow, Any]]] = {}
    for span in spans:
        given, output, _ = run.exchange(span)
        if given is None:
            continue
        value = run.own(given)
        answer = _steady(run.own(output)) if output is not None else span.error or ""
        groups.setdefault((without_ids(text_of(value, 2_000)), answer), []).append((span, value))
    if not groups:
        return []
    best = max(groups.values(), key=len)
    alike = [span for span, _ in best]
    if _only_volatile([value for _, value in best]):
        return alike
    if len({_MARKED.sub("…", text_of(value, 2_000)) for _, value in best}) > 1:
        return []
    between = sum(s.kind_number == LLM and alike[0].start_ns < s.start_ns < alike[-1].start_ns for s in run.spans)
    return alike if between >= len(alike) - 1 >= LOOP_CALLS + 1 else []


def _steady(value: Any) -> str:
    return _LONG.sub("…", VOLATILE.sub("…", text_of(value, 2_000)))


def _only_volatile(values: list[Any]) -> bool:
    """Whether all that differs among inputs is what differs in every call."""
    if not all(isinstance(value, dict) for value in values):
        return len({_steady(value) for value in values}) == 1
    keys = {key for value in values for key in value}
    differing = [key for key in keys if len({text_of(value.get(key), 500) for value in values}) > 1]
    return all(
        is_volatile_name(str(key))
        or _OF_A_CALL.search(str(key))
        or len({_steady(value.get(key)) for value in values}) == 1
        for key in differing
    )


def _partner(group: Repeated, groups: list[Repeated]) -> str | None:
    """The name of another repeated call of which one follows each of these."""
    for other in groups:
        first = other.spans[0]
        if first is group.spans[0] or first.kind_number == LLM or first.name == group.spans[0].name:
            continue
        if _alternate([s.start_ns for s in group.spans], [s.start_ns for s in other.spans]):
            return first.name
    return None


def _asked_in_turn(group: AskedAgain, groups: list[AskedAgain]) -> str | None:
    for other in groups:
        first = other.calls[0]
        if first.name != group.calls[0].name and _alternate(
            [call.span.start_ns for call in group.calls], [call.span.start_ns for call in other.calls]
        ):
            return first.name
    return None


def _alternate(ones: list[int], others: list[int]) -> bool:
    """Whether of two kinds of calls, which began at these times, one follows the other each time."""
    if abs(len(ones) - len(others)) > 1:
        return False
    both = sorted([(start, 0) for start in ones] + [(start, 1) for start in others])
    return sum(a[1] != b[1] for a, b in itertools.pairwise(both)) >= len(both) - 2
