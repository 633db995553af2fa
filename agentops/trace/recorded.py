"""`record(function)`: for a function that calls a model in a way that there is no integration for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

import msgspec
from opentelemetry.trace import StatusCode

from agentops import conventions
from agentops.calls import PARAMETERS, Answer, Pieces, answer_of, asked_of
from agentops.errors import UsageError
from agentops.recorder.plain import simple
from agentops.safety import failed
from agentops.trace import span as ours
from agentops.trace.client import ClientSpan
from agentops.trace.decorator import decorate
from agentops.trace.yielded import Yielded

__all__ = ["record"]

P = ParamSpec("P")
R = TypeVar("R")

_REQUEST = "agentops.request."
_QUESTIONS = ("messages", "input", "prompt")
_TEXT_MAX = 16 << 20


def record(function: Callable[P, R]) -> Callable[P, R]:
    """Record each call of a function as a call of a model, a span of the kind `llm`.

    Arguments become the request: `messages` (else `input` or `prompt`) the input, `model`, `temperature` and the like
    what the conventions call them. Of the result, where it has the form of OpenAI's or Anthropic's answers or is a dict
    with some of their fields, the message is the output, and usage, model, id and why the model stopped are recorded
    too. A generator is one span from its first item to its last, its events put together to the answer.

    Args:
        function: sync or async, a method, or a generator function; also as a decorator, `@record`.

    Returns:
        A function like it.

    Raises:
        UsageError: `function` is none.
    """
    given: Any = function
    if not callable(given) and not isinstance(given, (staticmethod, classmethod)):
        raise UsageError(f"record() takes a function that calls a model, not {type(given).__name__}")
    name = getattr(function, "__name__", None) or type(function).__name__
    description = _Recorded(str(name), kind="llm")
    description._defaults = _defaults(getattr(given, "__func__", given))
    return decorate(description, function)


def _defaults(function: Any) -> dict[str, Any]:
    """What is asked where a call does not say it."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins have none
        return {}
    return {one.name: one.default for one in parameters if one.name in PARAMETERS and one.default is not one.empty}


class _Said:
    """What a generator yields of a model's answer: put together where it is one, else the items."""

    def __init__(self) -> None:
        self._pieces = Pieces()
        self._yielded = Yielded()
        self._texts: list[str] | None = []
        self._size = 0
        self._last: Mapping[str, Any] | None = None

    def add(self, item: object) -> None:
        """One more item."""
        if isinstance(item, str) and self._texts is not None:
            self._size += len(item)
            self._texts.append(item)
        else:
            event = _as_mapping(item)
            if event is None:
                self._size = _TEXT_MAX + 1
            else:
                self._pieces.add(event)
                if any(key in event for key in ("usage", "eval_count")) and self._pieces.empty:
                    self._last = event
        if self._size > _TEXT_MAX:
            self._texts = None
        self._yielded.add(item)

    def output(self, returned: object) -> Any:
        """What is recorded as the output, with what is told of usage."""
        end = self._last if returned is None else _as_mapping(returned)
        if not self._pieces.empty:
            found = self._pieces.answer()
        elif self._texts:
            found = Answer("".join(self._texts), {})
        else:
            found = Answer(self._yielded.output(returned), {})
        if end is not None:
            found.facts.update(answer_of(end).facts)
        return found


class _Recorded(ClientSpan):
    """The span of one call."""

    _yields = _Said
    _defaults: Mapping[str, Any] = MappingProxyType({})

    def _again(self) -> _Recorded:
        new: Any = super()._again()
        new.__class__ = _Recorded
        new._defaults = self._defaults
        return new  # type: ignore[no-any-return]

    def __enter__(self) -> _Recorded:
        try:
            self._ask()
        except Exception as problem:  # noqa: BLE001 - arguments may be anything
            failed("recording a request", problem)
        super().__enter__()
        return self

    def _ask(self) -> None:
        given = self._input
        if not isinstance(given, Mapping):
            given = {}
        if len(given) == 1 and "messages" in (only := _as_mapping(next(iter(given.values()))) or {}):
            given = only  # the whole request in one argument
        given = {**self._defaults, **given}
        model = given.get("model")
        if isinstance(model, str):
            self.name = f"chat {model}"
        question = next((given[key] for key in _QUESTIONS if given.get(key) is not None), None)
        if question is not None:
            self._input = question
        self.set_attributes(asked_of(given, None if question is None else _REQUEST))

    @property
    def output(self) -> Any:
        return self._output

    @output.setter
    def output(self, value: Any) -> None:
        answer = value if isinstance(value, Answer) else None
        try:
            if answer is None and (read := _as_mapping(value)) is not None:
                answer = answer_of(read)
            if answer is not None:
                self.set_attributes(answer.facts)
                value = answer.output
                if answer.error is not None and not self._error:
                    self.set_status(StatusCode.ERROR, str(answer.error.get("message") or "the model's API says error"))
                    self.set_attribute(conventions.ERROR_TYPE, str(answer.error.get("type") or "error"))
        except Exception as problem:  # noqa: BLE001
            failed("recording an answer", problem)
        ours.Span.output.fset(self, value)  # type: ignore[attr-defined]


def _as_mapping(value: object) -> Mapping[str, Any] | None:
    """A value that has fields, as plain data; None for a text, a list and the like."""
    if isinstance(value, Mapping):
        return value
    kind = type(value)
    if value is None or isinstance(value, (str, bytes, int, float, list, tuple, set)):
        return None
    if not hasattr(kind, "model_dump") and not hasattr(kind, "__dataclass_fields__"):
        return None
    to_dict = getattr(value, "to_dict", None) if hasattr(kind, "model_dump") else None
    # OpenAI's and Anthropic's classes give by it what came over the wire.
    found = to_dict() if callable(to_dict) else msgspec.to_builtins(value, enc_hook=simple)
    return found if isinstance(found, Mapping) else None
