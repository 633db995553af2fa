"""Tools of an agent without spans for them: what its models asked for, and what came back in the messages after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from agentops.analysis.judging import worth_decoding
from agentops.analysis.run import LLM, Run
from agentops.journal.format import BLOB, ERROR
from agentops.messages import calls, identifier, is_result, results
from agentops.store.contents import references
from agentops.store.flow import Key
from agentops.store.rows import SpanRow

__all__ = ["Call", "asked", "failed_results"]

#: A request, its messages, one of them, its blocks, one of them, its content.
_LEVELS = 6
#: So many model calls of a huge run, the last, are looked at, and so many contents of each level below their inputs.
_CALLS_OF_HUGE, _PIECES_OF_HUGE, _PIECES = 200, 400, 8_000
#: So many contents belong to one result.
_PARTS = 20
#: A flag that is true, as it is encoded: however many flags are not, these are looked at.
_FLAGS = (b"is_error\xc3", b"isError\xc3")


class Call(NamedTuple):
    """A model asked for `name` with `given`; `id` is what the answer will name."""

    span: SpanRow
    name: str
    given: Any
    id: str | None


def asked(run: Run) -> list[Call]:
    """The calls of tools that stand in the answers of models, in the order of asking."""
    models = [s for s in run.spans if s.kind_number == LLM and s.status_number != ERROR]
    models = models[-_CALLS_OF_HUGE:] if run.huge else models
    run.load([run.exchange(span).output for span in models], _PIECES_OF_HUGE if run.huge else _PIECES)
    known: dict[Key, list[tuple[str, Any, str | None]]] = {}
    found: list[Call] = []
    for span in models:
        key = run.exchange(span).output
        if key is None:
            continue
        if key not in known:
            form, raw = run.raws.get(key, (BLOB, run.raw(key)))
            told = form != BLOB or b"tool" in raw or b"function" in raw
            known[key] = list(calls(run.whole(key))) if told else []
        found += [Call(span, *call) for call in known[key]]
    return found


def failed_results(run: Run, models: list[SpanRow]) -> Iterator[tuple[SpanRow, dict[str, Any], str | None]]:
    """Results of tools that may say that something failed, each once: the model call that was given it first, the
    result, and the id of the call that it answers.

    A message that is large enough is a content of its own, as its blocks are and what is in them: they are looked at
    wherever they stand.
    """
    pieces, inside = _pieces(run, models[-_CALLS_OF_HUGE:] if run.huge else models)
    chosen: list[tuple[Key, bytes]] = []
    for key in pieces:
        raw = run.raw(key)
        if b"tool" in raw or b"function" in raw:  # with its words, which may be contents of their own
            chosen.append((key, raw if key not in inside else b"".join(map(run.raw, _below(key, inside)))))
    worth = set(worth_decoding([raw for _, raw in chosen]))
    seen: set[str] = set()
    for n, (key, raw) in enumerate(chosen):
        if n not in worth and not any(flag in raw for flag in _FLAGS):
            continue
        value = run.own(key)
        if key in inside and isinstance(value, dict) and is_result(value):
            value = run.whole(key)
        for item in results(value):
            answers = identifier(item, "tool_use_id", "tool_call_id", "call_id")
            if answers is None or answers not in seen:
                seen |= set() if answers is None else {answers}
                yield pieces[key], item, answers


def _pieces(run: Run, models: list[SpanRow]) -> tuple[dict[Key, SpanRow], dict[Key, list[int]]]:
    """What models were given and the contents in it, each with the first model call that it stands in; and which
    contents stand in which."""
    level: dict[Key, SpanRow] = {}
    for span in models:
        if (key := run.exchange(span).input) is not None:
            level.setdefault(key, span)
    found, inside = dict(level), dict[Key, list[int]]()
    most = _PIECES_OF_HUGE if run.huge else _PIECES
    run.load(level, most)
    for _ in range(_LEVELS):
        below: dict[Key, SpanRow] = {}
        for key, span in level.items():
            form, raw = run.raws.get(key, (BLOB, b""))
            if form != BLOB:
                previous, inside[key] = references(form, raw)
                for number in (previous, *inside[key]):
                    if number and number not in found:
                        below.setdefault(number, span)
        if not below:
            break
        run.load(below, most)
        found.update(below)
        level = below
    return found, inside


def _below(key: Key, inside: dict[Key, list[int]]) -> list[Key]:
    """A content and those that stand in it, not too many of them."""
    found: dict[Key, None] = {}
    todo = [key]
    while todo and len(found) < _PARTS:
        at = todo.pop()
        if at not in found:
            found[at] = None
            todo += inside.get(at, ())[:_PARTS]
    return list(found)
