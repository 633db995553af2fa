"""What stands in the messages of models, whoever's they are: what was said, tools asked for, what came back of them.

Anthropic's content blocks, OpenAI's messages with `tool_calls` and its items of a response.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = [
    "BYTES",
    "DIGEST",
    "calls",
    "conversation",
    "identifier",
    "is_kept",
    "is_result",
    "results",
    "said",
    "with_bytes",
]

#: Ours, on a call: the bytes of a file in its messages, by the digest that stands there in their place.
BYTES = "agentops.bytes."
DIGEST = "sha256:"
#: What is kept of an answer beside its content, so that it can be made again.
_KEPT = ("anthropic.message", "anthropic.stream")

#: A request, its messages, one of them, its blocks, one of them, its content.
_LEVELS = 6
_CALL_TYPES = ("tool_use", "function_call", "tool_call")
_RESULT_TYPES = ("tool_result", "function_call_output")


def calls(value: Any, level: int = 0) -> Iterator[tuple[str, Any, str | None]]:
    """The calls of tools that a model asked for: name, arguments, and the id that the answer will name."""
    if level > _LEVELS:
        return
    if isinstance(value, list):
        for item in value[:100]:
            yield from calls(item, level + 1)
    elif isinstance(value, dict):
        function = value.get("function")
        call = function if isinstance(function, dict) else value if value.get("type") in _CALL_TYPES else None
        if call is None:
            for inner in value.values():
                if isinstance(inner, (dict, list)):
                    yield from calls(inner, level + 1)
        elif isinstance(name := call.get("name"), str):
            given = next((call[key] for key in ("input", "arguments", "args") if key in call), None)
            yield name, given, identifier(value, "id", "call_id")


def is_result(item: dict[str, Any]) -> bool:
    """Whether a message or block is what a tool gave."""
    return item.get("role") in ("tool", "function") or item.get("type") in _RESULT_TYPES


def results(value: Any) -> Iterator[dict[str, Any]]:
    """What tools gave, among messages."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            inner = item.get("content") or item.get("messages")
            if is_result(item):
                yield item
            elif isinstance(inner, list):
                yield from results(inner)


def identifier(item: dict[str, Any], *keys: str) -> str | None:
    """The first of these fields that is a text."""
    return next((item[key] for key in keys if isinstance(item.get(key), str)), None)


def conversation(value: Any) -> tuple[list[Any], bool] | None:
    """What is new to a model in messages it is given: those after its own last one, and whether it has said one.

    Returns:
        None if `value` is no list of messages.
    """
    if isinstance(value, dict):
        value = value.get("messages")
    if not isinstance(value, (list, tuple)) or not value:
        return None
    new: list[Any] = []
    for message in reversed(value):
        if not isinstance(message, dict) or not ("role" in message or "type" in message):
            return None
        if message.get("role") == "assistant" or message.get("type") in _CALL_TYPES:
            return new[::-1], True
        new.append(message)
    return new[::-1], False


def said(value: Any, level: int = 0) -> Iterator[str]:
    """The words in a message, in blocks of content, or in several; without what tools gave and were given."""
    if isinstance(value, str):
        yield value
    elif level > _LEVELS:
        return
    elif isinstance(value, list):
        for item in value[:100]:
            yield from said(item, level + 1)
    elif isinstance(value, dict) and not is_result(value) and value.get("type") not in _CALL_TYPES:
        for key in ("content", "text", "output", "message", "choices"):
            if key in value:
                yield from said(value[key], level + 1)


def is_kept(attribute: str) -> bool:
    """Whether an attribute is there to make a call again, and tells people nothing."""
    return attribute in _KEPT or attribute.startswith(BYTES)


def with_bytes(value: Any, attributes: Mapping[str, Any], level: int = 0) -> Any:
    """Messages as they were sent, from what is on record of them and the call's attributes."""
    if level > _LEVELS + 2:  # a file in what a tool gave is the deepest
        return value
    if isinstance(value, list):
        return [with_bytes(item, attributes, level + 1) for item in value]
    if not isinstance(value, dict):
        return value
    digest = value.get("data")
    if value.get("type") == "base64" and isinstance(digest, str) and digest.startswith(DIGEST):
        kept = attributes.get(BYTES + digest)
        if isinstance(kept, str):
            rest = {key: item for key, item in value.items() if key != "bytes"}
            return {**rest, "data": kept.partition(",")[2]}
    return {key: with_bytes(item, attributes, level + 1) for key, item in value.items()}
