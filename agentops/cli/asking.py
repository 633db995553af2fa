"""Asking before something goes for good."""

from __future__ import annotations

import sys

from agentops.errors import UsageError

__all__ = ["sure"]


def sure(what: str) -> bool:
    """Whether the user at the terminal says yes to `what`.

    Raises:
        UsageError: nobody is there to ask.
    """
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"this would {what}, for good: add --yes to do it")
    print(f"agentops: {what}, for good? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
