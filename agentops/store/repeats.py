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

__all__ = ["Call", "Said", "repeated", "said_of", "said_on"]

_NEVER = 2**63
#: Among so many reports that began last beside a call the same one is looked for.
_NEIGHBOURS_MAX = 100


class Call(NamedTuple):
    """What is asked of a span that calls a model; it and its parent are ids, the rest as it stands on the span.

    cost: in pico-dollars. unpriced: it is not known, and should be.
    """

    span_id: int
    parent_id: int | None
    kind: int
    start_ns: int
    end_ns: int | None
    input_tokens: int | None
    output_tokens: int | None
    cost: int | None
    unpriced: bool = False


class Said(NamedTuple):
    """What else a span says: the id of the answer, and the library that made the span (nothing for our own)."""

    response: str | None
    library: str


def repeated(calls: Iterable[Call], said_of: Callable[[int], Said]) -> set[int]:
    """The spans that do not count, since others report the same calls.

    Two spans of one trace that overlap report one call if they name the same answer; if one stands directly below
    the other, and nothing that both say of answer and usage differs; or if they stand beside each other, one within
    the time of the other, made by different libraries that say the same of usage and do not name different answers. A
    span around several calls may sum up what they used. Of such spans the one counts that says most of usage (of input,
    of output, what it cost); of equals, the innermost.

    Args:
        calls: spans of one trace.
        said_of: what else a span says; it is asked of few.
    """
    found: set[int] = set()
    together: list[Call] = []
    until = -_NEVER
    # A span comes before what is inside of it.
    for call in sorted(calls, key=lambda call: (call.start_ns, -_end(call))):
        if call.start_ns > until and together:
            if len(together) > 1:
                found |= _repeated(together, said_of)
            together = []
        together.append(call)
        until = max(until, _end(call)) if len(together) > 1 else _end(call)
    if len(together) > 1:
        found |= _repeated(together, said_of)
    return found


def said_on(attributes: object, scope: object) -> Said:
    """What else a span says, from its attributes and scope."""
    response = attributes.get(RESPONSE_ID) if isinstance(attributes, dict) else None
    library = scope.get("scope") if isinstance(scope, dict) else None
    return Said(response if type(response) is str else None, library if type(library) is str else "")


def said_of(connection: sqlite3.Connection, trace: int, span_id: int) -> Said:
    """What else a span in the store says."""
    row = connection.execute("SELECT body FROM spans WHERE trace = ? AND span_id = ?", (trace, span_id)).fetchone()
    body = fields(row[0]) if row else {}
    return said_on(body.get("a"), body.get("s"))


class _Report:
    """One call as spans report it, and what is reported inside of it."""

    __slots__ = ("call", "counted", "inside", "libraries", "response", "settled", "until")

    def __init__(self, call: Call, said: Said) -> None:
        self.call = call
        self.response = said.response
        self.libraries = {said.library}
        self.until = _end(call)
        self.inside: list[_Report] = []
        self.counted = [call]  # of it and those inside of it
        self.settled = False

    def add(self, call: Call, said: Said) -> int:
        """Another span reports it; gives the one of the two that does not count."""
        better, other = (self.call, call) if _knows(self.call) > _knows(call) else (call, self.call)
        # What all of them report stands where the outermost does.
        self.call, self.counted = better._replace(parent_id=self.call.parent_id), [better]
        self.response = self.response or said.response
        self.libraries.add(said.library)
        self.until = max(self.until, _end(call))
        return other.span_id


def _repeated(calls: list[Call], said_of: Callable[[int], Said]) -> set[int]:
    found: set[int] = set()
    reports: list[_Report] = []
    of_span: dict[int, _Report] = {}
    of_response: dict[tuple[int, str], _Report] = {}
    beside: dict[tuple[int, int | None, int | None, int | None], list[_Report]] = {}
    for call in calls:
        said = said_of(call.span_id)
        neighbours = beside.setdefault((call.kind, call.parent_id, call.input_tokens, call.output_tokens), [])
        report = of_response.get((call.kind, said.response)) if said.response else None
        report = report or _around(call, said, neighbours)
        if report is not None:
            found.add(report.add(call, said))
        else:
            report = _Report(call, said)
            reports.append(report)
            neighbours.append(report)
        if report.response:
            of_response.setdefault((call.kind, report.response), report)
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


def _around(call: Call, said: Said, neighbours: list[_Report]) -> _Report | None:
    """Of reports beside a call that say the same of usage, the one that ends first after it and may be the same."""
    if call.input_tokens is None or call.output_tokens is None:
        return None
    able = [
        report
        for report in neighbours[-_NEIGHBOURS_MAX:]
        if report.until >= _end(call)
        and said.library not in report.libraries
        and not (report.response and said.response)
    ]
    return min(able, key=lambda report: report.until, default=None)


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
    # Not who counted more: an instrumentation may have counted wrongly, and the client is the innermost.
    return bool(call.input_tokens) + bool(call.output_tokens), call.cost is not None


def _agree(one: Call, other: Call) -> bool:
    return all(
        a is None or b is None or a == b
        for a, b in ((one.input_tokens, other.input_tokens), (one.output_tokens, other.output_tokens))
    )


def _sum(own: Call, inside: list[_Report]) -> Call:
    calls = [one.call for one in inside]
    tokens_in = [call.input_tokens for call in calls if call.input_tokens is not None]
    tokens_out = [call.output_tokens for call in calls if call.output_tokens is not None]
    costs = [call.cost for call in calls if call.cost is not None]
    return own._replace(
        input_tokens=sum(tokens_in) if tokens_in else None,
        output_tokens=sum(tokens_out) if tokens_out else None,
        cost=sum(costs) if costs else None,
    )
