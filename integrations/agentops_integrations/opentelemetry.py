"""OpenTelemetry's SDK: a provider that the program sets is joined at once, not first at a span of ours."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from opentelemetry import trace

from agentops.trace.span import look_at_provider

__all__ = ["instrument"]


def instrument(module: ModuleType) -> None:
    """Record what libraries do through OpenTelemetry, as soon as the program has set it up.

    Args:
        module: the imported `opentelemetry.sdk.trace`.
    """
    set_provider: Any = getattr(trace, "_set_tracer_provider", None)  # what whoever has imported the public one calls
    if set_provider is not None and not hasattr(set_provider, "__wrapped__"):

        @functools.wraps(set_provider)
        def joined(*arguments: Any, **options: Any) -> None:
            set_provider(*arguments, **options)
            look_at_provider()

        trace._set_tracer_provider = joined
    look_at_provider()
