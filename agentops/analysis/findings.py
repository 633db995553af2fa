"""What an analysis finds: typed rows, from which a user interface can jump to spans."""

from __future__ import annotations

from typing import Literal, NamedTuple

from agentops.analysis.death import Death
from agentops.store.rows import SpanRow, TraceRow

__all__ = ["Finding", "Findings", "Kind"]

Kind = Literal[
    "cause", "error", "path", "before", "input", "output", "refused", "cut off", "context", "empty", "loop", "open",
    "limit", "place", "ended with", "repeated", "slowest", "growth", "stack", "printed", "answered",
]  # fmt: skip


class Finding(NamedTuple):
    """One thing worth knowing about a run.

    kind: what it is. score: 50 and more makes it a suspect, the highest first; less is background.
    span: where to look; None if it is about the whole run. path: names from the root to that span.
    text: a sentence that names the span; it holds stored text, so show it through `agentops.inert`.
    """

    kind: Kind
    score: int
    span: SpanRow | None
    path: tuple[str, ...]
    text: str

    @property
    def severity(self) -> Literal["suspect", "background"]:
        return "suspect" if self.score >= 50 else "background"


class Findings(NamedTuple):
    """What `why` says about a run: one sentence, the span of the most likely cause, and all findings in order.

    `failed` says that the run itself failed or was cut off; `cause` is None for a run in which nothing was found.
    `death` says how its program died, if it did.
    """

    trace: TraceRow
    failed: bool
    headline: str
    cause: SpanRow | None
    rows: list[Finding]
    death: Death | None = None
