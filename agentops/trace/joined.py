"""Beside an SDK tracer provider: every span is in both places, once, in the same tree.

Our processor hangs on the application's provider and alone writes both edges of each span, ours and
others'. The SDK's span is OpenTelemetry's current one; our object stands under a key of our own and adds
input, output and scope. What we hand to the SDK's span, whose exporter is not ours, is redacted at once where the
program has a redactor. Where the provider's sampler drops a span of ours, or the processor was thrown
away, our object writes for itself. This module is imported only where there is an SDK provider.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, SynchronousMultiSpanProcessor, sampling
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode, Tracer
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace.propagation import _SPAN_KEY

from agentops import conventions
from agentops.journal.format import ABSENT, END, OK, START
from agentops.recorder.forks import epoch as _epoch
from agentops.recorder.recorder import recorder
from agentops.safety import failed
from agentops.trace import foreign
from agentops.trace.foreign import SCOPE_KEYS
from agentops.trace.handing import CONTENT, SAID, handed, open_spans, outside, what_others_did, with_those_of_others
from agentops.trace.inside import Watch, is_below_whole
from agentops.trace.span import OUR_KEY, ROOT_KEY, Span, _clock, _current, _put, _wall, span_context

__all__ = ["Joined", "Processor", "begin", "join", "made_provider", "own_provider"]

_UNSET, _INTERNAL = StatusCode.UNSET, SpanKind.INTERNAL
_BOUNDED: Any = BoundedList  # what is in it is had without its lock
_NOTHING: tuple[None, tuple[()], tuple[()]] = None, (), ()
_CHAIN = conventions.KIND_NUMBER[conventions.DEFAULT_KIND]
#: Ids of open spans of our own provider: the exporter of one that the application sets over it never sees them.
_of_own: set[int] = set()
_CLIENT_KINDS = ("llm", "embedding", "retrieval", "rerank")
_TRACER_NAME = "agentops"


#: The iterations of loops that spans of others began in, by their ids, of so many spans at most.
_watched: dict[int, Watch] = {}
_WATCHED_MAX = 10_000


class Processor(SpanProcessor):
    """Writes both edges of every span of a provider."""

    # The hot path beside an SDK: each helper called there costs as much as what it does (benchmarks/joined.py).

    def __init__(self) -> None:
        #: When it was hung on its provider, in ns since 1970: of what began before, nobody has told it.
        self.since = _wall()

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        try:
            context: Any = span._context
            parent = span._parent
            above: Any = (_current() if parent_context is None else parent_context).get(OUR_KEY)
            if above is not None:
                if not isinstance(above, Span):
                    above = None
                elif _is_ours(span, above):
                    return
                elif above._watch is not None:
                    _watch(context.span_id, above, above._watch)
            if not _epoch[0]:
                recorder.know_yourself()
            journal = recorder.journal or recorder.open()
            capture = journal.capture
            trace, span_id = context.trace_id.to_bytes(16, "big"), context.span_id
            held: Any = span._attributes
            links: Any = span._links
            attributes = held._dict if type(held) is BoundedAttributes else held
            given = links._dq if type(links) is _BOUNDED else links
            made_by = span._instrumentation_scope
            scope = {"scope": made_by._name} if made_by else {}
            if made_by and made_by._version:
                scope["version"] = made_by._version
            if span._kind is not _INTERNAL:
                scope["span_kind"] = span._kind._name_
            if parent is None or attributes or given or not capture.hurries:  # more is to be said than where it stands
                foreign.write_start(span, context, parent, above, scope, journal)
                return
            record: tuple[object, ...] = (
                START, span_id, trace, parent.span_id, span._start_time or _wall(), span._name, _CHAIN, ABSENT, None,
                None, None, scope,
            )  # fmt: skip
            if above is not None and above._id != parent.span_id and above._trace == trace:
                record = (*record, None, above._id)
            try:
                payload = capture.fast(record)
            except Exception:  # noqa: BLE001 - a name that is no text, a lone surrogate
                payload = capture.record(record)
            try:
                journal.append(payload)
            except OSError as problem:
                recorder.lost(journal, problem, len(payload))
        except Exception as problem:  # noqa: BLE001
            failed("recording another library's span", problem)

    def on_end(self, span: ReadableSpan) -> None:
        try:
            context: Any = span._context
            span_id = context.span_id
            ours = open_spans.pop(span_id, None)
            if ours is not None:
                _end_ours(ours, span)
                return
            if _watched:
                _tell(span, span_id)
            if not _epoch[0]:
                recorder.know_yourself()
            journal = recorder.journal or recorder.open()
            capture = journal.capture
            if (span._start_time or 0) < self.since:  # it was open when we came
                foreign.write_start(span, context, span._parent, None, foreign.made_by(span), journal)
            held: Any = span._attributes
            events: Any = span._events
            attributes = held._dict if type(held) is BoundedAttributes else held
            happened = events._dq if type(events) is _BOUNDED else events
            if happened or span._status._status_code is not _UNSET or not capture.hurries:
                foreign.write_end(span, context, journal)
                return
            trace = context.trace_id.to_bytes(16, "big")
            try:
                facts, contents, digests = capture.hurried(attributes, SCOPE_KEYS) if attributes else _NOTHING
                record = (
                    END, span_id, trace, span._end_time or _wall(), OK, facts, ABSENT, None, contents or None, None,
                    span._name,
                )  # fmt: skip
                payload = capture.fast(record)
            except Exception:  # noqa: BLE001 - they need more care, or say whose the span is
                foreign.write_end(span, context, journal)
                return
            try:
                journal.append(payload)
            except OSError as problem:
                recorder.lost(journal, problem, len(payload))
                return
            if digests:
                for digest, (number, _, _) in zip(digests, contents, strict=True):
                    capture.seen[digest] = number
        except Exception as problem:  # noqa: BLE001
            failed("recording another library's span", problem)

    def shutdown(self) -> None:
        """The application's shutdown of its provider does not end the recorder."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return recorder.flush(timeout_millis / 1000)


