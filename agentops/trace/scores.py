"""Judgements about traces and spans, recorded beside them."""

from __future__ import annotations

import time

from agentops.errors import UsageError
from agentops.journal.format import SCORE
from agentops.recorder.recorder import recorder
from agentops.safety import failed
from agentops.trace.facts import text
from agentops.trace.span import Span, current_span

__all__ = ["score"]


def score(
    name: str,
    value: float | bool | str,
    *,
    trace: str | Span | None = None,
    span: Span | None = None,
    comment: str | None = None,
) -> None:
    """Record a score for a trace or a span.

    Args:
        name: what is judged, such as `helpful`.
        value: a number, a bool or a label.
        trace: the trace's id (32 hex digits), or any span of it.
        span: the span, if the score is about one; without `trace` and `span` it is the current one.
        comment: why.

    Raises:
        UsageError: neither `trace` nor `span` is given and no span is open, the id is not one, or `value`
            is of another type.
    """
    if not isinstance(value, (int, float, str)):
        raise UsageError(f"a score's value is a number, a bool or a text, not {type(value).__name__}")
    if isinstance(value, str):
        value = text(value)
    if span is None and trace is None:
        span = current_span()
        if span is None:
            raise UsageError("score() outside of any span: say which with trace= or span=")
    if isinstance(trace, str):
        try:
            trace_id = bytes.fromhex(trace)
        except ValueError:
            trace_id = b""
        if len(trace_id) != 16:
            raise UsageError(f"{trace!r} is not a trace's id: 32 hex digits, such as run.trace_id")
    else:
        about = span or trace
        assert about is not None
        trace_id = about._trace
        if not trace_id:
            raise UsageError("score() about a span that has not begun: it has no id yet")
    span_id = span._id if span is not None else 0
    try:
        journal = recorder.current()
        record = (
            SCORE,
            trace_id,
            span_id,
            text(name),
            value,
            None if comment is None else text(comment),
            time.time_ns(),
        )
        payload = journal.capture.record(record)
        try:
            journal.append(payload)
        except OSError as problem:
            recorder.lost(journal, problem, len(payload))
    except Exception as problem:  # noqa: BLE001
        failed("recording a score", problem)
