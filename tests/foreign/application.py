"""What the programs of these tests share: imported by each, in a process of its own.

The environment says how it runs: WITHOUT takes agentops' calls out of the program, and what its exporter got is
written to EXPORTED.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

WITHOUT = "WITHOUT" in os.environ
KINDS = ("INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")

if WITHOUT:

    class _Nothing(SimpleNamespace):
        def __getattr__(self, name: str) -> Any:
            return lambda *arguments, **options: None

    @contextlib.contextmanager
    def span(name: str, **options: Any) -> Iterator[Any]:
        yield _Nothing()

    def init(**options: Any) -> None:
        pass

    def instrument() -> None:
        pass

else:
    import agentops
    from agentops import init, instrument, span  # noqa: F401


class Seeded(IdGenerator):
    """The same trace ids in each run, whoever asks for span ids in between."""

    def __init__(self) -> None:
        self._traces, self._spans = random.Random(1), random.Random(2)

    def generate_trace_id(self) -> int:
        return self._traces.getrandbits(128) or 1

    def generate_span_id(self) -> int:
        return self._spans.getrandbits(64) or 1


ids = Seeded()


class Memory(InMemorySpanExporter):
    """Keeps what it got, also when a second set-up ends the first."""

    def shutdown(self) -> None:
        pass


memory = Memory()


def application(sampler: Sampler = ALWAYS_ON) -> TracerProvider:
    """The application's own set-up, in silence."""
    provider = TracerProvider(sampler=sampler, id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    assert trace.get_tracer_provider() is provider
    return provider


def other(name: str, **options: Any) -> Any:
    """A span that a library makes through OpenTelemetry."""
    return trace.get_tracer("other").start_as_current_span(name, **options)


def work() -> None:
    """Spans of the program's and of a library's, above and below each other."""
    with span("ours root", kind="agent", session="s-1", input="a question") as root:
        root.set_attribute("step", 1)
        with other("theirs", attributes={"early": 1}) as outer:
            outer.add_event("happened", {"n": 1})
            with span("ours llm", kind="llm") as call:
                call.output = "an answer"
                with other("theirs inside", kind=trace.SpanKind.CLIENT):
                    pass
            outer.set_attribute("late", "x")
            try:
                with other("theirs fails"):
                    raise LookupError("nothing there")
            except LookupError:
                pass
    with other("theirs root"):
        with span("ours below"):
            with other("theirs below"):
                pass


class Sink:
    """Takes what is sent by OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        sink = self

        class _Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path.endswith("/v1/traces"):
                    sink.spans += _of_otlp(body)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"


def done(sink: Sink | None = None) -> None:
    """The end of a program: what the exporter got, and what is recorded, is brought to where the test reads it."""
    provider: Any = trace.get_tracer_provider()
    if hasattr(provider, "force_flush"):
        provider.force_flush()
    spans = sink.spans if sink is not None else [_of_sdk(one) for one in memory.get_finished_spans()]
    with open(os.environ["EXPORTED"], "w") as file:
        json.dump(spans, file, default=list)
    if not WITHOUT:
        agentops.shutdown()


def _of_sdk(one: ReadableSpan) -> dict[str, Any]:
    context = one.get_span_context()
    assert context is not None
    scope = one.instrumentation_scope
    return {
        "name": one.name,
        "scope": scope.name if scope else "",
        "trace": format(context.trace_id, "032x"),
        "id": format(context.span_id, "016x"),
        "parent": format(one.parent.span_id, "016x") if one.parent else None,
        "kind": one.kind.name,
        "status": one.status.status_code.name,
        "message": one.status.description or "",
        "attributes": {key: _plain(value) for key, value in (one.attributes or {}).items()},
        "events": [
            {"name": event.name, "attributes": {key: _plain(v) for key, v in (event.attributes or {}).items()}}
            for event in one.events
        ],
        "links": [format(link.context.span_id, "016x") for link in one.links],
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def _of_otlp(body: bytes) -> list[dict[str, Any]]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    return [
        {
            "name": one.name,
            "scope": scoped.scope.name,
            "trace": one.trace_id.hex(),
            "id": one.span_id.hex(),
            "parent": one.parent_span_id.hex() or None,
            "kind": KINDS[one.kind - 1],
            "status": ("UNSET", "OK", "ERROR")[one.status.code],
            "message": one.status.message,
            "attributes": _attributes(one.attributes),
            "events": [{"name": event.name, "attributes": _attributes(event.attributes)} for event in one.events],
            "links": [link.span_id.hex() for link in one.links],
        }
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scoped in resource.scope_spans
        for one in scoped.spans
    ]


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, which) if which else None
