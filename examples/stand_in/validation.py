"""Which requests the Messages API refuses, and with what words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .reply import Fault

MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"

_ROLES = ("user", "assistant", "system")


def check(path: str, headers: Mapping[str, str], body: Any) -> Fault | None:
    """The error that the API would answer with, or None for a sound request.

    Args:
        path: Without the query.
        headers: With lower-case names.
        body: The parsed JSON; None if there was none.
    """
    if path not in (MESSAGES, COUNT_TOKENS):
        return Fault(404, "not_found_error", f"no such endpoint: {path}")
    if not _has_key(headers):
        return Fault(401, "authentication_error", "x-api-key or authorization is required")
    problem = _body_problem(body, needs_max_tokens=path == MESSAGES)
    if problem is not None:
        return Fault(400, "invalid_request_error", problem)
    return None


def _has_key(headers: Mapping[str, str]) -> bool:
    bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
    return bool(headers.get("x-api-key") or bearer)


def _body_problem(body: Any, *, needs_max_tokens: bool) -> str | None:
    if not isinstance(body, dict):
        return "the request body is not a JSON object"
    if not isinstance(body.get("model"), str) or not body["model"]:
        return "model: a non-empty string is required"
    max_tokens = body.get("max_tokens")
    if needs_max_tokens and (type(max_tokens) is not int or max_tokens < 1):
        return "max_tokens: an integer of at least 1 is required"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages: at least one message is required"
    for at, message in enumerate(messages):
        problem = _message_problem(message)
        if problem is not None:
            return f"messages.{at}{problem}"
    if messages[0]["role"] == "assistant":
        return "messages.0.role: the first message cannot be the assistant's"
    return _pairing_problem(messages)


def _message_problem(message: Any) -> str | None:
    if not isinstance(message, dict):
        return ": an object is required"
    if message.get("role") not in _ROLES:
        return f".role: one of {', '.join(_ROLES)} is required"
    content = message.get("content")
    if isinstance(content, str) and content:
        return None
    if not isinstance(content, list) or not content:
        return ".content: a non-empty string or list of blocks is required"
    for at, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            return f".content.{at}.type: a string is required"
    return None


def _pairing_problem(messages: list[dict[str, Any]]) -> str | None:
    # Agents get this wrong more than anything else, and the API does not forgive
    # it: the message after a tool call must answer it, and nothing else.
    before: set[str] = set()
    for at, message in enumerate(messages):
        calls = _ids(message, "tool_use", "id")
        results = _ids(message, "tool_result", "tool_use_id")
        if unanswered := before - results:
            return f"messages.{at}: no tool_result for {', '.join(sorted(unanswered))}"
        if unasked := results - before:
            return f"messages.{at}: no tool_use before {', '.join(sorted(unasked))}"
        before = calls
    if before:
        return f"messages: no tool_result for {', '.join(sorted(before))}"
    return None


def _ids(message: dict[str, Any], block_type: str, key: str) -> set[str]:
    content = message["content"]
    if isinstance(content, str):
        return set()
    return {str(block.get(key)) for block in content if block["type"] == block_type}
