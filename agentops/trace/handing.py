"""What a span of ours hands to the SDK's span that it goes with, and what it takes back.

That one's exporter is not ours: what it gets is redacted at once where the program has a redactor, and it gets no input
and output unless OpenTelemetry's own switch for contents says so.
Source: https://github.com/open-telemetry/opentelemetry-python-contrib, util/opentelemetry-util-genai.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link, SpanContext, StatusCode

from agentops import conventions
from agentops.journal.format import ERROR
from agentops.recorder.capture import INLINE_BYTES
from agentops.recorder.plain import plain
from agentops.recorder.recorder import recorder
from agentops.recorder.screened import identifiers
from agentops.trace.facts import described, text, texts
from agentops.trace.span import Span, _Provider

__all__ = [
    "CONTENT",
    "SAID",
    "add_event",
    "add_link",
    "end",
    "handed",
    "open_spans",
    "outside",
    "record_exception",
    "set_attribute",
    "set_status",
    "update_name",
    "what_others_did",
    "with_those_of_others",
]

#: Spans of ours by id that go with an SDK's: its processors get a snapshot at the end, not the span.
open_spans: dict[int, Span] = {}

_BOUNDED: Any = BoundedList  # what is in it is had without its lock

#: Whether inputs and outputs go to the application's exporter too.
CONTENT = os.environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "").upper() in (
    "SPAN_ONLY",
    "SPAN_AND_EVENT",
)

#: What the application's exporter gets of a span of each kind, beside what was set on it.
SAID = [
    {
        conventions.OPERATION_NAME: conventions.OPERATION[kind],
        conventions.OI_KIND: conventions.OPENINFERENCE[kind],
    }
    for kind in conventions.KINDS
]
#: Of these our own store knows already.
_SAID_BY_US = frozenset(
    (
        conventions.OPERATION_NAME, conventions.OI_KIND, conventions.OI_SESSION, conventions.CONVERSATION_ID,
        conventions.OI_USER, *((conventions.OI_INPUT, conventions.OI_OUTPUT) if CONTENT else ()),
    )
)  # fmt: skip


def outside(span: Span) -> dict[str, Any]:
    """What the application's exporter gets of a span of ours at its start."""
    facts, scope = dict(SAID[span._kind]), span._scope or {}
    if "session" in scope:
        facts[conventions.OI_SESSION] = facts[conventions.CONVERSATION_ID] = scope["session"]
    if "user" in scope:
        facts[conventions.OI_USER] = scope["user"]
    if CONTENT and span._input is not None:
        facts[conventions.OI_INPUT] = _shown(span, span._input)
    simple = {key: value for key, value in span.attributes.items() if _is_otels(value)}
    span._handed_all = len(simple) == len(span._attributes or ())
    return {**facts, **simple}


def _shown(span: Span, value: Any) -> str:
    """An input or output as text, redacted."""
    try:
        simple = _cleaned(span, value if isinstance(value, str) else plain(value))
        return simple if isinstance(simple, str) else msgspec.json.encode(simple, enc_hook=str).decode()
    except Exception as problem:  # noqa: BLE001 - what JSON cannot say
        return f"<{type(problem).__name__} while this was written as JSON>"


def _is_otels(value: Any) -> bool:
    """Whether OpenTelemetry takes such a value: a scalar, or a list of scalars."""
    if isinstance(value, (list, tuple)):
        return all(isinstance(item, (str, int, float, bool)) for item in value)
    return isinstance(value, (str, int, float, bool))


def handed(
    span: Span, name: str, attributes: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any], Sequence[Link] | None]:
    """What of a span of ours is handed over at its start."""
    links = span._links
    if recorder.redacts:
        name, attributes = str(_cleaned(span, name)), _facts(span, attributes)
        links = [Link(link.context, _mapping(_cleaned(span, texts(link.attributes)))) for link in links or ()] or None
        span._outside_name = name if name != span.name else span._outside_name
    return name, attributes, links


def set_attribute(span: Span, key: str, value: Any) -> None:
    """Hand an attribute of ours to the SDK's span, if it is one that OpenTelemetry takes."""
    sdk = span._sdk
    if sdk is None:
        return
    kind = type(value)
    if (kind is str or kind is int or kind is float or kind is bool) and not recorder.redacts:
        if sdk.is_recording():
            sdk.set_attribute(key, value)
    elif not _is_otels(value):
        span._handed_all = False
    elif sdk.is_recording():
        sdk.set_attributes(_facts(span, {key: value}))


def add_event(span: Span, name: str, attributes: Mapping[str, Any] | None, time_ns: int) -> None:
    """Hand an event of ours to the SDK's span."""
    if span._sdk is not None:
        span._event_times = span._event_times | {time_ns}
        simple = {text(k): v for k, v in (attributes or {}).items() if isinstance(v, (str, int, float, bool))}
        span._sdk.add_event(str(_cleaned(span, name)), _facts(span, simple), time_ns)


