"""Beside an SDK tracer provider: every span is in both places, once, in the same tree.

Our processor hangs on the application's provider and alone writes both edges of each span, ours and
others'. The SDK's span is OpenTelemetry's current one; our object stands under a key of our own and adds
input, output and scope. What we hand to the SDK's span, whose exporter is not ours, is redacted at once where the
program has a redactor. Where the provider's sampler drops a span of ours, or the processor was thrown
away, our object writes for itself. This module is imported only where there is an SDK provider.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, Tracer
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace.propagation import _SPAN_KEY

from agentops import conventions
from agentops.journal.format import ABSENT, END, ERROR, EVENT, OK, START
from agentops.recorder.capture import New
from agentops.recorder.recorder import recorder
from agentops.safety import failed
from agentops.trace.facts import described, linked, taken, text, texts
from agentops.trace.span import OUR_KEY, ROOT_KEY, Span, _clock, _Provider, _wall, span_context

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

__all__ = ["Joined", "Processor", "begin", "join", "made_provider", "own_provider"]

_CLIENT_KINDS = ("llm", "embedding", "retrieval", "rerank")
_TRACER_NAME = "agentops"


#: Spans of ours by id that go with an SDK's: `on_end` gets a snapshot, not the span.
_open: dict[int, Span] = {}


class Processor(SpanProcessor):
    """Writes both edges of every span of a provider."""

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        try:
            ours = (parent_context or Context()).get(OUR_KEY)
            context = span.get_span_context()
            if isinstance(ours, Span) and ours._started is False and ours._id == 0:
                ours._sdk = span
                ours._take_ids(context.trace_id, context.span_id)
                _open[context.span_id] = ours
                ours._write_start(span.parent.span_id if span.parent else 0, span.start_time or _wall())
                return
            _write_foreign_start(span)
        except Exception as problem:  # noqa: BLE001
            failed("recording another library's span", problem)

    def on_end(self, span: ReadableSpan) -> None:
        try:
            context = span.get_span_context()
            ours = _open.pop(context.span_id, None) if context else None
            if ours is None:
                _write_foreign_end(span)
                return
            for event in span.events:
                if event.timestamp not in ours._event_times:
                    _write_event(ours._trace, ours._id, event)
            _what_others_did(ours, span)
            ours._write_end(span.end_time or _wall(), {**_of_others(ours, span), **(ours._attributes or {})})
        except Exception as problem:  # noqa: BLE001
            failed("recording another library's span", problem)

    def shutdown(self) -> None:
        """The application's shutdown of its provider does not end the recorder."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return recorder.flush(timeout_millis / 1000)


class Joined:
    """A provider that our processor hangs on; spans of ours are made through it.

    Args:
        provider: an SDK tracer provider.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(_TRACER_NAME)
        self.processor = Processor()
        self.attach_processor()

    def attach_processor(self) -> None:
        """Hang our processor on the provider, first and again when somebody threw it away."""
        # Not provider.add_span_processor where it can be avoided: Phoenix's throws its exporter away in it.
        inner: Any = getattr(self._provider, "_active_span_processor", None)
        target: Any = inner if hasattr(inner, "add_span_processor") else self._provider
        target.add_span_processor(self.processor)

    def start(self, span: Span, context: Context) -> Context:
        """Start `span` through the provider; returns the context in which both are current."""
        kind = SpanKind.CLIENT if span.kind in _CLIENT_KINDS else SpanKind.INTERNAL
        sdk, reached = begin(span, context, self._tracer, span.name, kind, _outside(span))
        if not reached:
            self.attach_processor()
        return Context({**context, OUR_KEY: span, _SPAN_KEY: sdk})


def begin(
    span: Span, context: Context, tracer: Tracer, name: str, kind: SpanKind, attributes: Mapping[str, Any]
) -> tuple[OtelSpan, bool]:
    """Start `span` together with one that an SDK's `tracer` makes, and take its ids.

    Args:
        span: ours, not yet started.
        context: the parent is the current span in it.
        tracer: it makes the other span.
        name: the other span's.
        kind: the other span's.
        attributes: the other span's.

    Returns:
        The other span, and whether our processor was called for it, or the sampler dropped it.
    """
    ours = context.get(OUR_KEY)
    span._epoch = recorder.know_yourself()
    span._event_times = set()
    span._above = ours if isinstance(ours, Span) else None
    recorder.current()  # settings may say that what is handed over is redacted
    links = span._links
    if recorder.redacts:
        name, attributes = str(_cleaned(span, name)), _mapping(_cleaned(span, dict(attributes)))
        links = [Link(link.context, _mapping(_cleaned(span, texts(link.attributes)))) for link in links or ()] or None
        span._outside_name = name if name != span.name else span._outside_name
    current = context.get(_SPAN_KEY)
    parent = current.get_span_context() if isinstance(current, OtelSpan) else None
    if parent is None or not parent.is_valid:
        above = context.get(ROOT_KEY) or recorder.root
        if above is not None:  # a trace of its own, since the provider gives the ids; said in our journal alone
            span._links = [*(links or ()), Link(span_context(*above))]  # type: ignore[misc]
    sdk = tracer.start_span(
        name,
        context=Context({**context, OUR_KEY: span}),
        kind=kind,
        attributes=attributes,
        links=links,
        start_time=_clock() + span._above._offset if span._above is not None else None,
    )
    reached = True
    if not span._started:  # dropped by the sampler, or nobody called our processor
        made = sdk.get_span_context()
        if isinstance(sdk, SdkSpan):
            reached = False
            span._sdk = sdk
            _open[made.span_id] = span
        if not made.is_valid or (parent and made.span_id == parent.span_id):
            span._take_ids(made.trace_id or recorder.random_bits(128), recorder.random_bits(64))
        else:
            span._take_ids(made.trace_id, made.span_id)
        span._write_start(parent.span_id if parent and parent.is_valid else 0, _clock() + span._offset)
    return sdk, reached


def set_attribute(span: Span, key: str, value: Any) -> None:
    """Hand an attribute of ours to the SDK's span, if it is one that OpenTelemetry takes."""
    if span._sdk is not None and span._sdk.is_recording() and _is_otels(value):
        span._sdk.set_attributes(_facts(span, {key: value}))


