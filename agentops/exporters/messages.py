"""Conversations in the parts of OpenTelemetry's GenAI conventions, whichever API they were recorded from.

Known are the blocks of Anthropic's Messages API, the messages of OpenAI's Chat Completions and Responses APIs,
Gemini's parts, the conventions' own parts, and plain text. A block that is none of these goes on as it is: the
conventions allow parts of any type.
Schemas: https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-*-messages.json.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from agentops.calls import FINISH_REASONS
from agentops.exporters.plain import json_text

__all__ = ["answered", "asked", "decoded", "finish_reason", "instructions", "is_conversation", "tool_definitions"]

Part = dict[str, Any]
Message = dict[str, Any]

#: The conventions' own names of parts, where they might be taken for OpenAI's of items.
_PARTS = ("tool_call", "server_tool_call")
_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "developer": "system", "function": "tool"}


def is_conversation(value: Any) -> bool:
    """Whether `value` is messages, or a text that could be one."""
    return type(value) is str or _messages(value) is not None


def asked(value: Any) -> list[Message]:
    """What a model was given, as input messages."""
    found = _messages(value)
    if found is None:
        return [{"role": "user", "parts": _parts(value)}]
    return [made for message in found for made in _message(message, "user")]


def answered(value: Any, reason: str | None = None, failed: bool = False) -> list[Message]:
    """What a model gave back, as output messages.

    Args:
        value: a text, blocks, a message, messages, or choices.
        reason: why it stopped, where that is on record beside the answer.
        failed: the call ended with an error.
    """
    found = _messages(value)
    if found is None:
        found = [value if _is_message(value) else {"role": "assistant", "content": value}]
    made: list[Message] = []
    for given in found:
        for message in _message(given, "assistant"):
            said = given.get("finish_reason") or given.get("stop_reason") or reason
            if not isinstance(said, str) or not said:
                calls = any(part.get("type") == "tool_call" for part in message["parts"])
                said = "error" if failed else "tool_call" if calls else "stop"
            message["finish_reason"] = finish_reason(said)
            made.append(message)
    return made


def finish_reason(said: Any) -> str:
    """Why a model stopped, in OpenTelemetry's words; any other word stays."""
    return FINISH_REASONS.get(said, said) if type(said) is str else json_text(said)


def instructions(value: Any) -> list[Part]:
    """A system prompt, as parts."""
    parts = decoded(value)
    return _parts(parts if type(parts) is list and all(type(p) is dict and "type" in p for p in parts) else value)


def tool_definitions(value: Any) -> list[dict[str, Any]] | None:
    """The tools that a model was offered; None if `value` is no list of them."""
    value = decoded(value)
    if type(value) is not list or not all(type(tool) is dict for tool in value):
        return None
    return [_tool(tool) for tool in value]


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    inner = tool.get("function")
    if type(inner) is dict:  # OpenAI's
        return {"type": "function", **inner}
    if "input_schema" in tool:  # Anthropic's
        rest = {key: value for key, value in tool.items() if key not in ("input_schema", "type")}
        return {"type": "function", **rest, "parameters": tool["input_schema"]}
    return tool if "type" in tool else {"type": "function", **tool}


def decoded(value: Any) -> Any:
    """What JSON in an attribute says, where it is of a list or an object; else the value itself."""
    if type(value) is str and value[:1] in ("[", "{"):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            pass
    return value


def _is_message(value: Any) -> bool:
    return type(value) is dict and type(value.get("role")) is str


def _messages(value: Any) -> list[dict[str, Any]] | None:
    """The messages in `value`; None if it is none: a text, blocks, any other value."""
    if type(value) is dict:
        for key in ("messages", "choices", "candidates", "contents"):
            inner = value.get(key)
            if type(inner) is list and inner:
                if key in ("choices", "candidates"):
                    return _choices(inner)
                return _messages(inner)
        return [value] if _is_message(value) else None
    if type(value) is list and value and all(map(_is_item, value)):
        return value
    return None


def _choices(choices: list[Any]) -> list[dict[str, Any]] | None:
    found = []
    for choice in choices:
        if type(choice) is not dict:
            return None
        message = choice.get("message") or choice.get("content")
        if type(message) is not dict:
            return None
        reason = choice.get("finish_reason") or choice.get("finishReason")
        found.append({"role": "assistant", **message, "finish_reason": reason})
    return found


def _item(value: dict[str, Any]) -> Callable[[Part], Part] | None:
    """What makes a part of a thing that stands among messages and is none."""
    kind = value.get("type")
    if type(kind) is not str or "role" in value:
        return None
    if kind == "reasoning" and type(value.get("summary")) is not list:
        return None  # the conventions' own part
    return _ITEMS.get(kind) or (_call_of_server if kind.endswith("_call") and kind not in _PARTS else None)


def _is_item(value: Any) -> bool:
    return _is_message(value) or (type(value) is dict and _item(value) is not None)


