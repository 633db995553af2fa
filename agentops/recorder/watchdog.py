"""Notes where a program is when it does not get on: the stacks of its threads, and its memory as it grows.

It runs on the recorder's thread and asks the store which spans are open, so the program's threads pay nothing for it.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import time
from types import FrameType
from typing import Any

__all__ = ["OpenSpan", "Watchdog"]

#: Trace, span, parent and start of a span that is open.
OpenSpan = tuple[bytes, int, int, int]

#: Frames of a thread that are kept: the innermost.
_FRAMES_MAX, _THREADS_MAX = 20, 30
#: How long a thread is looked at to tell whether it computes.
_SAMPLE_S = 0.1
_BUSY = 0.1
_MEMORY_FIRST, _SHARE_OF_LIMIT = 1 << 30, 0.8
#: The call of the kernel in which a thread waits for a lock, by machine.
_FUTEX = {"x86_64": "202", "aarch64": "98"}.get(os.uname().machine)
_LIBRARY = tuple(path for name in ("stdlib", "platstdlib") if (path := sysconfig.get_path(name)))
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Watchdog:
    """Says what is worth a note now, and what it is.

    Args:
        after_s: a span that is open for so long is noted, and again at twice that, and so on; 0 for never.
        memory: whether memory is watched.
    """

    def __init__(self, after_s: float, memory: bool) -> None:
        self.after_s, self.of_memory = after_s, memory
        #: How often it wants to look.
        self.period_s = max(0.05, min(1.0, after_s / 4)) if after_s else 1.0 if memory else 3600.0
        self._due: dict[tuple[bytes, int], float] = {}
        self._next_bytes = _first_level() if memory else 0

    def memory(self) -> int:
        """Bytes that the program holds, where that has grown past the next level; else 0."""
        if not self._next_bytes:
            return 0
        held = _resident()
        if held < self._next_bytes:
            return 0
        while self._next_bytes <= held:
            self._next_bytes = self._next_bytes * 2 if self._next_bytes >= _MEMORY_FIRST else _MEMORY_FIRST
        return held

    def due(self, spans: list[OpenSpan], now_ns: int) -> list[OpenSpan]:
        """Those of the innermost of `spans` that it is time to note."""
        found = []
        inner = innermost(spans)
        self._due = {span[:2]: self._due.get(span[:2], self.after_s) for span in inner}
        for span in inner:
            open_s = (now_ns - span[3]) / 1e9
            if self.after_s and open_s >= self._due[span[:2]]:
                found.append(span)
                while self._due[span[:2]] <= open_s:
                    self._due[span[:2]] *= 2
        return found


def innermost(spans: list[OpenSpan]) -> list[OpenSpan]:
    """Open spans that wait for no other."""
    waiting = {(trace, parent) for trace, _, parent, _ in spans}
    return [span for span in spans if span[:2] not in waiting]


def facts(latest: dict[int, int]) -> dict[str, Any]:
    """Memory, and where each thread is: that it computes (`runs`), waits for a lock (`lock`) or for something else.

    It is a deadlock if no thread could let a lock go: each waits for one, or gets on with other things while two wait
    for two of them.

    Args:
        latest: the span that each thread began last.
    """
    began = latest.copy()
    before, start = _times(), time.monotonic()
    time.sleep(_SAMPLE_S)
    after, took = _times(), (time.monotonic() - start) * 1e9
    named = {thread.ident: thread for thread in threading.enumerate()}
    frames = sys._current_frames()
    threads: list[dict[str, Any]] = []
    blocked, moving = True, False
    wanted: set[int] = set()
    known: set[int] = set()
    for ident, frame in frames.items():
        thread = named.get(ident)
        native = thread.native_id if thread is not None else None
        known.add(native or 0)
        if ident == threading.get_ident():
            continue
        share = (after.get(native or 0, 0) - before.get(native or 0, 0)) / took
        call, place = _call(native)
        state = "runs" if share > _BUSY else "lock" if call == "lock" else "waits"
        stack, own = _stack(frame)
        if state == "lock" and _is_own(frame):  # it takes the lock itself, which is not for a queue or an event
            wanted.add(place)
        elif began.get(ident) != latest.get(ident):
            moving = True
        elif state == "runs" or (state == "waits" and (own or call == "other")):
            blocked = False
        threads.append(
            {
                "id": ident, "name": thread.name if thread is not None else "?",
                "main": thread is threading.main_thread(), "own": own, "state": state, "stack": stack,
            }
        )  # fmt: skip
    for native, spent in after.items():
        if native not in known and (spent - before.get(native, 0)) / took > _BUSY:
            blocked = False
    threads.sort(key=lambda thread: not thread["main"])
    return {
        "memory_bytes": _resident(),
        "deadlock": blocked and (len(wanted) > 1 if moving else any(t["state"] == "lock" for t in threads)),
        "threads": threads[:_THREADS_MAX],
    }


def _stack(frame: FrameType | None) -> tuple[str, bool]:
    """As Python prints one, the innermost last; and whether code of the user's own is in it."""
    lines: list[str] = []
    own = False
    while frame is not None and len(lines) < _FRAMES_MAX:
        code = frame.f_code
        lines.append(f'  File "{code.co_filename}", line {frame.f_lineno}, in {code.co_name}')
        own = own or _is_own(frame)
        frame = frame.f_back
    return "\n".join(reversed(lines)), own


def _is_own(frame: FrameType) -> bool:
    """Whether its code is the user's."""
    path = frame.f_code.co_filename
    return not (path.startswith((*_LIBRARY, _HERE, "<frozen")) or "-packages" in path)


def _times() -> dict[int, int]:
    """Nanoseconds that each of this process's threads has computed."""
    found: dict[int, int] = {}
    try:
        for name in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{name}/schedstat") as file:
                found[int(name)] = int(file.read().split()[0])
    except (OSError, ValueError, IndexError):  # no such system, or a thread that has ended
        pass
    return found


def _call(native: int | None) -> tuple[str, int]:
    """What a thread waits in, `lock` without a limit of time, `timed`, or `other`, and where in memory the lock is."""
    try:
        with open(f"/proc/self/task/{native}/syscall") as file:
            words = file.read().split()
    except OSError:
        return "other", 0
    if len(words) < 5 or words[0] != _FUTEX:
        return "other", 0
    return ("lock" if int(words[4], 16) == 0 else "timed"), int(words[1], 16)


def _resident() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def _first_level() -> int:
    """The memory from which on its growth is noted: most of what this process may have, or a first GB."""
    limits = [_MEMORY_FIRST]
    try:
        import resource

        space = resource.getrlimit(resource.RLIMIT_AS)[0]
        if space > 0:
            limits.append(int(space * _SHARE_OF_LIMIT))
        with open("/proc/self/cgroup") as groups:
            for group in groups:
                _, controllers, path = group.rstrip("\n").split(":", 2)
                inside = "/memory" if "memory" in controllers.split(",") else "" if not controllers else None
                if inside is not None:
                    name = "memory.limit_in_bytes" if inside else "memory.max"
                    with open(f"/sys/fs/cgroup{inside}{path}/{name}") as file:
                        limits.append(int(int(file.read()) * _SHARE_OF_LIMIT))
    except (OSError, ValueError, ImportError):
        pass
    return min(limits)
