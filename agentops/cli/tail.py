"""`agentops tail`."""

from __future__ import annotations

import os
import select
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from agentops import formats
from agentops.cli.ls import span_fields
from agentops.errors import NotFound, UsageError
from agentops.inert import line
from agentops.store.filters import Filter, Term, parse
from agentops.store.location import find_store
from agentops.store.reader import Reader
from agentops.store.rows import Changes
from agentops.store.tree import tree

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from agentops.cli.output import Output
    from agentops.store.rows import SpanRow, TraceRow

HELP = """Follow spans as they begin and end, one line each; what runs now and the last few that ended come first.
A span has a line when it begins, one when it ends, or one when its program was killed (`cut off`). An error that
has no room in it stands below. The filter selects spans, as it does in `agentops ls --spans`; with status, took or
errors in it, it shows ends alone.

Ctrl-C ends it, with exit code 130 as it does `tail -f`; so does the end of what reads its output, with 0. Where
there is no store yet, it waits for one. With --json each line is an object of its own.

  agentops tail
  agentops tail --json kind:llm 'took>5s' | jq .name"""

POLL_S = 0.25
#: Where looking takes long, it then rests this many times as long.
_REST = 4
_DEPTH_MAX = 20
_NAME_CELLS = 44
#: Below the name.
_ERROR_INDENT = 20
#: How far a span is, and how far it was told; 0 for not at all.
_RUNS, _CUT_OFF, _ENDED = 1, 2, 3
#: Keys that speak of how a span ended: what they select has not begun as such.
_OF_THE_END = ("status", "took", "errors")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("filter", nargs="*", help="words of a filter, see `agentops --help`; all keys are the span's")
    parser.add_argument("-n", type=int, default=10, metavar="N", help="begin with the last N that ended (10)")
    parser.add_argument("--ascii", action="store_true", help="no glyphs beyond ASCII")


def run(given: argparse.Namespace, out: Output) -> int:
    if given.n < 0:
        raise UsageError("-n takes a number of spans")
    filter = parse(given.filter)
    rests = _Rests()
    new = False  # all that is in the store
    while True:
        reader, waited = _opened(rests)
        with reader:
            identity = _identity(reader.path)
            edges = Edges(reader, filter, new=new or waited)
            for edge in edges.so_far(given.n):
                _print(edge, out)
            while _identity(reader.path) == identity:
                began = time.monotonic()
                reader.refresh()
                for edge in edges.news():
                    _print(edge, out)
                rests.rest(max(POLL_S, _REST * (time.monotonic() - began)))
        new = True  # somebody deleted the store, and this is the next one


class _Rests:
    """Rests, and ends the command when nobody reads its output any more."""

    def __init__(self) -> None:
        self._poll: select.poll | None = None
        try:
            self._poll = select.poll()
            self._poll.register(sys.stdout.fileno(), 0)
        except (OSError, ValueError, AttributeError):  # it is no file, or this system has no such call
            self._poll = None

    def rest(self, seconds: float) -> None:
        if self._poll is None:
            time.sleep(seconds)
            return
        for _, event in self._poll.poll(seconds * 1000):
            if event & (select.POLLERR | select.POLLHUP):
                raise BrokenPipeError
            self._poll = None  # it cannot tell about such a file


def _opened(rests: _Rests) -> tuple[Reader, bool]:
    """A reader, and whether there was no store at first."""
    waited = False
    while True:
        try:
            return Reader(), waited
        except NotFound:
            if not waited:
                print(f"agentops: there is no store at {line(find_store())} yet; waiting for one", file=sys.stderr)
            waited = True
            rests.rest(POLL_S)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


class Edge(NamedTuple):
    """A span begins (`start`), ends (`end`), or was cut off (`interrupted`, seen at `time_ns`)."""

    event: str
    time_ns: int
    depth: int
    trace: TraceRow
    span: SpanRow


