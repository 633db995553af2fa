"""`agentops backup`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentops.inert import line
from agentops.store.location import find_store

if TYPE_CHECKING:
    import argparse

    from agentops.cli.output import Output

HELP = """Copy the whole store to a file, consistent while programs write to it. The copy is a store itself: read it
with AGENTOPS_STORE=FILE.

  agentops backup /backups/agentops-2026-11-25.db"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a file that is not there yet")


def run(given: argparse.Namespace, out: Output) -> int:
    from agentops.store.upkeep import backup

    size = backup(find_store(), given.file)
    if out.json:
        out.object({"file": given.file, "bytes": size})
    else:
        out.line(f"agentops: {size / 1e6:.1f} MB in {line(given.file)}")
    return 0
