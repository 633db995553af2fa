"""`agentops search`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from agentops import formats
from agentops.cli.ls import span_fields
from agentops.cli.reading import opened
from agentops.errors import UsageError
from agentops.inert import line

if TYPE_CHECKING:
    import argparse

    from agentops.cli.output import Output

HELP = """Find a text in inputs, outputs, attributes, errors, events and names; newest trace first. Of a message
that is sent again with every call, the first span that has it is shown.

  agentops search "could not be paid"
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="+", help="words that stand one after the other")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most N places (20); 0 for all")
    parser.add_argument("--ascii", action="store_true", help="no glyphs beyond ASCII")


def run(given: argparse.Namespace, out: Output) -> int:
    if given.limit < 0:
        raise UsageError("--limit takes a number of places, or 0 for all")
    limit = given.limit or sys.maxsize - 1
    with opened() as reader:
        hits = reader.search(" ".join(given.text), limit + 1)
    more = len(hits) > limit
    hits = hits[:limit]
    if out.json:
        fields = [{**span_fields(hit.trace, hit.span), "where": hit.where, "snippet": hit.snippet} for hit in hits]
        out.object({"hits": fields, "more": more})
        return 0
    for hit in hits:
        place = f"{hit.span.kind} {line(hit.span.name, 60)}, {hit.where}"
        head = f"{out.mark(hit.span.status)} {hit.trace.trace_id[:8]} {formats.moment(hit.trace.start_ns)}"
        out.line(out.paint(f"{head} {line(hit.trace.name, 40)} > {place}", hit.span.status))
        out.line(f"    {hit.span.hex_id[:8]}  {line(' '.join(hit.snippet.split()))}")
    if more:
        out.aside(f"more than {limit}: --limit 0 shows all")
    if not hits:
        out.line("nothing matches")
    return 0
