"""`agentops stats`."""

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
    from agentops.store.stats import StatsRow

HELP = """Count calls, errors, tokens, cost and how long they took, by model, name or day. The filter selects spans,
as it does in `agentops ls --spans`. By model and by day, model calls are counted; by name, all spans.

p50 and p95 are the durations that half and 95 % of the ended spans did not exceed. A call whose price is not known
is not in the cost; how many there are is said below.

  agentops stats since:7d
  agentops stats --by day model:haiku"""

_BY = ("model", "name", "day")
_KEY_CELLS = 44


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("filter", nargs="*", help="words of a filter, see `agentops --help`; all keys are the span's")
    parser.add_argument("--by", default="model", metavar="WHAT", help="model, name or day (model)")
    parser.add_argument("--ascii", action="store_true", help="no glyphs beyond ASCII")


def run(given: argparse.Namespace, out: Output) -> int:
    if given.by not in _BY:
        raise UsageError(f"--by takes model, name or day, not {given.by!r}")
    filter = parse(given.filter)
    with opened() as reader:
        rows, total = reader.stats(filter, given.by)
    if out.json:
        out.object({"by": given.by, "rows": list(map(_fields, rows)), "total": _fields(total)})
        return 0
    if not rows:
        what = "spans" if given.by == "name" else "model calls"
        out.line(
            f"no {what} were recorded yet"
            if not filter.terms
            else "nothing matches: every key of the filter is the span's here"
        )
        return 0
    keys = [_key(row) for row in rows]
    most = _KEY_CELLS if out.width is None else max(12, min(_KEY_CELLS, out.width - 57 - 7 * (given.by == "day")))
    wide = min(max(map(formats.cells, [*keys, "total"])), most)
    runs = f" {'runs':>6}" if given.by == "day" else ""
    counted = "spans" if given.by == "name" else "calls"
    head = f"{given.by:{wide}}{runs} {counted:>7} {'errors':>6} {'input':>7} {'output':>7} {'cost':>9}"
    head += f" {'p50':>7} {'p95':>7}"
    out.row(head, "dim")
    for row, key in zip([*rows, total], [*keys, "total"], strict=True):
        runs = f" {row.runs:>6}" if given.by == "day" else ""
        text = (
            f"{formats.fit(key, wide, out.ascii)}{runs} {row.calls:>7} {row.errors or '':>6} "
            f"{formats.count(row.input_tokens):>7} {formats.count(row.output_tokens):>7} "
            f"{formats.cost(row.cost_usd, row.unpriced):>9} {formats.duration(row.p50_ns):>7} "
            f"{formats.duration(row.p95_ns):>7}"
        )
        out.row(text, "bold" if row is total else "")
    if total.unpriced:
        many = total.unpriced != 1
        out.line(
            out.paint(f"{total.unpriced} call{'s' * many} {'have' if many else 'has'} no price: not in the cost", "dim")
        )
    return 0


def _key(row: StatsRow) -> str:
    key = "?" if row.key is None else line(row.key, 200)
    return f"{row.kind} {key}" if row.kind and row.kind != "chain" else key


def _fields(row: StatsRow) -> dict[str, Any]:
    return row._asdict()
