"""What is said about a span, in the shape that records have."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import msgspec
from opentelemetry.trace import Link

from agentops.journal.format import reference
from agentops.recorder.capture import Capture, New

__all__ = ["described", "linked", "scope", "taken", "text", "texts"]

#: More frames of a traceback are not kept than these, the innermost.
_FRAMES_MAX = 60


def scope(
    session: str | None, user: str | None, tags: Sequence[str] | None, metadata: Mapping[str, Any] | None
) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    if session is not None:
        scope["session"] = str(session)
    if user is not None:
        scope["user"] = str(user)
    if tags is not None:
        scope["tags"] = [tags] if isinstance(tags, str) else [str(tag) for tag in tags]
    if metadata is not None:
        scope["metadata"] = dict(metadata)
    return scope


def taken(
    attributes: dict[str, Any], capture: Capture, new: New, trace: bytes, captured: bool = False
) -> dict[str, Any]:
    """Attributes with their large values as references to contents.

    `captured` says that what is encoded in them was encoded, and redacted, by us.
    """
    taken: dict[str, Any] = {}
    for key, value in attributes.items():
        number, small = (0, value) if captured and type(value) is msgspec.Raw else capture.value(value, new, trace)
        taken[key] = reference(number) if number else small
    return taken


def linked(links: Sequence[Link] | None) -> list[tuple[bytes, int, dict[str, Any]]] | None:
    """Links as records have them; None for none."""
    if not links:
        return None
    return [(link.context.trace_id.to_bytes(16, "big"), link.context.span_id, texts(link.attributes)) for link in links]


def described(exception: BaseException) -> tuple[str, str, str]:
    """Type, message and traceback of an exception, causes included."""
    kind = type(exception)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(exception)
    except Exception as problem:  # noqa: BLE001 - a __str__ of the user's
        message = f"<{type(problem).__name__} while its message was read>"
    try:
        deep = _is_deep(exception.__traceback__)
        stack = "".join(traceback.format_exception(exception, limit=-_FRAMES_MAX if deep else None))
    except Exception:  # noqa: BLE001
        stack = ""
    return name, message, stack


def _is_deep(trace: TracebackType | None) -> bool:
    """Whether a traceback is so long that the innermost frames have to do: it is written for each span it leaves."""
    frames = 0
    while trace is not None and frames <= _FRAMES_MAX:
        trace, frames = trace.tb_next, frames + 1
    return frames > _FRAMES_MAX


def text(value: object) -> str:
    """A name or a key as text, whatever it was given as."""
    if type(value) is str:
        return value
    try:
        return str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001 - a __str__ of the user's
        return f"<{type(value).__qualname__}>"


def texts(attributes: Mapping[Any, Any] | None) -> dict[str, Any]:
    """Attributes with their keys as text."""
    return {text(key): value for key, value in (attributes or {}).items()}
