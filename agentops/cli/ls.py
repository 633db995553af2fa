"""`agentops ls`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentops import formats
from agentops.cli.reading import opened
from agentops.errors import UsageError
from agentops.inert import line
from agentops.store.filters import parse

if TYPE_CHECKING:
    import argparse

    from agentops.cli.output import Output
    from agentops.store.reader import Reader
    from agentops.store.rows import SpanRow, TraceRow

HELP = """List traces, newest first. In front: a cross for a run that failed, ! for one that ended well with errors in
it (errors>0 finds both), a circle for one that was cut off, a dot for one that runs. Of what was cut off, `took` ends
with the last that was heard of it, and has a + behind it.

  agentops ls status:error since:1h
  agentops ls --spans kind:tool 'took>5s'
  agentops ls --alike latest since:7d"""

#: What stands in the place of a duration that is not known.
SHORT = {"running": "running", "interrupted": "cut off", "ok": "", "error": ""}

_NAME_CELLS = 32


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("filter", nargs="*", help="words of a filter, see `agentops --help`")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most N lines (20); 0 for all")
    parser.add_argument("--spans", action="store_true", help="list spans; all keys of the filter are then the span's")
    parser.add_argument("--alike", metavar="ID", help="the traces that failed like this one, itself among them")
    parser.add_argument("--ascii", action="store_true", help="no glyphs beyond ASCII")


def run(given: argparse.Namespace, out: Output) -> int:
    if given.limit < 0:
        raise UsageError("--limit takes a number of lines, or 0 for all")
    if given.spans and given.alike is not None:
        raise UsageError("--alike lists traces: leave out --spans")
    filter = parse(given.filter)
    limit = given.limit if given.limit > 0 else None
    ask = None if limit is None else limit + 1
    with opened() as reader:
        if given.spans:
            found = reader.find_spans(filter, ask)
            shown = found[:limit]
            if out.json:
                out.object({"spans": [span_fields(t, s) for t, s in shown], "more": len(found) > len(shown)})
                return 0
            _print_spans(shown, out)
        else:
            if given.alike is not None:
                from agentops.analysis.alike import alike

                traces = alike(reader, reader.trace(given.alike), filter, ask)
            else:
                traces = reader.traces(filter, ask)
            shown_traces = traces[:limit]
            if out.json:
                fields = [trace_fields(trace, reader.last_ns(trace)) for trace in shown_traces]
                out.object({"traces": fields, "more": len(traces) > len(shown_traces)})
                return 0
            _print_traces(shown_traces, reader, out)
            found, shown = traces, shown_traces  # type: ignore[assignment]
        if not shown:
            out.line("nothing was recorded yet" if not filter.terms else "nothing matches")
        elif len(found) > len(shown):
            out.aside(f"more than {limit}: --limit 0 shows all")
    return 0


def trace_fields(trace: TraceRow, last_ns: int | None) -> dict[str, Any]:
    """A trace as --json has it; `last_ns` is what `Reader.last_ns` gives."""
    return {
        "trace_id": trace.trace_id,
        "name": trace.name,
        "kind": trace.kind,
        "status": trace.status,
        "start_time_unix_nano": trace.start_ns,
        "start_time": formats.iso(trace.start_ns),
        "end_time_unix_nano": trace.end_ns,
        "end_time": formats.iso(trace.end_ns),
        "duration_ns": trace.duration_ns,
        "last_time_unix_nano": last_ns,
        "last_time": formats.iso(last_ns),
        "spans": trace.spans,
        "open_spans": trace.open,
        "errors": trace.errors,
        "llm_calls": trace.llm_calls,
        "input_tokens": trace.input_tokens,
        "output_tokens": trace.output_tokens,
        "cost_usd": trace.cost_usd,
        "session": trace.session,
        "user": trace.user,
        "tags": trace.tags,
    }


def span_fields(trace: TraceRow, span: SpanRow) -> dict[str, Any]:
    """A span of a list as --json has it."""
    return {
        "trace_id": trace.trace_id,
        "span_id": span.hex_id,
        "name": span.name,
        "kind": span.kind,
        "status": span.status,
        "start_time_unix_nano": span.start_ns,
        "start_time": formats.iso(span.start_ns),
        "end_time_unix_nano": span.end_ns,
        "end_time": formats.iso(span.end_ns),
        "duration_ns": span.duration_ns,
        "model": span.model,
        "input_tokens": span.input_tokens,
        "output_tokens": span.output_tokens,
        "cost_usd": span.cost_usd,
        "error": span.error,
    }


def _print_traces(traces: list[TraceRow], reader: Reader, out: Output) -> None:
    if not traces:
        return
    whens = [formats.moment(trace.start_ns) for trace in traces]
    when_cells = max(map(len, [*whens, "when"]))
    wide = _NAME_CELLS if out.width is None else min(max(12, out.width - when_cells - 53), 80)
    columns = f"{'took':>7} {'spans':>6} {'tokens':>7} {'cost':>8} errors"
    out.row(f"  {'trace':8} {'name':{wide}} {'when':>{when_cells}} {columns}", "dim")
    for trace, when in zip(traces, whens, strict=True):
        mark = "!" if trace.errors and trace.status == "ok" else out.mark(trace.status)
        last = reader.last_ns(trace) or 0
        heard = f"{formats.duration(last - trace.start_ns)}+" if last > trace.start_ns else ""
        took = formats.duration(trace.duration_ns) or heard or SHORT[trace.status]
        name = formats.fit(line(trace.name, 2 * wide), wide, out.ascii)
        text = (
            f"{mark} {trace.trace_id[:8]} {name} {when:>{when_cells}} {took:>7} {trace.spans:>6} "
            f"{formats.count(trace.tokens):>7} {formats.cost(trace.cost_usd):>8} {trace.errors or '':>6}"
        )
        out.row(text, trace.status)


def _print_spans(spans: list[tuple[TraceRow, SpanRow]], out: Output) -> None:
    if not spans:
        return
    head = f"  {'trace':8} {'span':8} {'kind':9} {'name':{_NAME_CELLS}} {'when':>16} {'took':>7} {'tokens':>7}  error"
    out.row(head, "dim")
    for trace, span in spans:
        tokens = (span.input_tokens or 0) + (span.output_tokens or 0)
        text = (
            f"{out.mark(span.status)} {trace.trace_id[:8]} {span.hex_id[:8]} {span.kind:9} "
            f"{formats.fit(line(span.name, 200), _NAME_CELLS, out.ascii)} {formats.moment(span.start_ns):>16} "
            f"{formats.duration(span.duration_ns) or SHORT[span.status]:>7} {formats.count(tokens):>7}  "
            f"{line(span.error or '', 80)}"
        )
        out.row(text, span.status)
