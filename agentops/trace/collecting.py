"""While this thread is in the garbage collector, no context variable may be set, on Python 3.11.

It may collect in the middle of setting one, and a finaliser that sets one then makes it use memory that it has freed.
From 3.12 on Python collects between instructions.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import get_ident

__all__ = ["apart", "is_collecting", "tell"]

_thread = [0]


def is_collecting() -> bool:
    """Whether no context variable may be set here and now."""
    return _thread[0] == get_ident()


@contextmanager
def apart() -> Iterator[None]:
    """Inside, in a copy of the context, they may."""
    before, _thread[0] = _thread[0], 0
    try:
        yield
    finally:
        _thread[0] = before


def tell(hear: Callable[[bool], None]) -> None:
    """Have `hear` called before and after each collection, with whether it begins; never where there is no need."""

    def note(phase: str, info: dict[str, int]) -> None:
        begins = phase == "start"
        _thread[0] = get_ident() if begins else 0
        hear(begins)

    if sys.version_info < (3, 12):
        gc.callbacks.append(note)
        atexit.register(_forget, note)


def _forget(note: Callable[[str, dict[str, int]], None]) -> None:
    """At the end of the program: it would keep all of ours alive, an open store too."""
    with suppress(ValueError):  # the program may have taken it out
        gc.callbacks.remove(note)
