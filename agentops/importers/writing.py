"""From lines into the store: known spans are left out or completed, the others are written as if recorded now.

Records go through a journal and ingest, so an import has the guarantees of a recording: killed anywhere, what it
had written is brought in by the next reader, and the same import run again goes on from there.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agentops import conventions
from agentops.errors import StoreError
from agentops.importers.records import Writer
from agentops.importers.redacted import Redacted
from agentops.importers.spans import SpanLine
from agentops.store.ingest import Ingester
from agentops.store.location import find_store, journal_folder, prepare
from agentops.store.reader import Reader
from agentops.store.rows import SpanDetail, SpanRow

__all__ = ["Importer"]

#: What is held in memory before it is written.
_CHUNK_SPANS = 1_000
_CHUNK_BYTES = 4 << 20

_Key = tuple[str, str]


class Importer:
    """Writes spans into one store, each once.

    `imported` counts the spans that were new, `traces` the traces they stand in, `known` those that were here
    already, `completed` those among them that had not ended here or of which something was missing.

    Args:
        store: path of the database file; the nearest store if None. It is made if it is not there.

    Raises:
        StoreError: it cannot be written.
        UsageError: what is imported is to be redacted, and what that needs is not installed.
    """

    def __init__(self, store: str | None = None) -> None:
        self.path = str(find_store(store))
        self._redacted = Redacted(self.path)
        self._open: _Open | None = None
        self._newest_first: list[list[SpanLine]] = []
        self._oldest_first: list[list[SpanLine]] = []
        self._groups: dict[str, list[SpanLine]] = {}
        self._lines: dict[_Key, SpanLine] = {}
        self._bytes = 0
        self._traces: set[int] = set()
        self.imported = self.known = self.completed = 0

    def __enter__(self) -> Importer:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            if self._open is not None:
                self._open.close(tidy=kind is None)

    @property
    def traces(self) -> int:
        return len(self._traces)

    def begin_file(self) -> None:
        """Count anew."""
        self.flush()
        self._traces.clear()
        self.imported = self.known = self.completed = 0

    def add(self, span: SpanLine, size: int, newest_first: bool) -> None:
        """Take one span.

        Args:
            span: the span.
            size: about how many bytes it holds.
            newest_first: whether the traces of this file come so, as `export` writes them: of two that began at
                the same moment, the store lists the one first that it got last.
        """
        span = self._redacted(span)
        key = span.trace_id, span.span_id
        if key in self._lines or len(self._lines) >= _CHUNK_SPANS or self._bytes + size > _CHUNK_BYTES:
            self.flush()
        group = self._groups.get(span.trace_id)
        if group is None:
            group = self._groups[span.trace_id] = []
            (self._newest_first if newest_first else self._oldest_first).append(group)
        group.append(span)
        self._lines[key] = span
        self._bytes += size

    def flush(self) -> None:
        """Bring what was added into the store."""
        if not self._lines:
            return
        if self._open is None:
            self._open = _Open(self.path)
        store = self._open
        with store.alone():
            store.reader.refresh()
            for group in [*reversed(self._newest_first), *self._oldest_first]:
                for number, span in enumerate(group):
                    self._write(store, span, first=number == 0)
            store.bring_in()
        for held in (self._newest_first, self._oldest_first, self._groups, self._lines):
            held.clear()
        self._bytes = 0

    def _write(self, store: _Open, span: SpanLine, first: bool) -> None:
        row = store.reader.known_span(span.trace_id, span.span_id)
        _add_scores(store, span, is_new=row is None)
        if row is None:
            self._write_new(store, span, first)
            self.imported += 1
            self._traces.add(hash(span.trace_id))
            return
        self.known += 1
        if row.end_ns is None and _complete(store, span, row):
            self.completed += 1

    def _write_new(self, store: _Open, span: SpanLine, first: bool) -> None:
        ended = span.end_time_unix_nano
        writer = store.is_dead if ended is None else store.goes_on  # its program, if it runs, does so elsewhere
        writer.start(span, {**self._scope(span, first), **_library(span), **_cost(span)})
        for event in span.events:
            writer.event(span, event)
        if ended is not None:
            writer.end(span)
        elif span.output is not None:
            writer.update(span, {}, output=span.output)

    def _scope(self, span: SpanLine, first: bool) -> dict[str, Any]:
        """Session, user, tags and metadata as far as the span does not have them from its parent."""
        own = {"session": span.session, "user": span.user, "tags": span.tags, "metadata": span.metadata}
        parent = self._lines.get((span.trace_id, span.parent_span_id)) if span.parent_span_id else None
        if parent is None:  # no tags of its own may be meant against those of the trace
            return {name: value for name, value in own.items() if value is not None and (value != [] or not first)}
        return {name: value for name, value in own.items() if _differ(value, getattr(parent, name))}


def _cost(span: SpanLine) -> dict[str, Any]:
    """What the line says that it cost, where no attribute does: the store had it from a price of then."""
    cost = conventions.cost_usd({conventions.OI_COST: span.cost_usd})
    return {} if cost is None or conventions.cost_usd(span.attributes) is not None else {"cost": cost}


def _library(span: SpanLine) -> dict[str, Any]:
    """What a journal says of a span that another library made."""
    made_by = span.library
    if made_by is None:
        return {}
    rest = {"version": made_by.version, "span_kind": made_by.span_kind, "set_ok": made_by.set_ok or None}
    return {"scope": made_by.name, **{name: value for name, value in rest.items() if value is not None}}


def _add_scores(store: _Open, span: SpanLine, is_new: bool) -> None:
    """Write the scores that are not here yet."""
    known: set[tuple[object, ...]] = set()
    if span.scores and not is_new:
        for score in store.reader.scores(store.reader.trace(span.trace_id)):
            if score.span_id in (None, span.span_id):
                known.add((score.span_id is None, score.name, score.value, score.comment, score.time_ns))
    for line in span.scores:
        if (line.of_trace, line.name, line.value, line.comment, line.time_unix_nano) not in known:
            store.goes_on.score(span, line)


def _complete(store: _Open, span: SpanLine, row: SpanRow) -> bool:
    """Add to a span that has not ended here what the line has more; False if that is nothing."""
    known = store.reader.span(store.reader.trace(span.trace_id), row.span_id)
    writer = store.goes_on
    told = Counter(_event_key(event.time_ns, event.name, event.attributes) for event in known.events)
    more = False
    for event in span.events:
        key = _event_key(event.time_unix_nano, event.name, event.attributes)
        if told[key] > 0:
            told[key] -= 1
        else:
            writer.event(span, event)
            more = True
    ended = span.end_time_unix_nano is not None
    attributes = {
        name: value
        for name, value in span.attributes.items()
        if name not in known.attributes or (ended and _differ(value, known.attributes[name]))
    }
    given = span.input if span.input is not None and not known.has_input else None
    if given is not None or (attributes and not ended):
        writer.update(span, attributes, input=given)
        more = True
    if ended:
        writer.end(span, attributes, _later_scope(span, known), known.row.name)
        return True
    if span.output is not None and not known.has_output:
        writer.update(span, {}, output=span.output)
        more = True
    if span.status == "interrupted" and row.status == "running":
        store.is_dead.start_again(span)
        more = True
    return more


class _Open:
    """The store, open for writing."""

    def __init__(self, path: str) -> None:
        try:
            prepare(path)
        except OSError as problem:
            raise StoreError(f"{path} cannot be made: {problem.strerror}") from problem
        self._folder = journal_folder(path)
        self._ingester = Ingester(path)
        self.reader = Reader(path)
        # Two processes to those who read journals: one whose open spans go on elsewhere, and one that died.
        self.goes_on = Writer(self._folder, goes_on=True)
        self.is_dead = Writer(self._folder, goes_on=False)

    def close(self, tidy: bool) -> None:
        self.reader.close()
        self._ingester.close(tidy=tidy)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One import at a time asks what is known and writes what is not."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def bring_in(self) -> None:
        """What was written goes into the store."""
        for writer in (self.goes_on, self.is_dead):
            writer.close()
            if not self._ingester.run(process=writer.process, pack=True):
                raise StoreError(f"what was imported waits in {self._folder}: `agentops doctor` says why")


def _later_scope(span: SpanLine, known: SpanDetail) -> dict[str, Any]:
    names = ("session", "user", "tags", "metadata")
    return {name: value for name in names if _differ(value := getattr(span, name), getattr(known, name))} | (
        _cost(span) if known.row.cost_usd is None else {}
    )


def _differ(one: object, other: object) -> bool:
    """Whether two JSON values are not the same text: 1 is not 1.0, and NaN is NaN."""
    return one is not other and _text(one) != _text(other)


def _event_key(time_ns: int, name: str, attributes: dict[str, Any]) -> tuple[int, str, str]:
    return time_ns, name, _text(attributes)


def _text(value: object) -> str:
    try:
        return json.dumps(value)
    except RecursionError:  # as deep as could just be read
        return "<nested too deeply>"
