"""Where a failure came from: the earlier span that gave the value which made a later one fail."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentops.analysis.bad_values import bad_values, unreadable, without_key
from agentops.analysis.introduced import Cause, given, pairs, quoted
from agentops.analysis.run import LLM, RETRIEVAL, TOOL, Run, called
from agentops.store.rows import SpanRow

__all__ = ["caller", "causes", "is_overflow", "is_timeout", "largest"]

_TIMEOUT = re.compile(r"(?i)time-?\s?d?\s?-?out|deadline|took too long|did not (answer|respond) in")
_OVERFLOW = re.compile(
    r"(?i)prompt (is )?too long|context[ _]?(length|window|limit|size)|maximum context|too many (input )?tokens"
    r"|input (is )?too (long|large)|tokens? (>|exceed)|exceeds? .{0,40}tokens|request_too_large"
)
_ARGUMENT = re.compile(
    r"(?i)ValueError|TypeError|KeyError|LookupError|invalid|must (be|not)|not found|no such|unknown|missing|required"
    r"|does not exist|validation|argument|parameter|unexpected|bad request|not a valid|4(00|04|22)"
)
#: What ends a step from outside, whatever it was given; and what no argument is to blame for.
_FROM_OUTSIDE = re.compile(r"(?:\w+\.)*(?:KeyboardInterrupt|CancelledError|SystemExit)\b")
_OF_MEMORY = re.compile(r"(?:\w+\.)*(?:MemoryError|_ArrayMemoryError)\b")
#: Spans of a huge trace that may be causes: the first and the last before the failure.
_FIRST, _LAST = 150, 350


def is_timeout(error: str | None) -> bool:
    return bool(error and _TIMEOUT.search(error))


def is_overflow(error: str | None) -> bool:
    return bool(error and _OVERFLOW.search(error))


def causes(run: Run, failed: SpanRow, error: str) -> list[Cause]:
    """Where the failure of `failed` may have come from, the best guess first.

    Args:
        run: the run.
        failed: the span in which the error was raised, or that gave it as a value.
        error: its words.
    """
    if _FROM_OUTSIDE.match(error):
        return []
    before = run.before(failed, _LAST if run.huge else None)
    if run.huge:  # a cause is near, or it is what everything began with
        known = {span.span_id for span in before}
        first = [
            s for s in run.spans[:_FIRST] if s.end_ns is not None and s.end_ns <= (failed.end_ns or failed.start_ns)
        ]
        before = [s for s in first if s.span_id not in known] + before
    run.load([key for span in (*before[::-1], failed) for key in _keys(run, span)])
    found: list[Cause] = []
    if is_timeout(error):
        found += _slow(run, failed, before)
    found += unreadable(run, failed, before, error)
    if is_overflow(error):
        found += largest(run, before)
    found += quoted(run, failed, before, error)
    found += bad_values(run, failed, before, error)
    found += without_key(run, failed, before, error)
    if failed.kind_number != LLM and not is_timeout(error):  # a conversation is made of earlier outputs anyway
        found += given(run, failed, before)
        found += pairs(run, failed, before, error)
        if not _OF_MEMORY.match(error):
            found += _asked(run, failed, error)
    found.sort(key=lambda cause: -cause.score)
    best: dict[int, Cause] = {}
    for cause in found:
        best.setdefault(cause.span.span_id, cause)
    return list(best.values())


def caller(run: Run, failed: SpanRow) -> SpanRow | None:
    """The model call that asked for a call: the latest before it that names it, else the latest before it."""
    models = [span for span in run.before(failed, 200) if span.kind_number == LLM][-8:]
    run.load([key for span in models if (key := run.exchange(span).output) is not None])
    name = failed.name.encode("utf-8", "replace")
    for span in reversed(models):
        if name and name in run.raw(run.exchange(span).output):
            return span
    return models[-1] if models else None


def _keys(run: Run, span: SpanRow) -> Iterator[int]:
    exchange = run.exchange(span)
    if isinstance(exchange.output, int):
        yield exchange.output
    if isinstance(exchange.input, int):
        yield exchange.input


def _asked(run: Run, failed: SpanRow, error: str) -> Iterator[Cause]:
    """The model call that asked for a call which did not like its arguments."""
    if failed.kind_number not in (TOOL, RETRIEVAL):
        return
    model = caller(run, failed)
    if model is not None:
        named = failed.name.encode("utf-8", "replace") in run.raw(run.exchange(model).output)
        score = 50 + 6 * named + 6 * bool(_ARGUMENT.search(error))
        yield Cause(model, score, f"{called(model)} {'asked for it' if named else 'was the model call before it'}")


def _slow(run: Run, failed: SpanRow, before: list[SpanRow]) -> Iterator[Cause]:
    """What took the time that was up: a step inside of the failed one, or before it."""
    slow = failed
    while inside := [span for span in run.children.get(slow.span_id, ()) if span.duration_ns]:
        slow = max(inside, key=lambda span: span.duration_ns or 0)
    if slow is not failed:
        yield Cause(slow, 88, f"{called(slow)} took most of the time")
        return
    steps = [span for span in before if span.duration_ns and not run.contains(span)]
    if steps:
        slow = max(steps, key=lambda span: span.duration_ns or 0)
        if (slow.duration_ns or 0) > 2 * (failed.duration_ns or 0):
            yield Cause(slow, 70, f"{called(slow)} took the longest before it")


def largest(run: Run, before: list[SpanRow]) -> Iterator[Cause]:
    """The step whose output is the largest part of what became too long."""
    sized = [(len(run.raw(run.exchange(span).output)), span) for span in before if not run.contains(span)]
    sized += [(len(run.raw(run.exchange(span).output)), span) for span in before if run.contains(span)]
    if sized:
        size, span = max(sized, key=lambda pair: pair[0])
        if size > 2_000:
            yield Cause(span, 86, f"{called(span)} gave the largest output, {size / 1000:.0f} kB")
