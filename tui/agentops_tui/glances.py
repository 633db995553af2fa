"""What a list says about a run beside its name: what failed, what it waits for, or what was asked."""

from __future__ import annotations

import re
import time

from agentops.formats import duration
from agentops.store.reader import Reader
from agentops.store.rows import SpanRow, TraceRow
from agentops_tui.inks import Ink, Line
from agentops_tui.values import preview

__all__ = ["ago", "glance", "reason", "took"]

#: In larger runs without a question at the root nobody looks for one: it is a list that waits.
_LOOK_THROUGH = 200
_TYPE = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Warning|Interrupt|Exit): ")


def glance(reader: Reader, trace: TraceRow) -> Line:
    """The words for one run."""
    if trace.status == "error":
        failed = _by_itself(reader.spans(trace, "error"))
        if failed is not None and failed.parent_id is not None:
            return (Ink(failed.name[:60], "error"), Ink(": ", "error"), Ink((failed.error or "failed")[:400]))
        kind, colon, message = ((failed.error if failed else None) or "failed").partition(": ")
        return (Ink(kind[:60], "error"), Ink(colon, "error"), Ink(message[:400]))
    if trace.status in ("running", "interrupted"):
        unended = reader.spans(trace, trace.status)
        words = "waits for " if trace.status == "running" else "broke off in "
        if unended:
            role = "muted" if trace.status == "running" else "text"
            return (Ink(words, "muted"), Ink(unended[-1].name[:80]), Ink(f" · {unended[-1].kind}", role))
    return (Ink(_asked(reader, trace), "muted"),)


def _by_itself(failed: list[SpanRow]) -> SpanRow | None:
    """The span whose failure ended the run, or where none says the same as the run, the first that failed.

    Of those that failed because a child did, none.
    """
    above = {span.parent_id for span in failed}
    first = [span for span in failed if span.span_id not in above] or failed
    ended = [span for span in first if span.error and span.error == failed[0].error]
    return next(iter(ended or first), None)


def _asked(reader: Reader, trace: TraceRow) -> str:
    root = reader.root(trace)
    if root is not None and (asked := preview(reader.span(trace, root.span_id).input)):
        return asked
    if trace.spans <= _LOOK_THROUGH:
        calls = (span for span in reader.spans(trace) if span.kind == "llm")
        for span in list(calls)[:3]:
            if asked := preview(reader.span(trace, span.span_id).input):
                return asked
    return ""


def reason(error: str) -> str:
    """An error's message without the type in front of it: for where there is little room."""
    return _TYPE.sub("", error[:400]) or error[:400]


def took(start_ns: int, end_ns: int | None, status: str) -> str:
    """How long something took, or has taken so far, and `cut off` where nobody knows."""
    if end_ns is not None:
        return duration(end_ns - start_ns)
    return f"{duration(max(0, time.time_ns() - start_ns))}+" if status == "running" else "cut off"


def ago(ns: int, now_ns: int) -> str:
    """`now`, `12s`, `6m`, `2h04`, `3d`, then a date: at most six cells."""
    seconds = (now_ns - ns) // 10**9
    if seconds < 1:
        return "now"
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m"
    if seconds < 86_400:
        return f"{seconds // 3600}h{seconds // 60 % 60:02d}"
    if seconds < 30 * 86_400:
        return f"{seconds // 86_400}d"
    try:
        return time.strftime("%b %y", time.localtime(ns / 1e9))
    except (ValueError, OverflowError, OSError):
        return "?"
