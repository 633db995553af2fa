"""For a client library that makes OpenTelemetry spans of its own calls: each becomes one span of ours.

The library is handed `ClientProvider` in place of the tracer provider that it would have used. It begins and
ends the span, so retries, streams and errors have the bounds that it gives them. Where the provider that it would
have used is a real one, that one's span is made too, as it would have been without us: its exporter gets the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import trace as otel_trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Tracer, TracerProvider
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.util._decorator import _agnosticcontextmanager

from agentops import conventions
from agentops.journal.format import ABSENT, UPDATE, reference
from agentops.recorder.forks import epoch as _epoch
from agentops.recorder.recorder import recorder
from agentops.safety import failed
from agentops.trace import span as ours
from agentops.trace.facts import text

if TYPE_CHECKING:
    from opentelemetry.util.types import Attributes

__all__ = ["GLOBAL", "ClientProvider", "ClientSpan"]

#: Stands for whatever tracer provider the application has when a span begins.
GLOBAL = object()


class ClientSpan(ours.Span):
    """A span that a client library makes of one of its calls. Not current by itself; the library does that.

    Directly inside of a span that the program made for one call of a model, it is that span: a call counts once.
    """

    _same: ours.Span | None = None
    _once: dict[str, Any] | None = None  # attributes that are on record already

    def is_same_as(self, span: ours.Span) -> None:
        """Begin as the program's own `span`: what this one has to say is said of that one."""
        self._same, span._of_client = span, True
        self._epoch, self._offset, self._started = span._epoch, span._offset, True
        self._trace, self._id = span._trace, span._id
        self._parent, self._watch = span._parent, span._watch

    def end(self, end_time: int | None = None) -> None:
        """End it, where the program itself has not made it."""
        same, watch = self._same, self._watch
        if watch is not None and not self._ended:
            from agentops.trace.inside import told_by_client

            self._watch = None
            told_by_client(self, watch, self.name)
        if same is None:
            super().end(end_time)
        elif not self._ended:
            self._ended = True
            same._attributes = {**(self._attributes or {}), **(same._attributes or {})}
            same._large = same._large or self._large
            same._rich = same._rich or self._large
            same._changed = True
            if same._output is None and self._output_reference == 0:
                same._output_value, same._output_reference, same._rich = self._output_value, 0, True
            if self._error is not None and self._error[0]:  # the program may go on in the same span
                names = ("exception.type", "exception.message", "exception.stacktrace")
                same.add_event("exception", dict(zip(names, self._error, strict=True)))

    def goes_in(self) -> ours.Span | None:
        """For a library that makes no spans itself: begin it and make it current, until `leave`.

        Returns:
            The program's own span for this one call, where it has made one; that one stays current.
        """
        ours.look_at_provider()
        context = get_current()
        above = context.get(ours.OUR_KEY)
        if (
            ours._Provider.joined is None
            and isinstance(above, ours.Span)
            and self.kind == above.kind
            and _is_for_one_call(above, context)
        ):
            self.is_same_as(above)
            return above
        self.__enter__()
        return None

    def leave(self) -> None:
        """It is current no longer, and stays open."""
        token, self._token = self._token, None
        if token is not None:
            try:
                ours._detach(token)
            except ValueError:  # left in another context than it was entered in
                pass

    def keep(self, key: str, value: Any) -> None:
        """Set an attribute for our store alone: the application's exporter gets what the library gives it."""
        if self._sdk is None:
            self.set_attribute(key, value)
        else:
            with self.apart():
                self.set_attribute(key, value)

    def was_given(self, value: Any, facts: Mapping[str, Any] | None = None) -> None:
        """Put on record at once what it was given, and facts that go with it; for our store alone.

        Args:
            value: the input; None for none.
            facts: attributes. They are written this one time, so that large ones cost their bytes once in a program.
        """
        if value is not None:
            self._input = value
        if facts:
            self._once = {**(self._once or {}), **facts}
        if not self._started or self._ended or self._epoch != _epoch[0]:
            return
        journal = recorder.journal or recorder.open()
        capture = journal.capture
        new = capture.new(self._trace, self._id)
        kept = {}
        for key, fact in (facts or {}).items():
            number, small = capture.unchanging(fact, new, self._trace)
            kept[key] = reference(number) if number else small
        number, small = (ABSENT, None) if value is None else capture.value(value, new, self._trace)
        self._append(
            journal, (UPDATE, self._id, self._trace, kept or None, ABSENT, None, new.contents, number, small), new
        )

    def comes_out(self, value: Any) -> None:
        """Set an output that nobody else holds: it is written when the span ends."""
        self._output = self._output_value = value
        self._output_reference, self._rich, self._changed = 0, True, True

    @property
    def attributes(self) -> dict[str, Any]:
        """What was set so far."""
        return {**(self._once or {}), **super().attributes}

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Inside, what is said of the span does not reach the application's exporter."""
        sdk, self._sdk, self._handed_all = self._sdk, None, False
        try:
            yield
        finally:
            self._sdk = sdk

    def get_span_context(self) -> SpanContext:
        """OpenTelemetry's ids; where there is the application's span too, with its flags."""
        return super().get_span_context() if self._sdk is None else self._sdk.get_span_context()


