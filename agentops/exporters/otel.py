"""A stored span as OpenTelemetry's SDK has it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from agentops.exporters.target import Dialect
from agentops.store.rows import ScoreRow, SpanDetail

__all__ = ["readable"]


def readable(
    detail: SpanDetail,
    scores: Sequence[ScoreRow] = (),
    *,
    dialect: Dialect = "both",
    resource: Resource | None = None,
) -> ReadableSpan:
    """`detail` as a span that OpenTelemetry's exporters take."""
    row = detail.row
    trace_id = int(detail.trace_id, 16)
    attributes: dict[str, Any] = {key: _plain(value) for key, value in detail.attributes.items()}
    attributes["openinference.span.kind"] = row.kind.upper()
    if detail.has_input:
        attributes["input.value"] = _plain(detail.input)
    if detail.has_output:
        attributes["output.value"] = _plain(detail.output)
    failed = row.status in ("error", "interrupted")
    return ReadableSpan(
        name=row.name,
        context=_context(trace_id, row.span_id),
        parent=None if row.parent_id is None else _context(trace_id, row.parent_id),
        resource=resource,
        attributes=attributes,
        events=[
            Event(event.name, {key: _plain(value) for key, value in event.attributes.items()}, event.time_ns)
            for event in detail.events
        ],
        status=Status(StatusCode.ERROR, row.error) if failed else Status(StatusCode.OK),
        start_time=row.start_ns,
        end_time=row.end_ns or row.start_ns,
    )


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id & (2**64 - 1), False, TraceFlags(1))


def _plain(value: Any) -> str | int | float | bool:
    return value if isinstance(value, (str, int, float, bool)) else json.dumps(value)
