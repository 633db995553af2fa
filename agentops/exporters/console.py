"""A span on one line, for people who watch."""

from __future__ import annotations

from agentops.formats import duration
from agentops.inert import line
from agentops.store.rows import SpanDetail

__all__ = ["span_line"]

_TEXT_CHARACTERS = 80


def span_line(span: SpanDetail) -> str:
    """What a span was, how it ended and what it took; text of the program's is escaped."""
    row = span.row
    took = "?" if row.duration_ns is None else duration(row.duration_ns)
    parts = [f"{row.status:<11} {took:>8}  {row.kind} {line(row.name, _TEXT_CHARACTERS)}"]
    if row.model:
        parts.append(line(row.model, _TEXT_CHARACTERS))
    if row.input_tokens is not None or row.output_tokens is not None:
        parts.append(f"{row.input_tokens or 0}+{row.output_tokens or 0} tokens")
    if row.cost_usd is not None:
        parts.append(f"${row.cost_usd:.4f}")
    if row.error:
        parts.append(line(row.error, _TEXT_CHARACTERS))
    return "  ".join(parts) + f"  [{span.trace_id[:8]}/{row.hex_id[:8]}]"
