"""Which spans are calls of a model, and how their costs are added up: words of SQL that several modules need."""

from __future__ import annotations

from agentops.conventions import KIND_NUMBER
from agentops.store.rows import STATUS

__all__ = ["COST", "COUNTED", "PICO", "UNPRICED"]

#: Pico-dollars in a dollar: costs are whole numbers of them, since sums of those are exact.
PICO = 10**12
COUNTED = (KIND_NUMBER["llm"], KIND_NUMBER["embedding"])
#: Of a span that is a call: its cost is not known, and should be. What runs may get one yet; what failed before it used
#: any has none, and what names neither a model nor tokens is a step of the program's own.
UNPRICED = (
    f"(cost_usd IS NULL AND status != {STATUS.index('running')} "
    "AND (input_tokens IS NOT NULL OR output_tokens IS NOT NULL "
    f"OR (model IS NOT NULL AND status != {STATUS.index('error')})))"
)
#: In pico-dollars, of a span; where it is no call, of what somebody said that it cost.
COST = (
    "CASE typeof(cost_usd) WHEN 'real' THEN ifnull((SELECT CAST(cost AS INTEGER) FROM calls "
    "WHERE calls.trace = spans.trace AND calls.span_id = spans.span_id), "
    f"CAST(min(max(cost_usd, 0), 1e6) * {PICO} AS INTEGER)) END"
)
