"""Starts the program, passes signals on, and ends as it ends. Its span is written here: this process outlives it."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from typing import NamedTuple, NoReturn

from agentops.errors import AgentopsError, CannotStart, UsageError
from agentops.inert import block
from agentops.journal.draft import Draft, draft
from agentops.recorder.above import PARENT, written
from agentops.run.evidence import Evidence
from agentops.settings import resolve
from agentops.store.location import find_store, journal_folder, prepare

__all__ = ["End", "Program", "launch", "leave"]

#: What a terminal sends to its whole foreground group; the program has it already then.
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_PASSED_ON = (*_FROM_TERMINAL, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
#: The program holds the lock of our journal too. It inherits it under a number that no program is surprised by.
_INHERITED_MIN = 300
_SI_KERNEL = 0x80  # <asm-generic/siginfo.h>


class End(NamedTuple):
    """How the program ended: by its exit code, or by a signal's number (then `code` is 128 more, as shells say)."""

    code: int
    signal: int
    core: bool = False  # it left a core dump
    peak_bytes: int = 0  # the most memory that it held, or a child of it that it waited for

    @property
    def sentence(self) -> str:
        if not self.signal:
            return f"exit code {self.code}"
        try:
            return signal.Signals(self.signal).name
        except ValueError:
            return f"signal {self.signal}"


class Program(NamedTuple):
    """A program that has ended."""

    command: list[str]
    store: str
    trace: bytes
    span_id: int
    end: End
    reports: list[str]


