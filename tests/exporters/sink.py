"""A receiver of spans over OTLP: what it gets it keeps, and it can be told to behave badly."""

from __future__ import annotations

import gzip
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

__all__ = ["Sink"]

#: What a request is answered with: status, headers, body; None closes the connection, a number waits so many seconds.
Reply = tuple[int, dict[str, str], bytes] | None | float


class Sink:
    """Takes spans until `reply` says otherwise.

    Args:
        port: 0 for any that is free.
    """

    def __init__(self, port: int = 0) -> None:
        self.spans: list[Any] = []  # as protobuf has them
        self.metrics: list[Any] = []
        self.services: set[str] = set()
        self.requests: list[dict[str, str]] = []  # headers
        self.reply: Callable[[list[Any]], Reply | bool] = lambda spans: True
        self.metrics_reply = 200  # a status
        self.lock = threading.Lock()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                sink.take(self, body)

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 64

            def handle_error(self, *_: object) -> None: ...

        self._listen = lambda: Server(("127.0.0.1", self.port), Handler)
        self.port = port
        self.server: Server | None = None
        self.back()
        self.url = f"http://127.0.0.1:{self.port}"

    def take(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.path.endswith("/v1/metrics"):
            with self.lock:
                self.metrics.append(ExportMetricsServiceRequest.FromString(body))
            handler.send_response(self.metrics_reply)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        request = ExportTraceServiceRequest.FromString(body)
        names = (attributes(resource.resource).get("service.name") for resource in request.resource_spans)
        self.services.update(map(str, names))
        spans = [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
        with self.lock:
            self.requests.append({key.lower(): value for key, value in handler.headers.items()} | {"": handler.path})
        reply = self.reply(spans)
        if isinstance(reply, float):
            time.sleep(reply)
            reply = None
        if reply is None or reply is False:
            handler.close_connection = True
            return
        if reply is True:
            with self.lock:
                self.spans += spans
            reply = 200, {"Content-Type": "application/x-protobuf"}, ExportTraceServiceResponse().SerializeToString()
        status, headers, answer = reply
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    def back(self) -> None:
        """Listen (again)."""
        if self.server is None:
            self.server = self._listen()
            self.port = self.server.server_address[1]
            threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def away(self) -> None:
        """Refuse connections."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    close = away

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    @property
    def ids(self) -> Counter[str]:
        return Counter(span.span_id.hex() for span in self.spans)

    def wait(self, count: int, seconds: float = 20.0) -> None:
        """Wait until there are so many spans."""
        until = time.monotonic() + seconds
        while len(self.spans) < count:
            assert time.monotonic() < until, f"{len(self.spans)} of {count} spans came"
            time.sleep(0.01)


def attributes(span: Any) -> dict[str, Any]:
    """Attributes of a span or a resource, plain."""
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}


if __name__ == "__main__":  # a sink in a process of its own, that tells at its end what it got
    sink = Sink(int(sys.argv[1]))
    print(sink.port, flush=True)
    sys.stdin.read()
    print(json.dumps([span.span_id.hex() for span in sink.spans]), flush=True)
