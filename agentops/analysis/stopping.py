"""Why a model stopped, and whether a guardrail did: in the words of many providers."""

from __future__ import annotations

import json
from typing import Any

from agentops.analysis.texts import unwrapped

__all__ = ["finish", "reasons", "stopped_it"]

_TRUE_STOPS = ("blocked", "flagged", "triggered", "tripwire_triggered", "violation", "rejected", "denied", "unsafe")
_FALSE_STOPS = ("allowed", "passed", "safe", "valid", "ok", "approved", "compliant")
_STOPS = ("block", "blocked", "deny", "denied", "reject", "rejected", "fail", "failed", "unsafe", "flagged")

_REFUSED = (
    "refusal", "content_filter", "content_filtered", "safety", "recitation", "blocklist", "prohibited_content",
    "guardrail_intervened", "blocked", "spii", "image_safety", "refused", "sensitive",
)  # fmt: skip
_CUT_OFF = (
    "length",
    "max_tokens",
    "max_output_tokens",
    "model_length",
    "max_length",
    "token_limit",
    "truncated",
    "incomplete",
)
_FULL = ("model_context_window_exceeded", "context_window_exceeded", "context_length_exceeded", "context_length")
_FAILED = ("error", "malformed_function_call", "malformed_response", "failed")
_REASON_KEYS = (
    "finish_reason", "stop_reason", "finishreason", "stopreason", "finish_reasons", "stop_reasons", "done_reason",
    "incomplete_details", "gen_ai.response.finish_reasons", "gen_ai.response.finish_reason", "llm.finish_reason",
    "llm.response.finish_reason", "llm.response.stop_reason", "gen_ai.completion.0.finish_reason",
)  # fmt: skip
_LEVELS = 5


def stopped_it(value: Any) -> bool:
    """Whether a guardrail's output says that it let something not pass."""
    inner = unwrapped(value)
    if inner is False:
        return True
    if not isinstance(inner, dict):
        return isinstance(inner, str) and inner.strip().lower() in _STOPS
    facts = {key.lower(): found for key, found in inner.items()}
    return (
        any(facts.get(key) is True for key in _TRUE_STOPS)
        or any(facts.get(key) is False for key in _FALSE_STOPS)
        or any(isinstance(found, str) and found.lower() in _STOPS for found in facts.values())
    )


def reasons(value: Any) -> list[str]:
    """The reasons for stopping that stand in attributes or in a model's answer, in lower case."""
    found: list[str] = []
    todo: list[tuple[Any, int]] = [(value, 0)]
    while todo:
        item, level = todo.pop()
        if isinstance(item, dict):
            for key, inner in item.items():
                lower = key.lower() if isinstance(key, str) else ""
                if lower in _REASON_KEYS:
                    found += _reason(inner)
                elif (lower == "refusal" and isinstance(inner, str) and inner.strip()) or (
                    lower == "type" and inner == "refusal"
                ):
                    found.append("refusal")
                elif level < _LEVELS and isinstance(inner, (dict, list)):
                    todo.append((inner, level + 1))
        elif isinstance(item, list) and level < _LEVELS:
            todo += [(inner, level + 1) for inner in item[:20]]
    return found


def _reason(value: Any) -> list[str]:
    if isinstance(value, str):
        if value[:1] == "[":
            try:
                return _reason(json.loads(value))
            except (ValueError, RecursionError):
                pass
        return [value.rpartition(".")[2].lower()]
    if isinstance(value, list):
        return [reason for inner in value for reason in _reason(inner)]
    if isinstance(value, dict):
        return [reason for inner in value.values() for reason in _reason(inner)]
    return []


def finish(found: list[str]) -> str | None:
    """`refused`, `cut off`, `context full` or `failed`, by the reasons for stopping; None if all is well."""
    for word, bad in (("refused", _REFUSED), ("context full", _FULL), ("cut off", _CUT_OFF), ("failed", _FAILED)):
        if any(reason in bad for reason in found):
            return word
    return None
