"""Values as people read them: a message's or a block's own words, calls of tools, the end of a conversation."""

from __future__ import annotations

import json
import re
from typing import Any

from agentops.redaction.operators import PUT_IN

__all__ = ["tail", "text_of", "unwrapped", "without_redactions"]

#: What a mask leaves, with the last characters that it shows, and what could not be redacted.
_MASKED = re.compile(r"\*{2,}(?:[\s().\-]*\*+)*[\s().\-]*\w{0,4}(?!\w)|<withheld: [^>]*>")

_JSON_MAX = 200_000
_LEVELS = 5


def unwrapped(value: Any) -> Any:
    """What a tool gave, without the message or content block around it, and with JSON in a text read."""
    for _ in range(_LEVELS):
        if isinstance(value, dict):
            if value.get("type") in ("tool_result", "text", "output_text", "function_call_output", "tool") or (
                value.get("role") in ("tool", "function") and "content" in value
            ):
                inner = next((value[key] for key in ("content", "text", "output") if key in value), value)
                if inner is value:
                    return value
                value = inner
                continue
            return value
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            if value[0].get("type") in ("tool_result", "text", "output_text") or value[0].get("role") == "tool":
                value = value[0]
                continue
            return value
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") and len(value) < _JSON_MAX:
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return value
            continue
        return value
    return value


def text_of(value: Any, most: int = 4_000) -> str:
    """A value as a text: a message's or a block's own words, JSON for the rest."""
    inner = unwrapped(value) if not isinstance(value, str) else value
    if isinstance(inner, str):
        return inner
    if isinstance(inner, dict) and isinstance(inner.get("content"), (str, list)) and not inner.get("tool_calls"):
        return text_of(inner["content"], most)
    if isinstance(inner, dict) and isinstance(inner.get("tool_calls"), list):
        return " ".join(filter(None, [text_of(inner.get("content") or "", most), _blocks(inner["tool_calls"], most)]))
    if isinstance(inner, list) and inner and all(isinstance(item, dict) and "type" in item for item in inner):
        return _blocks(inner, most)
    return _json(inner, most)


def _blocks(blocks: list[Any], most: int) -> str:
    """Blocks of content: their words, and calls of tools as `name(arguments)`."""
    parts: list[str] = []
    for block in blocks[-20:]:
        call = block.get("function") if isinstance(block, dict) else None
        if isinstance(call, dict) and "name" in call:
            parts.append(f"{call['name']}({call.get('arguments', '')})")
        elif isinstance(block, dict) and block.get("type") in ("tool_use", "function_call", "tool_call"):
            given = block.get("input", block.get("arguments", block.get("args", "")))
            parts.append(f"{block.get('name')}({given if isinstance(given, str) else _json(given, most)})")
        elif isinstance(block, dict) and isinstance(block.get("text"), str):
            parts.append(block["text"])
        else:
            parts.append(_json(block, most))
    return " ".join(parts)


def _json(value: Any, most: int) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)[:most]
    except (ValueError, RecursionError):  # a store from elsewhere may hold anything
        return "…"


def tail(value: Any, most: int) -> str:
    """The end of a value as a text; of a conversation, of its last message."""
    while isinstance(value, list) and value and isinstance(value[-1], dict) and "role" in value[-1]:
        value = value[-1]
    if isinstance(value, dict) and isinstance(value.get("messages"), list) and value["messages"]:
        return tail(value["messages"], most)
    text = " ".join(text_of(value).split())
    return text if len(text) <= most else "…" + text[1 - most :]


def without_redactions(text: str) -> str:
    """A text without what redaction put into it: many values look alike there, so none is known by it."""
    return _MASKED.sub(" ", PUT_IN.sub(" ", text)) if "<" in text or "**" in text else text
