"""Roll-ups: what a list shows of a trace, kept up as its spans come in."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any

from agentops.conventions import KIND_NUMBER
from agentops.journal.format import ERROR, INTERRUPTED, RUNNING, encode
from agentops.store.counting import COST, COUNTED, PICO, UNPRICED
from agentops.store.repeats import Call, Said, repeated, said_of, said_on
from agentops.store.schema import signed
from agentops.store.span_changes import SpanChanges, model_of, sql_time

__all__ = ["Traces", "count_anew"]

_CACHED_TRACES = 4_096
_LLM = KIND_NUMBER["llm"]
_COUNTED = COUNTED

#: Of a trace that was there, everything is counted anew: it depends on nothing but its spans.
_COUNTS = (
    "UPDATE traces SET (spans, errors, open, llm_calls, input_tokens, output_tokens, unpriced) = (SELECT count(*), "
    f"ifnull(sum(status = {ERROR}), 0), ifnull(sum(status = {RUNNING}), 0), ifnull(sum(kind = {_LLM}), 0), "
    f"CAST(total(iif(kind IN {_COUNTED}, input_tokens, 0)) AS INTEGER), "  # `sum` fails where it is too large
    f"CAST(total(iif(kind IN {_COUNTED}, output_tokens, 0)) AS INTEGER), "
    f"ifnull(sum(kind IN {_COUNTED} AND {UNPRICED}), 0) "
    "FROM spans WHERE trace = no), "
    f"cost_usd = (SELECT iif(count(cost), total(cost) / {PICO}.0, NULL) FROM calls WHERE trace = no) WHERE no = ?"
)
#: Whether any of a trace's calls overlap. Most traces have none that do, and then each is a call of its own.
_OVERLAP = (
    "SELECT 1 FROM (SELECT start_ns, max(ifnull(end_ns, 9223372036854775807)) OVER (ORDER BY start_ns "
    "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS until "
    f"FROM spans WHERE trace = ? AND kind IN {_COUNTED}) WHERE start_ns <= until LIMIT 1"
)
_CALLS = (
    "SELECT span_id, parent_id, kind, CAST(start_ns AS INTEGER), CAST(end_ns AS INTEGER), "
    f"CAST(input_tokens AS INTEGER), CAST(output_tokens AS INTEGER), {COST}, {UNPRICED} FROM spans "
    f"WHERE trace = ? AND kind IN {_COUNTED}"
)
_USED = "UPDATE traces SET (llm_calls, input_tokens, output_tokens, cost_usd, unpriced) = (?, ?, ?, ?, ?) WHERE no = ?"

#: A trace has its root's name, kind, status and times; session, user and tags too, where the root has them.
_ROOT_DECIDES = (
    "UPDATE traces SET (status, kind, start_ns, end_ns, name) = "
    "(SELECT status, kind, start_ns, end_ns, names.text FROM spans "
    "JOIN names ON names.id = spans.name WHERE trace = no AND span_id = root) WHERE no = ? AND root IS NOT NULL"
)


class _Trace:
    """How one trace's roll-up changes."""

    __slots__ = (
        "calls", "errors", "is_root", "kind", "name", "new_id", "open", "root", "root_span", "said", "scope",
        "scope_below", "spans", "start_ns",
    )  # fmt: skip

    def __init__(self, new_id: bytes | None = None) -> None:
        self.new_id = new_id  # of a trace that is not in the store yet
        self.root_span: SpanChanges | None = None
        self.spans = self.errors = self.open = 0
        self.calls: list[Call] = []
        self.said: dict[int, Said] = {}
        self.root: int | None = None
        self.name, self.kind, self.start_ns, self.is_root = "", 0, 0, False
        self.scope: dict[str, Any] | None = None
        self.scope_below: dict[str, Any] = {}  # of the first spans that said something, where the root says nothing


