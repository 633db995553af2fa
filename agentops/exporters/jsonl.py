"""One span a line, as JSON: lossless, and what `agentops import` takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from agentops.store.reader import Reader
from agentops.store.rows import ScoreRow, SpanDetail, TraceRow

__all__ = ["lines", "record"]


def lines(reader: Reader, traces: Iterator[TraceRow]) -> Iterator[str]:
    """A line for every span of `traces`, without its newline; oldest span of a trace first."""
    for trace in traces:
        scores = reader.scores(trace)
        for number, detail in enumerate(reader.details(trace)):
            # What is said of the whole trace stands on the line of its first span.
            own = [s for s in scores if s.span_id == detail.row.hex_id or (s.span_id is None and not number)]
            fields = record(detail, own)
            try:
                yield json.dumps(fields)
            except RecursionError:  # one value that is too deep for JSON must not end the export
                deep = "<nested too deeply for JSON>"
                yield json.dumps({**fields, "input": deep, "output": deep, "attributes": {}, "events": []})


def record(span: SpanDetail, scores: list[ScoreRow] | None = None) -> dict[str, Any]:
    """The line's object: names as in `agentops schema export`, times in ns since 1970.

    Args:
        span: the span.
        scores: of it, and of its trace where it stands for that.
    """
    row = span.row
    return {
        "trace_id": span.trace_id,
        "span_id": row.hex_id,
        "parent_span_id": span.parent_span_id,
        "name": row.name,
        "kind": row.kind,
        "start_time_unix_nano": row.start_ns,
        "end_time_unix_nano": row.end_ns,
        "status": row.status,
        "input": span.input,
        "output": span.output,
        "attributes": span.attributes,
        "events": [
            {"time_unix_nano": event.time_ns, "name": event.name, "attributes": event.attributes}
            for event in span.events
        ],
        "links": [
            {"trace_id": link.trace_id, "span_id": link.span_id, "attributes": link.attributes} for link in span.links
        ],
        "session": span.session,
        "user": span.user,
        "tags": span.tags,
        "metadata": span.metadata,
        "exception": span.exception,
        "usage": span.usage,
        "cost_usd": row.cost_usd,
        "library": None if span.library is None else span.library._asdict(),
        "scores": [
            {
                "name": score.name,
                "value": score.value,
                "comment": score.comment,
                "time_unix_nano": score.time_ns,
                "of_trace": score.span_id is None,
            }
            for score in scores or ()
        ],
    }
