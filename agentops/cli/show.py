"""`agentops show`."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

from agentops import formats
from agentops.cli.ls import SHORT, span_fields, trace_fields
from agentops.cli.reading import opened
from agentops.inert import block, line
from agentops.messages import is_kept
from agentops.store.tree import TreeRow, tree

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from agentops.analysis.growth import Growth
    from agentops.cli.output import Output
    from agentops.store.rows import CallRow, ScoreRow, SpanDetail, TraceRow

HELP = """Show one trace as a tree.

  agentops show latest
  agentops show 7f3a --content"""

_INDENT_MAX = 40
_NAME_CELLS = 44


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", nargs="?", default="latest", help="id of a trace, the beginning of one, or `latest`")
    parser.add_argument("--content", action="store_true", help="also inputs, outputs, attributes, events, exceptions")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--plain", action="store_true", help="indented sentences without lines and glyphs")
    form.add_argument("--md", action="store_true", help="Markdown to paste")
    parser.add_argument("--ascii", action="store_true", help="no glyphs beyond ASCII")


def run(given: argparse.Namespace, out: Output) -> int:
    with opened() as reader:
        trace = reader.trace(given.trace)
        rows = tree(reader.spans(trace))
        scores = reader.scores(trace)
        details = {d.row.span_id: d for d in reader.details(trace)} if given.content else {}
        if out.json:
            from agentops.analysis.growth import growth

            fields = _fields(trace, reader.last_ns(trace), rows, scores, details, reader.calls(trace))
            out.object({**fields, "context": _context(growth(reader, trace))})
            return 0
        if given.md:
            lines = _markdown(trace, rows, scores, details)
        elif given.plain:
            lines = _plain(trace, rows, scores, details)
        else:
            lines = _tree(trace, rows, scores, details, out)
        for text in lines:
            if given.plain:
                out.text(text)
            else:
                out.line(text)
    return 0


def _facts(trace: TraceRow) -> str:
    parts = [
        trace.status,
        formats.duration(trace.duration_ns),
        f"{trace.spans} span{'s' * (trace.spans != 1)}",
        f"{formats.count(trace.tokens)} tokens" if trace.tokens else "",
        formats.cost(trace.cost_usd),
        f"{trace.unpriced} call{'s' * (trace.unpriced != 1)} unpriced" if trace.unpriced else "",
        f"{trace.errors} error{'s' * (trace.errors != 1)}" if trace.errors else "",
        f"session {line(trace.session, 60)}" if trace.session else "",
        f"user {line(trace.user, 60)}" if trace.user else "",
        *(f"#{line(tag, 40)}" for tag in trace.tags),
    ]
    return " · ".join(part for part in parts if part)


def _tree(
    trace: TraceRow, rows: list[TreeRow], scores: list[ScoreRow], details: dict[int, SpanDetail], out: Output
) -> Iterator[str]:
    dot = " | " if out.ascii else " · "
    head = f"{trace.trace_id[:8]}  {line(trace.name, 80)}  {formats.moment(trace.start_ns)}"
    yield out.paint(head, "bold")
    yield out.paint(_facts(trace).replace(" · ", dot), "dim")
    branch, corner, pipe = ("|- ", "`- ", "|  ") if out.ascii else ("├─ ", "└─ ", "│  ")
    passed_on = _passed_on(rows)
    lasts: list[bool] = []
    for row in rows:
        del lasts[row.depth :]
        lasts.append(row.last)
        guides = "".join("   " if last else pipe for last in lasts[1 : row.depth])
        guides += (corner if row.last else branch) if row.depth else ""
        if len(guides) > _INDENT_MAX:
            guides = f"{row.depth:>4}> "
        yield from _tree_lines(row, guides, out, row.span.span_id not in passed_on)
        if row.span.span_id in details:
            for text in _content(details[row.span.span_id]):
                yield "    " + " " * min(3 * row.depth, _INDENT_MAX) + text
    for score in scores:
        yield out.paint(_score(score), "dim")


def _passed_on(rows: list[TreeRow]) -> set[int]:
    """Spans whose error came from a span directly inside: it is told there."""
    found: set[int] = set()
    path: list[TreeRow] = []
    for row in rows:
        del path[row.depth :]
        if path and row.span.error and path[-1].span.error == row.span.error:
            found.add(path[-1].span.span_id)
        path.append(row)
    return found


def _tree_lines(row: TreeRow, guides: str, out: Output, with_error: bool) -> Iterator[str]:
    span = row.span
    name = guides + f"{span.kind} {line(span.name, 120)}" if span.kind != "chain" else guides + line(span.name, 120)
    took = formats.duration(span.duration_ns) or SHORT[span.status]
    tokens = formats.count((span.input_tokens or 0) + (span.output_tokens or 0))
    notes = [line(span.error, 400)] if span.error and with_error else []
    if row.lost:
        notes.append("(its parent was not recorded here)")
    note = "  " + " ".join(notes) if notes else ""
    facts = f" {took:>7} {tokens:>6} {formats.cost(span.cost_usd):>8}"
    if out.width is None:
        text = f"{out.mark(span.status)} {formats.fit(name, max(_NAME_CELLS, formats.cells(name)))}{facts}{note}"
        yield out.paint(text.rstrip(), span.status)
        return
    wide = max(16, min(_NAME_CELLS, out.width - 2 - len(facts)))
    text = f"{out.mark(span.status)} {formats.fit(name, wide, out.ascii)}{facts}"
    if formats.cells(text + note) > out.width and note:  # on lines of its own, as wide as the terminal
        yield out.paint(text.rstrip(), span.status)
        pad = "  " + " " * min(formats.cells(guides), out.width // 3) + "  "
        for more in textwrap.wrap(note.strip(), max(20, out.width - len(pad)), break_on_hyphens=False)[:3]:
            yield out.paint(pad + more, span.status)
        return
    yield out.paint((text + note).rstrip(), span.status)


def _plain(
    trace: TraceRow, rows: list[TreeRow], scores: list[ScoreRow], details: dict[int, SpanDetail]
) -> Iterator[str]:
    yield f"Trace {trace.trace_id[:8]}, {line(trace.name)}, {_facts(trace).replace(' · ', ', ')}."
    for row in rows:
        span = row.span
        pad = "  " * min(row.depth, _INDENT_MAX)
        took = formats.duration(span.duration_ns)
        sentence = f"{pad}Level {row.depth + 1}: {span.kind} {line(span.name)}, {span.status}"
        sentence += f", took {took}" if took else ""
        tokens = (span.input_tokens or 0) + (span.output_tokens or 0)
        sentence += f", {tokens} tokens" if tokens else ""
        sentence += f", error {line(span.error)}" if span.error else ""
        sentence += ", its parent was not recorded here" if row.lost else ""
        yield sentence + "."
        for text in _content(details[span.span_id]) if span.span_id in details else ():
            yield f"{pad}  {text}"
    for score in scores:
        yield _score(score)


def _markdown(
    trace: TraceRow, rows: list[TreeRow], scores: list[ScoreRow], details: dict[int, SpanDetail]
) -> Iterator[str]:
    yield f"### {_escaped(line(trace.name))} `{trace.trace_id[:8]}`"
    yield ""
    yield _escaped(_facts(trace))
    yield ""
    for row in rows:
        span = row.span
        parts = [f"**{span.kind}** {_escaped(line(span.name))}", span.status, formats.duration(span.duration_ns)]
        if span.error:
            parts.append(_escaped(line(span.error)))
        pad = "  " * min(row.depth, _INDENT_MAX)  # deeper lists are no lists to Markdown
        yield pad + "- " + " · ".join(part for part in parts if part)
        content = list(_content(details[span.span_id])) if span.span_id in details else []
        if content:
            ticks = max((len(run) for text in content for run in re.findall("`+", text)), default=0)
            fence = "`" * max(3, ticks + 1)
            pad = pad + "  "
            yield from ("", f"{pad}{fence}text", *(pad + text for text in content), pad + fence, "")
    for score in scores:
        yield "- " + _escaped(_score(score))


def _escaped(text: str) -> str:
    return "".join("\\" + c if c in "\\`*_[]<>#|~" else c for c in text)


def _score(score: ScoreRow) -> str:
    about = f" of span {score.span_id[:8]}" if score.span_id else ""
    comment = f"  {line(score.comment)}" if score.comment else ""
    value = f"{score.value:g}" if isinstance(score.value, float) else line(score.value or "no number")
    return f"score{about}: {line(score.name)} = {value}{comment}"


def _content(detail: SpanDetail) -> Iterator[str]:
    """All that a span holds, as lines; nothing is cut off."""
    import json

    if detail.has_input:
        yield from _value("input", detail.input)
    if detail.has_output:
        yield from _value("output", detail.output)
    for key, value in detail.attributes.items():
        if is_kept(key):
            continue
        yield from _value(key, value)
    said = (detail.exception or {}).get("message")
    for event in detail.events:
        if event.name == "exception" and said is not None and event.attributes.get("exception.message") == said:
            continue  # it stands below, whole
        after = formats.duration(event.time_ns - detail.row.start_ns)
        facts = json.dumps(event.attributes, ensure_ascii=False) if event.attributes else ""
        yield f"event after {after}: {line(event.name)} {line(facts)}".rstrip()
    for link in detail.links:
        yield f"link: {link.trace_id} {link.span_id}"
    if detail.exception:
        yield from _value("exception", detail.exception.get("stacktrace") or detail.row.error or "")
    if detail.metadata:
        yield from _value("metadata", detail.metadata)


def _value(name: str, value: Any) -> Iterator[str]:
    import json

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    lines = block(text.rstrip("\n")).split("\n")
    if len(lines) == 1:
        yield f"{line(name)}: {lines[0]}"
        return
    yield f"{line(name)}:"
    for part in lines:
        yield f"  {part}"


def _fields(
    trace: TraceRow,
    last_ns: int | None,
    rows: list[TreeRow],
    scores: list[ScoreRow],
    details: dict[int, SpanDetail],
    calls: list[CallRow],
) -> dict[str, Any]:
    spans = []
    for row in rows:
        fields = span_fields(trace, row.span)
        fields["parent_span_id"] = (
            None if row.span.parent_id is None else format(row.span.parent_id & 2**64 - 1, "016x")
        )
        fields["depth"] = row.depth
        if row.span.span_id in details:
            from agentops.exporters.jsonl import record

            fields["content"] = record(details[row.span.span_id])
        spans.append(fields)
    return {
        "trace": trace_fields(trace, last_ns),
        "spans": spans,
        "scores": [score._asdict() for score in scores],
        "calls": list(map(_call_fields, calls)),
    }


def _call_fields(call: CallRow) -> dict[str, Any]:
    from agentops.prices import as_usd
    from agentops.usage import BUCKETS

    return {
        "span_id": call.span_id,
        "provider": call.provider,
        "model": call.model,
        "tier": call.tier,
        "usage": dict(zip(BUCKETS, call.usage, strict=False)),
        "estimated": [name for name in BUCKETS if call.usage.mark(name) == "estimated"],
        "cost": None if call.cost_pico is None else as_usd(call.cost_pico),
        "price": None if call.price is None else {"source": call.price[0], "entry": call.price[1]},
        "saved": None if call.saved_pico is None else as_usd(call.saved_pico),
    }


def _context(found: Growth) -> dict[str, Any]:
    turns = [
        {
            "span_id": turn.span.hex_id,
            "messages": turn.messages,
            "new_messages": turn.new,
            "goes_on_from": None if turn.before is None else turn.before.hex_id,
            "new_tokens": turn.new_tokens,
        }
        for turn in found.turns
    ]
    return {"tokens_per_turn": found.tokens_per_turn, "turns": turns}
