"""A line of `agentops export --to jsonl` as a typed span; what is none is said in words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agentops.conventions import Kind, token_count
from agentops.importers.lines import Unusable
from agentops.store.details import USAGE

__all__ = ["EventLine", "ExceptionLine", "LibraryLine", "LinkLine", "ScoreLine", "SpanLine", "is_span", "span_of"]

TraceId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
SpanId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
Time = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class EventLine(msgspec.Struct, forbid_unknown_fields=True):
    time_unix_nano: Time
    name: str
    attributes: dict[str, Any] = {}


class LinkLine(msgspec.Struct, forbid_unknown_fields=True):
    trace_id: TraceId
    span_id: SpanId
    attributes: dict[str, Any] = {}


class ExceptionLine(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    message: str
    stacktrace: str = ""


class ScoreLine(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    value: float | str | None
    time_unix_nano: Time
    comment: str | None = None
    of_trace: bool = False


class LibraryLine(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    version: str | None = None
    span_kind: str = "INTERNAL"
    set_ok: bool = False


class SpanLine(msgspec.Struct, forbid_unknown_fields=True):
    """One span, whole, as `agentops.exporters.jsonl` writes it: see `agentops schema export`."""

    trace_id: TraceId
    span_id: SpanId
    name: str
    kind: Kind
    start_time_unix_nano: Time
    end_time_unix_nano: Time | None
    status: Literal["running", "ok", "error", "interrupted"]
    parent_span_id: SpanId | None = None
    input: Any = None
    output: Any = None
    attributes: dict[str, Any] = {}
    events: list[EventLine] = []
    links: list[LinkLine] = []
    session: str | None = None
    user: str | None = None
    tags: list[str] = []
    metadata: dict[str, Any] | None = None
    exception: ExceptionLine | None = None
    usage: dict[str, int] | None = None
    cost_usd: float | None = None
    library: LibraryLine | None = None
    scores: list[ScoreLine] = []


def is_span(value: object) -> bool:
    """Whether a JSON value is meant as a span."""
    return type(value) is dict and value.keys() >= {"trace_id", "span_id", "start_time_unix_nano"}


def span_of(value: dict[str, Any]) -> SpanLine:
    """The span of a line that is meant as one.

    Raises:
        Unusable: a field is missing, unknown, or of another type.
    """
    try:
        span = msgspec.convert(value, SpanLine)
    except msgspec.ValidationError as problem:
        raise Unusable(f"no span: {problem}") from None
    # The store reads them from the attributes. Where it did not write the line itself, they may stand elsewhere.
    for name, count in (span.usage or {}).items():
        keys = USAGE.get(name)
        if keys is not None and token_count(span.attributes, *keys) is None:
            span.attributes[keys[0]] = count
    return span
