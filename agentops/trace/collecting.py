"""Whether this thread is in the garbage collector.

Python 3.11 may collect in the middle of setting a context variable, and a finaliser that sets one then makes it use
memory that it has freed (from 3.12 on it collects between instructions). So a generator that is found in a circle of
references must leave the current context as it is.
"""

from __future__ import annotations

import gc
import sys
from threading import get_ident

__all__ = ["is_collecting"]

_thread = [0]


def is_collecting() -> bool:
    """Whether no context variable may be set here and now."""
    return _thread[0] == get_ident()


def _note(phase: str, info: dict[str, int]) -> None:
    _thread[0] = get_ident() if phase == "start" else 0


if sys.version_info < (3, 12):
    gc.callbacks.append(_note)