class Edges:
    """Tells each edge of each span once, in whatever order what was recorded comes in.

    How far each span was told is kept for all traces that something came into since this began. Which of their
    spans were there before is known of those that were open or among the latest; in an older one, what had ended
    before this began counts as told.

    Args:
        reader: of the store.
        filter: selects the spans; one that it does not select while it is open is asked about again at its end.
        new: there was no store before, so all that is in it is new.
    """

    def __init__(self, reader: Reader, filter: Filter, new: bool = False) -> None:
        self._reader = reader
        self._filter = filter
        self._began_ns = time.time_ns()
        self._at_end = any(term.key in _OF_THE_END for term in filter.terms)
        self._told: dict[int, dict[int, int]] = {}
        reader.refresh()
        self._seen = Changes() if new else reader.changes()
        self._last = self._seen.last

    def so_far(self, count: int) -> list[Edge]:
        """What runs now, and the last `count` spans that ended; nothing where all is new."""
        if self._seen == Changes():
            return []
        edges: list[Edge] = []
        for trace, spans in self._seen.traces:
            told = self._told[trace.no] = {span.span_id: _level(span) for span in spans if span.status != "running"}
            edges += self._edges(trace, spans, told)
        over = [Term("status", ":", status, negated=True) for status in ("running", "interrupted")]
        for trace, span in self._reader.find_spans(Filter((*self._filter.terms, *over)), count) if count else ():
            if self._was_there(trace, span):
                edges.append(Edge("end", span.end_ns or 0, self._depth(trace, span), trace, span))
        return sorted(edges, key=_order)

    def news(self) -> list[Edge]:
        """What began and ended since the last call, in the order of time."""
        self._seen = self._reader.changes(self._seen)
        edges: list[Edge] = []
        for trace, spans in self._seen.traces:
            told = self._told.get(trace.no)
            if told is None:
                told = self._told[trace.no] = {}
                if trace.no <= self._last:
                    told.update({span.span_id: _level(span) for span in spans if self._was_there(trace, span)})
            edges += self._edges(trace, spans, told)
        return sorted(edges, key=_order)

    def _was_there(self, trace: TraceRow, span: SpanRow) -> bool:
        """Whether a span had ended before this began."""
        told = self._told.get(trace.no)
        if told is not None:
            return told.get(span.span_id) == _ENDED
        return (span.end_ns or span.start_ns) < self._began_ns and span.status != "running"

    def _depth(self, trace: TraceRow, span: SpanRow) -> int:
        return next((row.depth for row in tree(self._reader.spans(trace)) if row.span.span_id == span.span_id), 0)

    def _edges(self, trace: TraceRow, spans: list[SpanRow], told: dict[int, int]) -> Iterator[Edge]:
        if all(told.get(span.span_id, 0) >= _level(span) for span in spans):
            return
        now = time.time_ns()
        selected = self._selected(trace)
        for row in tree(spans):
            span, level = row.span, _level(row.span)
            before = told.get(span.span_id, 0)
            if level <= before or (selected is not None and span.span_id not in selected):
                continue
            told[span.span_id] = level
            if not before and not (self._at_end and level > _RUNS):
                begun = span._replace(status_number=0, end_ns=None, error=None)
                yield Edge("start", span.start_ns, row.depth, trace, begun)
            if level == _ENDED:
                yield Edge("end", span.end_ns or 0, row.depth, trace, span)
            elif level == _CUT_OFF:
                yield Edge("interrupted", now, row.depth, trace, span)

    def _selected(self, trace: TraceRow) -> set[int] | None:
        if not self._filter.terms:
            return None
        of_trace = Filter((*self._filter.terms, Term("trace", ":", trace.trace_id)))
        return {span.span_id for _, span in self._reader.find_spans(of_trace, None)}


def _level(span: SpanRow) -> int:
    return _ENDED if span.end_ns is not None else _CUT_OFF if span.status == "interrupted" else _RUNS


def _order(edge: Edge) -> tuple[int, bool, int]:
    """By time; at the same time what stands above begins first and ends last."""
    begins = edge.event == "start"
    return edge.time_ns, not begins, edge.depth if begins else -edge.depth


def _print(edge: Edge, out: Output) -> None:
    span = edge.span
    if out.json:
        parent = None if span.parent_id is None else format(span.parent_id & 2**64 - 1, "016x")
        more = {"parent_span_id": parent, "depth": edge.depth}
        out.object({"event": edge.event, **span_fields(edge.trace, span), **more})
    else:
        status = "running" if edge.event == "start" else span.status
        name = "  " * min(edge.depth, _DEPTH_MAX) + (f"{span.kind} " if span.kind != "chain" else "")
        name += line(span.name, 120)
        wide = max(_NAME_CELLS, formats.cells(name)) if out.width is None else max(16, min(_NAME_CELLS, out.width - 48))
        took = formats.duration(span.duration_ns) or ("cut off" if edge.event == "interrupted" else "")
        cost = formats.cost(span.cost_usd) if edge.event != "start" else ""
        tokens = formats.count((span.input_tokens or 0) + (span.output_tokens or 0)) if edge.event != "start" else ""
        text = (
            f"{formats.moment(edge.time_ns):>8} {out.mark(status)} {edge.trace.trace_id[:8]} "
            f"{formats.fit(name, wide, out.ascii)} {took:>7} {tokens:>7} "
            f"{cost:>8}"
        )
        error = line(span.error or "", 100)
        if not error or out.width is None or formats.cells(text) + 2 + formats.cells(error) <= out.width:
            out.row(f"{text}  {error}", status)
        else:  # below, whole
            out.row(text, status)
            out.text(" " * _ERROR_INDENT + error, status)
    sys.stdout.flush()
