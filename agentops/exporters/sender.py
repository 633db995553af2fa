"""What a target gets of a span, and the way there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentops.errors import UsageError
from agentops.exporters.target import Target
from agentops.store.rows import ScoreRow, SpanDetail

if TYPE_CHECKING:
    from agentops.exporters.otlp import Answer, Client
    from agentops.exporters.redacting import Redact

__all__ = ["NOT_INSTALLED", "Sender", "Withheld", "missing"]

NOT_INSTALLED = "exporting needs what is not installed here: pip install 'agentops-recorder[otel]'"


class Withheld(Exception):
    """A span cannot be redacted."""


class Sender:
    """Makes spans what the target gets, and sends them.

    Args:
        target: where to.
        store: path of the store that they come from.
    """

    def __init__(self, target: Target, store: str = "") -> None:
        self.target = target
        self._store = store
        self._redact: Redact | None = None
        self._client: Client | None = None
        self._resource: Any = None

    def made(self, detail: SpanDetail, scores: list[ScoreRow]) -> Any:
        """A span as it is sent.

        Raises:
            Withheld: the target's function fails, and nobody knows what is in the span.
        """
        if self.target.redact is not None:
            from agentops.exporters.redacting import redacted, redacted_scores, redacting

            try:
                redact = self._redact = self._redact or redacting(self.target.redact, self._store)
                if redact is not None:
                    detail, scores = redacted(detail, redact), redacted_scores(scores, redact)
            except Exception as problem:
                raise Withheld from problem
        if self.target.is_console:
            from agentops.exporters.console import span_line

            return span_line(detail)
        from agentops.exporters.otel import readable

        if self._resource is None:
            from agentops.exporters.otlp import resource

            self._resource = resource()
        return readable(detail, scores, dialect=self.target.dialect, resource=self._resource)

    def send(self, spans: Sequence[Any], seconds: float | None) -> Answer:
        """Send spans that `made` has made."""
        if self._client is None:
            from agentops.exporters.otlp import Client

            self._client = Client(self.target)
        return self._client.send(spans, seconds)


def missing() -> UsageError | None:
    """What keeps spans from being sent over OTLP, if anything: what it needs may not be installed."""
    import importlib.util

    try:
        if importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None:
            return None
    except ModuleNotFoundError:
        pass
    return UsageError(NOT_INSTALLED)
