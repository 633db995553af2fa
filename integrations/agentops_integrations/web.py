"""A request that a server answers as a trace of its own: middleware for ASGI and WSGI.

The request's span is not current: an application's own OpenTelemetry sees what it would see without us. It stands
above what the application opens without a parent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from agentops.recorder.recorder import recorder
from agentops.safety import failed
from agentops.trace import span as ours
from agentops.trace.span import ROOT_KEY, Span, span_context

__all__ = ["asgi", "wsgi"]

AsgiApp = Callable[[Any, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_traceparent = TraceContextTextMapPropagator()


class _Request:
    """The span of one request."""

    def __init__(self, method: str, path: str, carrier: dict[str, str]) -> None:
        self._token: Any = None
        attributes = {"http.request.method": method, "url.path": path}
        links = [Link(span_context(*recorder.root))] if recorder.root else None
        self.span = Span(f"{method} {path}", attributes=attributes, links=links)
        try:
            caller = trace.get_current_span(_traceparent.extract(carrier, Context())).get_span_context()
            self.span._epoch = recorder.know_yourself()
            known = caller.is_valid
            self.span._take_ids(
                caller.trace_id if known else recorder.random_bits(128) or 1, recorder.random_bits(64) or 1
            )
            self.span._write_start(caller.span_id if known else 0, self.span._now())
        except Exception as problem:  # noqa: BLE001
            failed("recording a request", problem)

    def __enter__(self) -> _Request:
        root = {ROOT_KEY: (self.span._trace, self.span._id)} if self.span._started else {}
        self._token = ours._attach(Context({**ours._current(), **root}))
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._token is not None:
                ours._detach(self._token)
        except ValueError:  # finished in another context than it was begun in
            pass

    def answered(self, status: int) -> None:
        self.span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self.span.set_status(StatusCode.ERROR, f"status {status}")


def asgi(app: AsgiApp) -> AsgiApp:
    """`app`, each request of it a trace.

    Args:
        app: an ASGI 3 application.
    """

    async def recorded(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        carrier = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
        method = scope.get("method") or "WEBSOCKET"
        request = _Request(method, f"{scope.get('root_path', '')}{scope['path']}", carrier)

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                request.answered(message["status"])
            await send(message)

        try:
            with request:
                await app(scope, receive, sending)
        except BaseException as problem:
            request.span.fail(problem)
            raise
        finally:
            request.span.end()

    return recorded


def wsgi(app: WsgiApp) -> WsgiApp:
    """`app`, each request of it a trace.

    Args:
        app: a WSGI application.
    """

    def recorded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        carrier = {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
        request = _Request(environ.get("REQUEST_METHOD", "GET"), path, carrier)

        def starting(status: str, *more: Any) -> Any:
            code = status.partition(" ")[0]
            if code.isdigit():
                request.answered(int(code))
            return start_response(status, *more)

        try:
            with request:
                answer = app(environ, starting)
        except BaseException as problem:
            request.span.fail(problem)
            request.span.end()
            raise
        # Servers look at what they get: at a list's length, and for files.
        if isinstance(answer, (list, tuple, environ.get("wsgi.file_wrapper", ()))):
            request.span.end()
            return answer
        return _Answer(answer, request)

    return recorded


class _Answer:
    """The pieces of an answer, made while the server asks for them."""

    def __init__(self, answer: Iterable[bytes], request: _Request) -> None:
        self._answer = answer
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        pieces = iter(self._answer)
        while True:
            try:
                with self._request:
                    piece = next(pieces)
            except StopIteration:
                return
            except BaseException as problem:
                self._request.span.fail(problem)
                raise
            yield piece

    def close(self) -> None:
        try:
            close = getattr(self._answer, "close", None)
            if close is not None:
                close()
        finally:
            self._request.span.end()
