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
    found: dict[str, Any] = _flattened(made) if flat else {}
    left_out = _SAID.union(_FLATTENED) if flat else _SAID
    parameters: dict[str, Any] = {}
    for key, value in made.items():
        if key in left_out:
            continue
        if key == c.REQUEST_MODEL:
            found["llm.request.model_name"] = value
            found.setdefault(c.OI_MODEL, value)
        elif key in _NAMES:
            found.update(dict.fromkeys(_NAMES[key], value))
        elif key.startswith(_REQUEST):
            parameters[key.removeprefix(_REQUEST)] = value
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


def _flattened(made: dict[str, Any]) -> dict[str, Any]:
    """Each part of the messages, and each tool, as attributes; what is neither stays as it is."""
    found: dict[str, Any] = {}
    asked = _read(made, c.INPUT_MESSAGES, list[_Message], found)
    system = _read(made, c.SYSTEM_INSTRUCTIONS, list[dict[str, Any]], found)
    if system:
        asked = [_Message("system", system), *asked]
    answered = _read(made, c.OUTPUT_MESSAGES, list[_Message], found)
    for which, messages in (("input", asked), ("output", answered)):
        for number, message in enumerate(messages):
            found.update(_message(f"llm.{which}_messages.{number}.message.", message))
    for number, tool in enumerate(_read(made, c.TOOL_DEFINITIONS, list[dict[str, Any]], found)):
        if tool.get("type") == "function":
            tool = {"type": "function", "function": {key: tool[key] for key in tool if key != "type"}}
        found[f"llm.tools.{number}.tool.json_schema"] = json_text(tool)
    return found


def _read(made: dict[str, Any], key: str, type: Any, found: dict[str, Any]) -> list[Any]:
    """The list that an attribute says in JSON; where the program has set something else, that goes to `found`."""
    if key not in made:
        return []
    try:
        return msgspec.json.decode(made[key], type=type)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, TypeError):
        found[key] = made[key]
        return []


def _message(at: str, message: _Message) -> Iterator[tuple[str, Any]]:
    yield at + "role", message.role
    calls = contents = 0
    shown = [part for part in message.parts if part.get("type") not in ("tool_call", "tool_call_response")]
    for part in message.parts:
        kind = part.get("type")
        if kind == "tool_call":
            call = f"{at}tool_calls.{calls}.tool_call."
            calls += 1
            if part.get("id") is not None:
                yield call + "id", str(part["id"])
            yield call + "function.name", str(part.get("name") or "")
            yield call + "function.arguments", _text(part.get("arguments"))
        elif kind == "tool_call_response":
            if part.get("id") is not None:
                yield at + "tool_call_id", str(part["id"])
            yield at + "content", _text(part.get("response"))
        elif kind == "text" and len(shown) == 1:
            yield at + "content", _text(part.get("content"))
        else:
            content = f"{at}contents.{contents}.message_content."
            contents += 1
            yield content + "type", "image" if part.get("modality") == "image" else str(kind)
            if part.get("modality") == "image":
                yield content + "image.image.url", _url(part)
            else:
                yield content + "text", _text(part["content"]) if "content" in part else json_text(part)


def _url(part: dict[str, Any]) -> str:
    if part.get("type") == "blob":
        return f"data:{_text(part.get('mime_type'))};base64,{_text(part.get('content'))}"
    return _text(part.get("uri") or part.get("file_id"))


def _text(value: Any) -> str:
    return value if type(value) is str else "" if value is None else json_text(value)


_FLATTENED = frozenset((c.INPUT_MESSAGES, c.OUTPUT_MESSAGES, c.SYSTEM_INSTRUCTIONS, c.TOOL_DEFINITIONS))
