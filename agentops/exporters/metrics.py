"""Calls, tokens, cost, errors and durations as OpenTelemetry's metrics: for those who have dashboards.

They are counted from the spans that wait for this, and sent as sums since this process began to send. Their names are
those of https://github.com/open-telemetry/semantic-conventions-genai (gen_ai.client.inference.*,
gen_ai.invoke_agent.duration, gen_ai.execute_tool.duration); cost and errors have none there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

from agentops import __version__
from agentops.exporters.otlp import Answer, Session, own_headers, resource
from agentops.exporters.redacting import redacting
from agentops.exporters.target import Target
from agentops.redaction.redactor import Redactor
from agentops.safety import failed
from agentops.store.outbox import Facts

__all__ = ["EVERY_S", "Metrics"]

#: As often as OpenTelemetry's own SDK sends metrics.
EVERY_S = 60.0
_CALLS = {"llm": "chat", "embedding": "embeddings", "rerank": "rerank"}
_CALL_BUCKETS = [0.01 * 2**n for n in range(14)]
_AGENT_BUCKETS = [0.1 * 2**n for n in range(13)]


class Metrics:
    """What this process has counted, and its way to one target."""

    def __init__(self, target: Target, process: int, store: str) -> None:
        self._reader = InMemoryMetricReader()
        buckets = {
            "gen_ai.client.inference.duration": _CALL_BUCKETS,
            "gen_ai.invoke_agent.duration": _AGENT_BUCKETS,
            "gen_ai.execute_tool.duration": _CALL_BUCKETS,
        }
        views = [
            View(instrument_name=name, aggregation=ExplicitBucketHistogramAggregation(bounds))
            for name, bounds in buckets.items()
        ]
        own = resource({"service.instance.id": f"{process:016x}"})  # sums of two processes must not be taken for one's
        provider = MeterProvider([self._reader], own, shutdown_on_exit=False, views=views)
        meter = provider.get_meter("agentops", __version__)
        self._durations = {name: meter.create_histogram(name, "s") for name in buckets}
        self._tokens = [
            meter.create_counter(f"gen_ai.client.inference.usage.{which}_tokens", "{token}")
            for which in ("input", "output")
        ]
        self._cost = meter.create_counter("agentops.client.inference.cost", "{USD}")
        self._errors = meter.create_counter("agentops.client.inference.errors", "{call}")
        self._session = Session(own_headers(target))
        self._exporter = OTLPMetricExporter(
            target.metrics_endpoint, headers=dict(target.headers or {}), session=self._session, max_request_size=0
        )
        redact = redacting(target.redact, store)
        self._redact = redact.text if isinstance(redact, Redactor) else redact
        self._sent_at = 0.0
        self._is_new = False

    def count(self, facts: Sequence[Facts]) -> None:
        """Add spans that have ended."""
        for one in map(self._redacted, facts):
            if one is None:
                continue
            self._is_new = True
            took = max(0, (one.end_ns or one.start_ns) - one.start_ns) / 1e9
            about: dict[str, Any] = {}
            if one.failed:
                about["error.type"] = one.error_type or "_OTHER"
            if one.kind == "agent":
                about |= {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": one.name}
                self._durations["gen_ai.invoke_agent.duration"].record(took, about)
            elif one.kind == "tool":
                about |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": one.name}
                self._durations["gen_ai.execute_tool.duration"].record(took, about)
            elif one.kind in _CALLS:
                about |= {"gen_ai.operation.name": _CALLS[one.kind]}
                if one.provider:
                    about["gen_ai.provider.name"] = one.provider
                if one.model:
                    about["gen_ai.request.model"] = one.model
                self._durations["gen_ai.client.inference.duration"].record(took, about)
                if one.failed:
                    self._errors.add(1, about)
                for counter, tokens in zip(self._tokens, (one.input_tokens, one.output_tokens), strict=True):
                    if tokens:
                        counter.add(tokens, about)
                if one.cost_usd:
                    self._cost.add(one.cost_usd, about)

    def _redacted(self, facts: Facts) -> Facts | None:
        redact = self._redact
        if redact is None:
            return facts
        try:
            texts = [text and str(redact(text)) for text in (facts.error_type, facts.model, facts.provider)]
            name = str(redact(facts.name))
            return facts._replace(name=name, error_type=texts[0], model=texts[1], provider=texts[2])
        except Exception as problem:  # noqa: BLE001 - the user's function
            failed("the function of a target", problem, lost=0)
            return None

    def is_due(self, at_end: bool) -> bool:
        """Whether it is time to send what was counted."""
        return self._is_new and (at_end or time.monotonic() >= self._sent_at + EVERY_S)

    def send(self, seconds: float | None) -> Answer:
        """Send the sums as they are now."""
        data = self._reader.get_metrics_data()
        if data is None:
            return Answer("taken", "")
        self._session.seconds = seconds
        self._exporter.export(data)
        answer = self._session.take() or Answer("refused", "it cannot be encoded")
        self._sent_at = time.monotonic()
        self._is_new = answer.kind != "taken"
        return answer