class Traces:
    """The traces of one batch.

    Args:
        connection: the store, in a transaction.
        numbers: cache of the store's numbers of traces by id, for as long as no transaction fails.
    """

    def __init__(self, connection: sqlite3.Connection, numbers: dict[bytes, int]) -> None:
        self._connection = connection
        self._sql = connection.execute
        self._many = connection.executemany
        self._numbers = numbers
        self._new: dict[bytes, int] = {}
        self._changes: dict[int, _Trace] = {}
        (self._next,) = self._sql(
            "SELECT max(value, (SELECT ifnull(max(no), 0) FROM traces)) + 1 FROM meta WHERE name = 'trace'"
        ).fetchone()

    def number(self, trace_id: bytes, span: SpanChanges | None) -> int:
        number = self._numbers.get(trace_id) or self._new.get(trace_id)
        if number is None:
            row = self._sql("SELECT no FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
            if row is None:
                row = (self._next,)
                self._new[trace_id] = self._next
                self._next += 1
                new = self._changes[row[0]] = _Trace(trace_id)
                new.start_ns = 0 if span is None else span.start_ns or span.end_ns or 0
            if len(self._numbers) > _CACHED_TRACES:
                self._numbers.clear()
            number = self._numbers[trace_id] = int(row[0])
        return number

    def known(self, trace_id: bytes) -> int | None:
        """The number of a trace that is in the store or in this batch; None for one that nobody has begun."""
        number = self._numbers.get(trace_id) or self._new.get(trace_id)
        if number is None:
            row = self._sql("SELECT no FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
            number = None if row is None else int(row[0])
        return number

    def is_new(self, number: int) -> bool:
        """Whether no span of this trace is in the store yet."""
        change = self._changes.get(number)
        return change is not None and change.new_id is not None

    def count(self, trace: int, key: int, span: SpanChanges) -> None:
        """A span comes into its trace."""
        total = self.touch(trace)
        total.spans += 1
        if not total.is_root and (not span.parent_id or total.root is None):
            total.root, total.name, total.kind = key, span.name or "?", span.kind or 0
            total.start_ns, total.scope, total.is_root = span.start_ns or 0, span.scope, not span.parent_id
            total.root_span = span
        if span.scope:
            total.scope_below = {**span.scope, **total.scope_below}
        total.open += span.end_ns is None
        total.errors += span.end_ns is not None and span.status == ERROR
        if span.kind in _COUNTED:
            total.calls.append(
                Call(
                    key, signed(span.parent_id or 0), span.kind, span.start_ns or 0, span.end_ns, span.input_tokens,
                    span.output_tokens, span.cost, span.cost is None and _is_unpriced(span),
                )
            )  # fmt: skip
            total.said[key] = said_on(span.attributes, span.scope)

    def touch(self, trace: int) -> _Trace:
        """Something about a trace changes."""
        total = self._changes.get(trace)
        if total is None:
            total = self._changes[trace] = _Trace()
        return total

    def write(self) -> None:
        new: list[tuple[Any, ...]] = []
        for number, change in self._changes.items():
            root_scope = change.scope or {}
            metadata = root_scope.get("metadata")
            metadata = encode(metadata) if isinstance(metadata, dict) and metadata else None
            if change.new_id is not None:
                root = change.root_span or SpanChanges()
                ended = root.end_ns is not None
                *used, unpriced = _used(change.calls, change.said.__getitem__)
                new.append(
                    (
                        number, change.new_id, change.root, root.name or change.name or "?", root.kind or 0,
                        root.status if ended else RUNNING, sql_time(change.start_ns), sql_time(root.end_ns),
                        change.spans, change.errors, change.open, *used,
                        *_about({**change.scope_below, **root_scope}), metadata, unpriced,
                    )
                )  # fmt: skip
                continue
            self._update_trace(number, change, metadata)
            count_anew(self._connection, number)
        self._many(f"INSERT INTO traces VALUES ({', '.join('?' * 20)})", new)

    def _update_trace(self, number: int, change: _Trace, metadata: bytes | None) -> None:
        """A trace that was there gets its root, or a better one than it had."""
        root, has_root = self._sql(
            "SELECT root, (SELECT parent_id IS NULL FROM spans WHERE trace = no AND span_id = root) "
            "FROM traces WHERE no = ?",
            (number,),
        ).fetchone()
        if change.root is not None and (root is None or (change.is_root and not has_root)):
            self._sql(
                "UPDATE traces SET root = ?, name = ?, kind = ?, start_ns = ?, session = ifnull(?, session), "
                "user = ifnull(?, user), tags = ifnull(?, tags), metadata = ? WHERE no = ?",
                (
                    change.root, change.name, change.kind, sql_time(change.start_ns), *_about(change.scope or {}),
                    metadata, number,
                ),
            )  # fmt: skip
        if change.scope_below:
            self._sql(
                "UPDATE traces SET session = ifnull(session, ?), user = ifnull(user, ?), tags = ifnull(tags, ?) "
                "WHERE no = ?",
                (*_about(change.scope_below), number),
            )

    def interrupt(self, process: int) -> list[tuple[int, int]]:
        """The process is dead: what it had open will not end. Gives trace and id of these spans."""
        rows = self._sql(
            "SELECT trace, span_id FROM open_spans JOIN spans USING (trace, span_id) "
            "WHERE process = ? AND end_ns IS NULL", (process,)
        ).fetchall()  # fmt: skip
        self._many(f"UPDATE spans SET status = {INTERRUPTED} WHERE trace = ? AND span_id = ? AND end_ns IS NULL", rows)
        self._sql("DELETE FROM open_spans WHERE process = ?", (process,))
        for trace in {trace for trace, _ in rows}:
            count_anew(self._connection, trace)
        return rows


def count_anew(connection: sqlite3.Connection, number: int) -> None:
    """Make a trace's roll-up from its spans and calls."""
    sql = connection.execute
    sql(_COUNTS, (number,))
    if sql(_OVERLAP, (number,)).fetchone():
        calls = [Call._make(row) for row in sql(_CALLS, (number,))]
        sql(_USED, (*_used(calls, partial(said_of, connection, number)), number))
    sql(_ROOT_DECIDES, (number,))


def _is_unpriced(span: SpanChanges) -> bool:
    """As `UNPRICED` in SQL, of a span that has no cost."""
    if span.end_ns is None:
        return False
    used = span.input_tokens is not None or span.output_tokens is not None
    return used or (span.status != ERROR and model_of(span.attributes) is not None)


def _used(calls: list[Call], said: Callable[[int], Said]) -> tuple[int, int | None, int | None, float | None, int]:
    """How many calls of a model there were, what all calls used, and how many have no price."""
    if len(calls) > 1 and (repeats := repeated(calls, said)):
        calls = [call for call in calls if call.span_id not in repeats]
    costs = [call.cost for call in calls if call.cost is not None]
    return (
        sum(call.kind == _LLM for call in calls),
        sql_time(sum(call.input_tokens or 0 for call in calls)),
        sql_time(sum(call.output_tokens or 0 for call in calls)),
        sum(costs) / PICO if costs else None,
        sum(call.unpriced for call in calls),
    )


def _about(scope: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Session, user and tags as a trace's row has them."""
    return _text(scope.get("session")), _text(scope.get("user")), _tags(scope.get("tags"))


def _tags(tags: object) -> str | None:
    return json.dumps([str(tag) for tag in tags]) if isinstance(tags, list) and tags else None


def _text(value: object) -> str | None:
    return None if value is None else str(value).encode("utf-8", "backslashreplace").decode()