def add_link(span: Span, context: SpanContext, attributes: Mapping[str, Any] | None) -> None:
    """Hand a link of ours to the SDK's span."""
    if span._sdk is not None:
        span._sdk.add_link(context, _facts(span, texts(attributes)) if recorder.redacts else attributes)


def update_name(span: Span) -> None:
    """Rename the SDK's span as ours was."""
    if span._sdk is not None:
        name = str(_cleaned(span, span.name))
        span._outside_name = name if name != span.name else None
        span._sdk.update_name(name)


def set_status(span: Span, code: StatusCode, description: str | None) -> None:
    """Hand our status to the SDK's span."""
    if span._sdk is not None:
        span._sdk.set_status(code, description if description is None else str(_cleaned(span, text(description))))


def record_exception(span: Span, exception: BaseException) -> None:
    """The application's exporter sees the exception as the SDK would have recorded it."""
    if span._sdk is not None and span._sdk.is_recording():
        kind, message, stack = described(exception)
        if isinstance(exception, Exception):
            now = span._now()
            span._event_times = span._event_times | {now}
            said = {"exception.type": kind, "exception.message": message, "exception.stacktrace": stack}
            facts = _facts(span, said) if recorder.redacts else None
            span._sdk.record_exception(exception, facts, now)
        span._sdk.set_status(StatusCode.ERROR, str(_cleaned(span, f"{kind}: {message}")))


def _cleaned(span: Span, value: Any) -> Any:
    """What of ours goes to an exporter that is not ours."""
    return recorder.cleaned(value, _session(span)) if recorder.redacts else value


def _session(span: Span) -> str:
    """What pseudonyms on a span hold for."""
    screening, session = recorder.screening, ""
    if screening is not None and screening.by_session:
        above = span._above
        session = (span._scope or {}).get("session") or (
            screening.session(span._trace, span._id)
            if span._id
            else screening.session(above._trace, above._id)
            if above
            else ""
        )
    return session


def _facts(span: Span, attributes: Mapping[str, Any]) -> dict[str, Any]:
    if not recorder.redacts:
        return dict(attributes)
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in attributes.items()}
    screening = recorder.screening
    if screening is None:
        return _mapping(_cleaned(span, plain))
    found = _mapping(_cleaned(span, {key: value for key, value in plain.items() if key not in conventions.IDENTIFIERS}))
    for key in plain.keys() & conventions.IDENTIFIERS:  # by which things are found there as in our store
        found[key] = identifiers(plain[key], screening, _session(span))
    return found


def _mapping(value: Any) -> dict[str, Any]:
    """Of a mapping that could not be looked through as a whole, nothing is left."""
    return value if isinstance(value, dict) else {}


def with_those_of_others(ours: Span, span: ReadableSpan) -> dict[str, Any] | None:
    """Our attributes, and those of the SDK's span that we have not handed to it."""
    attributes = ours._attributes
    bounded: Any = span._attributes  # without the lock and the proxy in front of it
    held: dict[str, Any] = bounded._dict if type(bounded) is BoundedAttributes else dict(span.attributes or {})
    if len(held) == ours._handed + len(attributes or ()) and ours._handed_all and not recorder.redacts:
        return attributes
    known: Any = attributes or ()
    if recorder.redacts:
        known = _cleaned(ours, dict.fromkeys(known))
    others = {key: held[key] for key in held if key not in known and key not in _SAID_BY_US}
    if not others:
        return attributes
    if any((type(value) is str and len(value) >= INLINE_BYTES) or type(value) is tuple for value in others.values()):
        ours._large = ours._rich = True
    return {**others, **(attributes or {})}


def end(span: Span, time_ns: int) -> None:
    """End the SDK's span; write our own end if our processor was not called."""
    sdk = span._sdk
    if sdk is not None and sdk.is_recording():
        if CONTENT and span._output is not None:
            sdk.set_attribute(conventions.OI_OUTPUT, _shown(span, span._output))
        sdk.end(time_ns)
    if open_spans.pop(span._id, None) is not None:
        span._write_end(time_ns, span._attributes)


def what_others_did(ours: Span, span: ReadableSpan) -> None:
    """The current span is the SDK's: somebody may have renamed it, failed it, or linked it."""
    if span._name != (ours._outside_name or ours.name):
        ours.name = span.name
        ours._renamed = ours._rich = True
    if span._status.status_code is StatusCode.ERROR and ours._error is None:
        ours._status, ours._rich = ERROR, True
        ours._error = ("", span.status.description or "", "")
    links: Any = span._links
    if links._dq if type(links) is _BOUNDED else links:
        known = {(link.context.trace_id, link.context.span_id) for link in ours._links or ()}
        more = [link for link in span.links if (link.context.trace_id, link.context.span_id) not in known]
        if more:
            ours._links = [*(ours._links or ()), *more]
            ours._rich = True


_Provider.beside = sys.modules[__name__]
