"""Reads a request's conversation the way a script wants to see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A tool call of the conversation with what came back."""

    name: str
    input: dict[str, Any]
    result: str
    ok: bool


def first_text(body: dict[str, Any]) -> str:
    """The first thing that the user said."""
    content = body["messages"][0]["content"]
    return content if isinstance(content, str) else str(content[0].get("text", ""))


def last_text(body: dict[str, Any]) -> str:
    """All text of the last message."""
    return _text(body["messages"][-1]["content"])


def offered_tools(body: dict[str, Any]) -> frozenset[str]:
    """The names of the tools that the model may call now."""
    if (body.get("tool_choice") or {}).get("type") == "none":
        return frozenset()
    return frozenset(str(tool["name"]) for tool in body.get("tools") or ())


def tool_runs(body: dict[str, Any]) -> list[ToolRun]:
    """The tool calls so far, oldest first."""
    blocks = [
        block for message in body["messages"] if not isinstance(message["content"], str) for block in message["content"]
    ]
    results = {block["tool_use_id"]: block for block in blocks if block["type"] == "tool_result"}
    return [
        ToolRun(
            name=block["name"],
            input=block["input"],
            result=_text(results[block["id"]].get("content") or ""),
            ok=not results[block["id"]].get("is_error"),
        )
        for block in blocks
        if block["type"] == "tool_use"
    ]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content if block["type"] == "text")
