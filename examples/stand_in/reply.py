"""What a script answers: values only, nothing about HTTP or JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in; `headers` have lower-case names."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    """The parsed JSON object; empty if the body was not one."""


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    name: str
    input: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the API bills them: `input_tokens` is without the cache."""

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """A message of the model.

    Args:
        content: The blocks of the message, in order.
        stop_reason: None means `tool_use` if there is a tool call, else `end_turn`.
        usage: None means an estimate from the lengths of request and reply.
        delay_s: How long the model thinks before the first byte.
        chunk_delay_s: How long it thinks before each piece of a stream.
    """

    content: tuple[Text | ToolUse, ...]
    stop_reason: str | None = None
    usage: Usage | None = None
    delay_s: float = 0.0
    chunk_delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """An error answer, in the API's error format."""

    status: int
    type: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


Script = Callable[[Request], Reply | Fault]
"""The behaviour of the model: a request in, an answer out."""


def overloaded(retry_after_s: float = 1) -> Fault:
    """The answer of a provider that has too much to do."""
    return Fault(
        status=529,
        type="overloaded_error",
        message="Overloaded",
        headers={"retry-after": f"{retry_after_s:g}"},
    )
