"""The store as the commands that read it open it."""

from __future__ import annotations

import sys

from agentops.inert import line
from agentops.store.reader import Reader

__all__ = ["opened"]


def opened() -> Reader:
    """The nearest store; says so if not all that was recorded could be brought into it.

    Raises:
        NotFound: there is none.
        StoreError: it cannot be read.
    """
    reader = Reader()
    if reader.behind:
        print(
            f"agentops: {line(reader.behind, 300)}\n"
            "agentops: this is what was in the store before; more waits in journals",
            file=sys.stderr,
        )
    return reader
