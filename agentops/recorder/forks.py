"""The number of this process among those it descends from. A fork takes it away, whoever forks.

Native code may fork without Python's hooks (uWSGI does, and libraries); the child is then to notice by itself.
"""

from __future__ import annotations

import mmap
import sys

__all__ = ["TELLS", "epoch"]


def _page() -> memoryview | None:
    """Memory that a child finds empty; None where the system has none such."""
    if sys.platform != "linux":
        return None
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        page.madvise(18)  # MADV_WIPEONFORK, Linux 4.14; Python does not name it
    except OSError:
        return None
    return memoryview(page).cast("Q")


_wiped = _page()
#: Whether a child can notice by itself; else only Python's hooks tell it.
TELLS = _wiped is not None
#: `epoch[0]` is 0 in a child that does not know yet that it is one, see `Recorder.know_yourself`. Spans keep the
#: number: those of the parent are not the child's to end. Reading it costs 20 ns, the process's id many times that.
epoch: memoryview | list[int] = [0] if _wiped is None else _wiped
epoch[0] = 1