class _OwnProcessor(Processor):
    """Of our own provider."""

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        super().on_start(span, parent_context)
        _of_own.add(span.get_span_context().span_id)

    def on_end(self, span: ReadableSpan) -> None:
        super().on_end(span)
        context = span.get_span_context()
        if context is not None:
            _of_own.discard(context.span_id)


class _AfterOwn(Processor):
    """Of a provider that the application has set over our own."""

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        super().on_start(span, parent_context)
        _show(span, parent_context)


def _show(span: SdkSpan, parent_context: Context | None) -> None:
    """A span of the application's provider below one of our own, that was set before, is one below ours there."""
    context, parent = span.get_span_context(), span.parent
    if parent is None or parent.span_id not in _of_own:
        return
    try:
        above: Any = (_current() if parent_context is None else parent_context).get(OUR_KEY)
        if isinstance(above, Span) and above._id == context.span_id:
            above = above._above
        span._parent = None
        if isinstance(above, Span) and above._trace == context.trace_id.to_bytes(16, "big"):
            above.get_span_context()  # one that was open takes the provider's with that
            span._parent = _visible(above)
    except Exception as problem:  # noqa: BLE001
        failed("showing a span's place", problem, lost=0)


def _is_ours(span: SdkSpan, ours: Span) -> bool:
    """Whether `span` is what the provider makes for `ours`, or stands below it. It is joined then."""
    context: Any = span._context
    attributes: Any = span._attributes
    parent = span._parent
    if ours._id == 0 and not ours._started:
        above = ours._above
        ours._sdk = span
        if ours._to_say is not None:
            attributes._dict.update(ours._to_say)
        ours._take_ids(context.trace_id, context.span_id)
        open_spans[context.span_id] = ours
        ours._is_shown = context.trace_flags.sampled
        parent_id = nearest = 0
        if parent is not None:
            parent_id = parent.span_id
            if above is not None:
                if parent_id != above._id:
                    nearest = _nearest(ours, parent)
                elif not above._is_shown:
                    span._parent = above._seen_above
        ours._write_start(parent_id, span._start_time or _wall(), nearest)
        return True
    if ours._id == context.span_id:  # it was open when we joined
        ours._sdk, ours._is_shown = span, context.trace_flags.sampled
        open_spans[context.span_id] = ours
        return True
    if parent is not None and parent.span_id == ours._id and not ours._is_shown:
        span._parent = ours._seen_above  # its exporter never sees ours: it would hang in the air
    return False


def _end_ours(ours: Span, span: ReadableSpan) -> None:
    events: Any = span._events
    if events._dq if type(events) is _BOUNDED else events:
        for event in span.events:
            if event.timestamp not in ours._event_times:
                foreign.write_event(ours._trace, ours._id, event)
    what_others_did(ours, span)
    ours._write_end(span._end_time or _wall(), with_those_of_others(ours, span))


def _watch(span_id: int, above: Span, watch: Watch) -> None:
    """A span of others begins in an iteration of a loop."""
    if not is_below_whole(above) and len(_watched) < _WATCHED_MAX:
        _watched[span_id] = watch


def _tell(span: ReadableSpan, span_id: int) -> None:
    watch = _watched.pop(span_id, None)
    if watch is not None:
        watch.other(span.name, dict(span.attributes or {}), foreign.error_of(span))


