"""OpenInference's names for what stands in OpenTelemetry's: for backends that read nothing else.

Names: https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from agentops import conventions as c
from agentops.exporters.plain import json_text, text

__all__ = ["renamed", "with_documents"]

_NAMES = {
    c.RESPONSE_MODEL: ("llm.response.model_name", c.OI_MODEL),
    c.PROVIDER_NAME: ("llm.provider", "llm.system"),
    c.INPUT_TOKENS: (c.OI_INPUT_TOKENS,),
    c.OUTPUT_TOKENS: (c.OI_OUTPUT_TOKENS,),
    c.CACHE_READ_TOKENS: ("llm.token_count.prompt_details.cache_read",),
    c.CACHE_WRITE_TOKENS: ("llm.token_count.prompt_details.cache_write",),
    c.REASONING_TOKENS: ("llm.token_count.completion_details.reasoning",),
    c.TOOL_NAME: ("tool.name",),
    "gen_ai.tool.description": ("tool.description",),
    "gen_ai.tool.call.id": ("tool.id",),
    c.AGENT_NAME: ("agent.name",),
}
#: What input.value, output.value, session.id and the kind say already.
_SAID = frozenset(
    (
        c.OPERATION_NAME, c.CONVERSATION_ID, c.CACHE_CREATION_TOKENS, c.TOOL_ARGUMENTS, c.TOOL_RESULT,
        "gen_ai.retrieval.query.text", "gen_ai.retrieval.documents", "gen_ai.usage.cost", "operation.cost",
    )
)  # fmt: skip
_REQUEST = "gen_ai.request."


def renamed(made: dict[str, Any], flat: bool) -> dict[str, Any]:
    """The attributes `made` in OpenInference's names; those that it has no name for stay.

    Args:
        made: the attributes.
        flat: each part of a message, and each tool, becomes an attribute.
    """
    found: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    for key, value in made.items():
        if key in _SAID:
            continue
        if key == c.REQUEST_MODEL:
            found["llm.request.model_name"] = value
            found.setdefault(c.OI_MODEL, value)
        elif key in _NAMES:
            found.update(dict.fromkeys(_NAMES[key], value))
        elif key.startswith(_REQUEST):
            parameters[key.removeprefix(_REQUEST)] = value
        elif flat and key in _FLAT:
            try:
                found.update(_FLAT[key](value))
            except (msgspec.DecodeError, TypeError):  # the program has set something else there
                found[key] = value
        elif key == c.FINISH_REASONS and type(value) is list and value:
            found["llm.finish_reason"] = value[0]
        else:
            found[key] = value
    if parameters:
        found["llm.invocation_parameters"] = json_text(parameters)
    asked, answered = found.get(c.OI_INPUT_TOKENS), found.get(c.OI_OUTPUT_TOKENS)
    if isinstance(asked, int) and isinstance(answered, int):
        found["llm.token_count.total"] = asked + answered
    return found


def with_documents(made: dict[str, Any], output: Any) -> None:
    """Add what a retrieval found, document by document: that is how Phoenix shows them."""
    if type(output) is not list:
        return
    for number, document in enumerate(output):
        prefix = f"retrieval.documents.{number}.document."
        if type(document) is str:
            made[prefix + "content"] = text(document)
        elif type(document) is dict:
            for key, names in _DOCUMENT.items():
                value = next((document[name] for name in names if document.get(name) is not None), None)
                if value is None:
                    continue
                if key == "score":
                    if isinstance(value, (int, float)):
                        made[prefix + key] = float(value)
                else:
                    made[prefix + key] = text(value) if type(value) is str else json_text(value)


_DOCUMENT = {
    "content": ("content", "text", "page_content"),
    "id": ("id",),
    "score": ("score",),
    "metadata": ("metadata",),
}


class _Message(msgspec.Struct):
    role: str
    parts: list[dict[str, Any]]


_decode = msgspec.json.Decoder(list[_Message]).decode


def _messages(prefix: str, value: str) -> Iterator[tuple[str, Any]]:
    for number, message in enumerate(_decode(value)):
        at = f"{prefix}.{number}.message."
        yield at + "role", message.role
        calls = contents = 0
        for part in message.parts:
            kind = part.get("type")
            if kind == "tool_call":
                call = f"{at}tool_calls.{calls}.tool_call."
                calls += 1
                if part.get("id") is not None:
                    yield call + "id", str(part["id"])
                yield call + "function.name", part.get("name") or ""
                yield call + "function.arguments", _text(part.get("arguments"))
            elif kind == "tool_call_response":
                if part.get("id") is not None:
                    yield at + "tool_call_id", str(part["id"])
                yield at + "content", _text(part.get("response"))
            elif kind == "text" and len(message.parts) == 1:
                yield at + "content", _text(part.get("content"))
            else:
                content = f"{at}contents.{contents}.message_content."
                contents += 1
                yield content + "type", "text" if kind == "text" else str(kind)
                yield content + "text", _text(part.get("content")) if "content" in part else json_text(part)


def _text(value: Any) -> str:
    return value if type(value) is str else "" if value is None else json_text(value)


def _asked(value: str) -> dict[str, Any]:
    return dict(_messages("llm.input_messages", value))


def _answered(value: str) -> dict[str, Any]:
    return dict(_messages("llm.output_messages", value))


def _tools(value: str) -> dict[str, Any]:
    tools = msgspec.json.decode(value, type=list[dict[str, Any]])
    return {f"llm.tools.{n}.tool.json_schema": json_text(tool) for n, tool in enumerate(tools)}


_FLAT = {c.INPUT_MESSAGES: _asked, c.OUTPUT_MESSAGES: _answered, c.TOOL_DEFINITIONS: _tools}
