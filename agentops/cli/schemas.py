"""What --json prints, as pydantic models. Imported by `agentops schema` and by tests alone."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agentops.conventions import Kind

__all__ = ["SCHEMAS"]

Status = Literal["running", "ok", "error", "interrupted"]
TraceId = Field(pattern="^[0-9a-f]{32}$")
SpanId = Field(pattern="^[0-9a-f]{16}$")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Output(_Model):
    version: Literal[1]


class Trace(_Model):
    """A trace of a list; times in ns since 1970 and in ISO 8601, cost in US dollars, null where it is not known.

    `unpriced`: calls of models that are not in the cost, since their price is not known.

    `last_time`: when something was heard last of a run that was cut off.
    """

    trace_id: str = TraceId
    name: str
    kind: Kind
    status: Status
    start_time_unix_nano: int
    start_time: str | None
    end_time_unix_nano: int | None
    end_time: str | None
    duration_ns: int | None
    last_time_unix_nano: int | None
    last_time: str | None
    spans: int
    open_spans: int
    errors: int
    llm_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    unpriced: int
    session: str | None
    user: str | None
    tags: list[str]


class Span(_Model):
    """A span of a list or of a tree, without its content."""

    trace_id: str = TraceId
    span_id: str = SpanId
    name: str
    kind: Kind
    status: Status
    start_time_unix_nano: int
    start_time: str | None
    end_time_unix_nano: int | None
    end_time: str | None
    duration_ns: int | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    error: str | None


class Event(_Model):
    time_unix_nano: int
    name: str
    attributes: dict[str, Any]


class Link(_Model):
    trace_id: str
    span_id: str
    attributes: dict[str, Any]


class ExceptionInfo(_Model):
    type: str
    message: str
    stacktrace: str


class ExportScore(_Model):
    """A judgement about the span, or about its whole trace: that stands with the trace's first span.

    value: null for one that is not a number.
    """

    name: str
    value: float | str | None
    comment: str | None
    time_unix_nano: int
    of_trace: bool


class LibraryInfo(_Model):
    """What OpenTelemetry says of a span that another library made.

    span_kind: OpenTelemetry's, such as SERVER. set_ok: the library itself called it a success.
    """

    name: str
    version: str | None
    span_kind: str
    set_ok: bool


class ExportLine(_Model):
    """A line of `agentops export --to jsonl`: one span, whole."""

    trace_id: str = TraceId
    span_id: str = SpanId
    parent_span_id: str | None
    name: str
    kind: Kind
    start_time_unix_nano: int
    end_time_unix_nano: int | None
    status: Status
    input: Any
    output: Any
    attributes: dict[str, Any]
    events: list[Event]
    links: list[Link]
    session: str | None
    user: str | None
    tags: list[str]
    metadata: dict[str, Any] | None
    exception: ExceptionInfo | None
    usage: dict[str, int] | None
    cost_usd: float | None
    library: LibraryInfo | None
    scores: list[ExportScore]


class TreeSpan(Span):
    """A line of a tree."""

    parent_span_id: str | None
    depth: int
    content: ExportLine | None = None


class Score(_Model):
    trace_id: str
    span_id: str | None
    name: str
    value: float | str | None
    comment: str | None
    time_ns: int


class Hit(Span):
    """A place where a text was found."""

    where: str
    snippet: str


class Finding(_Model):
    """Something worth knowing about a run; `suspect` is what may have made it go wrong. Most important first."""

    kind: str
    severity: Literal["suspect", "background"]
    span_id: str | None
    path: list[str]
    text: str


class Tail(Span):
    """A line of `agentops tail --json`: a span begins (`start`), ends (`end`) or was cut off (`interrupted`)."""

    version: Literal[1]
    event: Literal["start", "end", "interrupted"]
    parent_span_id: str | None
    depth: int


class StatsRow(_Model):
    """Calls of one model, name or day (local time); `key` is null where it is not known, and in the total.

    `kind` is there by name; `runs` are the traces in which the calls stand; `cost_usd` is what those cost whose price
    is known, and `unpriced` how many model calls have none; p50 and p95 (ns) are nearest-rank, of ended spans.
    """

    key: str | None
    kind: Kind | None
    calls: int
    errors: int
    runs: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    unpriced: int
    p50_ns: int | None
    p95_ns: int | None


class UnusableLine(_Model):
    line: int
    message: str


class ImportedFile(_Model):
    """What came of a file: spans that were new and the traces they stand in; those that were here already, and how
    many of these were completed; lines that were not taken, and why for the first hundred of them."""

    file: str
    imported: int
    traces: int
    known: int
    completed: int
    skipped: int
    problems: list[UnusableLine]


class Setting(_Model):
    name: str
    value: Any
    origin: str
    variable: str


class Check(_Model):
    name: str
    ok: bool
    says: str
    advice: str | None


class Ls(_Output):
    """`agentops ls --json`; `spans` with --spans."""

    traces: list[Trace] | None = None
    spans: list[Span] | None = None
    more: bool


class Call(_Model):
    """What one call of a model used and cost. Amounts are decimals in US dollars, exact, null for an unpriced call.

    `usage`: tokens and requests in buckets that do not overlap, null where nobody said; `estimated` names those that
    were told from others. `price`: null where somebody else said the cost; `saved`: what an answer from a cache of the
    program's own would have cost.
    """

    span_id: str = SpanId
    provider: str | None
    model: str | None
    tier: str | None
    usage: dict[str, int | None]
    estimated: list[str]
    cost: str | None
    price: dict[Literal["source", "entry"], str] | None
    saved: str | None


class Turn(_Model):
    """A model call: the messages it was given, and what is new in them against the call that it goes on from."""

    span_id: str = SpanId
    messages: int
    new_messages: int
    goes_on_from: str | None
    new_tokens: int | None


class Context(_Model):
    """How the context of a run grows; `tokens_per_turn` is the mean of `new_tokens`, null where nothing goes on."""

    tokens_per_turn: float | None
    turns: list[Turn]


class Show(_Output):
    """`agentops show --json`."""

    trace: Trace
    spans: list[TreeSpan]
    scores: list[Score]
    calls: list[Call]
    context: Context


class PriceRule(_Model):
    """Prices of one list: US dollars for a million tokens, for `web_searches` and `requests` a thousand."""

    when: str
    source: str
    entry: str
    rates: dict[str, str]


class PricedModel(_Model):
    """A model and what holds for it, first what is used; `calls` and `unpriced` where it was called here."""

    model: str | None
    provider: str | None
    calls: int | None
    unpriced: int | None
    prices: list[PriceRule]


class Prices(_Output):
    """`agentops prices --json`; `price_list` is null where genai-prices is not installed."""

    price_list: str | None
    file: str | None
    own: int
    models: list[PricedModel]


class Repriced(_Model):
    """What `agentops reprice` did to the calls of one model, or of all; amounts are decimals in US dollars."""

    model: str | None
    calls: int
    changed: int
    priced: int
    kept: int
    unpriced: int
    before: str
    after: str


class Reprice(_Output):
    """`agentops reprice --json`."""

    dry_run: bool
    models: list[Repriced]
    total: Repriced


class Death(_Model):
    """How the program of a run died; `span_id` is the innermost open span, null where several were (see `open`)."""

    cause: Literal["out of memory", "killed", "native crash", "exit", "exception", "unknown"]
    phase: Literal["tool", "model call", "stream", "lock", "deadlock", "loop", "ingest", "code"]
    span_id: str | None
    signal: str | None
    exit_code: int | None
    core_dumped: bool
    memory_bytes: int | None
    stack: list[str]
    output: list[str]
    answered: str
    chunks: int
    last_time_unix_nano: int
    open: list[str]


class Why(_Output):
    """`agentops why --json`; `cause` is the span to look at first, null where nothing was found."""

    trace: Trace
    failed: bool
    headline: str
    cause: str | None
    death: Death | None
    findings: list[Finding]


class Search(_Output):
    """`agentops search --json`."""

    hits: list[Hit]
    more: bool


class Stats(_Output):
    """`agentops stats --json`."""

    by: Literal["model", "name", "day"]
    rows: list[StatsRow]
    total: StatsRow


class Import(_Output):
    """`agentops import --json`."""

    files: list[ImportedFile]


class Export(_Output):
    """`agentops export --to otlp --json`; `refused`: spans that the target did not take; `running`: left out."""

    target: str
    spans: int
    refused: int
    running: int


class Config(_Output):
    """`agentops config --json`."""

    settings: list[Setting]
    file: str | None
    store: str
    store_reason: str


class Doctor(_Output):
    """`agentops doctor --json`."""

    store: str
    store_reason: str
    checks: list[Check]


class Prune(_Output):
    """`agentops prune --json`; with --dry-run what would go, the other counts null."""

    traces: int
    spans: int
    contents: int | None
    bytes_freed: int | None


class Forget(_Output):
    """`agentops forget --json`: what went, traces that still run and stay, journals that running programs hold."""

    traces: int
    spans: int
    contents: int
    running: int
    held: list[str]


class Backup(_Output):
    """`agentops backup --json`."""

    file: str
    bytes: int


class AuditFinding(_Model):
    """What was found in one place; `shown` has all letters and digits hidden but a few, or says which canary it is."""

    file: str
    place: str
    kind: str
    times: int
    shown: str


class AuditFixed(_Model):
    """How much --fix has changed: large values, spans, and other rows."""

    contents: int
    spans: int
    others: int


class Audit(_Output):
    """`agentops audit --json`: what is found, after --fix what is left; `more` if there are more places."""

    redact: Literal["pii", "secrets"]
    files: int
    bytes: int
    kinds: dict[str, int]
    findings: list[AuditFinding]
    more: bool
    fixed: AuditFixed | None
    held: list[str]


class ErrorInfo(_Model):
    type: str
    message: str
    line: str | None = None
    start: int | None = None
    end: int | None = None


class Error(_Output):
    """What goes to standard error when a command called with --json fails."""

    error: ErrorInfo


SCHEMAS: dict[str, type[BaseModel]] = {
    "ls": Ls,
    "show": Show,
    "prices": Prices,
    "reprice": Reprice,
    "why": Why,
    "tail": Tail,
    "search": Search,
    "stats": Stats,
    "export": ExportLine,
    "export otlp": Export,
    "import": Import,
    "config": Config,
    "prune": Prune,
    "forget": Forget,
    "audit": Audit,
    "backup": Backup,
    "doctor": Doctor,
    "error": Error,
}
