"""The tree goes on where Python carries no context: threads, pools, callbacks, queues, other processes, requests."""

from __future__ import annotations

import contextvars
import functools
import inspect
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, ParamSpec, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace.propagation import _SPAN_KEY

from agentops.recorder.above import parsed, written
from agentops.recorder.recorder import recorder
from agentops.trace import span as ours

__all__ = ["Carried", "begun", "carry", "kept", "said", "traceparent"]

P = ParamSpec("P")
R = TypeVar("R")


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, to be called anywhere: what it records hangs below the span that is current here and now.

    For threads, executors, callbacks and queues, where Python does not carry context variables by itself. It may be
    called often, and by several threads at once. Sent to another process it is what `pickle` makes of the function,
    and takes the current span's `traceparent` along.

    Args:
        function: anything that can be called. What a coroutine function does runs there too.

    Returns:
        A callable with the same signature.
    """
    return Carried(function, ours._current(), contextvars.copy_context())


def traceparent() -> str:
    """What another process, or a server, is told so that its spans hang below the current one.

    Returns:
        A W3C `traceparent`, as the value of that header or of the variable TRACEPARENT; "" if there is no span. Where
        none is open, that of the request that is served, or of the program under `agentops run`.
    """
    ours.look_at_provider()
    found, _ = said(ours._current())
    return found or (written(*recorder.root) if recorder.root is not None else "")


def said(context: Context) -> tuple[str, bool]:
    """The `traceparent` of what stands above in `context`, "" for nothing; and whether that is a current span."""
    current = context.get(_SPAN_KEY)
    ids = current.get_span_context() if isinstance(current, OtelSpan) else None
    if ids is not None and ids.is_valid:
        return written(ids.trace_id.to_bytes(16, "big"), ids.span_id, ids.trace_flags), True
    span = context.get(ours.OUR_KEY)
    if isinstance(span, ours.Span) and span._id:
        return written(span._trace, span._id), True
    above = _above(context)
    return ("" if above is None else written(*above)), False


def _above(context: Context) -> tuple[bytes, int] | None:
    above: Any = context.get(ours.ROOT_KEY)
    return above if isinstance(above, tuple) else None


def kept(context: Context) -> Context | None:
    """What of OpenTelemetry's context goes along unasked: all of it below a span of ours, otherwise the least.

    A program that has none open keeps its own spans as they would be without us.
    """
    if ours.OUR_KEY in context:
        return context
    above = _above(context)
    return None if above is None else Context({ours.ROOT_KEY: above})


class Carried:
    """A function, and where it is to run.

    Args:
        function: is called.
        context: OpenTelemetry's, in which that happens.
        variables: all context variables, where those go along.
    """

    def __init__(self, function: Any, context: Context, variables: contextvars.Context | None = None) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._context = context
        self._variables = variables
        self._is_coroutine = inspect.iscoroutinefunction(function)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if self._variables is not None or self._is_coroutine:
            return self._run(args, kwargs)
        outside = ours._current()
        ours._attach(self._context)
        try:
            return self._function(*args, **kwargs)
        finally:
            ours._attach(outside)

    def _run(self, args: Any, kwargs: Any) -> Any:
        variables = self._variables
        if variables is not None:
            variables = variables.copy()  # one can be entered once at a time
        else:
            variables = contextvars.copy_context()
            variables.run(ours._attach, self._context)
        if self._is_coroutine:
            return _inside(variables, self._function(*args, **kwargs))
        return variables.run(self._function, *args, **kwargs)

    def __reduce__(self) -> Any:
        return _arrived, (self._function, *said(self._context))

    def __repr__(self) -> str:
        return f"<carried {self._function!r}>"


def _arrived(function: Any, traceparent: str, is_current: bool) -> Any:
    above = parsed(traceparent)
    if above is None:
        return function
    return Carried(function, ours.below(Context(), above) if is_current else Context({ours.ROOT_KEY: above[:2]}))


def begun(traceparent: str, is_current: bool) -> None:
    """This process was started inside of a span of another one.

    Args:
        traceparent: that span's.
        is_current: whether this thread is in it, and not only below it.
    """
    above = parsed(traceparent)
    if above is not None:
        recorder.root = above[:2]
        if is_current:
            ours._attach(ours.below(ours._current(), above))


async def _inside(variables: contextvars.Context, coroutine: Coroutine[Any, Any, R]) -> R:
    return await _steps(variables, coroutine)


@types.coroutine
def _steps(variables: contextvars.Context, coroutine: Coroutine[Any, Any, R]) -> Generator[Any, Any, R]:
    step: Callable[[Any], Any] = coroutine.send
    value: Any = None
    while True:
        try:
            waits_for = variables.run(step, value)
        except StopIteration as end:
            found: R = end.value
            return found
        try:
            value = yield waits_for
            step = coroutine.send
        except BaseException as thrown:  # noqa: BLE001 - it is the function's
            step, value = coroutine.throw, thrown
