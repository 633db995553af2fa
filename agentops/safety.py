"""The net under everything of ours that runs inside a user's call.

Tracing never breaks the program it watches: a failure of ours is logged once per place and counted,
never raised. Under our own tests (AGENTOPS_RAISE=1) it is raised, so that the net cannot hide a bug.
"""

from __future__ import annotations

import logging
import os
from collections import Counter

from agentops.errors import AgentopsError

__all__ = ["LOGGER", "counts", "failed", "reset_after_fork", "said"]

LOGGER = logging.getLogger("agentops")

#: What was lost or went wrong in this process, by a short name: shown by `agentops doctor`.
counts: Counter[str] = Counter()

_reported: set[str] = set()


def failed(what: str, problem: BaseException) -> None:
    """Count a failure of ours, and log its first occurrence with its traceback.

    Args:
        what: short name of what failed, such as "journal write".
        problem: the exception.
    """
    counts[what] += 1
    if os.environ.get("AGENTOPS_RAISE") == "1" and not isinstance(problem, OSError):
        raise problem
    if what in _reported:
        return
    _reported.add(what)
    LOGGER.warning(
        "agentops: %s failed (%s: %s). The program goes on; further failures of this kind are counted, not logged.",
        what,
        type(problem).__name__,
        problem,
        exc_info=None if isinstance(problem, (OSError, AgentopsError)) else problem,  # those say all in a sentence
    )


def said(what: str, sentence: str) -> None:
    """Count something that the user has to know, and log its first occurrence."""
    counts[what] += 1
    if what not in _reported:
        _reported.add(what)
        LOGGER.warning("agentops: %s", sentence)


def reset_after_fork() -> None:
    """A child begins with nothing lost and nothing reported."""
    counts.clear()
    _reported.clear()
