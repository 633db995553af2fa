"""One transaction of ingest: records become rows, roll-ups of traces are kept up."""

from __future__ import annotations

import array
import json
import sqlite3
from typing import Any

import msgspec
import xxhash

from agentops import conventions
from agentops.conventions import KIND_NUMBER, token_count
from agentops.journal.format import (
    ABSENT,
    BLOB,
    ERROR,
    INTERRUPTED,
    LIST,
    RUNNING,
    Content,
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
from agentops.store.contents import Contents
from agentops.store.plain_text import strings
from agentops.store.schema import signed

__all__ = ["Batch"]

_KEY_BITS = 48
_ERROR_CHARACTERS = 300
#: A message of the system's or the developer's, as msgpack: the key, then the value.
_INSTRUCTS = (b"\xa4role\xa6system", b"\xa4role\xa9developer")
_ROLE_BYTES = 256
_CACHED_TRACES = 4_096
_LLM = KIND_NUMBER["llm"]
_INPUT_TOKENS = (conventions.INPUT_TOKENS, conventions.OI_INPUT_TOKENS)
_OUTPUT_TOKENS = (conventions.OUTPUT_TOKENS, conventions.OI_OUTPUT_TOKENS)
_COUNTED = (_LLM, KIND_NUMBER["embedding"])


class _Span:
    """What a batch says about one span; None where it says nothing."""

    __slots__ = (
        "attributes", "end_ns", "error", "input", "input_tokens", "input_value", "kind", "links", "name", "nearest",
        "output", "output_tokens", "output_value", "parent_id", "scope", "start_ns", "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self.name: str | None = None
        self.kind = self.parent_id = self.start_ns = self.end_ns = self.status = None  # type: int | None
        self.input = self.output = ABSENT
        self.input_value = self.output_value = None  # type: Any
        self.attributes: dict[str, Any] | None = None
        self.scope: dict[str, Any] | None = None
        self.error: tuple[str, str, str] | None = None
        self.links: list[Any] | None = None
        self.nearest = 0
        self.input_tokens = self.output_tokens = None  # type: int | None

    def set_attributes(self, attributes: dict[str, Any] | None) -> None:
        if attributes:
            if self.attributes is None:
                self.attributes = attributes
            else:
                self.attributes.update(attributes)


class _Trace:
    """How one trace's roll-up changes."""

    __slots__ = (
        "errors", "input_tokens", "is_root", "kind", "llm_calls", "name", "new_id", "open", "output_tokens", "root",
        "root_span", "scope", "spans", "start_ns",
    )  # fmt: skip

    def __init__(self, new_id: bytes | None = None) -> None:
        self.new_id = new_id  # of a trace that is not in the store yet
        self.root_span: _Span | None = None
        self.spans = self.errors = self.open = self.llm_calls = self.input_tokens = self.output_tokens = 0
        self.root: int | None = None
        self.name, self.kind, self.start_ns, self.is_root = "", 0, 0, False
        self.scope: dict[str, Any] | None = None


class Batch:
    """Applies records inside of an open transaction.

    Args:
        connection: the store, in a transaction.
        contents: reads its contents.
        ids: the store's id of each content of this journal by its number; extended here.
        process: the journal's process.
        trace_numbers: cache of trace ids, for as long as no transaction fails.
        seen: cache of the contents that each trace is known to use.
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
        self._contents = contents
        self._ids = ids
        self._process = process
        self._trace_numbers = trace_numbers
        self._seen = seen
        self._spans: dict[tuple[bytes, int], _Span] = {}
        self._traces: dict[int, _Trace] = {}
        self._new_traces: dict[bytes, int] = {}
        self._names: dict[str, int] = {}
        self._fresh: dict[int, tuple[int, bytes]] = {}
        self._keys: dict[int, list[int]] = {}
        self._children: dict[int, tuple[int, ...]] = {}
        self._uses: list[tuple[int, int]] = []
        self._instructions = {row[0] for row in connection.execute("SELECT content FROM instructions")}
        self._new_instructions: set[int] = set()
        self._texts: dict[int, list[str]] = {}
        self._blobs: dict[int, tuple[int, list[int]]] = {}
        self._next_content = self._next_trace = 0

    # -- records -------------------------------------------------------------------------------------

    def apply(self, records: list[tuple[int, Record]]) -> None:
        """Write all that `records` (with their offsets in the journal) say."""
        (self._next_content,) = self._sql("SELECT value FROM meta WHERE name = 'content'").fetchone()
        (self._next_trace,) = self._sql("SELECT ifnull(max(no), 0) + 1 FROM traces").fetchone()
        self._look_up_blobs([record for _, record in records])
        events: list[tuple[int, Event]] = []
        scores: list[Score] = []
        for offset, record in records:
            kind = type(record)
            if kind is Start:
                self._start(record)  # type: ignore[arg-type]
            elif kind is End:
                self._end(record)  # type: ignore[arg-type]
            elif kind is Update:
                self._update(record)  # type: ignore[arg-type]
            elif kind is Event:
                if record.contents:  # type: ignore[union-attr]
                    self._store(record.contents)  # type: ignore[union-attr]
                events.append((offset, record))  # type: ignore[arg-type]
            elif kind is Score:
                scores.append(record)  # type: ignore[arg-type]
        self._write_spans()
        self._write_events(events)
        self._write_scores(scores)
        self._write_traces()
        self._write_contents()

    def _span(self, trace_id: bytes, span_id: int) -> _Span:
        key = (trace_id, span_id)
        span = self._spans.get(key)
        if span is None:
            span = self._spans[key] = _Span()
        return span

    def _start(self, record: Start) -> None:
        if record.contents:
            self._store(record.contents)
        span = self._span(record.trace_id, record.span_id)
        span.name, span.kind, span.start_ns = record.name, record.kind, record.time_ns
        span.parent_id, span.nearest = record.parent_id, record.nearest
        if record.reference != ABSENT:
            span.input, span.input_value = record.reference, record.value
        span.set_attributes(record.attributes)
        span.scope, span.links = record.scope, record.links

    def _end(self, record: End) -> None:
        if record.contents:
            self._store(record.contents)
        span = self._span(record.trace_id, record.span_id)
        span.end_ns, span.status = record.time_ns, record.status
        span.set_attributes(record.attributes)
        if record.reference != ABSENT:
            span.output, span.output_value = record.reference, record.value
        if record.error is not None:
            span.error = record.error
        if record.name is not None:
            span.name = record.name
        if record.scope:
            span.scope = {**(span.scope or {}), **record.scope}
        if record.links:
            span.links = record.links

    def _update(self, record: Update) -> None:
        if record.contents:
            self._store(record.contents)
        span = self._span(record.trace_id, record.span_id)
        span.set_attributes(record.attributes)
        if record.reference != ABSENT:
            span.output, span.output_value = record.reference, record.value
        if record.input_reference != ABSENT:
            span.input, span.input_value = record.input_reference, record.input_value

    # -- contents ------------------------------------------------------------------------------------

    def _store(self, contents: list[Content]) -> None:
        """Give each content its id in the store: that of the same content if it is there already."""
        ids = self._ids
        for content in contents:
            form, data = content.form, content.data
            children: tuple[int, ...] = ()
            candidates: list[int] | None = None
            if form == BLOB:
                key, candidates = self._blobs[content.number]
            else:
                data, children = self._translated(form, data)
                key = _key(form, data)
            number = self._same_content(form, data, key, candidates)
            if number is None:
                self._next_content += 1
                number = self._next_content
                self._fresh[number] = (form, data)
                if form != LIST or not children:  # a longer list is hardly met again, and never by its key
                    self._keys.setdefault(key, []).append(number)
                if any(data.find(mark, 0, _ROLE_BYTES) >= 0 for mark in _INSTRUCTS):
                    self._new_instructions.add(number)
            if form != BLOB:
                self._children[number] = children
            if content.number == len(ids):
                ids.append(number)
            else:
                if content.number > len(ids) + 1_000_000:
                    continue  # nobody of ours leaves such a gap
                ids.extend([0] * (content.number + 1 - len(ids)))
                ids[content.number] = number

    def _id(self, number: int) -> int:
        return self._ids[number] if 0 < number < len(self._ids) else 0

    def _translated(self, form: int, data: bytes) -> tuple[bytes, tuple[int, ...]]:
        """A content with the store's ids in the place of the journal's numbers, and those ids."""
        children: list[int] = []
        try:
            value = decode_value(data)
            if form == LIST:
                previous, items = value
                previous = self._id(previous)
                if previous:
                    children.append(previous)
                return encode((previous, self._with_ids(items, children))), tuple(children)
            system = value.get("system") if type(value) is dict else None
            data = encode(self._with_ids(value, children))
            if type(system) is Reference and system.number in self._fresh:
                self._new_instructions.add(system.number)
            return data, tuple(children)
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            return encode("<damaged>"), ()

    def _with_ids(self, value: Any, children: list[int]) -> Any:
        kind = type(value)
        if kind is Reference:
            value.number = self._id(value.number)
            children.append(value.number)
        elif kind is dict:
            return {key: self._with_ids(item, children) for key, item in value.items()}
        elif kind is list:
            return [self._with_ids(item, children) for item in value]
        return value

    def _look_up_blobs(self, records: list[Record]) -> None:
        """Ask for all plain contents of the batch at once which of them the store may have."""
        blobs: dict[int, int] = {}
        for record in records:
            for content in getattr(record, "contents", None) or ():
                if content.form == BLOB:
                    blobs[content.number] = _key(BLOB, content.data)
        if not blobs:
            return
        known: dict[int, list[int]] = {}
        keys = json.dumps(sorted(set(blobs.values())))
        for key, number in self._sql(
            "SELECT key, id FROM contents WHERE key IN (SELECT value FROM json_each(?))", (keys,)
        ):
            known.setdefault(key, []).append(number)
        self._blobs = {number: (key, known.get(key, [])) for number, key in blobs.items()}

    def _same_content(self, form: int, data: bytes, key: int, candidates: list[int] | None) -> int | None:
        for number in self._keys.get(key, ()):
            if self._fresh[number] == (form, data):
                return number
        if candidates is None:
            candidates = [row[0] for row in self._sql("SELECT id FROM contents WHERE key = ?", (key,))]
        for number in candidates:
            if self._contents.load(number) == (form, data):
                return number
        return None

    def _write_contents(self) -> None:
        self._many(
            "INSERT INTO fresh VALUES (?, ?, ?, 0)",
            [(number, form, data) for number, (form, data) in self._fresh.items()],
        )
        self._many(
            "INSERT INTO contents VALUES (?, ?)",
            sorted((key, number) for key, numbers in self._keys.items() for number in numbers),
        )
        texts = []
        for trace, found in self._texts.items():
            self._next_content += 1
            texts.append((self._next_content, "\n".join(dict.fromkeys(found)).encode("utf-8", "replace").decode()))
            self._uses.append((self._next_content, trace))
        self._many("INSERT INTO fresh_text VALUES (?, ?)", texts)
        self._many("INSERT OR IGNORE INTO uses VALUES (?, ?)", self._uses)
        self._many("INSERT OR IGNORE INTO instructions VALUES (?)", [(number,) for number in self._new_instructions])
        self._sql("UPDATE meta SET value = ? WHERE name = 'content'", (self._next_content,))

    def _use(self, trace: int, number: int) -> None:
        """Note that `trace` uses content `number` and all that it refers to: there its words are found.

        Instructions (system prompts) stand in every call of every run alike, so they count where they
        were new: a search for a word of them finds the run that first had them, not all runs.
        """
        seen = self._seen.get(trace)
        if seen is None:
            if len(self._seen) > _CACHED_TRACES:
                self._seen.clear()
            seen = self._seen[trace] = set()
        todo = [number]
        while todo:
            number = todo.pop()
            if number in seen or not number:
                continue
            seen.add(number)
            if number in self._instructions:
                continue
            fresh = self._fresh.get(number)
            if fresh is not None:
                form, children = fresh[0], self._children.get(number, ())
            else:
                form, children = self._stored_children(number)
            if form != LIST:
                self._uses.append((number, trace))
            if number in self._new_instructions:
                self._instructions.add(number)
            todo.extend(children)

    def _stored_children(self, number: int) -> tuple[int, tuple[int, ...]]:
        known = self._children.get(number)
        found = self._contents.load(number)
        if found is None or found[0] == BLOB:
            return BLOB, ()
        if known is not None:
            return found[0], known
        children: list[int] = []
        value = decode_value(found[1])
        if found[0] == LIST:
            children.append(value[0])
        todo = [value]
        while todo:
            item = todo.pop()
            if type(item) is Reference:
                children.append(item.number)
            elif type(item) is dict:
                todo.extend(item.values())
            elif type(item) is list:
                todo.extend(item)
        return found[0], tuple(children)

    # -- spans ---------------------------------------------------------------------------------------

    def _write_spans(self) -> None:
        rows: list[tuple[Any, ...]] = []
        opened: list[tuple[int, int, int]] = []
        for (trace_id, span_id), span in self._spans.items():
            trace = self._trace_number(trace_id, span)
            key = signed(span_id)
            if span.start_ns is None or (span.end_ns is None and span.name is None):
                self._merge(trace, trace_id, key, span)
                continue
            self._settle(span)
            rows.append(self._row(trace, key, span))
            self._roll_up(trace, key, span, None)
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
                self._traces[row[0]].open -= 1
                self._traces[row[0]].spans -= 1

    def _row(self, trace: int, key: int, span: _Span) -> tuple[Any, ...]:
        body: dict[str, Any] = {}
        attributes = span.attributes
        scope = span.scope
        kind = span.kind or 0
        texts = self._texts.setdefault(trace, [])
        name = span.name or "?"
        texts.append(name)
        if span.input > 0:
            self._use(trace, self._id(span.input))
        elif span.input == 0:
            body["i"] = span.input_value
            texts.extend(strings(span.input_value))
        if span.output > 0:
            self._use(trace, self._id(span.output))
        elif span.output == 0:
            body["o"] = span.output_value
            texts.extend(strings(span.output_value))
        model = input_tokens = output_tokens = None
        if attributes:
            span.input_tokens = input_tokens = token_count(attributes, *_INPUT_TOKENS)
            span.output_tokens = output_tokens = token_count(attributes, *_OUTPUT_TOKENS)
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
            RUNNING if span.end_ns is None else span.status, _time(span.start_ns or 0), _time(span.end_ns),
            self._id(span.input) or None if span.input > 0 else None,
            self._id(span.output) or None if span.output > 0 else None,
            self._name(model) if isinstance(model, str) else None, input_tokens, output_tokens, None, error,
            encode(body) if body else None,
        )  # fmt: skip

    def _settle(self, span: _Span) -> None:
        """Kind, input and output of a span that another library made stand in its attributes."""
        attributes = span.attributes
        if not attributes or span.scope is None or "scope" not in span.scope:
            return
        span.kind = KIND_NUMBER[conventions.kind_of(attributes)]
        for keys, which in ((conventions.INPUT_KEYS, "input"), (conventions.OUTPUT_KEYS, "output")):
            if getattr(span, which) != ABSENT:
                continue
            for key in keys:
                if key in attributes:
                    value = attributes[key]
                    if type(value) is Reference:
                        setattr(span, which, value.number)
                    else:
                        setattr(span, which, 0)
                        setattr(span, which + "_value", value)
                    break

    def _attributes(self, trace: int, attributes: dict[str, Any], texts: list[str]) -> dict[str, Any]:
        found = attributes
        for key, value in attributes.items():
            kind = type(value)
            if kind is str:
                texts.append(value)
            elif kind is Reference:
                if found is attributes:
                    found = dict(attributes)
                number = self._id(value.number)
                self._use(trace, number)
                found[key] = Reference(number)
            elif kind is list or kind is dict:
                texts.extend(strings(value))
        return found

    def _merge(self, trace: int, trace_id: bytes, key: int, span: _Span) -> None:
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
            self._settle(span)
            self._sql(f"INSERT INTO spans VALUES ({', '.join('?' * 16)})", self._row(trace, key, span))
            self._roll_up(trace, key, span, None)
            return
        body = decode_value(row[15]) if row[15] else {}
        new = self._row_parts(trace, span, body)
        self._roll_up(trace, key, span, row)
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
                status, row[7] if span.end_ns is None else _time(span.end_ns),
                row[8] if new["input"] is None else new["input"], row[9] if new["output"] is None else new["output"],
                new["model"] or row[10],
                row[11] if new["input_tokens"] is None else new["input_tokens"],
                row[12] if new["output_tokens"] is None else new["output_tokens"],
                row[14] if new["error"] is None else new["error"],
                encode(new["body"]) if new["body"] else None, trace, key,
            ),
        )  # fmt: skip

    def _row_parts(self, trace: int, span: _Span, body: dict[str, Any]) -> dict[str, Any]:
        """The columns of what a batch adds to a span, over the body that it has."""
        old_attributes = body.get("a") or {}
        old_scope = body.get("s") or {}
        if span.scope or old_scope:
            span.scope = {**old_scope, **(span.scope or {})}
        foreign = "scope" in (span.scope or {})
        self._settle(span)
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
            trace = self._trace_number(event.trace_id, None)
            texts = self._texts.setdefault(trace, [])
            texts.append(event.name)
            body = self._attributes(trace, event.attributes, texts) if event.attributes else None
            rows.append(
                (trace, signed(event.span_id), _time(event.time_ns), offset, event.name, encode(body) if body else None)
            )
        self._many("INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _write_scores(self, scores: list[Score]) -> None:
        self._many(
            "INSERT INTO scores (trace_id, span_id, name, number, label, comment, time_ns) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    score.trace_id, signed(score.span_id) or None, score.name,
                    None if isinstance(score.value, str) else float(score.value),
                    score.value if isinstance(score.value, str) else None, score.comment, _time(score.time_ns),
                )
                for score in scores
            ],
        )  # fmt: skip

    # -- traces --------------------------------------------------------------------------------------

    def _trace_number(self, trace_id: bytes, span: _Span | None) -> int:
        number = self._trace_numbers.get(trace_id) or self._new_traces.get(trace_id)
        if number is None:
            row = self._sql("SELECT no FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
            if row is None:
                row = (self._next_trace,)
                self._new_traces[trace_id] = self._next_trace
                self._next_trace += 1
                new = self._traces[row[0]] = _Trace(trace_id)
                new.start_ns = 0 if span is None else span.start_ns or span.end_ns or 0
            if len(self._trace_numbers) > _CACHED_TRACES:
                self._trace_numbers.clear()
            number = self._trace_numbers[trace_id] = int(row[0])
        return number

    def _roll_up(self, trace: int, key: int, span: _Span, row: tuple[Any, ...] | None) -> None:
        """Count a span into its trace; `row` is the span's row if it was counted before."""
        total = self._traces.get(trace)
        if total is None:
            total = self._traces[trace] = _Trace()
        kind = span.kind if row is None else row[4]
        if row is None:
            total.spans += 1
            total.llm_calls += kind == _LLM
            if not span.parent_id or total.root is None:
                if not total.is_root:
                    total.root, total.name, total.kind = key, span.name or "?", kind or 0
                    total.start_ns, total.scope, total.is_root = span.start_ns or 0, span.scope, not span.parent_id
                    total.root_span = span
            if span.end_ns is None:
                total.open += 1
        elif span.end_ns is not None and row[7] is None:
            total.open -= row[5] == RUNNING
        if span.end_ns is not None and (row is None or row[7] is None):
            total.errors += span.status == ERROR
        if kind in _COUNTED and (row is None or row[11] is None):
            total.input_tokens += span.input_tokens or 0
            total.output_tokens += span.output_tokens or 0

    def _write_traces(self) -> None:
        new: list[tuple[Any, ...]] = []
        for number, change in self._traces.items():
            scope = change.scope or {}
            metadata, tags = scope.get("metadata"), scope.get("tags")
            about = (
                _text(scope.get("session")), _text(scope.get("user")), json.dumps(tags) if tags else None,
                encode(metadata) if metadata else None,
            )  # fmt: skip
            counts = (
                change.spans, change.errors, change.open, change.llm_calls, change.input_tokens, change.output_tokens
            )  # fmt: skip
            if change.new_id is not None:
                root = change.root_span or _Span()
                ended = root.end_ns is not None
                new.append(
                    (
                        number, change.new_id, change.root, root.name or change.name or "?", root.kind or 0,
                        root.status if ended else RUNNING, _time(change.start_ns), _time(root.end_ns), *counts, None, *about,
                    )
                )  # fmt: skip
                continue
            self._update_trace(number, change, about)
            self._sql(
                "UPDATE traces SET spans = spans + ?, errors = errors + ?, open = open + ?, llm_calls = llm_calls + ?, "
                "input_tokens = input_tokens + ?, output_tokens = output_tokens + ? WHERE no = ?",
                (*counts, number),
            )
            self._sql(_ROOT_DECIDES, (number,))
        self._many(f"INSERT INTO traces VALUES ({', '.join('?' * 19)})", new)

    def _update_trace(self, number: int, change: _Trace, about: tuple[Any, ...]) -> None:
        """A trace that was there gets its root, or a better one than it had."""
        root, has_root = self._sql(
            "SELECT root, (SELECT parent_id IS NULL FROM spans WHERE trace = no AND span_id = root) "
            "FROM traces WHERE no = ?",
            (number,),
        ).fetchone()
        if change.root is not None and (root is None or (change.is_root and not has_root)):
            self._sql(
                "UPDATE traces SET root = ?, name = ?, kind = ?, start_ns = ?, session = ?, user = ?, tags = ?, "
                "metadata = ? WHERE no = ?",
                (change.root, change.name, change.kind, _time(change.start_ns), *about, number),
            )

    def interrupt_open_spans(self) -> None:
        """The process is dead: what it had open will not end."""
        rows = self._sql("SELECT trace, span_id FROM open_spans WHERE process = ?", (self._process,)).fetchall()
        self._many(f"UPDATE spans SET status = {INTERRUPTED} WHERE trace = ? AND span_id = ? AND end_ns IS NULL", rows)
        self._many("UPDATE traces SET open = open - 1 WHERE no = ?", [(trace,) for trace, _ in rows])
        self._sql("DELETE FROM open_spans WHERE process = ?", (self._process,))
        self._many(_ROOT_DECIDES, [(trace,) for trace in {trace for trace, _ in rows}])


#: A trace has its root's status and end.
_ROOT_DECIDES = (
    "UPDATE traces SET (status, end_ns, name) = (SELECT status, end_ns, names.text FROM spans "
    "JOIN names ON names.id = spans.name WHERE trace = no AND span_id = root) WHERE no = ? AND root IS NOT NULL"
)


def _key(form: int, data: bytes) -> int:
    return xxhash.xxh3_64_intdigest(data, seed=form) >> (64 - _KEY_BITS)


def _time(time_ns: int | None) -> int | None:
    """A time as SQLite can hold it, whatever a journal from elsewhere says."""
    return None if time_ns is None else max(-(2**63), min(time_ns, 2**63 - 1))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
