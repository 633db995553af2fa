"""Spans of others, written into the journal: the ways that take care. The short ones are in `joined`."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode

from agentops import conventions
from agentops.journal.format import ABSENT, END, ERROR, EVENT, OK, START
from agentops.recorder.capture import New
from agentops.recorder.recorder import recorder
from agentops.trace.facts import linked, taken
from agentops.trace.span import Span, _wall, span_context

__all__ = ["SCOPE_KEYS", "error_of", "made_by", "write_end", "write_event", "write_start"]

#: Where others say whose a span is.
SCOPE_KEYS = frozenset((conventions.OI_SESSION, conventions.CONVERSATION_ID, conventions.OI_USER, conventions.OI_TAGS))


def write_start(
    span: ReadableSpan, context: SpanContext, true_parent: SpanContext | None, above: Span | None,
    scope: dict[str, Any], journal: Any,
) -> None:  # fmt: skip
    """The start of a span that says more than where it stands."""
    capture = journal.capture
    trace, parent_id, nearest = context.trace_id.to_bytes(16, "big"), 0, 0
    links = list(span.links)
    if true_parent is not None:
        parent_id = true_parent.span_id
        if above is not None and above._id != parent_id and above._trace == trace:
            nearest = above._id
    elif recorder.root is not None:
        if trace == recorder.root[0]:  # our own provider began it below the program's span
            parent_id = recorder.root[1]
        else:
            links.append(Link(span_context(*recorder.root)))
    attributes: dict[str, Any] = dict(span.attributes or {})
    scope.update(_foreign_scope(attributes))
    kind = conventions.KIND_NUMBER[conventions.kind_of(attributes)]
    new = capture.new(trace, context.span_id, parent_id, scope)
    facts = taken(attributes, capture, new, trace)
    record = (
        START, context.span_id, trace, parent_id, span.start_time or _wall(), span.name, kind, ABSENT, None,
        new.contents, facts or None, scope, linked(links), nearest,
    )  # fmt: skip
    _append(record, new, journal, trace)


def made_by(span: ReadableSpan) -> dict[str, Any]:
    """Which library made a span, and of what kind it is."""
    library = span.instrumentation_scope
    found: dict[str, Any] = {"scope": library.name} if library else {}
    if library and library.version:
        found["version"] = library.version
    if span.kind is not SpanKind.INTERNAL:
        found["span_kind"] = span.kind.name
    return found


def write_end(span: ReadableSpan, context: SpanContext, journal: Any) -> None:
    """The end of a span that says more than a few plain values."""
    capture = journal.capture
    trace, span_id = context.trace_id.to_bytes(16, "big"), context.span_id
    for event in span.events:
        write_event(trace, span_id, event)
    error = error_of(span)
    status = OK if error is None else ERROR
    new = capture.new(trace, span_id)
    attributes = dict(span.attributes or {})
    facts = taken(attributes, capture, new, trace)
    scope = _foreign_scope(attributes)
    if span.status.status_code is StatusCode.OK:
        scope["set_ok"] = True
    record = (
        END, span_id, trace, span.end_time or _wall(), status, facts or None, ABSENT, None, new.contents,
        error, span.name, scope or None,
    )  # fmt: skip
    _append(record, new, journal, trace)


def error_of(span: ReadableSpan) -> tuple[str, str, str] | None:
    """Type, message and traceback of what failed a span; None if nothing did."""
    if span.status.status_code is not StatusCode.ERROR:
        return None
    for event in reversed(span.events):
        if event.name == "exception":
            said = event.attributes or {}
            keys = (conventions.EXCEPTION_TYPE, conventions.EXCEPTION_MESSAGE, conventions.EXCEPTION_STACKTRACE)
            kind, message, stack = (str(said.get(key, "")) for key in keys)
            return kind, message, stack
    return "", span.status.description or "", ""


def write_event(trace: bytes, span_id: int, event: Any) -> None:
    journal = recorder.current()
    new = journal.capture.new(trace, span_id)
    facts = taken(dict(event.attributes), journal.capture, new, trace) if event.attributes else None
    _append((EVENT, span_id, trace, event.timestamp, event.name, facts, new.contents), new, journal, trace)


def _append(record: tuple[object, ...], new: New, journal: Any, trace: bytes) -> None:
    payload = journal.capture.record(record)
    try:
        journal.append(payload)
    except OSError as problem:
        recorder.lost(journal, problem, len(payload))
    else:
        journal.capture.remember(new, trace)


def _foreign_scope(attributes: dict[str, Any]) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    get = attributes.get
    session = get(conventions.OI_SESSION) or get(conventions.CONVERSATION_ID)
    if session:
        scope["session"] = str(session)
    user = get(conventions.OI_USER)
    if user:
        scope["user"] = str(user)
    tags = get(conventions.OI_TAGS)
    if isinstance(tags, (list, tuple)):
        scope["tags"] = [str(tag) for tag in tags]
    return scope