def add_event(span: Span, name: str, attributes: Mapping[str, Any] | None, time_ns: int) -> None:
    """Hand an event of ours to the SDK's span."""
    span._event_times.add(time_ns)
    if span._sdk is not None:
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
            span._event_times.add(now)
            said = {"exception.type": kind, "exception.message": message, "exception.stacktrace": stack}
            facts = _facts(span, said) if recorder.redacts else None
            span._sdk.record_exception(exception, facts, now)
        span._sdk.set_status(StatusCode.ERROR, str(_cleaned(span, f"{kind}: {message}")))


def _cleaned(span: Span, value: Any) -> Any:
    """What of ours goes to an exporter that is not ours."""
    screening = recorder.screening
    if not recorder.redacts:
        return value
    session = ""
    if screening is not None and screening.by_session:
        above = span._above
        session = (span._scope or {}).get("session") or (
            screening.session(span._trace, span._id)
            if span._id
            else screening.session(above._trace, above._id)
            if above
            else ""
        )
    return recorder.cleaned(value, session)


def _facts(span: Span, attributes: Mapping[str, Any]) -> dict[str, Any]:
    if not recorder.redacts:
        return dict(attributes)
    return _mapping(_cleaned(span, {key: list(v) if isinstance(v, tuple) else v for key, v in attributes.items()}))


def _mapping(value: Any) -> dict[str, Any]:
    """Of a mapping that could not be looked through as a whole, nothing is left."""
    return value if isinstance(value, dict) else {}


def _of_others(ours: Span, span: ReadableSpan) -> dict[str, Any]:
    """The attributes of the SDK's span that we have not handed to it."""
    found = _plain(span.attributes)
    if recorder.redacts and ours._attributes:
        for key in _cleaned(ours, dict.fromkeys(ours._attributes)) if found else ():
            found.pop(key, None)
    return found


def end(span: Span, time_ns: int) -> None:
    """End the SDK's span; write our own end if our processor was not called."""
    sdk = span._sdk
    if sdk is not None and sdk.is_recording():
        sdk.end(time_ns)
    if _open.pop(span._id, None) is not None:
        span._write_end(time_ns, span._attributes)


def join(provider: object) -> Joined | None:
    """Join `provider` if it is an SDK's; None for no provider, one of another make, and our own."""
    if provider is None or provider is _Own.provider or not hasattr(provider, "add_span_processor"):
        return None
    return Joined(provider)


class _Own:
    provider: object = None


def made_provider() -> Any:
    """Our own provider, if it has been made."""
    return _Own.provider


def own_provider() -> Any:
    """An SDK provider of ours whose spans land in the same tree as `span()`'s; made once."""
    if _Own.provider is None:
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        class _OfProgram(RandomIdGenerator):
            """A span without a parent belongs to the trace of the program, where it has one."""

            def generate_trace_id(self) -> int:
                root = recorder.root
                return super().generate_trace_id() if root is None else int.from_bytes(root[0], "big")

        # The SDK's default of 128 attributes drops flattened messages without a word.
        limits = SpanLimits(max_span_attributes=10_000)
        provider = TracerProvider(span_limits=limits, shutdown_on_exit=False, id_generator=_OfProgram())
        provider.add_span_processor(Processor())
        _Own.provider = provider
    return _Own.provider


