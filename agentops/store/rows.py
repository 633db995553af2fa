"""What the reader gives back: typed rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from agentops.conventions import KINDS
from agentops.errors import StoreDamaged
from agentops.usage import Usage

__all__ = [
    "CallRow", "Changes", "Event", "Hit", "Library", "Link", "LossRow", "ScoreRow", "SpanDetail", "SpanRow", "TraceRow",
    "checked",
]  # fmt: skip

STATUS = ("running", "ok", "error", "interrupted")


class TraceRow(NamedTuple):
    """One trace in a list. Times in ns since 1970; `end_ns` is None while it runs or if it was cut off.

    unpriced: calls of models that are not in `cost_usd`, since their price is not known.
    """

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
    unpriced: int = 0

    @property
    def kind(self) -> str:
        return KINDS[self.kind_number] if 0 <= self.kind_number < len(KINDS) else "chain"

    @property
    def status(self) -> str:
        return STATUS[self.status_number] if 0 <= self.status_number < len(STATUS) else "interrupted"

    @property
    def duration_ns(self) -> int | None:
        return None if self.end_ns is None else self.end_ns - self.start_ns

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def tags(self) -> list[str]:
        import json

        try:
            tags = json.loads(self.tags_json) if self.tags_json else []
        except (ValueError, RecursionError):  # a store from elsewhere
            return []
        return [str(tag) for tag in tags] if isinstance(tags, list) else []


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
        return STATUS[self.status_number] if 0 <= self.status_number < len(STATUS) else "interrupted"

    @property
    def duration_ns(self) -> int | None:
        return None if self.end_ns is None else self.end_ns - self.start_ns


class CallRow(NamedTuple):
    """What one call of a model used and cost.

    span_id: of its span, 16 hex digits.
    provider, model, tier, time_ns: as `agentops.prices.PricedCall` has them.
    usage: tokens and requests in buckets that do not overlap.
    cost_pico: in pico-dollars (10^-12 US dollars); None if it is unpriced.
    price: source, entry and rates of the price that it has; None where somebody else said the cost, or it has none.
    saved_pico: what it would have cost, where it was answered from a cache of the program's own.
    """

    span_id: str
    provider: str | None
    model: str | None
    tier: str | None
    time_ns: int
    usage: Usage
    cost_pico: int | None
    price: tuple[str, str, str] | None
    saved_pico: int | None


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


class Library(NamedTuple):
    """What OpenTelemetry says of a span that another library made: its instrumentation scope, and what ours have not.

    span_kind: OpenTelemetry's, such as `SERVER`.
    set_ok: the library called it a success, in so many words.
    """

    name: str
    version: str | None
    span_kind: str
    set_ok: bool


class SpanDetail(NamedTuple):
    """One span, whole.

    library: for a span that another library made through OpenTelemetry; None for ours.
    """

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
    library: Library | None = None


class ScoreRow(NamedTuple):
    """A judgement about a trace (`span_id` None) or a span."""

    trace_id: str
    span_id: str | None
    name: str
    value: float | str | None
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
    of a trace, `open` holds the spans that ran (number of the trace, id), `removals` counts what was taken out.
    traces: those that something came into, each with all of its spans in the order of starting.
    """

    mark: int = 0
    last: int = 0
    version: int = -1
    open: frozenset[tuple[int, int]] = frozenset()
    removals: int = 0
    traces: tuple[tuple[TraceRow, list[SpanRow]], ...] = ()


#: Which types the columns of a row may have; SQLite keeps whatever a store from elsewhere says.
_INT, _TEXT, _NUMBER = frozenset((int,)), frozenset((str,)), frozenset((int, float))
_NOT = frozenset((type(None),))
_SPAN = (
    _INT, _INT | _NOT, _TEXT, _INT, _INT, _INT, _INT | _NOT, _TEXT | _NOT, _INT | _NOT, _INT | _NOT, _NUMBER | _NOT,
    _TEXT | _NOT,
)  # fmt: skip
_TRACE = (
    _INT, _TEXT, _TEXT, _INT, _INT, _INT, _INT | _NOT, *6 * (_INT,), _NUMBER | _NOT, *3 * (_TEXT | _NOT,), _INT
)  # fmt: skip
_COLUMNS: dict[str, tuple[frozenset[type], ...]] = {
    "traces": _TRACE,
    "spans": _SPAN,
    "events": (_INT, _INT, _TEXT),
    "event names": (_INT, _TEXT, _INT),
    "scores": (_TEXT, _INT | _NOT, _TEXT, _NUMBER | _TEXT | _NOT, _TEXT | _NOT, _INT),
    "losses": (_INT, _TEXT, _INT, _INT),
    "failures": (_INT, _INT, _INT | _NOT, _TEXT | _NOT),
    "names": (_INT | _NOT, _TEXT),
    "calls": (
        _INT,
        _TEXT | _NOT,
        _TEXT | _NOT,
        _TEXT | _NOT,
        _INT,
        *10 * (_INT | _NOT,),
        _INT,
        *2 * (_INT | _NOT,),
        *3 * (_TEXT | _NOT,),
    ),
    "plain calls": (_INT, _INT, _INT | _NOT, _INT | _NOT),
    "models": (_TEXT | _NOT, _TEXT | _NOT, _INT, _INT),
}
_known: dict[str, set[tuple[type, ...]]] = {name: set() for name in _COLUMNS}


def checked(which: str, rows: list[Any]) -> list[Any]:
    """`rows`, whose first columns have the types that those of `which` have.

    Raises:
        StoreDamaged: they have not.
    """
    columns, known = _COLUMNS[which], _known[which]
    count = len(columns)
    for shape in _shapes(rows, count) - known:
        if not all(kind in kinds for kind, kinds in zip(shape, columns, strict=False)):
            raise StoreDamaged(f"the store holds {which} that no agentops wrote: a value is of the wrong type")
        known.add(shape)
    return rows


def _shapes(rows: Iterable[Any], count: int) -> set[tuple[type, ...]]:
    return {tuple(map(type, row[:count])) for row in rows}
