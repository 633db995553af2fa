"""Each call to a model counts once, whoever else reports it.

With an instrumentation around a client that traces itself, and perhaps a span of the program's own around both, one
call is several spans. All are kept as they are; which of them count is told here, from what stands on them and in
whichever order they came.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import NamedTuple

from agentops.conventions import RESPONSE_ID
from agentops.store.contents import fields

__all__ = ["Call", "repeated", "response_id"]

_NEVER = 2**63


class Call(NamedTuple):
    """What is asked of a span that calls a model; it and its parent are ids, the rest as it stands on the span."""

    span_id: int
    parent_id: int | None
    kind: int
    start_ns: int
    end_ns: int | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None


def repeated(calls: Iterable[Call], response_id_of: Callable[[int], str | None]) -> set[int]:
    """The spans that do not count, since others report the same calls.

    Two spans of one trace that overlap report one call if they name the same response; or if one stands directly
    below the other, and nothing that both say of response and usage differs. A span around several calls may sum up
    what they used. Of such spans the one that knows most about usage counts; of equals, the innermost.

    Args:
        calls: spans of one trace.
        response_id_of: of a span, the id of the answer; it is asked of few.
    """
    found: set[int] = set()
    together: list[Call] = []
    until = -_NEVER
    # A span comes before what is inside of it.
    for call in sorted(calls, key=lambda call: (call.start_ns, -_end(call))):
        if call.start_ns > until and together:
            if len(together) > 1:
                found |= _repeated(together, response_id_of)
            together = []
        together.append(call)
        until = max(until, _end(call)) if len(together) > 1 else _end(call)
    if len(together) > 1:
        found |= _repeated(together, response_id_of)
    return found


def response_id(connection: sqlite3.Connection, trace: int, span_id: int) -> str | None:
    """The id of the answer that a span in the store names."""
    row = connection.execute("SELECT body FROM spans WHERE trace = ? AND span_id = ?", (trace, span_id)).fetchone()
    attributes = fields(row[0]).get("a") if row else None
    response = attributes.get(RESPONSE_ID) if type(attributes) is dict else None
    return response if type(response) is str else None


class _Report:
    """One call as one span reports it, and those inside of it."""

    __slots__ = ("call", "counted", "inside", "response", "settled")

    def __init__(self, call: Call, response: str | None) -> None:
        self.call = call
        self.response = response
        self.inside: list[_Report] = []
        self.counted = [call]  # of it and those inside of it
        self.settled = False


def _repeated(calls: list[Call], response_id_of: Callable[[int], str | None]) -> set[int]:
    found: set[int] = set()
    reports: list[_Report] = []
    of_span: dict[int, _Report] = {}
    of_response: dict[tuple[int, str], _Report] = {}
    for call in calls:
        response = response_id_of(call.span_id)
        report = of_response.get((call.kind, response)) if response else None
        if report is not None:
            better, other = (report.call, call) if _knows(report.call) > _knows(call) else (call, report.call)
            found.add(other.span_id)
            # What all of them report stands where the outermost does.
            report.call, report.counted = better._replace(parent_id=report.call.parent_id), [better]
        else:
            report = _Report(call, response)
            reports.append(report)
            if response:
                of_response[call.kind, response] = report
        of_span[call.span_id] = report
    for report in reports:
        above = of_span.get(report.call.parent_id or 0)
        known = above is not None and above.response and report.response
        if above is not None and above is not report and above.call.kind == report.call.kind and not known:
            above.inside.append(report)
    for report in reversed(reports):
        # What begins before its parent was not looked at yet: it counts for itself.
        found |= _settle(report, [one for one in report.inside if one.settled])
        report.settled = True
    return found


def _settle(report: _Report, inside: list[_Report]) -> set[int]:
    """Whether a report counts, or those inside of it."""
    own = report.call
    summed = _sum(own, inside)
    if not _agree(own, summed):
        inside = [one for one in inside if _agree(own, one.call)]
        summed = _sum(own, inside)
    if not inside:
        return set()
    if _knows(own) > _knows(summed):
        return {call.span_id for one in inside for call in one.counted}
    report.call, report.counted = summed, [call for one in inside for call in one.counted]
    return {own.span_id}


def _end(call: Call) -> int:
    return _NEVER if call.end_ns is None else call.end_ns


def _knows(call: Call) -> tuple[int, bool]:
    return (call.input_tokens or 0) + (call.output_tokens or 0), call.cost_usd is not None


def _agree(one: Call, other: Call) -> bool:
    return all(
        a is None or b is None or a == b
        for a, b in ((one.input_tokens, other.input_tokens), (one.output_tokens, other.output_tokens))
    )


def _sum(own: Call, inside: list[_Report]) -> Call:
    calls = [one.call for one in inside]
    tokens_in = [call.input_tokens for call in calls if call.input_tokens is not None]
    tokens_out = [call.output_tokens for call in calls if call.output_tokens is not None]
    costs = [call.cost_usd for call in calls if call.cost_usd is not None]
    return own._replace(
        input_tokens=sum(tokens_in) if tokens_in else None,
        output_tokens=sum(tokens_out) if tokens_out else None,
        cost_usd=sum(costs) if costs else None,
    )
