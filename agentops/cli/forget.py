"""`agentops forget`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentops.cli.asking import sure
from agentops.errors import UsageError
from agentops.inert import line
from agentops.store.filters import parse
from agentops.store.location import find_store

if TYPE_CHECKING:
    import argparse

    from agentops.cli.output import Output

HELP = """Make a user, a session or what a filter selects forgotten: their traces, contents that nobody else has, names,
the index, and what stands in journals. What SQLite deletes is overwritten, so that no byte of it is left in the
store's files. Whole traces go, also where only one span says that user.

Programs that record go on; they are asked to begin new journals, which takes some seconds. Copies that you made
(exports, backups, stores that were set aside) are yours to delete.

  agentops forget --user u-4
  agentops forget --session s-17 --yes
  agentops forget --match 'name:import "alice@example.com"'"""


def arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--user", metavar="U", help="everything of this user")
    which.add_argument("--session", metavar="S", help="everything of this session")
    which.add_argument("--match", metavar="FILTER", help="the traces that a filter selects, see `agentops --help`")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(given: argparse.Namespace, out: Output) -> int:
    from agentops.store.upkeep import Store

    filter = None
    if given.match is not None:
        filter = parse(given.match)
        if not filter.terms:
            raise UsageError("an empty filter selects everything: say what is to be forgotten")
    what = next(f"{name} {value}" for name, value in vars(given).items() if name in _KINDS and value is not None)
    with Store(find_store()) as store:
        traces, spans, others = store.selected(user=given.user, session=given.session, filter=filter)
        shared = ""
        if others:
            many = f"{others} other {'user' if given.session is None else 'session'}{'s' * (others != 1)}"
            shared = f"; whole traces go, and {many} have spans in them"
        if not given.yes:
            counted = f"{traces:,} trace{'s' * (traces != 1)} with {spans:,} span{'s' * (spans != 1)}"
            if not sure(f"forget {counted} of {line(what, 200)}{shared}"):
                return 1
        found = store.forget(user=given.user, session=given.session, filter=filter)
    removed = found.removed
    if out.json:
        counts = {"traces": removed.traces, "spans": removed.spans, "contents": removed.contents}
        out.object({**counts, "running": found.running, "held": found.held})
    else:
        out.line(
            f"agentops: {removed.traces} trace{'s' * (removed.traces != 1)} and {removed.spans} "
            f"span{'s' * (removed.spans != 1)} of {line(what, 200)} forgotten{shared}"
        )
        if not traces and (given.user or given.session):
            out.line(
                "agentops: nobody is called so here; a name that was redacted is only known with the key that it was "
                "hashed with: redaction.key in the store's folder, or AGENTOPS_REDACT_KEY"
            )
        if found.running:
            out.line(f"agentops: {found.running} of them are still being recorded and stay: run this again later")
        for name in found.held:
            out.line(f"agentops: a program holds the journal {line(name)}: end it, and run this again")
    return 1 if found.running or found.held else 0


_KINDS = ("user", "session", "match")
