"""One transaction of ingest: records become rows."""

from __future__ import annotations

import array
import sqlite3
from typing import Any

from agentops import conventions
from agentops.journal.format import (
    ERROR,
    RUNNING,
    End,
    Event,
    Record,
    Reference,
    Score,
    Start,
    Update,
    decode_value,
    encode,
)
from agentops.store.arrivals import Arrivals
from agentops.store.contents import Contents
from agentops.store.plain_text import strings
from agentops.store.rollups import Traces
from agentops.store.schema import signed
from agentops.store.span_changes import SpanChanges, sql_time

__all__ = ["Batch"]

_ERROR_CHARACTERS = 300


class Batch:
    """Applies records inside of an open transaction.

    Args:
        connection: the store, in a transaction.
        contents: reads its contents.
        ids: see `Arrivals`.
        process: the journal's process.
        trace_numbers: see `Traces`.
        seen: see `Arrivals`.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        contents: Contents,
        ids: array.array[int],
        process: int,
        trace_numbers: dict[bytes, int],
        seen: dict[int, set[int]],
    ) -> None:
        self._sql = connection.execute
        self._many = connection.executemany
        self._arrivals = Arrivals(connection, contents, ids, seen)
        self._traces = Traces(connection, trace_numbers)
        self._process = process
        self._spans: dict[tuple[bytes, int], SpanChanges] = {}
        self._names: dict[str, int] = {}
        self._texts: dict[int, list[str]] = {}

    def apply(self, records: list[tuple[int, Record]]) -> None:
        """Write all that `records` (with their offsets in the journal) say."""
        self._arrivals.look_up([record for _, record in records])
        events: list[tuple[int, Event]] = []
        scores: list[Score] = []
        for offset, record in records:
            contents = getattr(record, "contents", None)
            if contents:
                self._arrivals.store(contents)
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
        self._write_spans()
        self._write_events(events)
        self._write_scores(scores)
        self._traces.write()
        self._arrivals.write(self._texts)

    def interrupt_open_spans(self) -> None:
        """The process is dead: what it had open will not end."""
        self._traces.interrupt(self._process)

    def _span(self, trace_id: bytes, span_id: int) -> SpanChanges:
        key = (trace_id, span_id)
        span = self._spans.get(key)
        if span is None:
            span = self._spans[key] = SpanChanges()
        return span

    def _write_spans(self) -> None:
        rows: list[tuple[Any, ...]] = []
        opened: list[tuple[int, int, int]] = []
        for (trace_id, span_id), span in self._spans.items():
            trace = self._traces.number(trace_id, span)
            key = signed(span_id)
            if span.start_ns is None or (span.end_ns is None and span.name is None):
                self._merge(trace, trace_id, key, span)
                continue
            span.settle()
            rows.append(self._row(trace, key, span))
            self._traces.count(trace, key, span, None)
            if span.end_ns is None:
                opened.append((self._process, trace, key))
        columns = ", ".join("?" * 16)
        before = self._sql("SELECT total_changes()").fetchone()[0]
        self._many(f"INSERT OR IGNORE INTO spans VALUES ({columns})", rows)
        if self._sql("SELECT total_changes()").fetchone()[0] - before < len(rows):
            self._replace_halves(rows)
        self._many("INSERT OR IGNORE INTO open_spans VALUES (?, ?, ?)", opened)

    def _replace_halves(self, rows: list[tuple[Any, ...]]) -> None:
        """A span's end had come before its start (from a journal read earlier): the start completes it."""
        for row in rows:
            (end_ns,) = self._sql("SELECT end_ns FROM spans WHERE trace = ? AND span_id = ?", row[:2]).fetchone()
            if end_ns is not None and row[7] is None:
                self._sql(
                    "UPDATE spans SET parent_id = ?, name = ?, kind = ?, start_ns = ?, input = coalesce(input, ?) "
                    "WHERE trace = ? AND span_id = ?",
                    (row[2], row[3], row[4], row[6], row[8], row[0], row[1]),
                )
                self._traces.was_counted(row[0])

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
            error = f"{kind_of_error}: {message}" if kind_of_error else message
            texts.append(error)
            error = error[:_ERROR_CHARACTERS]
        elif span.status == ERROR:
            error = ""
        if scope:
            body["s"] = scope
            texts.extend(strings(scope))
        if span.links:
            body["l"] = span.links
        if span.nearest:
            body["n"] = span.nearest
        return (
            trace, key, signed(span.parent_id or 0) or None, self._name(name), kind,
            RUNNING if span.end_ns is None else span.status, sql_time(span.start_ns or 0), sql_time(span.end_ns),
            self._arrivals.id(span.input) or None if span.input > 0 else None,
            self._arrivals.id(span.output) or None if span.output > 0 else None,
            self._name(model) if isinstance(model, str) else None, input_tokens, output_tokens, None, error,
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

    def _merge(self, trace: int, trace_id: bytes, key: int, span: SpanChanges) -> None:
        """The batch has more about a span whose start came in before, or has not come yet."""
        row = self._sql(
            "SELECT spans.*, names.text FROM spans JOIN names ON names.id = name WHERE trace = ? AND span_id = ?",
            (trace, key),
        ).fetchone()
        if row is None:
            if span.end_ns is None:
                return  # an update of nothing that we know
            span.name, span.kind, span.start_ns = span.name or "?", span.kind or 0, span.start_ns or span.end_ns
            span.parent_id = span.parent_id or 0
            span.settle()
            self._sql(f"INSERT INTO spans VALUES ({', '.join('?' * 16)})", self._row(trace, key, span))
            self._traces.count(trace, key, span, None)
            return
        body = decode_value(row[15]) if row[15] else {}
        new = self._row_parts(trace, span, body)
        self._traces.count(trace, key, span, row)
        status = row[5]
        if span.end_ns is not None and row[7] is None:
            status = span.status
            self._sql(
                "DELETE FROM open_spans WHERE process = ? AND trace = ? AND span_id = ?", (self._process, trace, key)
            )
        self._sql(
            "UPDATE spans SET name = ?, kind = ?, status = ?, end_ns = ?, input = ?, output = ?, model = ?, "
            "input_tokens = ?, output_tokens = ?, error = ?, body = ? WHERE trace = ? AND span_id = ?",
            (
                self._name(span.name) if span.name else row[3], new["kind"] if new["kind"] is not None else row[4],
                status, row[7] if span.end_ns is None else sql_time(span.end_ns),
                row[8] if new["input"] is None else new["input"], row[9] if new["output"] is None else new["output"],
                new["model"] or row[10],
                row[11] if new["input_tokens"] is None else new["input_tokens"],
                row[12] if new["output_tokens"] is None else new["output_tokens"],
                row[14] if new["error"] is None else new["error"],
                encode(new["body"]) if new["body"] else None, trace, key,
            ),
        )  # fmt: skip

    def _row_parts(self, trace: int, span: SpanChanges, body: dict[str, Any]) -> dict[str, Any]:
        """The columns of what a batch adds to a span, over the body that it has."""
        old_attributes = body.get("a") or {}
        old_scope = body.get("s") or {}
        if span.scope or old_scope:
            span.scope = {**old_scope, **(span.scope or {})}
        foreign = "scope" in (span.scope or {})
        span.settle()
        row = self._row(trace, 0, span)
        new_body = decode_value(row[15]) if row[15] else {}
        attributes = {**old_attributes, **(new_body.get("a") or {})}
        merged = {**body, **new_body}
        if attributes:
            merged["a"] = attributes
        if row[8] is not None:
            merged.pop("i", None)
        if row[9] is not None:
            merged.pop("o", None)
        return {
            "kind": row[4] if foreign else None, "input": row[8], "output": row[9], "model": row[10],
            "input_tokens": row[11], "output_tokens": row[12], "error": row[14], "body": merged,
        }  # fmt: skip

    def _name(self, text: str) -> int:
        text = text.encode("utf-8", "backslashreplace").decode()
        number = self._names.get(text)
        if number is None:
            row = self._sql("SELECT id FROM names WHERE text = ?", (text,)).fetchone()
            if row is None:
                row = (self._sql("INSERT INTO names (text) VALUES (?)", (text,)).lastrowid,)
            number = self._names[text] = int(row[0])
        return number

    def _write_events(self, events: list[tuple[int, Event]]) -> None:
        rows = []
        for offset, event in events:
            trace = self._traces.number(event.trace_id, None)
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
