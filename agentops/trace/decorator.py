"""`@span(...)` on functions, coroutines and methods: arguments become input, the result the output."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from agentops.trace.span import Span

__all__ = ["decorate"]

F = TypeVar("F", bound=Callable[..., Any])


def decorate(description: Span, function: F) -> F:
    """`function`, each call of it a span as described by `description`.

    Raises:
        TypeError: `function` is not callable.
    """
    if isinstance(function, (staticmethod, classmethod)):
        return cast(F, type(function)(decorate(description, function.__func__)))
    if not callable(function):
        raise TypeError(f"@span(...) decorates functions, not {type(function).__name__}")
    arguments = _arguments(function)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with _begin(description, arguments, args, kwargs) as span:
                result = await function(*args, **kwargs)
                span.output = result
                return result

        return cast(F, call_async)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with _begin(description, arguments, args, kwargs) as span:
            result = function(*args, **kwargs)
            span.output = result
            return result

    return cast(F, call)


def _begin(description: Span, arguments: Callable[..., Any], args: Any, kwargs: Any) -> Span:
    span = description._again()
    if span._input is None:
        span._input = arguments(args, kwargs)
    return span


def _arguments(function: Callable[..., Any]) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    """A function from a call's arguments to what is recorded: names and values, defaults left out."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some builtins have none
        return lambda args, kwargs: {"args": list(args), **kwargs}
    first = next(iter(signature.parameters), None)
    spread = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)

    def named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            values = signature.bind(*args, **kwargs).arguments
        except TypeError:  # the call itself will say so
            return {"args": list(args), **kwargs}
        if first in ("self", "cls"):
            values.pop(first, None)
        if spread in values and not values[spread].keys() & values.keys():  # one name may be both
            values.update(values.pop(spread))
        return dict(values) or None

    return named