class Joined:
    """A provider that our processor hangs on; spans of ours are made through it.

    Args:
        provider: an SDK tracer provider.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(_TRACER_NAME)
        self.processor = Processor() if _Own.provider is None or provider is _Own.provider else _AfterOwn()
        if provider is not _Own.provider:  # that one has it
            self.attach_processor()
        inner = getattr(provider, "_active_span_processor", None)
        sampler = getattr(provider, "sampler", None)
        self._is_plain = (
            type(inner) is SynchronousMultiSpanProcessor
            and inner._span_processors[:1] == (self.processor,)
            and _looks_at_no_attributes(sampler)
            and not CONTENT
        )

    def attach_processor(self) -> None:
        """Hang our processor on the provider, first and again when somebody threw it away.

        Before all others, where it can be: they see a span as its exporter will.
        """
        self.processor.since = _wall()
        # Not provider.add_span_processor where it can be avoided: Phoenix's throws its exporter away in it.
        inner: Any = getattr(self._provider, "_active_span_processor", None)
        if type(inner) is SynchronousMultiSpanProcessor:
            with inner._lock:
                inner._span_processors = (self.processor, *inner._span_processors)
            return
        target: Any = inner if hasattr(inner, "add_span_processor") else self._provider
        target.add_span_processor(self.processor)

    def start(self, span: Span, context: Context) -> Context:
        """Start `span` through the provider; returns the context in which both are current."""
        inside = Context(context)
        kind = span._kind
        if span._attributes is not None or span._scope is not None or not self._is_plain:
            said: dict[str, Any] | None = outside(span)
        else:  # no sampler looks at what each span of a kind says alike: the shortest way
            said, span._to_say = None, SAID[kind]
        sdk, reached = begin(span, context, self._tracer, span.name, _OTEL_KIND[kind], said, inside)
        if not reached:
            self.attach_processor()
        _put(inside, _SPAN_KEY, sdk)
        return inside

    def take_over(self, span: Span) -> None:
        """A light span is open while somebody begins another below it: give it a span of the provider's too.

        It has the ids and the start that it has. The provider's sampler is asked as for any other; where it drops
        this one, what is below sees that.
        """
        chain = []
        above: Span | None = span
        while above is not None and above._is_light and not above._ended:
            above._is_light = False
            chain.append(above)
            above = above._parent
        for light in reversed(chain):
            self._take_over(light)

    def _take_over(self, span: Span) -> None:
        tracer = _with_ids(self._tracer, int.from_bytes(span._trace, "big"), span._id)
        if tracer is None:
            return
        parent = None if span._parent is None else _visible(span._parent)
        context = Context({OUR_KEY: span})
        if parent is not None:
            _put(context, _SPAN_KEY, NonRecordingSpan(parent))
        name, attributes, links = handed(span, span.name, outside(span))
        sdk = tracer.start_span(name, context, _OTEL_KIND[span._kind], attributes, links, span._start_ns)
        span._context = sdk.get_span_context()
        span._seen_above = parent
        if sdk.is_recording() and span._sdk is None:  # nobody called our processor
            span._sdk, span._is_shown = sdk, span._context.trace_flags.sampled
            open_spans[span._id] = span
            self.attach_processor()


def _looks_at_no_attributes(sampler: object) -> bool:
    """Whether a sampler is one of the SDK's own, which decide by trace and parent."""
    return type(sampler).__module__ == sampling.__name__ and all(
        _looks_at_no_attributes(inner) for inner in vars(sampler).values() if isinstance(inner, sampling.Sampler)
    )