def _outside(span: Span) -> dict[str, Any]:
    """What the application's exporter gets of a span of ours at its start: no input."""
    facts: dict[str, Any] = {
        conventions.OPERATION_NAME: conventions.OPERATION[span.kind],
        conventions.OI_KIND: conventions.OPENINFERENCE[span.kind],
    }
    scope = span._scope or {}
    if "session" in scope:
        facts[conventions.OI_SESSION] = facts[conventions.CONVERSATION_ID] = scope["session"]
    if "user" in scope:
        facts[conventions.OI_USER] = scope["user"]
    simple = {key: value for key, value in span.attributes.items() if _is_otels(value)}
    return {**facts, **simple}


def _is_otels(value: Any) -> bool:
    """Whether OpenTelemetry takes such a value: a scalar, or a list of scalars."""
    if isinstance(value, (list, tuple)):
        return all(isinstance(item, (str, int, float, bool)) for item in value)
    return isinstance(value, (str, int, float, bool))


def _what_others_did(ours: Span, span: ReadableSpan) -> None:
    """The current span is the SDK's: somebody may have renamed it, failed it, or linked it."""
    if span.name != (ours._outside_name or ours.name):
        ours.name = span.name
        ours._renamed = ours._rich = True
    if span.status.status_code is StatusCode.ERROR and ours._error is None:
        ours._status, ours._rich = ERROR, True
        ours._error = ("", span.status.description or "", "")
    known = {(link.context.trace_id, link.context.span_id) for link in ours._links or ()}
    more = [link for link in span.links if (link.context.trace_id, link.context.span_id) not in known]
    if more:
        ours._links = [*(ours._links or ()), *more]
        ours._rich = True


def _plain(attributes: Mapping[str, AttributeValue] | None) -> dict[str, Any]:
    return dict(attributes or {})


def _write_foreign_start(span: SdkSpan) -> None:
    context = span.get_span_context()
    attributes = _plain(span.attributes)
    journal = recorder.current()
    kind = conventions.KIND_NUMBER[conventions.kind_of(attributes)]
    parent = span.parent.span_id if span.parent else 0
    trace = context.trace_id.to_bytes(16, "big")
    scope = _foreign_scope(attributes)
    new = journal.capture.new(trace, context.span_id, parent, scope)
    facts = taken(attributes, journal.capture, new, trace) if attributes else None
    links = list(span.links)
    if not parent and recorder.root is not None:
        if trace == recorder.root[0]:  # our own provider began it below the program's span
            parent = recorder.root[1]
        else:
            links.append(Link(span_context(*recorder.root)))
    if span.instrumentation_scope:
        scope["scope"] = span.instrumentation_scope.name
        if span.instrumentation_scope.version:
            scope["version"] = span.instrumentation_scope.version
    if span.kind is not SpanKind.INTERNAL:
        scope["span_kind"] = span.kind.name
    record = (
        START, context.span_id, trace, parent, span.start_time or _wall(),
        span.name, kind, ABSENT, None, new.contents, facts, scope, linked(links),
    )  # fmt: skip
    _append(record, new, journal, trace)


def _write_foreign_end(span: ReadableSpan) -> None:
    context = span.get_span_context()
    if context is None:
        return
    trace = context.trace_id.to_bytes(16, "big")
    error = None
    for event in span.events:
        if event.name == "exception":
            said = event.attributes or {}
            error = tuple(
                str(said.get(key, ""))
                for key in (
                    conventions.EXCEPTION_TYPE,
                    conventions.EXCEPTION_MESSAGE,
                    conventions.EXCEPTION_STACKTRACE,
                )
            )
        _write_event(trace, context.span_id, event)
    status = ERROR if span.status.status_code is StatusCode.ERROR else OK
    if status == ERROR and error is None:
        error = ("", span.status.description or "", "")
    journal = recorder.current()
    new = journal.capture.new(trace, context.span_id)
    attributes = _plain(span.attributes)
    facts = taken(attributes, journal.capture, new, trace) if attributes else None
    scope = _foreign_scope(attributes)
    if span.status.status_code is StatusCode.OK:
        scope["set_ok"] = True
    record = (
        END, context.span_id, trace, span.end_time or _wall(), status, facts, ABSENT, None, new.contents,
        error if status == ERROR else None, span.name, scope or None,
    )  # fmt: skip
    _append(record, new, journal, trace)


def _write_event(trace: bytes, span_id: int, event: Any) -> None:
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
    session = attributes.get(conventions.OI_SESSION) or attributes.get(conventions.CONVERSATION_ID)
    if session:
        scope["session"] = str(session)
    if attributes.get(conventions.OI_USER):
        scope["user"] = str(attributes[conventions.OI_USER])
    tags = attributes.get(conventions.OI_TAGS)
    if isinstance(tags, (list, tuple)):
        scope["tags"] = [str(tag) for tag in tags]
    return scope


_Provider.beside = sys.modules[__name__]
