"""What the integrations of the standard library share. It imports nothing: a program that records nothing pays nothing.

What goes along is OpenTelemetry's context below a span of ours, and no other context variable: where a program
starts a thread, its variables (`decimal`'s, say) are as they would be without us.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing itself would have to be imported
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["attach", "carried", "current", "elsewhere", "is_first", "traceparent"]

_done: set[str] = set()


def is_first(what: str) -> bool:
    """Whether `what` is to be patched, and has not been."""
    if what in _done:
        return False
    _done.add(what)
    return True


def current() -> Any:
    """What goes along from here: a context of OpenTelemetry's, or None where no span of ours is open."""
    span = sys.modules.get("agentops.trace.span")
    get = getattr(span, "_current", None)
    if span is None or get is None or not hasattr(span, "Span"):
        return None  # nothing can be open
    try:
        context = get()
        if span.OUR_KEY not in context and span.ROOT_KEY not in context:
            return None
        from agentops.trace.carrying import kept

        return kept(context)
    except Exception as problem:  # noqa: BLE001 - the program's call comes first
        _failed(problem)
        return None


def attach(context: Any) -> Any:
    """Make `context` the current one; gives the one before."""
    from agentops.trace import span

    before = span._current()
    span._attach(context)
    return before


def carried(function: Any, context: Any) -> Any:
    """`function` as it runs in `context`, here or in another process."""
    try:
        from agentops.trace.carrying import Carried

        return Carried(function, context)
    except Exception as problem:  # noqa: BLE001
        _failed(problem)
        return function


def traceparent(context: Any) -> tuple[str, bool]:
    """What stands above in `context`, as another process is told it, and whether it is a span that is current."""
    from agentops.trace.carrying import said

    return said(context)


def elsewhere(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call` as it runs below no span: the threads and processes that it starts serve others too."""

    def called(*args: Any, **kwargs: Any) -> Any:
        from opentelemetry.context import Context

        before = attach(Context())
        try:
            return call(*args, **kwargs)
        finally:
            attach(before)

    return called


def _failed(problem: Exception) -> None:
    from agentops.safety import failed

    failed("carrying the context", problem, lost=0)
