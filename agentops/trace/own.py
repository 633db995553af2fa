"""A tracer provider of ours, for the spans of other libraries where the application has none.

It records everything, but passes on whether the parent is sampled, so that others who follow that do as they would
have done. The application may set a provider of its own later: tracers that were taken from ours then use that one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry import trace as otel_trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, Span, SpanKind, Tracer, TraceState, get_current_span
from opentelemetry.util._decorator import _agnosticcontextmanager

from agentops.recorder.recorder import recorder
from agentops.trace.span import _Provider

if TYPE_CHECKING:
    from opentelemetry.util.types import Attributes

__all__ = ["make"]

#: The SDK's default of 128 attributes drops flattened messages without a word.
_ATTRIBUTES_MAX = 10_000


class _OfProgram(RandomIdGenerator):
    """A span without a parent belongs to the trace of the program, where it has one."""

    def generate_trace_id(self) -> int:
        root = recorder.root
        return super().generate_trace_id() if root is None else int.from_bytes(root[0], "big")


class _All(Sampler):
    """Every span is recorded; it counts as sampled if its parent does."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        parent = get_current_span(parent_context).get_span_context()
        sampled = not parent.is_valid or parent.trace_flags.sampled
        decision = Decision.RECORD_AND_SAMPLE if sampled else Decision.RECORD_ONLY
        return SamplingResult(decision, attributes, parent.trace_state if parent.is_valid else None)

    def get_description(self) -> str:
        return "agentops: all are recorded"


class _Tracer(SdkTracer):
    """The SDK's, as long as the application has no provider of its own."""

    _taken: tuple[str, str | None, str | None, Attributes]
    _next: tuple[object, Tracer] | None = None

    def start_span(self, *given: Any, **named: Any) -> Span:
        theirs = _successor(self)
        return SdkTracer.start_span(self, *given, **named) if theirs is None else theirs.start_span(*given, **named)

    @_agnosticcontextmanager
    def start_as_current_span(self, *given: Any, **named: Any) -> Iterator[Span]:
        theirs: Any = _successor(self) or super()
        with theirs.start_as_current_span(*given, **named) as span:
            yield span


def _successor(tracer: _Tracer) -> Tracer | None:
    """The tracer of the provider that the application has set over ours; None while ours is in force."""
    provider = otel_trace._TRACER_PROVIDER
    if provider is None or isinstance(provider, _Ours):
        return None
    if tracer._next is None or tracer._next[0] is not provider:
        tracer._next = (provider, provider.get_tracer(*tracer._taken))
    return tracer._next[1]


class _Ours(TracerProvider):
    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        taken = (instrumenting_module_name, instrumenting_library_version, schema_url, attributes)
        tracer = super().get_tracer(*taken)
        if type(tracer) is SdkTracer:
            tracer.__class__ = _Tracer
            tracer._taken = taken  # type: ignore[attr-defined]
        return tracer

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Somebody else's gets our spans too: `span()` makes them through this provider from now on."""
        super().add_span_processor(span_processor)
        if _Provider.seen is self:
            _Provider.seen = None


def make(processor: SpanProcessor) -> TracerProvider:
    """A provider that `processor` hangs on."""
    limits = SpanLimits(max_span_attributes=_ATTRIBUTES_MAX)
    provider = _Ours(_All(), span_limits=limits, shutdown_on_exit=False, id_generator=_OfProgram())
    provider.add_span_processor(processor)
    return provider
