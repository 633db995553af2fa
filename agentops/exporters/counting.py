"""Bringing what waits to be counted to a target that wants metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from agentops.errors import StoreError
from agentops.exporters.delivery import READ_MOST, Delivery, clean
from agentops.exporters.sender import NOT_INSTALLED
from agentops.exporters.target import Target

if TYPE_CHECKING:
    from agentops.exporters.metrics import Metrics

__all__ = ["MetricsDelivery"]


class MetricsDelivery(Delivery):
    """What waits to be counted, and its way to a target as metrics; arguments as for `Delivery`."""

    def __init__(self, store: str, target: Target, process: int = 0) -> None:
        super().__init__(store, target, process)
        self.name += " (metrics)"
        self._metrics: Metrics | None = None
        self._process = process

    def has_news(self) -> bool:
        return super().has_news() or (self._metrics is not None and self._metrics.is_due(False))

    def _run(self, go_on: Callable[[], int], until: float | None) -> bool:
        outbox = self._opened()
        self._version = outbox.version()
        if self._metrics is None:
            try:
                from agentops.exporters.metrics import Metrics
            except ModuleNotFoundError:
                raise StoreError(NOT_INSTALLED) from None
            self._metrics = Metrics(self.target, self._process)
        while room := go_on():
            rows = outbox.rows(0, min(READ_MOST, room))
            if not rows:
                break
            facts = outbox.facts(rows)
            outbox.end(rows, sent=len(rows))
            self._metrics.count(facts)
        if self._metrics.is_due(self.is_ending):
            answer = self._metrics.send(None if until is None else max(0.05, until - time.monotonic()))
            if answer.kind != "taken":
                self._wait(clean(answer.says), answer.retry_after)
                return False
        self._delay, self.retry_at, self.trouble = 0.0, 0.0, None
        return True
