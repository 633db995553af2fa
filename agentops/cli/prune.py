"""`agentops prune`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentops.cli.asking import sure
from agentops.errors import UsageError
from agentops.settings import resolve
from agentops.store.filters import parse
from agentops.store.location import find_store

if TYPE_CHECKING:
    import argparse

    from agentops.cli.output import Output

HELP = """Take traces out of the store, by any filter; without one, those that are over its bounds (max_bytes, max_age).
What other traces share with them stays. Traces that are still being recorded stay too.

A store keeps within its bounds by itself: this is for making room now.

  agentops prune until:30d -status:error
  agentops prune name:healthcheck --yes"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("filter", nargs="*", help="words of a filter, see `agentops --help`; whole traces go")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")


def run(given: argparse.Namespace, out: Output) -> int:
    from agentops.store.ring import Limits, used_bytes_of
    from agentops.store.upkeep import Store

    filter = parse(given.filter)
    with Store(find_store()) as store:
        before = used_bytes_of(store.path)
        if not filter.terms:
            if given.dry_run:
                raise UsageError("--dry-run needs a filter: `agentops doctor` says how full the store is")
            values = resolve()
            bounds = values["max_bytes"], values["max_age"]
            are_set = any(value.origin != "default" for value in bounds)
            removed = store.keep_within(Limits(*(value.value for value in bounds)), are_set)
        else:
            traces = spans = 0
            for trace in store.reader.iter_traces(filter):
                traces, spans = traces + 1, spans + trace.spans
            what = f"{traces} trace{'s' * (traces != 1)} of {store.reader.count()}, {spans} span{'s' * (spans != 1)}"
            if given.dry_run:
                if out.json:
                    out.object({"traces": traces, "spans": spans, "contents": None, "bytes_freed": None})
                else:
                    out.line(f"agentops: {what} would go")
                return 0
            if traces and not given.yes and not sure(f"take out {what}"):
                return 1
            removed = store.prune(filter)
        freed = max(0, before - used_bytes_of(store.path))
    if out.json:
        counts = {"traces": removed.traces, "spans": removed.spans, "contents": removed.contents}
        out.object({**counts, "bytes_freed": freed})
    else:
        out.line(
            f"agentops: {removed.traces} trace{'s' * (removed.traces != 1)} and {removed.spans} "
            f"span{'s' * (removed.spans != 1)} taken out, {freed / 1e6:.1f} MB freed"
        )
    return 0
