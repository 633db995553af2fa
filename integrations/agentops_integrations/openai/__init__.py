"""OpenAI's client, whatever server it talks to: recorded where each of its calls passes, as it traces nothing itself.

All that it does goes through three methods of the client: `request`, for a call with its retries; `_sleep_for_retry`,
before each of those; and `_process_response`, for what came. Nothing of what a program gets is replaced but the stream
of bytes below it, which it does not see.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any, TypeVar

from agentops.safety import failed

from .call import Call, begun

__all__ = ["instrument", "wrap"]

C = TypeVar("C")
_MARK = "_agentops_recorded"
#: The call that goes on in this context.
_call: ContextVar[Call | None] = ContextVar("agentops-openai-call", default=None)


def instrument(module: ModuleType) -> None:
    """Record every client, those too that there are already.

    Args:
        module: the imported `openai`.
    """
    for client in (module.OpenAI, module.AsyncOpenAI):
        if getattr(client, _MARK, False):
            continue
        for name, around in _hooks_of(client):
            setattr(client, name, around(getattr(client, name)))
        setattr(client, _MARK, True)


def wrap(client: C) -> C:
    """A client like `client`, sharing its connections, whose calls are recorded.

    Args:
        client: of any class of the `openai` package, sync or async.
    """
    given: Any = client
    made = given.copy()
    _record(made)
    return made  # type: ignore[no-any-return]


def _record(client: Any) -> None:
    if getattr(type(client), _MARK, False) or _MARK in vars(client):
        return
    copy = client.copy

    @functools.wraps(copy)
    def recorded_copy(*arguments: Any, **options: Any) -> Any:
        made = copy(*arguments, **options)
        _record(made)
        return made

    for name, around in _hooks_of(type(client)):
        setattr(client, name, functools.partial(around(getattr(type(client), name)), client))
    client.copy = client.with_options = recorded_copy
    setattr(client, _MARK, True)


def _hooks_of(kind: Any) -> list[tuple[str, Callable[[Any], Any]]]:
    """Clients before 2 have no method for a retry of its own: then there are no events for them."""
    return [(name, around) for name, around in _HOOKS.items() if hasattr(kind, name)]


def _request(request: Any) -> Any:
    if inspect.iscoroutinefunction(request):

        @functools.wraps(request)
        async def recorded_async(self: Any, *given: Any, **options: Any) -> Any:
            call = None if _is_recorded_already(self) else begun(self, given, options)
            if call is None:
                return await request(self, *given, **options)
            token = _call.set(call)
            try:
                answer = await request(self, *given, **options)
            except BaseException as problem:
                call.raised(problem)
                raise
            finally:
                _call.reset(token)
                call.leave()
            call.returned()
            return answer

        return recorded_async

    @functools.wraps(request)
    def recorded(self: Any, *given: Any, **options: Any) -> Any:
        call = None if _is_recorded_already(self) else begun(self, given, options)
        if call is None:
            return request(self, *given, **options)
        token = _call.set(call)
        try:
            answer = request(self, *given, **options)
        except BaseException as problem:
            call.raised(problem)
            raise
        finally:
            _call.reset(token)
            call.leave()
        call.returned()
        return answer

    return recorded


def _is_recorded_already(client: Any) -> bool:
    """Whether this is the client's own part of a call that is recorded: one client may be recorded in two ways."""
    call = _call.get()
    return call is not None and call.client is client


def _told(tell: Callable[[Call, dict[str, Any]], None]) -> Callable[[Any], Any]:
    """What lets a call know that the client is about to do something."""

    def around(method: Any) -> Any:
        if inspect.iscoroutinefunction(method):

            @functools.wraps(method)
            async def telling_async(self: Any, *given: Any, **options: Any) -> Any:
                _tell(tell, self, options)
                return await method(self, *given, **options)

            return telling_async

        @functools.wraps(method)
        def telling(self: Any, *given: Any, **options: Any) -> Any:
            _tell(tell, self, options)
            return method(self, *given, **options)

        return telling

    return around


def _tell(tell: Callable[[Call, dict[str, Any]], None], client: Any, options: dict[str, Any]) -> None:
    call = _call.get()
    if call is not None and call.client is client:
        try:
            tell(call, options)
        except Exception as problem:  # noqa: BLE001
            failed("recording a call", problem)


_HOOKS: dict[str, Callable[[Any], Any]] = {
    "request": _request,
    "_sleep_for_retry": _told(lambda call, options: call.tries_again(options.get("response"))),
    "_process_response": _told(lambda call, options: call.answered(options["response"])),
}
