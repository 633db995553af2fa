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
    citations: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Thinking:
    text: str
    signature: str = "c2lnbmVk"


@dataclass(frozen=True, slots=True)
class ToolUse:
    name: str
    input: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerToolUse:
    """A call of a tool that the provider runs itself; the block with its result names the same id."""

    name: str
    input: Mapping[str, Any] = field(default_factory=dict)
    id: str = "srvtoolu_1"


@dataclass(frozen=True, slots=True)
class Block:
    """Any other block, as the API's JSON has it: redacted thinking, results of the provider's tools."""

    json: Mapping[str, Any]


Part = Text | Thinking | ToolUse | ServerToolUse | Block


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the API bills them: `input_tokens` is without the cache.

    Args:
        cache_creation_input_tokens: all that was written to the prompt cache.
        cache_creation_1h_input_tokens: of it, what stays for an hour.
        thinking_tokens: of the output.
        service_tier: `standard`, `priority` or `batch`.
        speed: `standard` or `fast`; None where the request does not say it.
    """

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_creation_1h_input_tokens: int = 0
    thinking_tokens: int = 0
    web_search_requests: int = 0
    web_fetch_requests: int = 0
    service_tier: str = "standard"
    speed: str | None = None


@dataclass(frozen=True, slots=True)
class Break:
    """An answer that does not come whole, with status 200.

    Args:
        after: so many events of the stream are sent; of a plain answer nothing, if it is dropped.
        fault: sent as the stream's `error` event; None: it just ends.
        drop: the connection is closed instead of the stream being ended.
    """

    after: int
    fault: Fault | None = None
    drop: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A message of the model.

    Args:
        content: The blocks of the message, in order.
        stop_reason: None means `tool_use` if there is a tool call, else `end_turn`.
        usage: None means an estimate from the lengths of request and reply, and from the prompt cache.
        delay_s: How long the model thinks before the first byte.
        chunk_delay_s: How long it thinks before each piece of a stream.
        breaks: Where the answer breaks off, if it does.
    """

    content: tuple[Part, ...]
    stop_reason: str | None = None
    usage: Usage | None = None
    delay_s: float = 0.0
    chunk_delay_s: float = 0.0
    breaks: Break | None = None


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
