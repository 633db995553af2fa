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

from .call import Call, make

__all__ = ["instrument", "wrap"]

C = TypeVar("C")


class _Asked(Middleware):
    """Next to the wire: sees each request as it is sent."""

    def handle(self, request: Any, call_next: Any) -> Any:
        call = trace.get_current_span()
        if isinstance(call, Call):
            call.attempt(request.json)
        return call_next(request)

    async def handle_async(self, request: Any, call_next: Any) -> Any:
        call = trace.get_current_span()
        if isinstance(call, Call):
            call.attempt(request.json)
        return await call_next(request)


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
    if isinstance(call, Call):
        try:
            call.ask(request.json)  # where nothing was sent
            http = getattr(response, "http_response", None)
            call.made_up(response) if http is None else call.answered(http)
        except Exception as problem:  # noqa: BLE001 - a stand-in of the program's own may be anything
            failed("recording an answer", problem)


_ASKED, _ANSWERED = _Asked(), _Answered()


def instrument(module: ModuleType) -> None:
    """Record every client that is made from now on. The constructors are all that is patched.

    Args:
        module: the imported `anthropic`.
    """
    from anthropic._base_client import AsyncAPIClient, SyncAPIClient

    for client in (SyncAPIClient, AsyncAPIClient):
        if not hasattr(client.__init__, "__wrapped__"):
            client.__init__ = _recorded(client.__init__)  # type: ignore[method-assign]


def wrap(client: C) -> C:
    """A client like `client`, sharing its connections, whose calls are recorded.

    Args:
        client: of any class of the `anthropic` package, sync or async.
    """
    given: Any = client
    return given.with_options(  # type: ignore[no-any-return]
        open_telemetry=_tracing(given.open_telemetry), middleware=_around(given.middleware)
    )


def _recorded(construct: Any) -> Any:
    @functools.wraps(construct)
    def constructor(self: Any, *arguments: Any, **options: Any) -> None:
        try:
            ours = {
                "middleware": _around(options.get("middleware") or ()),
                "open_telemetry": _tracing(options.get("open_telemetry")),
            }
        except Exception as problem:  # noqa: BLE001 - the client itself says what is wrong with its options
            failed("instrumenting a client", problem, lost=0)
            ours = {}
        construct(self, *arguments, **{**options, **ours})

    return constructor


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
