"""`agentops`: finds the command and runs it."""

from __future__ import annotations

import sys


def main() -> int:
    from agentops.cli.export import run

    return run(sys.argv[2:])
