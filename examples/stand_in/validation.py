"""Which requests the Messages API refuses, and with what words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import batches, prompt
from .prefix_cache import BREAKPOINTS_MAX, LIFETIMES_S
from .reply import Fault

MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"
BATCHES = "/v1/messages/batches"

_ROLES = ("user", "assistant", "system")


def check(path: str, headers: Mapping[str, str], body: Any) -> Fault | None:
    """The error that the API would answer with, or None for a sound request.

    Args:
        path: Without the query.
        headers: With lower-case names.
        body: The parsed JSON; None if there was none.
    """
    if path not in (MESSAGES, COUNT_TOKENS, BATCHES):
        return Fault(404, "not_found_error", f"no such endpoint: {path}")
    if not has_key(headers):
        return Fault(401, "authentication_error", "x-api-key or authorization is required")
    if path == BATCHES:
        problem = batches.problem(body)
    else:
        problem = _body_problem(body, needs_max_tokens=path == MESSAGES)
    if problem is not None:
        return Fault(400, "invalid_request_error", problem)
    return None


def has_key(headers: Mapping[str, str]) -> bool:
    """Whether the request says whose it is."""
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
    thread = body.get("thread")
    goes_on = isinstance(thread, dict) and thread.get("type") == "continue"
    return _pairing_problem(messages, goes_on) or _breakpoint_problem(body)


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


def _breakpoint_problem(body: dict[str, Any]) -> str | None:
    """What is wrong with the breakpoints for the prompt cache."""
    marks = [body.get("cache_control"), *(block.get("cache_control") for block in _blocks(body))]
    for mark in marks:
        if mark is None:
            continue
        if not isinstance(mark, dict) or mark.get("type") != "ephemeral":
            return "cache_control.type: only `ephemeral` is known"
        if mark.get("ttl", "5m") not in LIFETIMES_S:
            return "cache_control.ttl: `5m` or `1h` is required"
    lifetimes = [block.ttl for block in prompt.blocks(body) if block.ttl is not None]
    if len(lifetimes) > BREAKPOINTS_MAX:
        return f"A maximum of {BREAKPOINTS_MAX} blocks with cache_control may be provided. Found {len(lifetimes)}."
    if "1h" in lifetimes and "5m" in lifetimes[: len(lifetimes) - lifetimes[::-1].index("1h")]:
        return "cache_control.ttl: a ttl='1h' block must not come after a ttl='5m' block"
    for block in _blocks(body):
        if block.get("cache_control") is None:
            continue
        if block.get("type") in ("thinking", "redacted_thinking"):
            return "cache_control cannot be set for thinking blocks"
        if block.get("type") == "text" and not block.get("text"):
            return "cache_control cannot be set for empty text blocks"
    return None


def _blocks(body: dict[str, Any]) -> list[dict[str, Any]]:
    lists = [body.get("tools"), body.get("system"), *(message["content"] for message in body["messages"])]
    return [block for blocks in lists if isinstance(blocks, list) for block in blocks if isinstance(block, dict)]


def _pairing_problem(messages: list[dict[str, Any]], goes_on: bool) -> str | None:
    # Agents get this wrong more than anything else, and the API does not forgive
    # it: the message after a tool call must answer it, and nothing else.
    # A thread that goes on has its earlier messages at the provider.
    before = _ids(messages[0], "tool_result", "tool_use_id") if goes_on else set()
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
