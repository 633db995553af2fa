"""How the context of a run grows: of each model call, what is new in it against the call before.

What was sent before is known by its address in the store, so nothing is decoded but lists of addresses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from agentops.conventions import KIND_NUMBER
from agentops.journal.format import LIST, Reference, decode_value, encode
from agentops.store.flow import Key
from agentops.store.reader import Reader
from agentops.store.rows import SpanRow, TraceRow

__all__ = ["Growth", "Turn", "growth"]

_LLM = KIND_NUMBER["llm"]
#: A call goes on from one of so many before it: runs talk with several models in turn.
_BEFORE_MAX = 8
#: A content's number, or an encoded value of a few bytes.
Address = int | bytes


class Turn(NamedTuple):
    """A model call of a run.

    span: the call.
    messages: how many it was given.
    new: how many of them were not there in the call that it goes on from.
    before: that call; None where a conversation begins.
    new_tokens: of its input, against that call's; None where either does not say its tokens.
    """

    span: SpanRow
    messages: int
    new: int
    before: SpanRow | None
    new_tokens: int | None


class Growth(NamedTuple):
    """The model calls of a run, and by how many input tokens one that goes on exceeds the one before, on average.

    tokens_per_turn: None where no call goes on from another, or none says its tokens.
    """

    turns: list[Turn]
    tokens_per_turn: float | None


def growth(reader: Reader, trace: TraceRow) -> Growth:
    """How the context of a run grows.

    Args:
        reader: the store.
        trace: one of its traces.
    """
    spans, exchanges = reader.flow(trace)
    kinds = {span.span_id: span.kind_number for span in spans}
    # What is inside of a call is the same call, seen by another library.
    calls = [s for s in spans if s.kind_number == _LLM and kinds.get(s.parent_id or 0) != _LLM]
    keys = {span.span_id: exchanges[span.span_id].input for span in calls}
    lists = _Lists(reader, (key for key in keys.values() if key is not None))
    turns: list[Turn] = []
    known: list[tuple[SpanRow, list[Address]]] = []
    for span in calls:
        key = keys[span.span_id]
        given = None if key is None else lists.of(key)
        if given is None:
            continue
        before, same = None, 0
        for earlier, sent in reversed(known[-_BEFORE_MAX:]):
            if (common := _common(sent, given)) > same:
                before, same = earlier, common
        tokens = None
        if before is not None and span.input_tokens is not None and before.input_tokens is not None:
            tokens = span.input_tokens - before.input_tokens
        turns.append(Turn(span, len(given), len(given) - same, before, tokens))
        known.append((span, given))
    grown = [turn.new_tokens for turn in turns if turn.new_tokens is not None]
    return Growth(turns, sum(grown) / len(grown) if grown else None)


def _common(one: list[Address], other: list[Address]) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


class _Lists:
    """Lists of messages as the addresses of their items, each content read once."""

    def __init__(self, reader: Reader, keys: Iterable[Key]) -> None:
        self._reader = reader
        self._own: dict[Key, tuple[Key, list[Address]] | None] = {}
        wanted = set(keys)
        while wanted:  # the lists, those that they continue, and so on
            found = reader.raws(list(wanted))
            self._own |= {key: _own(*found[key]) if key in found else None for key in wanted}
            wanted = {own[0] for key in wanted if (own := self._own[key]) and own[0]} - self._own.keys()

    def of(self, key: Key) -> list[Address] | None:
        """None for what is no list."""
        parts: list[list[Address]] = []
        seen: set[Key] = set()
        while key and key not in seen:
            seen.add(key)
            own = self._own.get(key)
            if own is None:
                return None
            key = own[0]
            parts.append(own[1])
        return [address for part in reversed(parts) for address in part]


def _own(form: int, data: bytes) -> tuple[Key, list[Address]] | None:
    """The list that a content continues (0 for none), and the addresses of its own items."""
    try:
        value: Any = decode_value(data)
        if isinstance(value, dict) and isinstance(value.get("messages"), (list, Reference)):  # a whole request
            value = value["messages"]
            if isinstance(value, Reference):
                return value.number, []
        before, items = value if form == LIST else (0, value)
        if not isinstance(items, list) or type(before) is not int:
            return None
        return before, [item.number if isinstance(item, Reference) else encode(item) for item in items]
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):  # a store from elsewhere
        return None
