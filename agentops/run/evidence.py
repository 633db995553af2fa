"""What can be told of a program's end from outside: counters, clocks, its last lines, its last stacks."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from typing import Any, NamedTuple

from agentops.run.bootstrap import _agentops_notes as notes

__all__ = ["Evidence", "Found"]

#: What a stopped or suspended machine is told of from.
_APART_S = 1.0
_LINES, _CRASH_BYTES, _CRASHES = 20, 32 << 10, 4
#: Files of programs whose watcher was killed are deleted once they are that old, if nobody holds their lock.
_OLD_S = 3600.0


class Found(NamedTuple):
    """Attributes and events of the program's span."""

    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]


class Evidence:
    """Taken once before the program starts, and asked when it has ended.

    Args:
        store: where the program records to.
        journals: the folder of its journals.
        run: id of the trace.
    """

    def __init__(self, store: str, journals: str, run: str) -> None:
        self._run = run
        self._store, self._journals = store, journals
        self._clocks = _clocks()
        self._written = [_size_of_file(1), _size_of_file(2)]
        self._counted: tuple[str, int] | None = None

    def count(self) -> None:
        """Look at the counters of the cgroup in which the program starts, which is this process's."""
        with contextlib.suppress(OSError, ValueError):
            self._counted = notes.kills_for_memory()

    def found(
        self, bad: bool, reports: list[str], pid: int, core: bool, peak_bytes: int, with_lines: bool = True
    ) -> Found:
        """What there is to tell; little of a program that ended well. Its files are deleted.

        Args:
            bad: it ended badly.
            reports: what its Pythons have reported, see `sitecustomize`.
            pid: of the program.
            core: it left a core dump.
            peak_bytes: the most memory that it, or a child of it, held at a time.
            with_lines: what it printed may be told.
        """
        attributes: dict[str, Any] = {}
        events: list[tuple[str, dict[str, Any]]] = []
        killed = self._killed_for_memory(reports)
        if killed:
            attributes["process.oom_kills"] = killed
        if core:
            attributes["process.exit.core_dumped"] = True
        if bad or killed:
            attributes["process.memory.peak_bytes"] = peak_bytes
        wall, steady, awake = (now - then for now, then in zip(_clocks(), self._clocks, strict=True))
        if abs(wall - steady) > _APART_S:
            attributes["process.clock.moved_s"] = round(wall - steady, 3)
        if steady - awake > _APART_S:
            attributes["process.suspended_s"] = round(steady - awake, 3)
        for text in self._crashes():
            events.append(("crash", {"text": text}))
        lines, doing = self._lines(pid, "ok" in reports and os.path.isdir(notes.FOLDER))
        if bad and doing:
            attributes["process.recorder"] = "ingests" if doing == notes.INGESTS else "ingests beside"
        if bad and lines and with_lines:
            events.append(("last lines", {"text": lines}))
        return Found(attributes, events)

    def _killed_for_memory(self, reports: list[str]) -> int:
        """How many processes of the program's cgroups the kernel has killed for memory since it began."""
        first = {} if self._counted is None else {self._counted[0]: self._counted[1]}
        for report in reports:
            what, _, rest = report.partition(" ")
            count, _, place = rest.partition(" ")
            if what == "memory" and count.isdecimal():
                first.setdefault(place, int(count))
        return sum(max(0, (notes.count_kills(place) or 0) - before) for place, before in first.items())

    def _crashes(self) -> list[str]:
        """What Python could say of native crashes, as text."""
        found = []
        for path in _files(self._journals, self._run, notes.CRASH):
            with contextlib.suppress(OSError):
                with open(path, "rb") as file:
                    data = file.read(_CRASH_BYTES)
                os.unlink(path)
                if data:
                    found.append(data.decode("utf-8", "replace"))
        return found[:_CRASHES]

    def _lines(self, pid: int, reached: bool) -> tuple[str, int]:
        """The last lines that were printed, and what the recorder did: of the program, or of who printed last.

        Args:
            pid: of the program.
            reached: a Python in it noted what it printed; a file that its output went to may hold others' lines too.
        """
        best: tuple[bool, int, bytes, int] | None = None
        seen = False
        for path in _files(notes.FOLDER, notes.PREFIX + self._run, ""):
            with contextlib.suppress(OSError, ValueError):
                data, when, doing = notes.read_lines(path)
                seen = True
                whose = f"-{pid}-" in os.path.basename(path)
                if best is None or (whose, when) > best[:2]:
                    best = (whose, when, data, doing)
            with contextlib.suppress(OSError):
                os.unlink(path)
        data = b"" if best is None else best[2]
        if not data and not seen and not reached:
            data = b"".join(map(self._tail_of_file, (1, 2)))
        text = data.decode("utf-8", "replace").replace("\r\n", "\n").rstrip()
        return "\n".join(text.split("\n")[-_LINES:]), 0 if best is None else best[3]

    def _tail_of_file(self, descriptor: int) -> bytes:
        """What the program added to a file that its output went to: the end of it."""
        before, size = self._written[descriptor - 1], _size_of_file(descriptor)
        if before is None or size is None or size <= before:
            return b""
        try:
            reading = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            start = max(before, size - notes.SIZE // 2)
            return os.pread(reading, size - start, start)
        except OSError:
            return b""
        finally:
            os.close(reading)

    def tidy(self) -> None:
        """Delete what programs left behind whose watcher was killed."""
        import fcntl

        old = time.time() - _OLD_S
        for folder, prefix, suffix in (
            (notes.FOLDER, notes.PREFIX, ""),
            (self._journals, "", notes.CRASH),
            (os.path.dirname(os.path.abspath(self._store)), "run-", ""),
        ):
            for path in _files(folder, prefix, suffix):
                with contextlib.suppress(OSError):
                    about = os.lstat(path)
                    if about.st_mtime > old or about.st_uid != os.getuid() or not stat.S_ISREG(about.st_mode):
                        continue
                    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        os.unlink(path)
                    finally:
                        os.close(descriptor)


def _clocks() -> tuple[float, float, float]:
    """The wall clock, one that nobody sets, and one that rests while the machine does."""
    steady = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.time(), time.clock_gettime(steady), time.clock_gettime(time.CLOCK_MONOTONIC)


def _files(folder: str, prefix: str, suffix: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [os.path.join(folder, name) for name in sorted(names) if name.startswith(prefix) and name.endswith(suffix)]


def _size_of_file(descriptor: int) -> int | None:
    try:
        about = os.fstat(descriptor)
    except OSError:
        return None
    return about.st_size if stat.S_ISREG(about.st_mode) else None
