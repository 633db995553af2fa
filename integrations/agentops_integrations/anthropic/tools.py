"""Tools that the client runs itself: their arguments and results, which its tracing tells only if told to tell all."""

from __future__ import annotations

import functools
from typing import Any

from agentops.safety import failed
from agentops.trace.client import ClientSpan

__all__ = ["record_tools"]


def record_tools() -> None:
    """Have arguments and results of tools on their spans."""
    try:
        from anthropic.lib._tracing import _tools

        if not hasattr(_tools.end_tool_use_span, "__wrapped__"):
            _tools.end_tool_use_span = _told(_tools.end_tool_use_span)
    except (ImportError, AttributeError) as problem:  # another version of the client: its spans go without
        failed("recording the tools of a client", problem, lost=0)


def _told(end: Any) -> Any:
    @functools.wraps(end)
    def end_tool_use_span(client: Any, span: Any, input: Any, run: Any) -> None:
        if isinstance(span, ClientSpan):
            try:
                _tell(span, input, run.result)
            except Exception as problem:  # noqa: BLE001
                failed("recording a tool", problem)
        end(client, span, input, run)

    return end_tool_use_span


def _tell(span: ClientSpan, input: Any, result: Any) -> None:
    span.was_given(input)
    if result is None:
        return
    content = result.get("content")
    span.comes_out(content)
    if result.get("is_error") is True:
        texts = [content] if isinstance(content, str) else [str(block.get("text", "")) for block in content or ()]
        span._error = ("tool_error", "\n".join(texts), "")
