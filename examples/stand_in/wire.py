"""The Messages API on the wire: message objects, server-sent events, errors."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

from . import prompt
from .reply import Block, Fault, Part, Reply, ServerToolUse, Text, Thinking, ToolUse, Usage

Json = dict[str, Any]
Event = tuple[str, Json]

_WORDS_PER_TEXT_DELTA = 3
_CHARS_PER_JSON_DELTA = 16
#: Of the usage: what is told in both events of a stream, and what only the last one knows.
_TOTALS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_AT_THE_END = ("output_tokens", "output_tokens_details", "server_tool_use")


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def message(reply: Reply, request: Json, usage: Usage) -> Json:
    """The whole answer to a request that does not stream."""
    calls_a_tool = any(isinstance(part, ToolUse) for part in reply.content)
    return {
        "id": new_id("msg"),
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [_block(part) for part in reply.content],
        "stop_reason": reply.stop_reason or ("tool_use" if calls_a_tool else "end_turn"),
        "stop_sequence": None,
        "usage": _usage(usage),
    }


def _usage(usage: Usage) -> Json:
    searches, fetches = usage.web_search_requests, usage.web_fetch_requests
    told: Json = {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_creation_input_tokens,
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_creation_input_tokens - usage.cache_creation_1h_input_tokens,
            "ephemeral_1h_input_tokens": usage.cache_creation_1h_input_tokens,
        },
        "output_tokens": usage.output_tokens,
        "service_tier": usage.service_tier,
        "inference_geo": "not_available",
    }
    if usage.thinking_tokens:
        told["output_tokens_details"] = {"thinking_tokens": usage.thinking_tokens}
    if searches or fetches:
        told["server_tool_use"] = {"web_search_requests": searches, "web_fetch_requests": fetches}
    if usage.speed is not None:
        told["speed"] = usage.speed
    return told


def events(whole: Json) -> Iterator[Event]:
    """The same answer as the events of a stream."""
    # Like the API: the counts of the input come first, with a placeholder for the
    # output; the last event repeats the totals (not differences), and has fewer
    # fields: which lifetimes were written stands in the first one alone.
    counts = whole["usage"]
    opening = {
        **whole,
        "content": [],
        "stop_reason": None,
        "usage": {name: counts[name] for name in counts if name not in _AT_THE_END} | {"output_tokens": 1},
    }
    yield _event("message_start", message=opening)
    yield _event("ping")
    for index, block in enumerate(whole["content"]):
        yield from _block_events(index, block)
    yield _event(
        "message_delta",
        delta={"stop_reason": whole["stop_reason"], "stop_sequence": None},
        usage={name: counts[name] for name in counts if name in (*_TOTALS, *_AT_THE_END)},
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
    return prompt.tokens(sum(block.characters for block in prompt.blocks(request)))


def output_tokens(parts: tuple[Part, ...]) -> int:
    """An estimate from the lengths of what the model says."""
    return sum(prompt.tokens(len(_said(part))) for part in parts)


def _said(part: Part) -> str:
    if isinstance(part, (Text, Thinking)):
        return part.text
    if isinstance(part, Block):
        return json.dumps(dict(part.json))
    return part.name + json.dumps(part.input)


def _block(part: Part) -> Json:
    if isinstance(part, Text):
        cited: Json = {"citations": [dict(citation) for citation in part.citations]} if part.citations else {}
        return {"type": "text", "text": part.text, **cited}
    if isinstance(part, Thinking):
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    if isinstance(part, Block):
        return dict(part.json)
    if isinstance(part, ServerToolUse):
        return {"type": "server_tool_use", "id": part.id, "name": part.name, "input": dict(part.input)}
    return {"type": "tool_use", "id": new_id("toolu"), "name": part.name, "input": dict(part.input)}


def _event(name: str, **data: Any) -> Event:
    return name, {"type": name, **data}


def _block_events(index: int, block: Json) -> Iterator[Event]:
    # A block starts empty, and its content follows in pieces; of a type without
    # pieces, it starts whole.
    start, deltas = _taken_apart(block)
    yield _event("content_block_start", index=index, content_block=start)
    for delta in deltas:
        yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _taken_apart(block: Json) -> tuple[Json, list[Json]]:
    if block["type"] == "text":
        start = {**block, "text": ""}
        cited = start.pop("citations", [])
        if cited:
            start["citations"] = []
        pieces = [{"type": "text_delta", "text": piece} for piece in _words(block["text"])]
        return start, pieces + [{"type": "citations_delta", "citation": citation} for citation in cited]
    if block["type"] == "thinking":
        pieces = [{"type": "thinking_delta", "thinking": piece} for piece in _words(block["thinking"])]
        signed = {"type": "signature_delta", "signature": block["signature"]}
        return {**block, "thinking": "", "signature": ""}, [*pieces, signed]
    if block["type"] in ("tool_use", "server_tool_use"):
        text = json.dumps(block["input"])
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in _pieces(text)]
    return block, []


def _words(text: str) -> list[str]:
    # Joined again, the pieces must be the text, white space and all.
    return re.findall(rf"(?:\s*\S+){{1,{_WORDS_PER_TEXT_DELTA}}}|\s+$", text)


def _pieces(text: str) -> list[str]:
    step = _CHARS_PER_JSON_DELTA
    return [text[at : at + step] for at in range(0, len(text), step)]
