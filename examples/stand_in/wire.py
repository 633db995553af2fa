"""The Messages API on the wire: message objects, server-sent events, errors."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from .reply import Fault, Reply, Text, ToolUse, Usage

Json = dict[str, Any]
Event = tuple[str, Json]

_CHARS_PER_TOKEN = 4
_WORDS_PER_TEXT_DELTA = 3
_CHARS_PER_JSON_DELTA = 16


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def message(reply: Reply, request: Json) -> Json:
    """The whole answer to a request that does not stream."""
    calls_a_tool = any(isinstance(part, ToolUse) for part in reply.content)
    usage = reply.usage or Usage(input_tokens(request), _output_tokens(reply))
    return {
        "id": new_id("msg"),
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [_block(part) for part in reply.content],
        "stop_reason": reply.stop_reason or ("tool_use" if calls_a_tool else "end_turn"),
        "stop_sequence": None,
        "usage": asdict(usage),
    }


def events(whole: Json) -> Iterator[Event]:
    """The same answer as the events of a stream."""
    # Like the API: the counts of the input come first, with a placeholder for the
    # output; the last event repeats them with the true total (not a difference).
    opening = {
        **whole,
        "content": [],
        "stop_reason": None,
        "usage": {**whole["usage"], "output_tokens": 1},
    }
    yield _event("message_start", message=opening)
    yield _event("ping")
    for index, block in enumerate(whole["content"]):
        yield from _block_events(index, block)
    yield _event(
        "message_delta",
        delta={"stop_reason": whole["stop_reason"], "stop_sequence": None},
        usage=whole["usage"],
    )
    yield _event("message_stop")


def encode(event: Event) -> bytes:
    """One server-sent event; the clients need both of its lines."""
    name, data = event
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def error(fault: Fault, request_id: str) -> Json:
    return {
        "type": "error",
        "error": {"type": fault.type, "message": fault.message},
        "request_id": request_id,
    }


def input_tokens(request: Json) -> int:
    """An estimate that depends on nothing but what the model would read."""
    read = [request.get(key) for key in ("system", "tools", "messages")]
    return _tokens(json.dumps(read, ensure_ascii=False, separators=(",", ":")))


def _output_tokens(reply: Reply) -> int:
    return sum(
        _tokens(part.text) if isinstance(part, Text) else _tokens(part.name + json.dumps(part.input))
        for part in reply.content
    )


def _tokens(text: str) -> int:
    return max(1, round(len(text) / _CHARS_PER_TOKEN))


def _block(part: Text | ToolUse) -> Json:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    return {
        "type": "tool_use",
        "id": new_id("toolu"),
        "name": part.name,
        "input": dict(part.input),
    }


def _event(name: str, **data: Any) -> Event:
    return name, {"type": name, **data}


def _block_events(index: int, block: Json) -> Iterator[Event]:
    # A block starts empty, and its content follows in pieces.
    if block["type"] == "text":
        start = {**block, "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in _words(block["text"])]
    else:
        start = {**block, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in _pieces(json.dumps(block["input"]))]
    yield _event("content_block_start", index=index, content_block=start)
    for delta in deltas:
        yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _words(text: str) -> list[str]:
    # Joined again, the pieces must be the text, white space and all.
    return re.findall(rf"(?:\s*\S+){{1,{_WORDS_PER_TEXT_DELTA}}}|\s+$", text)


def _pieces(text: str) -> list[str]:
    step = _CHARS_PER_JSON_DELTA
    return [text[at : at + step] for at in range(0, len(text), step)]
