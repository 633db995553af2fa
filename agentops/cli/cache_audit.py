"""`agentops cache-audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentops import formats
from agentops.analysis.cache_audit import Audit, Finding, audit
from agentops.cli.reading import opened
from agentops.inert import line
from agentops.store.filters import parse

if TYPE_CHECKING:
    import argparse

    from agentops.cli.output import Output

HELP = """Say what broke the provider's prompt cache: the place in the system prompt, a tool or a message, to the byte,
what stands there, how often that happened and what it cost. It looks at the calls of each conversation (of a session,
or of a trace) and asks why one did not read what the one before it had left. It also names what is sent again without
a breakpoint behind it, breakpoints that are never found again, and what was written in vain or for too long.

The filter selects traces. Costs are what was paid more than had to be, by the provider's own counts of tokens.

  agentops cache-audit since:1d
  agentops cache-audit name:support model:sonnet"""

_SHOWN = 12


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("filter", nargs="*", help="words of a filter, see `agentops --help`")
    parser.add_argument("--ascii", action="store_true", help="no glyphs beyond ASCII")


def run(given: argparse.Namespace, out: Output) -> int:
    filter = parse(given.filter)
    with opened() as reader:
        found = audit(reader, filter)
    if out.json:
        out.object({**found._asdict(), "findings": list(map(_fields, found.findings))})
        return 0
    if not found.calls:
        out.line("no model calls with counts of tokens" + (" match" if filter.terms else " were recorded yet"))
        return 0
    out.text(_summary(found), "bold")
    for finding in found.findings[:_SHOWN]:
        out.text(_sentence(finding))
        out.text(f"  {finding.advice}", "dim")
    if len(found.findings) > _SHOWN:
        out.line(out.paint(f"{len(found.findings) - _SHOWN} more: --json has them all", "dim"))
    if not found.findings:
        out.line("nothing to change")
    return 0


def _summary(found: Audit) -> str:
    many = "s" * (found.calls != 1)
    share = 100 * found.read_tokens / max(1, found.input_tokens)
    text = f"{found.calls} call{many}, {formats.count(found.input_tokens)} tokens in, {share:.0f} % read from the cache"
    if found.wasted_usd is None:
        return f"{text}; the models have no price"
    return f"{text}, {formats.cost(found.wasted_usd)} too much" if found.wasted_usd else text


def _sentence(finding: Finding) -> str:
    place = f"from {_place(finding)} on" if finding.kind == "uncovered" else _place(finding)
    calls = f"{finding.times} call{'s' * (finding.times != 1)}"
    calls += f" of {finding.runs} runs" if finding.runs > 1 else ""
    cost = ""
    if finding.cost_usd is not None:
        cost = f", {formats.cost(finding.cost_usd / finding.runs)}" + " a run" * (finding.runs > 1)
    return f"{place}{_what(finding)} in {calls}{cost} (first in {finding.trace_id[:8]})"


def _place(finding: Finding) -> str:
    at = finding.position
    if finding.section == "system":
        place = "system prompt" + (f" block {at + 1}" if at else "")
    elif finding.section in ("tools", "messages"):
        name = "tool" if finding.section == "tools" else "message"
        place = name if at is None else f"{name} {at + 1}"
    else:
        place = line(finding.section, 60)
    if finding.path:
        place += f" {line(finding.path.lstrip('.'), 80)}"
    if finding.paragraph is not None and finding.paragraph > 1:
        place += f", paragraph {finding.paragraph}"
    return place + (f", byte {finding.byte}" if finding.byte is not None else "")


def _what(finding: Finding) -> str:
    size = _size(finding.bytes)
    if finding.kind == "break":
        values = [line(text, 40) for text in (finding.before, finding.after)]
        change = f" ({values[0]} -> {values[1]})" if any(values) and finding.what != "text" else ""
        return f", {finding.what}{change}: {size} written again"
    tokens = f"{formats.count(finding.tokens)} tokens"
    return {
        "expired": f": the cache had expired, {size} written again",
        "lookback": f": too far from the breakpoint before, {size} written again",
        "concurrent": f": sent before the cache was there, {size} written again",
        "evicted": f": the provider had dropped it, {size} written again",
        "uncovered": f": {size} sent again without a breakpoint behind them",
        "unread": f": {tokens} written and never read",
        "never_hit": ": a breakpoint that is never found again",
        "too_short": ": a breakpoint behind too little",
        "long": f": {tokens} written for an hour and read within minutes",
    }[finding.kind]


def _size(size: int) -> str:
    return f"{size} bytes" if size < 1_000 else f"{size / 1_000:.0f} kB"


def _fields(finding: Finding) -> dict[str, Any]:
    fields = finding._asdict()
    fields["span_id"] = format(finding.span_id & (2**64 - 1), "016x")
    fields["cost_usd_per_run"] = None if finding.cost_usd is None else finding.cost_usd / finding.runs
    return fields
