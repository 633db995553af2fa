"""Anthropic's client: recorded by its own tracing, which we hand a tracer provider, and by its middleware."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from types import ModuleType
from typing import Any, TypeVar

from anthropic import Middleware
from opentelemetry import trace

from agentops.safety import failed
from agentops.trace.client import GLOBAL, ClientProvider

from .call import Request, make
from .tools import record_tools

__all__ = ["instrument", "wrap"]

C = TypeVar("C")


class _Asked(Middleware):
    """Next to the wire: sees each request as it is sent."""

    def handle(self, request: Any, call_next: Any) -> Any:
        call = trace.get_current_span()
        if not isinstance(call, Request):
            return call_next(request)
        call.attempt(request.json)
        try:
            response = call_next(request)
        except Exception as problem:
            call.refused(None, problem)
            raise
        if not response.http_response.is_success:
            call.refused(response.http_response.status_code)
        return response

    async def handle_async(self, request: Any, call_next: Any) -> Any:
        call = trace.get_current_span()
        if not isinstance(call, Request):
            return await call_next(request)
        call.attempt(request.json)
        try:
            response = await call_next(request)
        except Exception as problem:
            call.refused(None, problem)
            raise
        if not response.http_response.is_success:
            call.refused(response.http_response.status_code)
        return response


class _Answered(Middleware):
    """Next to the program: sees what it gets, wherever that came from."""

    def handle(self, request: Any, call_next: Any) -> Any:
        response = call_next(request)
        _answered(request, response)
        return response

    async def handle_async(self, request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        _answered(request, response)
        return response


def _answered(request: Any, response: Any) -> None:
    call = trace.get_current_span()
    if isinstance(call, Request):
        try:
            call.ask(request.json)  # where nothing was sent
            http = getattr(response, "http_response", None)
            call.made_up(response) if http is None else call.answered(http)
        except Exception as problem:  # noqa: BLE001 - a stand-in of the program's own may be anything
            failed("recording an answer", problem)


_ASKED, _ANSWERED = _Asked(), _Answered()
_every = False  # client is recorded, not only those that were wrapped


def instrument(module: ModuleType) -> None:
    """Record every client that is made from now on.

    Args:
        module: the imported `anthropic`.
    """
    global _every
    _patch()
    _every = True


def wrap(client: C) -> C:
    """A client like `client`, sharing its connections, whose calls are recorded.

    Args:
        client: of any class of the `anthropic` package, sync or async.
    """
    _patch()
    given: Any = client
    return given.with_options(  # type: ignore[no-any-return]
        open_telemetry=_tracing(given.open_telemetry), middleware=_around(given.middleware)
    )


def _patch() -> None:
    """Have a look at each client that is made: constructors, and how a copy gets its options, have no hook."""
    from anthropic._base_client import AsyncAPIClient, BaseClient, SyncAPIClient

    record_tools()
    for client in (SyncAPIClient, AsyncAPIClient):
        if not hasattr(client.__init__, "__wrapped__"):
            client.__init__ = _recorded(client.__init__)  # type: ignore[method-assign]
    if not hasattr(BaseClient._set_open_telemetry, "__wrapped__"):
        BaseClient._set_open_telemetry = _kept(BaseClient._set_open_telemetry)  # type: ignore[method-assign]


def _recorded(construct: Any) -> Any:
    @functools.wraps(construct)
    def constructor(self: Any, *arguments: Any, **options: Any) -> None:
        try:
            middleware = tuple(options.get("middleware") or ())
            if "middleware" in options:
                options["middleware"] = middleware
            if _every or _is_around(middleware):
                options = {
                    **options,
                    "middleware": _around(middleware),
                    "open_telemetry": _tracing(options.get("open_telemetry")),
                }
        except Exception as problem:  # noqa: BLE001 - the client itself says what is wrong with its options
            failed("instrumenting a client", problem, lost=0)
        construct(self, *arguments, **options)

    return constructor


def _kept(set_option: Any) -> Any:
    """A copy that is given options of its own stays recorded, whichever of ours these leave out."""

    @functools.wraps(set_option)
    def _set_open_telemetry(self: Any, option: Any) -> None:
        try:
            middleware = getattr(self, "_middleware", None)  # None: in the constructor, which sees to it
            if middleware is not None:
                if _is_around(middleware):
                    option = _tracing(option)
                elif isinstance(option, dict) and isinstance(option.get("tracer_provider"), ClientProvider):
                    self._middleware = tuple(_around(middleware))
                    self._middleware_chain = self._build_middleware_chain()
        except Exception as problem:  # noqa: BLE001
            failed("instrumenting a client", problem, lost=0)
        set_option(self, option)

    return _set_open_telemetry


def _is_around(middleware: Iterable[Any]) -> bool:
    return any(entry is _ASKED or entry is _ANSWERED for entry in middleware)


def _around(middleware: Iterable[Any]) -> list[Any]:
    return [_ANSWERED, *(entry for entry in middleware if entry is not _ASKED and entry is not _ANSWERED), _ASKED]


def _tracing(option: Any) -> dict[str, Any]:
    """The client's `open_telemetry` option with our tracer provider in it, and the rest as it would have been."""
    from anthropic._tracing import resolve_open_telemetry

    options = dict(resolve_open_telemetry(option))
    theirs = options.get("tracer_provider", GLOBAL)
    if isinstance(theirs, ClientProvider):
        return options
    traces: Any = options["traces"]
    provider = ClientProvider(make, theirs if traces["enabled"] else None)
    options["tracer_provider"] = provider
    options["traces"] = {**traces, "enabled": True}
    if provider.theirs() is None:  # then the client would send no traceparent to the API
        options["propagation"] = False
    return options
