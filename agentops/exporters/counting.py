"""Bringing what waits to be counted to a target that wants metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from agentops import safety
from agentops.errors import StoreError
from agentops.exporters.delivery import READ_MOST, Delivery, clean
from agentops.exporters.sender import NOT_INSTALLED
from agentops.exporters.target import Target
from agentops.store.destinations import METRICS

if TYPE_CHECKING:
    from agentops.exporters.metrics import Metrics
    from agentops.store.outbox import Outbox

__all__ = ["MetricsDelivery"]


class MetricsDelivery(Delivery):
    """What waits to be counted, and its way to a target as metrics; arguments as for `Delivery`."""

    holds_spans = False
    then = "What was counted is sent when it goes again, if that is before the program ends."

    def __init__(self, store: str, target: Target, process: int = 0) -> None:
        super().__init__(store, target, process)
        self.name += METRICS
        self._counted = 0  # spans, that the target has not heard of
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
            self._metrics = Metrics(self.target, self._process, self._store)
        while room := go_on():
            rows = outbox.rows(0, min(READ_MOST, room))
            if not rows:
                break
            facts = outbox.facts(rows)
            outbox.end(rows)
            self._metrics.count(facts)
            self._counted += len(rows)
        if self._metrics.is_due(self.is_ending):
            answer = self._metrics.send(None if until is None else max(0.05, until - time.monotonic()))
            if answer.kind != "taken":
                says = clean(answer.says)
                outbox.did_not_arrive([], says, certainly=True)
                self._wait(says, answer.retry_after)
                if self.is_ending:
                    self._give_up(outbox, says)
                return False
            outbox.end([], sent=self._counted)
            self._counted = 0
        self._delay, self.retry_at, self.trouble = 0.0, 0.0, None
        return True

    def _give_up(self, outbox: Outbox, says: str) -> None:
        """The sums are this process's, and it ends."""
        outbox.end([], refused=self._counted)
        safety.said(
            f"no export to {self.name}", f"{self.name}: {says}. What was counted of {self._counted} spans is not sent."
        )
        self._counted = 0
