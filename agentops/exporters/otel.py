"""A stored span as one of OpenTelemetry's SDK, in the names that backends read: docs/BACKENDS.md says which.

What other libraries recorded goes on under its own names; what they left out is added. This module is imported only
where something is exported: it brings in OpenTelemetry's SDK.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from agentops import conventions as c
from agentops.errors import UsageError
from agentops.exporters import messages
from agentops.exporters.openinference import renamed, with_documents
from agentops.exporters.plain import attribute, json_text, text, verbatim
from agentops.messages import is_kept, with_bytes

if TYPE_CHECKING:
    from agentops.conventions import Dialect
    from agentops.store.rows import Event as OurEvent
    from agentops.store.rows import Library, ScoreRow, SpanDetail

__all__ = ["readable"]

Attributes = dict[str, Any]

_CLIENT = frozenset(("llm", "embedding", "retrieval", "rerank"))
#: Kinds that call a model: backends add up the tokens of all spans, so what others sum up must not look like usage.
_COUNTED = frozenset(("llm", "embedding"))
_SUMS = ("gen_ai.usage.", "llm.token_count.", "llm.cost.")
_SAMPLED, _NO_STATE = TraceFlags(TraceFlags.SAMPLED), TraceState()
_OK, _UNSET = Status(StatusCode.OK), Status(StatusCode.UNSET)
_TIME_MAX = 2**64 - 1
_KIND = "agentops.kind"
_QUERY, _DOCUMENTS = "gen_ai.retrieval.query.text", "gen_ai.retrieval.documents"
_REQUEST = {"http.request.method", "url.path"}
_STATUS_CODE = "http.response.status_code"
_EVALUATION = "gen_ai.evaluation.result"


def readable(
    detail: SpanDetail,
    scores: Sequence[ScoreRow] = (),
    *,
    dialect: Dialect = "both",
    resource: Resource | None = None,
) -> ReadableSpan:
    """`detail` as a span that any of OpenTelemetry's exporters takes.

    Args:
        detail: the span. One that was cut off ends with its last sign of life, as an error called `interrupted`.
        scores: those of it, and those of its trace if it is the trace's first span; each becomes an event.
        dialect: in whose names: `genai` (OpenTelemetry's), `openinference`, or `both`, which all known backends read.
        resource: what the span came from; OpenTelemetry's default (OTEL_SERVICE_NAME and the like) if None.

    Raises:
        UsageError: the span still runs: a backend takes a span once, when it is over.
    """
    row = detail.row
    detail = _for_others(detail)
    if row.status == "running":
        raise UsageError(f"span {row.hex_id} still runs: it can be exported when it has ended")
    trace_id = int(detail.trace_id, 16)
    attributes = _of_others(detail, dialect) if detail.library is not None else _of_ours(detail, dialect)
    events = [_event(event) for event in detail.events if event.name != c.CHUNK]
    end = row.end_ns
    if end is None:
        end = max([row.start_ns, *(event.time_ns for event in detail.events)])
    library = detail.library
    status = _OK if library is None or library.set_ok else _UNSET
    if row.status != "ok":
        status = _failed(detail, attributes, events, end)
    events += [_scored(score) for score in scores]
    parent = detail.parent_span_id
    return ReadableSpan(
        name=text(row.name),
        context=_context(trace_id, int(row.hex_id, 16)),
        parent=None if parent is None else _context(trace_id, int(parent, 16)),
        resource=_resource() if resource is None else resource,
        attributes=attributes,
        events=events,
        links=[
            Link(_context(int(link.trace_id, 16), int(link.span_id, 16), True), _attributes(link.attributes))
            for link in detail.links
        ],
        kind=SpanKind.SERVER if _is_request(detail) else _span_kind(row.kind if library is None else library.span_kind),
        status=status,
        start_time=_time(row.start_ns),
        end_time=_time(end),
        instrumentation_scope=_scope(library),
    )


def _for_others(detail: SpanDetail) -> SpanDetail:
    """A span with its files where they were, and without what is kept to make its answer again."""
    facts = detail.attributes
    left = {key: value for key, value in facts.items() if not is_kept(key)}
    if len(left) == len(facts):
        return detail
    if c.INPUT_MESSAGES in left:
        left[c.INPUT_MESSAGES] = with_bytes(left[c.INPUT_MESSAGES], facts)
    return detail._replace(input=with_bytes(detail.input, facts), attributes=left)


# -- attributes --------------------------------------------------------------------------------------


def _of_others(detail: SpanDetail, dialect: Dialect) -> Attributes:
    """The attributes of a span that another library made: all of them, and what is missing."""
    made = {}
    for key, value in detail.attributes.items():
        if value is not None:
            made[text(key)] = verbatim(value)
    if detail.session is not None:
        made.setdefault(c.OI_SESSION, text(detail.session))
    if detail.user is not None:
        made.setdefault(c.OI_USER, text(detail.user))
    if dialect != "genai" and c.OPERATION_NAME in made:
        made.setdefault(c.OI_KIND, c.OPENINFERENCE[c.kind_of(made)])
    if dialect != "openinference" and c.OI_KIND in made:
        made.setdefault(c.OPERATION_NAME, c.OPERATION[c.kind_of(made)])
    _name_cache_writes(made)
    return made


def _of_ours(detail: SpanDetail, dialect: Dialect) -> Attributes:
    kind = detail.row.kind
    made: Attributes = {c.OPERATION_NAME: c.OPERATION[kind], c.OI_KIND: c.OPENINFERENCE[kind], _KIND: kind}
    if _is_request(detail):
        del made[c.OPERATION_NAME]
    counted = kind in _COUNTED
    for key, value in detail.attributes.items():
        if value is not None:
            key = text(key)
            if not counted and key.startswith(_SUMS):
                key = f"agentops.{key}"
            made[key] = attribute(value)
    _add_scope(made, detail, dialect)
    if kind in _CONTENT:
        _CONTENT[kind](made, detail)
    if dialect == "genai":
        _add_values_of_no_name(made, detail)
    else:
        _add_value(made, c.OI_INPUT, c.OI_INPUT_TYPE, detail.input)
        _add_value(made, c.OI_OUTPUT, c.OI_OUTPUT_TYPE, detail.output)
    if counted:
        _name_cache_writes(made)
        cost = detail.row.cost_usd
        if cost is not None:
            made["gen_ai.usage.cost"] = made["operation.cost"] = made[c.OI_COST] = cost
    if dialect == "genai":
        for key in (c.OI_KIND, c.OI_COST, c.CACHE_CREATION_TOKENS):
            made.pop(key, None)
    elif dialect == "openinference":
        made = renamed(made, flat=kind in ("llm", "agent"))
    if dialect != "genai" and kind == "retrieval":
        with_documents(made, detail.output)
    return made


def _add_scope(made: Attributes, detail: SpanDetail, dialect: Dialect) -> None:
    if detail.session is not None:
        made.setdefault(c.OI_SESSION, text(detail.session))
        made.setdefault(c.CONVERSATION_ID, text(detail.session))
    if detail.user is not None:
        made.setdefault(c.OI_USER, text(detail.user))
    own = dialect == "genai"  # where OpenTelemetry has no name, ours
    if detail.tags:
        made.setdefault("agentops.tags" if own else c.OI_TAGS, list(map(text, detail.tags)))
    if detail.metadata:
        made.setdefault("agentops.metadata" if own else c.OI_METADATA, json_text(detail.metadata))


def _add_value(made: Attributes, key: str, type_key: str, value: Any) -> None:
    if value is not None and key not in made:
        plain = type(value) is str
        made[key] = text(value) if plain else json_text(value)
        made[type_key] = "text/plain" if plain else "application/json"


def _add_values_of_no_name(made: Attributes, detail: SpanDetail) -> None:
    """Input and output under names of ours, where the kind has none in OpenTelemetry's conventions."""
    given, back = _HELD.get(detail.row.kind, ("", ""))
    for name, key, value in (("input", given, detail.input), ("output", back, detail.output)):
        if value is not None and key not in made:
            made[f"agentops.{name}"] = _written(value)


def _written(value: Any) -> str:
    return text(value) if type(value) is str else json_text(value)


def _add_chat(made: Attributes, detail: SpanDetail) -> None:
    recorded = detail.attributes
    _add_messages(made, detail, _pieces(detail) if detail.output is None else detail.output)
    if recorded.get(c.SYSTEM_INSTRUCTIONS) is not None:
        made[c.SYSTEM_INSTRUCTIONS] = json_text(messages.instructions(recorded[c.SYSTEM_INSTRUCTIONS]))
    if c.TOOL_DEFINITIONS in recorded:
        tools = messages.tool_definitions(recorded[c.TOOL_DEFINITIONS])
        if tools is not None:
            made[c.TOOL_DEFINITIONS] = json_text(tools)


def _add_messages(made: Attributes, detail: SpanDetail, answer: Any) -> None:
    """A conversation as JSON texts: Phoenix reads nothing else, and no answer without a finish reason."""
    recorded = detail.attributes
    reasons = messages.decoded(recorded.get(c.FINISH_REASONS))
    reason = None
    if type(reasons) is list and reasons:
        made[c.FINISH_REASONS] = reasons = [messages.finish_reason(attribute(said)) for said in reasons]
        reason = reasons[0]
    given = messages.decoded(recorded.get(c.INPUT_MESSAGES)) or detail.input
    if given is not None:
        made[c.INPUT_MESSAGES] = json_text(messages.asked(given))
    back = messages.decoded(recorded.get(c.OUTPUT_MESSAGES)) or answer
    if back is not None:
        made[c.OUTPUT_MESSAGES] = json_text(messages.answered(back, reason, failed=detail.row.status != "ok"))


def _pieces(detail: SpanDetail) -> list[dict[str, Any]] | None:
    """What had come of an answer that broke off."""
    texts: dict[Any, list[str]] = {}
    for event in detail.events:
        if event.name == c.CHUNK:
            said = event.attributes.get("text")
            if type(said) is str:
                texts.setdefault((event.attributes.get("index"), event.attributes.get("type")), []).append(said)
    return [
        {"type": "thinking", "thinking": "".join(said)}
        if kind == "thinking_delta"
        else {"type": "text", "text": "".join(said)}
        for (_, kind), said in texts.items()
    ] or None


def _add_agent(made: Attributes, detail: SpanDetail) -> None:
    made.setdefault(c.AGENT_NAME, text(detail.row.name.removeprefix("invoke_agent ")))
    if all(value is None or messages.is_conversation(value) for value in (detail.input, detail.output)):
        _add_messages(made, detail, detail.output)


def _add_tool(made: Attributes, detail: SpanDetail) -> None:
    made.setdefault(c.TOOL_NAME, text(detail.row.name.removeprefix("execute_tool ")))
    for key, value in ((c.TOOL_ARGUMENTS, detail.input), (c.TOOL_RESULT, detail.output)):
        if value is not None:
            made.setdefault(key, _written(value))


def _add_retrieval(made: Attributes, detail: SpanDetail) -> None:
    query = detail.input.get("query") if type(detail.input) is dict else detail.input
    if type(query) is str:
        made.setdefault(_QUERY, text(query))
    found = detail.output
    if type(found) is list and all(type(one) is dict and one.keys() >= {"id", "score"} for one in found):
        documents = [one if type(one["id"]) is str else {**one, "id": _written(one["id"])} for one in found]
        made.setdefault(_DOCUMENTS, json_text(documents))


#: Where the content of a kind stands in OpenTelemetry's conventions.
_HELD = {
    "llm": (c.INPUT_MESSAGES, c.OUTPUT_MESSAGES),
    "agent": (c.INPUT_MESSAGES, c.OUTPUT_MESSAGES),
    "tool": (c.TOOL_ARGUMENTS, c.TOOL_RESULT),
    "retrieval": (_QUERY, _DOCUMENTS),
}
_CONTENT: dict[str, Callable[[Attributes, SpanDetail], None]] = {
    "llm": _add_chat,
    "agent": _add_agent,
    "tool": _add_tool,
    "retrieval": _add_retrieval,
}


def _name_cache_writes(made: Attributes) -> None:
    """Under both names: Phoenix and Langfuse know the older one alone, the conventions the newer."""
    for one, other in (
        (c.CACHE_WRITE_TOKENS, c.CACHE_CREATION_TOKENS),
        (c.CACHE_CREATION_TOKENS, c.CACHE_WRITE_TOKENS),
    ):
        if one in made and other not in made:
            made[other] = made[one]
            return


def _attributes(given: dict[str, Any]) -> Attributes:
    return {text(key): attribute(value) for key, value in given.items() if value is not None}


# -- what else a span has ----------------------------------------------------------------------------


def _failed(detail: SpanDetail, attributes: Attributes, events: list[Event], end_ns: int) -> Status:
    """The status of a span that did not end well; its exception as an event, where nobody has recorded one."""
    if detail.row.status == "interrupted":
        attributes.setdefault(c.ERROR_TYPE, "interrupted")
        return Status(StatusCode.ERROR, "interrupted")
    said = detail.exception or {}
    kind, message = text(said.get("type") or ""), text(said.get("message") or "")
    if detail.library is None:
        status = attributes.get(_STATUS_CODE)
        answered = str(status) if _is_request(detail) and type(status) is int and status >= 500 else ""
        attributes.setdefault(c.ERROR_TYPE, answered or kind or "_OTHER")
    if kind and not any(_is_exception(event, kind) for event in events):
        facts = {c.EXCEPTION_TYPE: kind, c.EXCEPTION_MESSAGE: message}
        stack = said.get("stacktrace")
        if stack:
            facts[c.EXCEPTION_STACKTRACE] = text(stack)
        events.append(Event("exception", facts, _time(end_ns)))
    return Status(StatusCode.ERROR, f"{kind}: {message}" if kind and message else kind or message)


def _is_request(detail: SpanDetail) -> bool:
    """Whether it is a request that the program served, as `agentops_integrations.web` records it."""
    return detail.library is None and detail.attributes.keys() >= _REQUEST


def _is_exception(event: Event, kind: str) -> bool:
    return event.name == "exception" and (event.attributes or {}).get(c.EXCEPTION_TYPE) == kind


def _event(event: OurEvent) -> Event:
    return Event(text(event.name), _attributes(event.attributes), _time(event.time_ns))


def _scored(score: ScoreRow) -> Event:
    """As the conventions have an evaluation's result."""
    facts: Attributes = {"gen_ai.evaluation.name": text(score.name), "agentops.score.of_trace": score.span_id is None}
    if isinstance(score.value, str):
        facts["gen_ai.evaluation.score.label"] = text(score.value)
    elif score.value is not None:
        facts["gen_ai.evaluation.score.value"] = float(score.value)
    if score.comment is not None:
        facts["gen_ai.evaluation.explanation"] = text(score.comment)
    return Event(_EVALUATION, facts, _time(score.time_ns))


def _context(trace_id: int, span_id: int, remote: bool = False) -> SpanContext:
    return SpanContext(trace_id, span_id, remote, _SAMPLED, _NO_STATE)


def _time(time_ns: int) -> int:
    """As the wire can have it."""
    return 0 if time_ns < 0 else min(time_ns, _TIME_MAX)


@functools.cache
def _resource() -> Resource:
    return Resource.create({})


def _span_kind(kind: str) -> SpanKind:
    return SpanKind.CLIENT if kind in _CLIENT else SpanKind.__members__.get(kind, SpanKind.INTERNAL)


@functools.lru_cache(256)
def _scope(library: Library | None) -> InstrumentationScope:
    if library is not None:
        return InstrumentationScope(text(library.name), None if library.version is None else text(library.version))
    from agentops import __version__

    return InstrumentationScope("agentops", __version__)
