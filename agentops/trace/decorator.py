"""`@span(...)` on functions, coroutines, generators and methods: arguments become input, the result the output."""

from __future__ import annotations

import atexit
import contextvars
import functools
import inspect
import sys
import types
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, TypeVar, cast

from opentelemetry.context import Context

from agentops.safety import failed
from agentops.trace import span as ours
from agentops.trace.collecting import apart, is_collecting
from agentops.trace.yielded import Yielded

__all__ = ["decorate"]

F = TypeVar("F", bound=Callable[..., Any])


def decorate(description: ours.Span, function: F) -> F:
    """`function`, each call of it a span as described by `description`.

    Raises:
        TypeError: `function` is not callable.
    """
    if isinstance(function, (staticmethod, classmethod)):
        return cast(F, type(function)(decorate(description, function.__func__)))
    if not callable(function):
        raise TypeError(f"@span(...) decorates functions, not {type(function).__name__}")
    arguments = _arguments(function)

    def begun(args: Any, kwargs: Any) -> ours.Span:
        span = description._again()
        if span._input is None:
            span._input = arguments(args, kwargs)
        return span

    made = _way(function)(begun, function)
    return cast(F, functools.wraps(function)(made))


Begun = Callable[[Any, Any], ours.Span]


def _way(function: Any) -> Callable[[Begun, Any], Callable[..., Any]]:
    """How calls of `function` become spans; of an object that can be called, its method says."""
    code = (
        function if inspect.isroutine(function) or isinstance(function, functools.partial) else type(function).__call__
    )
    for is_one, way in (
        (inspect.iscoroutinefunction, _coroutine),
        (inspect.isasyncgenfunction, _async_generator),
        (inspect.isgeneratorfunction, _generator),
    ):
        if is_one(function) or is_one(code):
            return way
    return _plain


def _plain(begun: Begun, function: Any) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with begun(args, kwargs) as span:
            result = function(*args, **kwargs)
            span.output = result
            return result

    return call


def _coroutine(begun: Begun, function: Any) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with begun(args, kwargs) as span:
            result = await function(*args, **kwargs)
            span.output = result
            return result

    return call


def _generator(begun: Begun, function: Any) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        steps = _Steps(begun(args, kwargs))
        step: Callable[[Any], Any]
        step, value = generator.send, None
        while True:  # as `yield from` does it (PEP 380)
            try:
                item = steps.take(step, value)
            except StopIteration as end:
                steps.end(end.value)
                return end.value
            except BaseException as problem:
                steps.fail(problem)
                raise
            finally:
                del value  # it may be an exception, whose traceback would hold it
            steps.yielded(item)
            try:
                value = yield item
                step = generator.send
            except BaseException as thrown:  # noqa: BLE001 - it is the function's
                step, value = generator.throw, thrown

    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    return types.coroutine(call) if flags & inspect.CO_ITERABLE_COROUTINE else call


def _async_generator(begun: Begun, function: Any) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator = function(*args, **kwargs)
        steps = _Steps(begun(args, kwargs))
        step: Callable[[Any], Any]
        step, value = functools.partial(_first, generator), None
        while True:
            try:
                item = await steps.take_async(step, value)
            except StopAsyncIteration:
                steps.end()
                return
            except BaseException as problem:
                steps.fail(problem)
                raise
            finally:
                del value
            steps.yielded(item)
            try:
                value = yield item
                step = generator.asend
            except BaseException as thrown:  # noqa: BLE001
                step, value = generator.athrow, thrown

    return call


def _first(generator: AsyncGenerator[Any, Any], value: None) -> Any:
    """The first step of a generator that the event loop is not told of, and so does not close beside ours."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.asend(value)
    finally:
        sys.set_asyncgen_hooks(*hooks)


class _Steps:
    """A generator's span: open from its first step to its last, and current while its body runs, not between."""

    def __init__(self, span: ours.Span) -> None:
        self._span = span
        self._inside: Context | None = None
        self._yielded = getattr(span, "_yields", Yielded)()  # `record` puts an answer together of them

    def yielded(self, item: object) -> None:
        """The body has yielded."""
        try:
            self._yielded.add(item)
        except Exception as problem:  # noqa: BLE001 - no memory for a copy
            failed("recording what a generator yielded", problem, lost=0)

    def take(self, step: Callable[[Any], Any], value: Any) -> Any:
        """Make a step with `value`; the body's spans are current in it, and the caller's again after it."""
        if is_collecting():
            with apart():
                return contextvars.copy_context().run(self._take, step, value)
        return self._take(step, value)

    def _take(self, step: Callable[[Any], Any], value: Any) -> Any:
        outside = self._go_in()
        try:
            return step(value)
        finally:
            self._go_out(outside)

    async def take_async(self, step: Callable[[Any], Any], value: Any) -> Any:
        """As `take`, for a step that is awaited."""
        if is_collecting():
            return await step(value)
        outside = self._go_in()
        try:
            return await step(value)
        finally:
            self._go_out(outside)

    def _go_in(self) -> Context:
        outside = ours._current()
        if self._inside is None:
            self._span.__enter__()
            self._span._token = None  # there is no one context that it could be taken out of
            _open.add(self)
            _end_them_at_exit()
        else:
            ours._attach(self._inside)
        return outside

    def _go_out(self, outside: Context) -> None:
        self._inside = ours._current()
        ours._attach(outside)

    def fail(self, problem: BaseException) -> None:
        """The body is left by an exception."""
        self._span.fail(problem)
        self.end()

    def end(self, returned: object = None) -> None:
        """End the span with what was yielded, unless the program has given it another output."""
        _open.discard(self)
        try:
            if self._span._output is None:
                self._span.output = self._yielded.output(returned)
        except Exception as problem:  # noqa: BLE001
            failed("recording what a generator yielded", problem, lost=0)
        self._span.end()

    def end_at_exit(self) -> None:
        """The program leaves it unfinished: with it end the spans that are open in its body."""
        span = None if self._inside is None else self._inside.get(ours.OUR_KEY)
        while isinstance(span, ours.Span) and span is not self._span:
            span.end()
            span = span._parent
        self.end()


#: Of generators that have begun and not ended.
_open: weakref.WeakSet[_Steps] = weakref.WeakSet()


@functools.cache
def _end_them_at_exit() -> None:
    """Before the recorder, which is there already: when Python closes them there is nothing to record with."""
    atexit.register(_end_what_is_left)


def _end_what_is_left() -> None:
    for steps in list(_open):
        steps.end_at_exit()


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