class ClientProvider(TracerProvider):
    """A tracer provider for one client.

    Args:
        make: from the name and attributes with which the library begins a span, the span of ours, not started.
        forward: the provider that the library would have used: `GLOBAL`, another one, or None for none.
    """

    def __init__(self, make: Callable[[str, Mapping[str, Any]], ClientSpan], forward: object = GLOBAL) -> None:
        self.make = make
        self.forward = forward

    def theirs(self) -> Any:
        """The provider of somebody else that the library's own spans would go to; None if they would go nowhere."""
        provider: Any = otel_trace._TRACER_PROVIDER if self.forward is GLOBAL else self.forward
        joined: Any = sys.modules.get("agentops.trace.joined")
        if joined is not None and provider is joined.made_provider():
            return None
        return provider if hasattr(provider, "add_span_processor") else None

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes | None = None,
    ) -> Tracer:
        """A tracer that begins spans of ours."""
        return _Tracer(self, (instrumenting_module_name, instrumenting_library_version, schema_url, attributes))


class _Tracer(Tracer):
    def __init__(self, provider: ClientProvider, scope: tuple[Any, ...]) -> None:
        self._provider = provider
        self._scope = scope
        self._theirs: tuple[object, Tracer] | None = None  # of the provider that was in force last

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        """Begin a span of ours, and the library's own where somebody would get it."""
        given = dict(attributes or {})
        span = self._provider.make(name, given)
        try:
            ours.look_at_provider()
            context = get_current() if context is None else context
            session = given.get(conventions.CONVERSATION_ID)
            if session is not None and span._scope is None:
                span._scope = {"session": text(session)}
            for key, value in given.items():
                span.keep(key, value)
            tracer = self._tracer()
            if tracer is not None:
                from agentops.trace.joined import begin

                span._outside_name = name
                begin(span, context, tracer, name, kind, given)
                return span
            above = context.get(ours.OUR_KEY)
            if isinstance(above, ours.Span) and span.kind == "llm" and _is_for_one_call(above, context):
                span.is_same_as(above)
            else:
                span._begin(context)
        except Exception as problem:  # noqa: BLE001
            failed("starting the span of a client's call", problem)
        return span

    def _tracer(self) -> Tracer | None:
        """The library's own tracer, if what it makes goes anywhere."""
        provider = self._provider.theirs()
        if provider is None:
            return None
        if self._theirs is None or self._theirs[0] is not provider:
            self._theirs = (provider, provider.get_tracer(*self._scope))
        return self._theirs[1]

    @_agnosticcontextmanager
    def start_as_current_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[Span]:
        """As `start_span`; the span is current inside, and ends with it."""
        span = self.start_span(name, context, kind, attributes, links, start_time)
        with otel_trace.use_span(span, end_on_exit, record_exception, set_status_on_exception):
            yield span


def _is_for_one_call(span: ours.Span, context: Context) -> bool:
    """Whether the program has made `span` for the call that begins now."""
    return span.kind == "llm" and context.get(_SPAN_KEY) is span and span.is_recording() and not span._of_client
