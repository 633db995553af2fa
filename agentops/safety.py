"""The net under everything of ours that runs inside a user's call.

Tracing never breaks the program it watches: a failure of ours is logged once per place and counted,
never raised. Under our own tests (AGENTOPS_RAISE=1) it is raised, so that the net cannot hide a bug.
What was lost by it is counted too, and the recorder writes the count down as soon as it can.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from agentops.errors import AgentopsError

__all__ = [
    "LOGGER",
    "REDACTOR",
    "clean",
    "counts",
    "failed",
    "give_back",
    "has_losses",
    "lost",
    "reason",
    "reset_after_fork",
    "said",
    "take_losses",
    "withheld",
]

LOGGER = logging.getLogger("agentops")

#: What was lost or went wrong in this process, by a short name.
counts: Counter[str] = Counter()

#: Takes what must not be written anywhere out of what is said here; none where the program has no redactor.
clean: Callable[[Any], Any] | None = None

#: What fails where a text cannot be looked through.
REDACTOR = "redactor"

_GOES_ON = "The program goes on; further failures of this kind are counted, not logged."
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: So many different reasons are told apart.
_REASONS_MAX = 50
_REASON_CHARACTERS = 300

_reported: set[str] = set()
#: By reason: records, bytes, and when the first was lost (ns since 1970); not written down yet.
_losses: dict[str, tuple[int, int, int]] = {}
_lock = threading.RLock()  # a signal handler may lose something while this thread counts


def failed(what: str, problem: BaseException, lost: int = 1, size: int = 0, then: str = _GOES_ON) -> None:
    """Count a failure of ours, and log its first occurrence with its traceback.

    Args:
        what: short name of what failed, such as "starting a span".
        problem: the exception.
        lost: how many records were lost by it.
        size: how long they were, in bytes.
        then: what follows from it.
    """
    counts[what] += 1
    if lost:
        _lose(reason(what, problem), lost, size)
    if os.environ.get("AGENTOPS_RAISE") == "1" and not isinstance(problem, OSError):
        raise problem
    kind = "full disk" if _is_full(problem) else what  # one disk is full once, whoever notices
    if kind in _reported:
        return
    _reported.add(kind)
    says_all = isinstance(problem, (OSError, AgentopsError, MemoryError))
    if clean is not None and not isinstance(problem, AgentopsError):
        _log_cleaned(what, problem, then, says_all)
        return
    LOGGER.warning(
        "agentops: %s failed (%s: %s). %s",
        what,
        type(problem).__name__,
        problem,
        then,
        exc_info=None if says_all else problem,
    )


def withheld(what: str, problem: BaseException) -> None:
    """As `failed`, where a value could not be looked through: its record is kept."""
    failed(what, problem, lost=0)


def _log_cleaned(what: str, problem: BaseException, then: str, says_all: bool) -> None:
    """As `failed` logs, but an exception may hold what the program does not want written."""
    if what == REDACTOR:  # whoever cannot look through a text cannot look through this one; its place says enough
        last = traceback.extract_tb(problem.__traceback__)[-1:]
        said = "".join(f' at line {frame.lineno} of "{frame.filename}"' for frame in last)
        LOGGER.warning("agentops: %s failed (%s%s). %s", what, type(problem).__name__, said, then)
        return
    said = _cleaned(f"{what} failed ({type(problem).__name__}: {problem})")
    stack = "" if says_all else _cleaned("\n" + "".join(traceback.format_exception(problem)).rstrip())
    LOGGER.warning("agentops: %s. %s%s", said, then, stack)


def _cleaned(text: str) -> str:
    try:
        return text if clean is None else str(clean(text))
    except Exception:  # noqa: BLE001
        return "something failed, and what cannot be told"


def said(what: str, sentence: str) -> None:
    """Count something that the user has to know, and log its first occurrence."""
    counts[what] += 1
    if what not in _reported:
        _reported.add(what)
        LOGGER.warning("agentops: %s", _cleaned(sentence))


def reason(what: str, problem: BaseException) -> str:
    """Why something failed, without what may be in the user's values."""
    if isinstance(problem, OSError):
        said = problem.strerror or type(problem).__name__
    elif isinstance(problem, AgentopsError):
        said = str(problem)
    else:
        said = type(problem).__name__
    return _cleaned(f"{what}: {said}").encode("utf-8", "backslashreplace").decode()[:_REASON_CHARACTERS]


def lost(why: str, records: int = 1, size: int = 0) -> None:
    """Count records that were not kept."""
    counts["records lost"] += records
    _lose(why, records, size)


def _lose(why: str, records: int, size: int, time_ns: int | None = None) -> None:
    with _lock:
        if why not in _losses and len(_losses) >= _REASONS_MAX:
            why = "other reasons"
        before, bytes_before, since = _losses.get(why, (0, 0, time_ns or time.time_ns()))
        _losses[why] = (before + records, bytes_before + size, since)


def take_losses() -> list[tuple[str, int, int, int]]:
    """What was lost and is not written down yet: reason, records, bytes, time of the first. The caller writes it."""
    with _lock:
        taken = [(why, *counted) for why, counted in _losses.items()]
        _losses.clear()
    return taken


def has_losses() -> bool:
    """Whether there is something to write down."""
    return bool(_losses)


def give_back(losses: list[tuple[str, int, int, int]]) -> None:
    """They could not be written down after all."""
    for why, records, size, time_ns in losses:
        _lose(why, records, size, time_ns)


def keep_interrupt() -> None:
    """At the end of a program: if Ctrl-C ended it, it still ends by that signal, whatever we have imported since.

    Python does so only if no code was compiled after the exception came out, as some imports do; a
    KeyboardInterrupt out of compiled code makes it remember.
    """
    exception = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if type(exception) is KeyboardInterrupt and not hasattr(sys, "ps1"):
        try:
            exec("raise KeyboardInterrupt")  # noqa: S102
        except KeyboardInterrupt:
            pass


def _is_full(problem: BaseException) -> bool:
    return "disk is full" in str(problem) or (isinstance(problem, OSError) and problem.errno in _FULL)


def reset_after_fork() -> None:
    """A child begins with nothing lost and nothing reported."""
    global _lock
    _lock = threading.RLock()
    counts.clear()
    _reported.clear()
    _losses.clear()
