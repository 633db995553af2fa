"""Spans as the records that their program would have written, in journals of a process that never ran."""

from __future__ import annotations

import math
import random
import time
from typing import Any

from agentops.conventions import KIND_NUMBER
from agentops.errors import StoreError
from agentops.importers.spans import EventLine, ScoreLine, SpanLine
from agentops.journal.format import ABSENT, END, ERROR, EVENT, OK, ROTATED, SCORE, START, UPDATE, encode
from agentops.recorder.capture import New
from agentops.recorder.writer import Journal, Place, open_journal
from agentops.trace.facts import taken

__all__ = ["Writer"]


class Writer:
    """Records of one process that never ran, a journal for each chunk.

    Args:
        folder: of the store's journals.
        goes_on: what it leaves open is not taken for cut off when it ends.

    Raises:
        StoreError: by all that writes, if the journal cannot be written.
    """

    def __init__(self, folder: str, goes_on: bool) -> None:
        self.process = random.SystemRandom().getrandbits(63)
        self._place = Place(folder, (self.process, time.time_ns()), None, _never_full)
        self._goes_on = goes_on
        self._sequence = 0
        self._journal: Journal | None = None

    def close(self) -> None:
        """The journal is whole, and nobody's any more."""
        journal, self._journal = self._journal, None
        if journal is not None:
            try:
                journal.leave(final=True)
            except OSError as problem:
                raise _cannot_be_written(journal.path, problem) from problem
            finally:
                journal.abandon()

    def _open(self) -> Journal:
        if self._journal is None:
            self._sequence += 1
            try:
                self._journal = open_journal(self._place, self._sequence)
                if self._goes_on:  # said first: whatever is cut off, its open spans are not
                    self._journal.append(encode((ROTATED,)))
            except OSError as problem:
                raise _cannot_be_written(self._place.folder, problem) from problem
        return self._journal

    def start(self, span: SpanLine, scope: dict[str, Any]) -> None:
        new, journal, number, value, attributes = self._values(span, span.input, span.attributes)
        links = [(bytes.fromhex(link.trace_id), int(link.span_id, 16), link.attributes) for link in span.links]
        self._append(journal, new, span, (
            START, int(span.span_id, 16), bytes.fromhex(span.trace_id), int(span.parent_span_id or "0", 16),
            span.start_time_unix_nano, span.name, KIND_NUMBER[span.kind], number, value, new.contents, attributes,
            scope or None, links or None,
        ))  # fmt: skip

    def start_again(self, span: SpanLine) -> None:
        """A span that the store knows is this process's now."""
        self._append(self._open(), New(), span, (
            START, int(span.span_id, 16), bytes.fromhex(span.trace_id), int(span.parent_span_id or "0", 16),
            span.start_time_unix_nano, span.name, KIND_NUMBER[span.kind],
        ))  # fmt: skip

    def event(self, span: SpanLine, event: EventLine) -> None:
        new, journal, _, _, attributes = self._values(span, None, event.attributes)
        self._append(journal, new, span, (
            EVENT, int(span.span_id, 16), bytes.fromhex(span.trace_id), event.time_unix_nano, event.name, attributes,
            new.contents,
        ))  # fmt: skip

    def update(self, span: SpanLine, attributes: dict[str, Any], output: Any = None, input: Any = None) -> None:
        new, journal, number, value, facts = self._values(span, output if input is None else input, attributes)
        said, unsaid = (number, value), (ABSENT, None)
        of_output, of_input = (said, unsaid) if input is None else (unsaid, said)
        self._append(journal, new, span, (
            UPDATE, int(span.span_id, 16), bytes.fromhex(span.trace_id), facts, *of_output, new.contents, *of_input,
        ))  # fmt: skip

    def end(
        self,
        span: SpanLine,
        attributes: dict[str, Any] | None = None,
        scope: dict[str, Any] | None = None,
        known_as: str | None = None,
    ) -> None:
        new, journal, number, value, facts = self._values(span, span.output, attributes or {})
        links = None
        if known_as is not None:
            links = [(bytes.fromhex(link.trace_id), int(link.span_id, 16), link.attributes) for link in span.links]
        error = span.exception and (span.exception.type, span.exception.message, span.exception.stacktrace)
        self._append(journal, new, span, (
            END, int(span.span_id, 16), bytes.fromhex(span.trace_id), span.end_time_unix_nano,
            ERROR if span.status == "error" else OK, facts, number, value, new.contents, error,
            span.name if known_as not in (None, span.name) else None, scope or None, links or None,
        ))  # fmt: skip

    def score(self, span: SpanLine, score: ScoreLine) -> None:
        self._append(self._open(), New(), span, (
            SCORE, bytes.fromhex(span.trace_id), 0 if score.of_trace else int(span.span_id, 16), score.name,
            math.nan if score.value is None else score.value, score.comment, score.time_unix_nano,
        ))  # fmt: skip

    def _values(
        self, span: SpanLine, value: Any, attributes: dict[str, Any]
    ) -> tuple[New, Journal, int, Any, dict[str, Any] | None]:
        """What a record says of a value (None for one that is not there) and of attributes."""
        new, journal, trace = New(), self._open(), bytes.fromhex(span.trace_id)
        number, value = (ABSENT, None) if value is None else journal.capture.value(value, new, trace)
        return new, journal, number, value, taken(attributes, journal.capture, new, trace) if attributes else None

    def _append(self, journal: Journal, new: New, span: SpanLine, record: tuple[Any, ...]) -> None:
        try:
            journal.append(journal.capture.record(record))
        except OSError as problem:
            raise _cannot_be_written(journal.path, problem) from problem
        journal.capture.remember(new, bytes.fromhex(span.trace_id))


def _cannot_be_written(path: str, problem: OSError) -> StoreError:
    return StoreError(
        f"{path} cannot be written: {problem.strerror or problem}. The same import again goes on from here"
    )


def _never_full(journal: Journal) -> None:
    """A chunk is a journal: two events of one moment are told apart by their place in it."""