def launch(command: list[str], name: str | None = None) -> Program:
    """Run `command` to its end, recorded. If recording is switched off, this process becomes it and does not return.

    Args:
        command: the program and its arguments.
        name: of its span; taken from the command if None.

    Raises:
        UsageError: there is no command.
        CannotStart: it cannot be started.
        SettingError: a setting cannot be used.
    """
    if not command:
        raise UsageError("say what to run: agentops run -- python agent.py")
    if not resolve({})["enabled"].value:
        _become(command)
    store = find_store(None)
    trace, span_id = os.urandom(16), int.from_bytes(os.urandom(8), "big") or 1
    report = os.path.join(os.path.dirname(os.path.abspath(store)), f"run-{trace.hex()}")
    try:
        prepare(store)
        held = os.open(report, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        fcntl.flock(held, fcntl.LOCK_SH)  # it is in use for as long as this process lives
    except (OSError, AgentopsError) as problem:  # what is watched runs, whatever is wrong with us
        print(f"agentops: nothing is recorded: {block(str(problem))}", file=sys.stderr)
        _become(command)
    start_ns = time.time_ns()
    evidence = Evidence(str(store), journal_folder(str(store)), trace.hex())
    process = int.from_bytes(os.urandom(8), "big") >> 1, start_ns
    shared = _draft(journal_folder(str(store)), process)
    try:
        pid = _spawn(command, _environment(str(store), trace, span_id, report), shared)
        root = None
        try:
            from agentops.run.root import Root  # while the program starts

            root = Root(name or name_of(command), command, trace, span_id, start_ns, pid, shared and (shared, process))
            evidence.count()
            evidence.tidy()
        except Exception as problem:  # noqa: BLE001 - the program runs already
            _failed("recording the program's start", problem)
        end = _wait(pid)
        reports = _taken(report)
        try:
            redactors = {report[8:] for report in reports if report.startswith("redacts ")}
            if root is not None:
                root.learn(redactors)
            own = bool(redactors - {"pii", "secrets"})
            found = evidence.found(bool(end.code), reports, pid, end.core, end.peak_bytes, with_lines=not own)
            if end.code and redactors and not any(name == "last lines" for name, _ in found.events):
                found.attributes["process.lines_withheld"] = True
            if root is not None:
                kind = next((report[6:] for report in reports if report.startswith("ended ")), "")
                root.end(str(store), end.code, end.signal, end.sentence, found, kind)
        except Exception as problem:  # noqa: BLE001 - its exit code must come through
            _failed("recording the program's end", problem)
        return Program(command, str(store), trace, span_id, end, reports)
    finally:
        os.close(held)
        _taken(report)  # where the program could not be started


def _taken(report: str) -> list[str]:
    """The lines of a report, which goes; none if the program has taken its folder away."""
    try:
        with open(report, errors="replace") as lines:
            found = lines.read().splitlines()
        os.unlink(report)
    except OSError:
        return []
    return found


def _failed(what: str, problem: Exception) -> None:
    from agentops.safety import failed  # with it comes logging, which would take a fifth of the time until the start

    failed(what, problem)


def _become(command: list[str]) -> NoReturn:
    try:
        os.execvp(command[0], command)  # noqa: S606 - what the user asked for
    except OSError as problem:
        raise CannotStart(command[0], problem) from problem


def leave(end: End) -> int:
    """End as the program did: by the same signal, or with its exit code, which is returned."""
    if not end.signal:
        return end.code
    sys.stdout.flush()
    sys.stderr.flush()
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the program's own core, if any, is the one of interest
    if end.signal not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(end.signal, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [end.signal])
    os.kill(os.getpid(), end.signal)
    return end.code


def name_of(command: list[str]) -> str:
    """What a person would call the program: the script, the module, or the command."""
    first = os.path.basename(command[0])
    if not first.startswith("python"):
        return first
    words = iter(command[1:])
    for word in words:
        if word in ("-m", "-c"):
            return next(words, first) if word == "-m" else f"{first} -c"
        if word in ("-W", "-X"):
            next(words, None)
        elif not word.startswith("-") or word == "-":
            return os.path.basename(word.rstrip("/")) or first
    return first


def _environment(store: str, trace: bytes, span_id: int, report: str) -> dict[str, str]:
    bootstrap = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bootstrap")
    path = os.environ.get("PYTHONPATH")
    outside = {name: value for name, value in os.environ.items() if name != PARENT}  # the run is a trace of its own
    return {
        **outside,
        "PYTHONPATH": bootstrap + (os.pathsep + path if path else ""),
        "AGENTOPS_STORE": os.path.abspath(store),
        "AGENTOPS_RUN": written(trace, span_id),
        "AGENTOPS_RUN_BY": str(os.getpid()),
        "AGENTOPS_QUIET": "1",  # the last line says where
        "AGENTOPS_RUN_REPORT": report,
    }


def _draft(folder: str, process: tuple[int, int]) -> Draft | None:
    """The file of our journal, made before the program; None if it has to be made without that."""
    try:
        return draft(folder, process, 1)
    except OSError:  # recording the program's start will say so
        return None


def _spawn(command: list[str], environment: dict[str, str], shared: Draft | None) -> int:
    """Start the program. It has the lock by which others know that its span is open: killing us alone ends nothing."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    inherited = -1
    if shared is not None:
        try:
            inherited = fcntl.fcntl(shared.descriptor, fcntl.F_DUPFD, _INHERITED_MIN)
        except OSError:  # no program here has as many
            pass
    before: set[signal.Signals] = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD, *_PASSED_ON))  # type: ignore[assignment]
    try:
        # Python ignores these two for itself, and a program must not inherit it.
        ignored = [signal.SIGPIPE, signal.SIGXFSZ]
        return os.posix_spawnp(command[0], command, environment, setsigmask=before, setsigdef=ignored)
    except OSError as problem:
        if shared is not None:
            shared.drop()
        raise CannotStart(command[0], problem) from problem
    finally:
        if inherited >= 0:
            os.close(inherited)


def _wait(pid: int) -> End:
    signals = (signal.SIGCHLD, *_PASSED_ON)
    while True:
        done, status, used = os.wait4(pid, os.WNOHANG)
        if done:
            number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
            code = 128 + number if number else os.WEXITSTATUS(status)
            return End(code, number, os.WCOREDUMP(status), peak)
        if hasattr(signal, "sigwaitinfo"):
            told = signal.sigwaitinfo(signals)
            number, of_terminal = told.si_signo, told.si_code == _SI_KERNEL
        else:  # macOS does not say who sent it
            number = signal.sigwait(signals)
            of_terminal = number in _FROM_TERMINAL
        if number != signal.SIGCHLD and not of_terminal:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
