# What a program under `agentops run` leaves behind for the one who finds it dead: its last lines of output, the stacks
# of a native crash, and which memory cgroup it was in. It is imported before the program, in any Python, also by the
# process that starts it; so it imports next to nothing, and nothing of agentops.
import io
import os
import sys

TYPE_CHECKING = False  # typing itself would have to be imported
if TYPE_CHECKING:
    from typing import Any

#: Memory that outlives its process and is no disk: what is printed there is nowhere else until it was looked through.
FOLDER = "/dev/shm"  # noqa: S108 - names in it are random, and opened only where nothing was
PREFIX = "agentops-"
CRASH = ".crash"
HEAD, SIZE = 64, 4096
#: Where the parts of the head are: bytes written so far, when the last of them were, what the recorder does.
WRITTEN, WHEN, DOING = slice(0, 8), slice(8, 16), 16
RESTS, INGESTS, INGESTS_BESIDE = 0, 1, 2
#: A program that closes all files it knows would give the number of a low one to another file.
_DESCRIPTOR_MIN = 400


class _Lines:
    """The last bytes that this process printed, in memory that is mapped and outlives it."""

    def __init__(self) -> None:
        self.map: Any = None
        self.run = ""
        self.over = False  # there is no such memory
        self.silent = False  # nothing of what is printed may be kept

    def open(self) -> "Any":
        """The mapping, made if need be; None if there is none to be had."""
        if self.map is not None or self.over or not self.run:
            return self.map
        import fcntl
        import mmap

        self.over = True  # one attempt
        path = os.path.join(FOLDER, f"{PREFIX}{self.run}-{os.getpid()}-{os.urandom(4).hex()}")
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, bytes(HEAD + SIZE))  # a full disk is an error here, and a signal later
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # the mapping keeps it: who holds none is dead
            self.map = mmap.mmap(descriptor, HEAD + SIZE)
            self.path = path
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(descriptor)
        self.over = False
        return self.map

    def add(self, text: str) -> None:
        import time

        ring = None if self.silent else self.open()
        if ring is None:
            return
        data = text[-SIZE:].encode("utf-8", "backslashreplace")[-SIZE:]
        total = int.from_bytes(ring[WRITTEN], "little")
        at = total % SIZE
        first = data[: SIZE - at]
        ring[HEAD + at : HEAD + at + len(first)] = first
        if len(first) < len(data):
            ring[HEAD : HEAD + len(data) - len(first)] = data[len(first) :]
        ring[WHEN] = time.time_ns().to_bytes(8, "little")
        ring[WRITTEN] = (total + len(data)).to_bytes(8, "little")

    def after_fork(self) -> None:
        """A child has lines of its own."""
        self.map = None


_lines = _Lines()


class _Noted(io.TextIOWrapper):
    """Standard output or error, as it was, of which the last lines are kept."""

    def write(self, text: str) -> int:
        try:
            _lines.add(text)
        except Exception:  # noqa: BLE001 - the program prints, whatever is wrong with us
            pass
        return super().write(text)


def after_fork() -> None:
    """This process is a child, whoever forked it."""
    _lines.after_fork()


def keep_lines(run: str) -> None:
    """Keep the last lines that this process prints through `sys.stdout` and `sys.stderr`.

    Both stay what they are for everybody: files of the same class of Python's, over the same buffer.

    Args:
        run: id of the trace.
    """
    if not os.path.isdir(FOLDER):
        return
    _lines.run = run
    os.register_at_fork(after_in_child=after_fork)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is not io.TextIOWrapper or stream is not getattr(sys, f"__{name}__"):
            continue
        options = (stream.encoding, stream.errors, "\n", stream.line_buffering, stream.write_through)
        buffer = stream.detach()  # else it would close it when it goes
        try:
            noted: io.TextIOWrapper = _Noted(buffer, *options)
        except Exception:  # noqa: BLE001
            noted = io.TextIOWrapper(buffer, *options)
        noted.mode = "w"  # type: ignore[misc]
        setattr(sys, name, noted)
        setattr(sys, f"__{name}__", noted)


def forget_lines(redactor: str) -> None:
    """Keep no lines, and none of those before: a redactor could not look through them.

    Args:
        redactor: its name, by which the one who reads what was left behind can have the same; or any other word.
    """
    _lines.silent = True
    try:
        with open(os.environ["AGENTOPS_RUN_REPORT"], "a") as report:
            report.write("redacts " + redactor + "\n")
    except (KeyError, OSError):  # the run that this belonged to is over
        pass
    try:
        ring = _lines.open()  # an empty one tells the reader that there are none to be had
        if ring is not None:
            ring[HEAD:] = bytes(SIZE)
            ring[WRITTEN] = bytes(8)
    except Exception:  # noqa: BLE001 - no such memory
        pass


def doing(what: int) -> int:
    """Note what the recorder does from now on; gives what it did before."""
    try:
        ring = _lines.open()
        if ring is None:
            return RESTS
        before, ring[DOING] = ring[DOING], what
        return int(before)
    except Exception:  # noqa: BLE001 - no such memory
        return RESTS


def read_lines(path: str) -> "tuple[bytes, int, int]":
    """The last bytes that a process printed, when (ns since 1970), and what its recorder did.

    Raises:
        OSError, ValueError: this is no such file of ours.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_uid != os.getuid():
            raise ValueError("somebody else's")
        data = os.read(descriptor, HEAD + SIZE)
    finally:
        os.close(descriptor)
    if len(data) != HEAD + SIZE:
        raise ValueError("not one of ours")
    total, ring = int.from_bytes(data[WRITTEN], "little"), data[HEAD:]
    at = total % SIZE
    kept = ring[:at] if total <= SIZE else ring[at:] + ring[:at]
    return kept, int.from_bytes(data[WHEN], "little"), data[DOING]


def watch_for_crash(folder: str, run: str) -> "str | None":
    """Have the stacks of all threads written into a file in `folder` when this process crashes natively.

    Not where somebody has asked for that already.

    Args:
        folder: of journals.
        run: id of the trace.

    Returns:
        Path of the file; None if there is none.
    """
    import faulthandler

    if faulthandler.is_enabled():
        return None
    import fcntl

    path = os.path.join(folder, f"{run}-{os.getpid()}-{os.urandom(4).hex()}{CRASH}")
    low = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(low, fcntl.LOCK_SH | fcntl.LOCK_NB)
        descriptor = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _DESCRIPTOR_MIN)
    except OSError:
        os.unlink(path)
        return None
    finally:
        os.close(low)
    faulthandler.enable(descriptor)
    return path


def kills_for_memory() -> "tuple[str, int] | None":
    """Where the kernel counts the processes of this one's cgroup that it killed for memory, and how many there are."""
    places = []
    with open("/proc/self/cgroup") as groups:
        for group in groups:
            _, controllers, path = group.rstrip("\n").split(":", 2)
            if "memory" in controllers.split(","):
                places += [f"/sys/fs/cgroup/memory{p}/memory.oom_control" for p in (path.rstrip("/"), "")]
            elif not controllers:
                names = ("memory.events.local", "memory.events")
                places += [f"/sys/fs/cgroup{p}/{name}" for p in (path.rstrip("/"), "") for name in names]
    for place in places:
        count = count_kills(place)
        if count is not None:
            return place, count
    return None


def count_kills(place: str) -> "int | None":
    """The count in a cgroup's file; None if it is not there."""
    try:
        with open(place) as counters:
            for line in counters:
                if line.startswith("oom_kill "):
                    return int(line[9:])
    except (OSError, ValueError):
        pass
    return None