def begin(
    span: Span,
    context: Context,
    tracer: Tracer,
    name: str,
    kind: SpanKind,
    attributes: Mapping[str, Any] | None,
    inside: Context | None = None,
) -> tuple[OtelSpan, bool]:
    """Start `span` together with one that an SDK's `tracer` makes, and take its ids.

    Args:
        span: ours, not yet started.
        context: the parent is the current span in it.
        tracer: it makes the other span.
        name: the other span's.
        kind: the other span's.
        attributes: the other span's.
        inside: a copy of `context` to begin it in, ours standing in it from now on.

    Returns:
        The other span, and whether our processor was called for it, or the sampler dropped it.
    """
    span._epoch = _epoch[0] or recorder.know_yourself()
    get = context.get
    above = get(OUR_KEY)
    span._above = above = above if isinstance(above, Span) else None
    if recorder.journal is None:
        recorder.current()  # settings may say that what is handed over is redacted
    links = span._links
    if recorder.redacts:
        name, attributes, links = handed(span, name, attributes or {})
    current = get(_SPAN_KEY)
    parent = current.get_span_context() if isinstance(current, OtelSpan) else None
    if inside is None:
        inside = Context(context)
    dark = None
    if parent is None or not parent.is_valid:
        parent = None
        if current is not None and above is not None:  # somebody suppressed tracing; the tree goes on
            dark, with_it = above, above._sdk
            parent = _visible(above) or (above._context if with_it is None else with_it.get_span_context())
            parent = parent if parent is not None and parent.is_valid else None
        if parent is not None:
            _put(inside, _SPAN_KEY, NonRecordingSpan(parent))
        root = None if dark is not None else get(ROOT_KEY) or recorder.root
        if root is not None:  # a trace of its own, since the provider gives the ids; said in our journal alone
            span._links = [*(links or ()), Link(span_context(*root))]  # type: ignore[misc]
    _put(inside, OUR_KEY, span)
    span._handed = 2 if attributes is None else len(attributes) - len(span._attributes or ())
    start = None if above is None else _clock() + above._offset
    sdk = tracer.start_span(name, inside, kind, attributes, links, start)
    reached = True
    span._is_light = False
    if not span._started:  # dropped by the sampler, or nobody called our processor
        made = sdk.get_span_context()
        if sdk.is_recording():
            reached = False
            span._sdk, span._is_shown = sdk, made.trace_flags.sampled
            open_spans[made.span_id] = span
            if span._to_say is not None:
                sdk.set_attributes(span._to_say)
        parent_id = parent.span_id if parent else 0
        if not made.is_valid or parent_id == made.span_id:
            trace_id = made.trace_id or recorder.random_bits(128)
            if dark is not None and not made.is_valid:
                trace_id, parent_id = int.from_bytes(dark._trace, "big"), dark._id
            span._take_ids(trace_id, recorder.random_bits(64))
        else:
            span._take_ids(made.trace_id, made.span_id)
        if parent and not parent.is_remote and type(current) is NonRecordingSpan and span._parent is None:
            parent_id = 0  # the sampler dropped that one too, and nobody will ever see it
        span._context = made
        span._seen_above = _seen(parent, above)
        span._write_start(parent_id, _clock() + span._offset, _nearest(span, parent))
    return sdk, reached


def _with_ids(tracer: Any, trace_id: int, span_id: int) -> Tracer | None:
    """A tracer like `tracer` that gives these ids; None if what is in it is not the SDK's."""
    for _ in range(8):  # Phoenix and Logfire put theirs around it
        if issubclass(type(tracer), SdkTracer):  # isinstance holds for a proxy too
            copied: SdkTracer = copy.copy(tracer)
            copied.id_generator = _Given(trace_id, span_id)
            return copied
        tracer = getattr(tracer, "__wrapped__", None) or getattr(tracer, "tracer", None)
    return None


class _Given(IdGenerator):
    """Gives the ids that a span has already."""

    def __init__(self, trace_id: int, span_id: int) -> None:
        self._ids = trace_id, span_id

    def generate_trace_id(self) -> int:
        return self._ids[0]

    def generate_span_id(self) -> int:
        return self._ids[1]


def _visible(span: Span) -> SpanContext | None:
    """What the application's exporter sees of `span`: itself, else the nearest above it; None for nothing."""
    return span._sdk.get_span_context() if span._sdk is not None and span._is_shown else span._seen_above


def _seen(parent: SpanContext | None, above: Span | None) -> SpanContext | None:
    """The nearest span above one of ours that the application's exporter sees.

    Args:
        parent: of it.
        above: the span of ours that it stands in.
    """
    if above is not None and (parent is None or parent.span_id == above._id or not parent.trace_flags.sampled):
        return _visible(above)
    return parent if parent is not None and parent.trace_flags.sampled else None


def _nearest(ours: Span, parent: SpanContext | None) -> int:
    """The span of ours above one whose parent may be recorded by nobody; 0 where that is not so."""
    above = ours._parent
    return 0 if above is None or parent is None or parent.span_id == above._id else above._id


def join(provider: object) -> Joined | None:
    """Join `provider` if it is an SDK's; None for no provider, and for one of another make.

    Our own is joined from the moment that somebody else's processor hangs on it: it is to get our spans too.
    """
    if provider is None or not hasattr(provider, "add_span_processor"):
        return None
    if provider is _Own.provider and not _Own.has_others():
        return None
    return Joined(provider)


class _Own:
    provider: Any = None

    @classmethod
    def has_others(cls) -> bool:
        return len(cls.provider._active_span_processor._span_processors) > 1


def made_provider() -> Any:
    """Our own provider, if it has been made."""
    return _Own.provider


def own_provider() -> Any:
    """An SDK provider of ours whose spans land in the same tree as `span()`'s; made once."""
    if _Own.provider is None:
        from agentops.trace.own import make

        _Own.provider = make(_OwnProcessor())
    return _Own.provider


_OTEL_KIND = [SpanKind.CLIENT if kind in _CLIENT_KINDS else SpanKind.INTERNAL for kind in conventions.KINDS]
