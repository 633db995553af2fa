"""What the reader gives back: typed rows."""

from __future__ import annotations

from typing import Any, NamedTuple

from agentops.conventions import KINDS

__all__ = ["Changes", "Event", "Hit", "Link", "LossRow", "ScoreRow", "SpanDetail", "SpanRow", "TraceRow"]

STATUS = ("running", "ok", "error", "interrupted")


class TraceRow(NamedTuple):
    """One trace in a list. Times in ns since 1970; `end_ns` is None while it runs or if it was cut off."""

    no: int
    trace_id: str
    name: str
    kind_number: int
    status_number: int
    start_ns: int
    end_ns: int | None
    spans: int
    errors: int
    open: int
    llm_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    session: str | None
    user: str | None
    tags_json: str | None

    @property
    def kind(self) -> str:
        return KINDS[self.kind_number] if 0 <= self.kind_number < len(KINDS) else "chain"

    @property
    def status(self) -> str:
        return STATUS[self.status_number]

    @property
    def duration_ns(self) -> int | None:
        return None if self.end_ns is None else self.end_ns - self.start_ns

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def tags(self) -> list[str]:
        import json

        return json.loads(self.tags_json) if self.tags_json else []


class SpanRow(NamedTuple):
    """One span of a trace's skeleton: all that a tree shows, no content. Ids as SQLite holds them (signed)."""

    span_id: int
    parent_id: int | None
    name: str
    kind_number: int
    status_number: int
    start_ns: int
    end_ns: int | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    error: str | None

    @property
    def hex_id(self) -> str:
        return format(self.span_id & 0xFFFFFFFFFFFFFFFF, "016x")

    @property
    def kind(self) -> str:
        return KINDS[self.kind_number] if 0 <= self.kind_number < len(KINDS) else "chain"

    @property
    def status(self) -> str:
        return STATUS[self.status_number]

    @property
    def duration_ns(self) -> int | None:
        return None if self.end_ns is None else self.end_ns - self.start_ns


class Event(NamedTuple):
    """Something that happened on a span."""

    time_ns: int
    name: str
    attributes: dict[str, Any]


class Link(NamedTuple):
    """A link to another span."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any]


class SpanDetail(NamedTuple):
    """One span, whole."""

    row: SpanRow
    trace_id: str
    parent_span_id: str | None
    has_input: bool
    has_output: bool
    input: Any
    output: Any
    attributes: dict[str, Any]
    events: list[Event]
    links: list[Link]
    exception: dict[str, str] | None
    session: str | None
    user: str | None
    tags: list[str]
    metadata: dict[str, Any] | None
    usage: dict[str, int] | None


class ScoreRow(NamedTuple):
    """A judgement about a trace (`span_id` None) or a span."""

    trace_id: str
    span_id: str | None
    name: str
    value: float | str
    comment: str | None
    time_ns: int


class LossRow(NamedTuple):
    """Records that a program could not write: when the first was lost, of which kind and why, how many and how long."""

    time_ns: int
    what: str
    records: int
    bytes: int


class Hit(NamedTuple):
    """A span in which a text was found, with the place and the words around it."""

    trace: TraceRow
    span: SpanRow
    where: str
    snippet: str


class Changes(NamedTuple):
    """What came into the store between two looks at it, all as it was at one moment.

    mark, last, version, open: how far the store was then; the next look begins there. `last` is the highest number
    of a trace, `open` holds the spans that ran (number of the trace, id).
    traces: those that something came into, each with all of its spans in the order of starting.
    """

    mark: int = 0
    last: int = 0
    version: int = -1
    open: frozenset[tuple[int, int]] = frozenset()
    traces: tuple[tuple[TraceRow, list[SpanRow]], ...] = ()