def _message(message: dict[str, Any], role: str) -> list[Message]:
    """A message in parts; a tool's answers, which Anthropic has among the user's words, are messages of their own."""
    make = _item(message)
    if make is not None:
        part = make(message)
        return [{"role": "tool" if part["type"] == "tool_call_response" else "assistant", "parts": [part]}]
    given = message.get("role")
    role = _ROLES.get(given, given) if type(given) is str else role
    known: Message = {"role": role}
    if type(message.get("name")) is str:
        known["name"] = message["name"]
    parts = _parts(message["parts"] if "parts" in message else message.get("content"))
    calls = message.get("tool_calls")
    if type(calls) is list:
        parts += [_call_of_openai(call) for call in calls if type(call) is dict]
    if role == "tool" and not any(part.get("type") == "tool_call_response" for part in parts):
        response = message.get("content", message.get("parts"))
        return [{**known, "parts": [_response(message.get("tool_call_id"), response)]}]
    answers = [part for part in parts if part.get("type") == "tool_call_response"]
    if not answers or len(parts) == 1:
        return [{**known, "role": "tool", "parts": parts} if answers and role == "user" else {**known, "parts": parts}]
    # Of several in one message Phoenix shows the last.
    made: list[Message] = [{"role": "tool", "parts": [answer]} for answer in answers]
    rest = [part for part in parts if part.get("type") != "tool_call_response"]
    return [*made, {**known, "parts": rest}] if rest else made


def _parts(content: Any) -> list[Part]:
    if content is None:
        return []
    if type(content) is str:
        return [{"type": "text", "content": content}]
    if type(content) is list and all(type(block) is dict or type(block) is str for block in content):
        return [_part(block) for block in content]
    if type(content) is dict and ("type" in content or "text" in content):
        return [_part(content)]
    return [{"type": "text", "content": json_text(content)}]


def _part(block: Any) -> Part:
    if type(block) is str:
        return {"type": "text", "content": block}
    kind = block.get("type")
    if type(kind) is str:
        make = _BLOCKS.get(kind)
        if make is not None:
            return make(block)
        if kind.endswith("_tool_result"):
            answer = {"type": kind.removesuffix("_tool_result"), "content": block.get("content")}
            return {
                "type": "server_tool_call_response",
                "id": _id(block.get("tool_use_id")),
                "server_tool_call_response": answer,
            }
        return block  # type: ignore[no-any-return]
    if type(block.get("text")) is str:  # Gemini's
        return {"type": "text", "content": block["text"]}
    return {"type": "text", "content": json_text(block)}


def _text(block: Part) -> Part:
    if "content" in block:
        return block
    said = block.get("text", "")
    return {"type": "text", "content": said if type(said) is str else json_text(said)}


def _id(value: Any) -> str | None:
    return value if value is None or type(value) is str else json_text(value)


def _call(id: Any, name: Any, arguments: Any) -> Part:
    return {"type": "tool_call", "id": _id(id), "name": name if type(name) is str else "", "arguments": arguments}


def _call_of_openai(call: dict[str, Any]) -> Part:
    inner = call.get("function")
    inner = inner if type(inner) is dict else call
    return _call(call.get("id"), inner.get("name"), decoded(inner.get("arguments")))


def _response(id: Any, response: Any) -> Part:
    return {"type": "tool_call_response", "id": _id(id), "response": response}


def _call_of_server(item: Part) -> Part:
    """An item of OpenAI's Responses API for a tool that the provider runs, such as `web_search_call`."""
    kind = item["type"]
    call = {key: value for key, value in item.items() if key not in ("id", "type")}
    name = kind.removesuffix("_call")
    return {
        "type": "server_tool_call",
        "id": _id(item.get("id")),
        "name": name,
        "server_tool_call": {**call, "type": name},
    }


def _thoughts(item: Part) -> Part:
    said = [part.get("text") for part in item["summary"] if type(part) is dict]
    return {"type": "reasoning", "content": "\n\n".join(text for text in said if type(text) is str)}


def _server_call(block: Part) -> Part:
    name = block.get("name")
    name = name if type(name) is str else ""
    call = {"type": name, "arguments": block.get("input")}
    return {"type": "server_tool_call", "id": _id(block.get("id")), "name": name, "server_tool_call": call}


def _medium(modality: str) -> Callable[[Part], Part]:
    def make(block: Part) -> Part:
        source = block.get("source")
        if type(source) is not dict:
            return block
        kind, mime = source.get("type"), source.get("media_type")
        if kind == "base64":
            return {"type": "blob", "modality": modality, "mime_type": mime, "content": source.get("data")}
        if kind == "url":
            return {"type": "uri", "modality": modality, "uri": source.get("url")}
        if kind == "file":
            return {"type": "file", "modality": modality, "file_id": source.get("file_id")}
        if kind == "text":
            return {"type": "text", "content": source.get("data")}
        return block

    return make


def _image_of_openai(block: Part) -> Part:
    inner = block.get("image_url")
    url = inner.get("url") if type(inner) is dict else inner
    if type(url) is not str:
        return block
    head, comma, data = url.partition(";base64,")
    if comma and head.startswith("data:"):
        return {"type": "blob", "modality": "image", "mime_type": head[5:], "content": data}
    return {"type": "uri", "modality": "image", "uri": url}


_BLOCKS: dict[str, Callable[[Part], Part]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "thinking": lambda b: {"type": "reasoning", "content": b.get("thinking", "")},
    "tool_use": lambda b: _call(b.get("id"), b.get("name"), b.get("input")),
    "tool_result": lambda b: {
        **_response(b.get("tool_use_id"), b.get("content")),
        **({"is_error": True} if b.get("is_error") is True else {}),
    },
    "server_tool_use": _server_call,
    "mcp_tool_use": _server_call,
    "image": _medium("image"),
    "document": _medium("document"),
    "image_url": _image_of_openai,
    "input_image": _image_of_openai,
}
#: What stands among the messages of OpenAI's Responses API without a role.
_ITEMS: dict[str, Callable[[Part], Part]] = {
    "function_call": lambda b: _call(b.get("call_id") or b.get("id"), b.get("name"), decoded(b.get("arguments"))),
    "function_call_output": lambda b: _response(b.get("call_id"), b.get("output")),
    "reasoning": _thoughts,
}
