"""Sending traces at once, as `agentops export --to otlp` does: nothing waits, and what goes wrong is said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from agentops.errors import AgentopsError
from agentops.exporters.delivery import BATCH_SPANS, DOUBTS
from agentops.exporters.sender import NOT_INSTALLED, Sender, Withheld
from agentops.exporters.target import Target
from agentops.store.reader import Reader
from agentops.store.rows import TraceRow

__all__ = ["Export"]

#: How often a batch is tried that the target could not take at that moment, and how long it waits at most.
_TRIES, _WAIT_S = 5, 30.0


class Export:
    """Sends traces to a target, and counts.

    Args:
        target: where to.
        progress: called with the number of spans sent so far.
    """

    def __init__(self, target: Target, progress: Callable[[int], None]) -> None:
        self._target = target
        self._sender = Sender(target)
        self._progress = progress
        self._ready: list[Any] = []
        #: Spans that were sent, that the target refused or its function could not redact, and that still run.
        self.sent = self.refused = self.running = 0
        #: Why spans were refused.
        self.says = ""

    def send(self, reader: Reader, traces: Iterable[TraceRow]) -> None:
        """Send whole traces.

        Raises:
            AgentopsError: the target takes nothing.
        """
        try:
            for trace in traces:
                scores = reader.scores(trace)
                root = reader.root(trace)
                for detail in reader.details(trace):
                    if detail.row.status == "running":
                        self.running += 1
                        continue
                    is_root = root is not None and detail.row.span_id == root.span_id
                    own = [s for s in scores if s.span_id == detail.row.hex_id or (s.span_id is None and is_root)]
                    try:
                        self._ready.append(self._sender.made(detail, own))
                    except Withheld:
                        self.refused += 1
                    if len(self._ready) >= BATCH_SPANS:
                        self._deliver()
            self._deliver()
            self._doubt()
        except ModuleNotFoundError:
            raise AgentopsError(NOT_INSTALLED) from None

    def _deliver(self) -> None:
        todo, self._ready = [self._ready], []
        while todo:
            some = todo.pop()
            if not some:
                continue
            answer = self._patiently(some)
            if answer.kind == "taken":
                rejected = min(answer.rejected, len(some))
                self.sent += len(some) - rejected
                self.refused += rejected
                self.says = answer.says or self.says
                self._progress(self.sent)
            elif answer.kind != "refused":
                before = f"{self.sent} spans were sent before" if self.sent else "nothing was sent"
                raise AgentopsError(f"{self._target.known_as}: {answer.says}; {before}")
            elif len(some) > 1:
                todo += [some[len(some) // 2 :], some[: len(some) // 2]]
            else:
                self.refused += 1
                self.says = answer.says
                if self.refused >= DOUBTS:
                    self._doubt()

    def _doubt(self) -> None:
        """Where nothing is taken, it is the target that is wrong, and not the spans."""
        if self.refused and not self.sent and self.says:
            raise AgentopsError(f"{self._target.known_as} takes nothing: {self.says}")

    def _patiently(self, spans: list[Any]) -> Any:
        for left in range(_TRIES - 1, -1, -1):
            answer = self._sender.send(spans, None)
            # It has taken spans before: it is there, and only asks for a rest.
            if answer.kind != "later" or not left or not self.sent:
                return answer
            time.sleep(min(_WAIT_S, answer.retry_after or 2.0 ** (_TRIES - 1 - left)))
        raise AssertionError("unreachable")
