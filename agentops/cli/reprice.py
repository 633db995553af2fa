"""`agentops reprice`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentops import formats
from agentops.inert import line
from agentops.store.filters import parse
from agentops.store.location import find_store

if TYPE_CHECKING:
    import argparse

    from agentops.cli.output import Output
    from agentops.store.calls import Change

HELP = """Compute anew what calls cost, by today's lists and the day of each call, and say what changed. The filter
selects traces. What a provider or a program said that a call cost stays, and so does a price that no list has now.

  agentops reprice --dry-run
  agentops reprice model:my-model since:30d"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("filter", nargs="*", help="words of a filter, see `agentops --help`")
    parser.add_argument("--dry-run", action="store_true", help="only say what would change")


def run(given: argparse.Namespace, out: Output) -> int:
    from agentops.prices import forget_own, own
    from agentops.store.calls import Change
    from agentops.store.upkeep import Store

    forget_own()
    own()  # what is wrong in agentops.toml is said before anything is computed by it
    with Store(find_store()) as store:
        changes = store.reprice(parse(given.filter), given.dry_run)
    total = Change(None)
    for change in changes:
        total = total.plus(change)
    if out.json:
        out.object({"dry_run": given.dry_run, "models": list(map(_fields, changes)), "total": _fields(total)})
        return 0
    for change in changes:
        if change.changed or change.unpriced:
            name = formats.fit(line(change.model or "no model", 80), 32, out.ascii)
            out.row(f"{name} {_words(change)}")
    would = "would change" if given.dry_run else "changed"
    many = f"{total.calls} call{'s' * (total.calls != 1)}"
    out.text(f"agentops: of {many} {total.changed} {would}: {_money(total)}{_rest(total)}")
    return 0


def _words(change: Change) -> str:
    return f"{change.changed} of {change.calls} calls: {_money(change)}{_rest(change)}"


def _money(change: Change) -> str:
    from agentops.prices import as_usd

    before, after = as_usd(change.before), as_usd(change.after)
    if before == after:
        return f"${before}" if change.unpriced < change.calls else "unpriced"
    return f"unpriced -> ${after}" if change.priced and not change.before else f"${before} -> ${after}"


def _rest(change: Change) -> str:
    parts = [
        f"{change.priced} had no price" if change.priced else "",
        f"{change.kept} keep a price that no list has now" if change.kept else "",
        f"{change.unpriced} unpriced" if change.unpriced else "",
    ]
    return "".join(f", {part}" for part in parts if part)


def _fields(change: Change) -> dict[str, Any]:
    from agentops.prices import as_usd

    return {
        **change._asdict(), "before": as_usd(change.before), "after": as_usd(change.after),
    }  # fmt: skip
