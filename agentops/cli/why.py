"""`agentops why`."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING, Any

from agentops import formats
from agentops.analysis.death import Death
from agentops.analysis.findings import Finding
from agentops.analysis.why import why
from agentops.cli.ls import trace_fields
from agentops.cli.reading import opened
from agentops.inert import line

if TYPE_CHECKING:
    import argparse

    from agentops.cli.output import Output

HELP = """Say in a few lines what went wrong in a trace: the most likely cause first, then what else is out of the
ordinary. It also looks for what no status tells: errors handed back as values, empty searches, loops, refusals,
answers cut off.

  agentops why latest
  agentops why 7f3a"""

_LINES, _CELLS, _HEADLINES = 20, 160, 3


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", nargs="?", default="latest", help="id of a trace, the beginning of one, or `latest`")
    parser.add_argument("--ascii", action="store_true", help="no glyphs beyond ASCII")


def run(given: argparse.Namespace, out: Output) -> int:
    with opened() as reader:
        trace = reader.trace(given.trace)
        found = why(reader, trace)
        last_ns = reader.last_ns(trace)
        others = 0
        if given.trace == "latest" and not found.failed:  # of a service, the latest is seldom the one of interest
            hour_ago = time.time_ns() - 3600 * 10**9
            others = reader.tally(hour_ago)[1] - (trace.errors > 0 and trace.start_ns >= hour_ago)
    if out.json:
        out.object(
            {
                "trace": trace_fields(trace, last_ns),
                "failed": found.failed,
                "headline": found.headline,
                "cause": found.cause.hex_id if found.cause else None,
                "death": _death(found.death),
                "findings": list(map(_fields, found.rows)),
            }
        )
        return 0
    width = out.width or _CELLS
    role = "error" if found.failed else "bold"
    for text in _wrapped(f"{trace.trace_id[:8]} {line(found.headline, 400)}", width, out):
        out.line(out.paint(text, role))
    lines: list[str] = []
    for finding in found.rows:
        span = finding.span.hex_id[:8] if finding.span else ""
        head, text = f"  {finding.kind:<10} {span:<8} ", line(finding.text, 400)
        # Where in the user's code to look is told whole.
        texts = _wrapped(text, max(24, width - len(head)), out) if finding.kind in ("stack", "place") else [text]
        for n, text in enumerate(texts):
            fitted = _fitted((" " * len(head) if n else head) + text, width, out)
            lines.append(out.paint(fitted, "" if finding.severity == "suspect" else "dim"))
    for text in lines[: _LINES - _HEADLINES - 1]:
        out.line(text)
    if others:
        more = f"{others} other run{'s' * (others != 1)} of the last hour had errors"
        out.line(out.paint(f"{more}: agentops ls 'errors>0' since:1h", "dim"))
    return 0


def _death(found: Death | None) -> dict[str, Any] | None:
    if found is None:
        return None
    fields = found._asdict()
    fields["span_id"] = found.span.hex_id if found.span else None
    fields["open"] = [span.hex_id for span in found.open]
    fields["last_time_unix_nano"] = fields.pop("last_ns")
    del fields["span"], fields["own"]
    return fields


def _wrapped(text: str, width: int, out: Output) -> list[str]:
    more = " .." if out.ascii else " …"
    return textwrap.wrap(text, width, break_on_hyphens=False, max_lines=_HEADLINES, placeholder=more) or [""]


def _fitted(text: str, width: int, out: Output) -> str:
    return formats.fit(text, width, out.ascii).rstrip()


def _fields(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "span_id": finding.span.hex_id if finding.span else None,
        "path": list(finding.path),
        "text": finding.text,
    }
