"""One transaction of ingest: records become rows."""

from __future__ import annotations

import array
import sqlite3
from collections.abc import Sequence
from typing import Any

from agentops import conventions
from agentops.conventions import CHUNK, CHUNKS
from agentops.journal.format import (
    ERROR,
    INTERRUPTED,
    RUNNING,
    Added,
    End,
    Event,
    Lost,
    Record,
    Reference,
    Score,
    Start,
    Update,
    decode_value,
    encode,
)
from agentops.store.arrivals import Arrivals
from agentops.store.contents import Contents, fields
from agentops.store.plain_text import strings
from agentops.store.rollups import Traces
from agentops.store.schema import signed
from agentops.store.span_changes import SpanChanges, sql_time

__all__ = ["Batch"]

_ERROR_CHARACTERS = 300
#: How many notes of losses are kept: each is a fault, and faults are few.
_LOSSES_MAX = 1_000
_ID_BITS = 2**64 - 1


class Batch:
    """Applies records inside of an open transaction.

    Args:
        connection: the store, in a transaction.
        contents: reads its contents.
        ids: see `Arrivals`.
        process: the journal's process.
        trace_numbers: see `Traces`.
        seen: see `Arrivals`.
        targets: what ends is to be sent there.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        contents: Contents,
        ids: array.array[int],
        process: int,
        trace_numbers: dict[bytes, int],
        seen: dict[int, set[int]],
        targets: Sequence[int] = (),
    ) -> None:
        self._sql = connection.execute
        self._many = connection.executemany
        self._arrivals = Arrivals(connection, contents, ids, seen)
        self._traces = Traces(connection, trace_numbers)
        self._process = process
        self._targets = targets
        self._ended: list[tuple[int, int]] = []  # trace and id of spans, if there are targets
        self._spans: dict[tuple[bytes, int], SpanChanges] = {}
        self._names: dict[str, int] = {}
        self._texts: dict[int, list[str]] = {}

    def apply(self, records: list[tuple[int, Record]]) -> None:
        """Write all that `records` (with their offsets in the journal) say."""
        self._arrivals.look_up([record for _, record in records])
        events: list[tuple[int, Event]] = []
        scores: list[Score] = []
        losses: list[Lost] = []
        for offset, record in records:
            contents = getattr(record, "contents", None)
            if type(record) is Added:
                self._arrivals.fill(record.contents, offset)
            elif contents:
                self._arrivals.store(contents, offset)
            if isinstance(record, Start):
                self._span(record.trace_id, record.span_id).start(record)
            elif isinstance(record, End):
                self._span(record.trace_id, record.span_id).end(record)
            elif isinstance(record, Update):
                self._span(record.trace_id, record.span_id).update(record)
            elif isinstance(record, Event):
                events.append((offset, record))
            elif isinstance(record, Score):
                scores.append(record)
            elif isinstance(record, Lost):
                losses.append(record)
        # Before spans are written: that is where attributes are taken apart.
        whole = {key for key, span in self._spans.items() if span.attributes and CHUNKS in span.attributes}
        self._write_spans()
        self._write_events(self._without_pieces(events, whole) if whole else events)
        self._write_scores(scores)
        if losses:
            self._write_losses(losses)
        self._write_outbox()
        self._traces.write()
        self._arrivals.write(self._texts)

    def interrupt_open_spans(self) -> None:
        """The process is dead: what it had open will not end."""
        self._ended = self._traces.interrupt(self._process)
        self._write_outbox()

    def _span(self, trace_id: bytes, span_id: int) -> SpanChanges:
        key = (trace_id, span_id & _ID_BITS)
        span = self._spans.get(key)
        if span is None:
            span = self._spans[key] = SpanChanges()
        return span

    def _write_spans(self) -> None:
        rows: list[tuple[Any, ...]] = []
        opened: list[tuple[int, int, int]] = []
        for (trace_id, span_id), span in self._spans.items():
            key = signed(span_id)
            begins = span.start_ns is not None
            if not begins and span.end_ns is None and self._traces.known(trace_id) is None:
                continue  # said of a span that nobody knows
            trace = self._traces.number(trace_id, span)
            if not self._traces.is_new(trace) and self._merge(trace, key, span):
                continue
            if not begins:
                if span.end_ns is None:
                    continue
                span.start_ns, span.parent_id = span.end_ns, span.parent_id or 0  # its start may come yet
            span.settle()
            if span.nearest and not self._is_there(trace, trace_id, span.parent_id or 0):
                span.parent_id = span.nearest  # nobody records its parent, or not here
            rows.append(self._row(trace, key, span))
            self._traces.count(trace, key, span)
            if span.end_ns is None:
                opened.append((self._process, trace, key))
            else:
                self._ended.append((trace, key))
        self._many(f"INSERT INTO spans VALUES ({', '.join('?' * 16)})", rows)
        self._many("INSERT OR IGNORE INTO open_spans VALUES (?, ?, ?)", opened)

    def _is_there(self, trace: int, trace_id: bytes, span_id: int) -> bool:
        """Whether a span is in the store or in this batch."""
        if (trace_id, span_id & _ID_BITS) in self._spans:
            return True
        found = self._sql("SELECT 1 FROM spans WHERE trace = ? AND span_id = ?", (trace, signed(span_id)))
        return found.fetchone() is not None

    def _row(self, trace: int, key: int, span: SpanChanges) -> tuple[Any, ...]:
        body: dict[str, Any] = {}
        attributes = span.attributes
        scope = span.scope
        kind = span.kind or 0
        texts = self._texts.setdefault(trace, [])
        name = span.name or "?"
        texts.append(name)
        if span.input > 0:
            self._arrivals.use(trace, self._arrivals.id(span.input))
        elif span.input == 0:
            body["i"] = span.input_value
            texts.extend(strings(span.input_value))
        if span.output > 0:
            self._arrivals.use(trace, self._arrivals.id(span.output))
        elif span.output == 0:
            body["o"] = span.output_value
            texts.extend(strings(span.output_value))
        model = input_tokens = output_tokens = None
        if attributes:
            span.count_tokens()
            input_tokens, output_tokens = span.input_tokens, span.output_tokens
            model = (
                attributes.get(conventions.RESPONSE_MODEL)
                or attributes.get(conventions.REQUEST_MODEL)
                or attributes.get(conventions.OI_MODEL)
            )
            body["a"] = self._attributes(trace, attributes, texts)
        error = None
        if span.error is not None:
            body["x"] = span.error
            kind_of_error, message, _ = span.error
            error = ": ".join(part for part in (kind_of_error, message) if part)
            texts.append(error)
            error = error[:_ERROR_CHARACTERS]
        elif span.status == ERROR:
            error = ""
        if scope:
            body["s"] = scope
            texts.extend(strings(scope))
        if span.links:
            body["l"] = span.links
        return (
            trace, key, signed(span.parent_id or 0) or None, self._name(name), kind,
            RUNNING if span.end_ns is None else span.status, sql_time(span.start_ns or 0), sql_time(span.end_ns),
            self._arrivals.id(span.input) or None if span.input > 0 else None,
            self._arrivals.id(span.output) or None if span.output > 0 else None,
            self._name(model) if isinstance(model, str) else None, input_tokens, output_tokens, span.cost_usd, error,
            encode(body) if body else None,
        )  # fmt: skip

    def _attributes(self, trace: int, attributes: dict[str, Any], texts: list[str]) -> dict[str, Any]:
        found = attributes
        for key, value in attributes.items():
            kind = type(value)
            if kind is str:
                texts.append(value)
            elif kind is Reference:
                if found is attributes:
                    found = dict(attributes)
                number = self._arrivals.id(value.number)
                self._arrivals.use(trace, number)
                found[key] = Reference(number)
            elif kind is list or kind is dict:
                texts.extend(strings(value))
        return found

    def _merge(self, trace: int, key: int, span: SpanChanges) -> bool:
        """Put what the batch says about a span that is in the store to what is known of it; False if it is not."""
        row = self._sql("SELECT * FROM spans WHERE trace = ? AND span_id = ?", (trace, key)).fetchone()
        if row is None:
            return False
        (
            _,
            _,
            parent,
            name,
            kind,
            status,
            start,
            end,
            given,
            output,
            model,
            tokens_in,
            tokens_out,
            cost,
            error,
            old,
        ) = row
        body = {key: part for key, part in fields(old).items() if key not in ("a", "s") or type(part) is dict}
        if span.scope or body.get("s"):
            span.scope = {**(body.get("s") or {}), **(span.scope or {})}
        begins = span.start_ns is not None
        span.settle(body.get("a"))
        new = self._row(trace, key, span)
        new_body = decode_value(new[15]) if new[15] else {}
        before, after = body.get("a") or {}, new_body.get("a") or {}
        late = end is not None and span.end_ns is None  # said before the end, read after it: the end has the word
        attributes = {**after, **before} if late else {**before, **after}
        if late and (output is not None or "o" in body):
            new, new_body = (*new[:9], None, *new[10:]), {key: new_body[key] for key in new_body if key != "o"}
        # A value that was set again takes the place of the one before, wherever that one stood.
        given, body = _value_after(given, new[8], "i", body, new_body)
        output, body = _value_after(output, new[9], "o", body, new_body)
        body = {**body, **new_body, **({"a": attributes} if attributes else {})}
        if span.end_ns is not None and end is None:
            if status != INTERRUPTED:  # else it was sent as that, and nothing is sent twice
                self._ended.append((trace, key))
            end, status = sql_time(span.end_ns), span.status
            self._sql(
                "DELETE FROM open_spans WHERE process = ? AND trace = ? AND span_id = ?", (self._process, trace, key)
            )
        if begins:
            parent, start = new[2], new[6]
            if end is None:  # begun once more by another process, which has the word now
                self._sql("INSERT OR IGNORE INTO open_spans VALUES (?, ?, ?)", (self._process, trace, key))
        if begins or (span.kind is not None and "scope" in (span.scope or {})):
            kind = new[4]
        self._sql(
            "UPDATE spans SET parent_id = ?, name = ?, kind = ?, status = ?, start_ns = ?, end_ns = ?, input = ?, "
            "output = ?, model = ?, input_tokens = ?, output_tokens = ?, cost_usd = ?, error = ?, body = ? "
            "WHERE trace = ? AND span_id = ?",
            (
                parent, self._name(span.name) if span.name else name, kind, status, start, end, given, output,
                new[10] or model, tokens_in if new[11] is None else new[11], tokens_out if new[12] is None else new[12],
                cost if new[13] is None else new[13], error if new[14] is None else new[14],
                encode(body) if body else None, trace, key,
            ),
        )  # fmt: skip
        total = self._traces.touch(trace)
        if span.scope:
            total.scope_below = {**span.scope, **total.scope_below}
        if begins and not span.parent_id:
            total.root, total.name, total.kind, total.is_root = key, span.name or "?", kind, True
            total.start_ns, total.scope = span.start_ns or 0, span.scope
        return True

    def _name(self, text: str) -> int:
        text = text.encode("utf-8", "backslashreplace").decode()
        number = self._names.get(text)
        if number is None:
            row = self._sql("SELECT id FROM names WHERE text = ?", (text,)).fetchone()
            if row is None:
                row = (self._sql("INSERT INTO names (text) VALUES (?)", (text,)).lastrowid,)
            number = self._names[text] = int(row[0])
        return number

    def _without_pieces(
        self, events: list[tuple[int, Event]], whole: set[tuple[bytes, int]]
    ) -> list[tuple[int, Event]]:
        """The events without those that were pieces of an answer which is there as a whole now."""
        self._many(
            "DELETE FROM events WHERE trace = ? AND span_id = ? AND name = ?",
            [
                (trace, signed(span_id), CHUNK)
                for trace_id, span_id in whole
                if (trace := self._traces.known(trace_id)) is not None
            ],
        )
        return [
            (offset, event)
            for offset, event in events
            if event.name != CHUNK or (event.trace_id, event.span_id & _ID_BITS) not in whole
        ]

    def _write_events(self, events: list[tuple[int, Event]]) -> None:
        rows = []
        for offset, event in events:
            trace = self._traces.known(event.trace_id)
            if trace is None:
                continue
            texts = self._texts.setdefault(trace, [])
            texts.append(event.name)
            body = self._attributes(trace, event.attributes, texts) if event.attributes else None
            rows.append(
                (
                    trace,
                    signed(event.span_id),
                    sql_time(event.time_ns),
                    offset,
                    event.name,
                    encode(body) if body else None,
                )
            )
        self._many("INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _write_scores(self, scores: list[Score]) -> None:
        self._many(
            "INSERT INTO scores (trace_id, span_id, name, number, label, comment, time_ns) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    score.trace_id, signed(score.span_id) or None, score.name,
                    None if isinstance(score.value, str) else float(score.value),
                    score.value if isinstance(score.value, str) else None, score.comment, sql_time(score.time_ns),
                )
                for score in scores
            ],
        )  # fmt: skip

    def _write_outbox(self) -> None:
        self._many(
            "INSERT INTO outbox (target, trace, span_id, under_way) VALUES (?, ?, ?, 0)",
            [(target, trace, key) for trace, key in self._ended for target in self._targets],
        )
        self._ended = []

    def _write_losses(self, losses: list[Lost]) -> None:
        self._many(
            "INSERT INTO losses (time_ns, what, records, bytes) VALUES (?, ?, ?, ?)",
            [
                (sql_time(loss.time_ns), loss.what[:_ERROR_CHARACTERS], sql_time(loss.records), sql_time(loss.bytes))
                for loss in losses
            ],
        )
        self._sql("DELETE FROM losses WHERE id <= (SELECT max(id) FROM losses) - ?", (_LOSSES_MAX,))


def _value_after(
    stored: int | None, new: int | None, inline: str, body: dict[str, Any], new_body: dict[str, Any]
) -> tuple[int | None, dict[str, Any]]:
    """Content and body of a span after its input or output was perhaps said again."""
    if new is None and inline not in new_body:
        return stored, body
    return new, {key: value for key, value in body.items() if key != inline}
