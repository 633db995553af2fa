"""What the recorder itself does is never traced."""

from __future__ import annotations

from opentelemetry import context as otel_context

__all__ = ["suppressed"]


class suppressed:
    """Inside, nothing that we read or write is traced, whatever is instrumented globally."""

    def __enter__(self) -> None:
        current = otel_context.get_current()
        values = {"suppress_instrumentation": True, otel_context._SUPPRESS_INSTRUMENTATION_KEY: True}
        self._token = otel_context.attach(otel_context.Context({**current, **values}))

    def __exit__(self, *_: object) -> None:
        otel_context.detach(self._token)
