"""How a program died: what ended it, where it was then, and what it left behind."""

from __future__ import annotations

import os.path
import re
from typing import Any, Literal, NamedTuple

from agentops.analysis.raised import _NOT_OWN
from agentops.analysis.run import LLM, RETRIEVAL, TOOL, Run
from agentops.conventions import CHUNK
from agentops.journal.format import ERROR, INTERRUPTED, OK
from agentops.store.rows import Event, SpanRow

__all__ = ["Cause", "Death", "Phase", "Waiting", "deadlock", "death", "frames", "printed_error", "sentence"]

Cause = Literal["out of memory", "killed", "native crash", "exit", "exception", "unknown"]
Phase = Literal["tool", "model call", "stream", "lock", "deadlock", "loop", "ingest", "code"]

_CRASHES = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS")
_FRAME = re.compile(r'^\s*File "([^"\n]+)", line (\d+),? in ([^\n]*)$', re.MULTILINE)
_AGENTOPS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_ERROR_LINE = re.compile(
    r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Timeout|Warning|Failure)(?:: .*)?$"
)
_STACK_MAX, _LINES_MAX = 12, 20


class Death(NamedTuple):
    """What is known of an end that was none of the program's own.

    cause: what ended it. phase: what it did then. span: the innermost that was open; None where several were, since
    a wrong one would be worse. signal, exit_code: of the program, under `agentops run`.
    memory_bytes: the most that it was seen to hold. stack: the innermost frame last, of the thread in question.
    output: its last lines. answered: what had come of a model's answer that was not whole.
    last_ns: the last sign of life.
    """

    cause: Cause
    phase: Phase
    span: SpanRow | None
    signal: str | None
    exit_code: int | None
    core_dumped: bool
    memory_bytes: int | None
    stack: list[str]
    output: list[str]
    answered: str
    chunks: int
    last_ns: int
    open: list[SpanRow]
    own: list[str]  # of the stack, the frames of the user's own code


class Waiting(NamedTuple):
    """A thread of a deadlock, at the lock that it waits for: the span it is in, if that is known, and its stack."""

    span: SpanRow | None
    thread: str
    stack: list[str]
    own: list[str]

    @property
    def text(self) -> str:
        who = f"{self.span.name} ({self.span.kind})" if self.span is not None else f"thread {self.thread}"
        return f"{who} waits for a lock at {frames(self.stack, self.own)}"


def deadlock(run: Run) -> list[Waiting]:
    """The threads that wait for each other's locks, in a run that goes on or was cut off; none if they do not."""
    open_spans = {span.span_id: span for span in run.trouble if span.end_ns is None}
    if not open_spans:
        return []
    latest = {at: event for at, event in run.events_named("stacks") if at in open_spans}
    noted = [event for event in latest.values() if event.attributes.get("deadlock") is True]
    if not noted:
        return []
    facts = run.attributes(run.root) if run.root is not None else {}
    folder = facts.get("process.working_directory")
    spans = {event.attributes.get("thread"): open_spans[at] for at, event in latest.items()}
    found = []
    for thread in _threads(max(noted, key=lambda event: event.time_ns)):
        if thread.get("state") != "lock":
            continue
        stack, own = _stack(str(thread.get("stack", "")), folder if isinstance(folder, str) else "", reverse=False)
        if own:
            found.append(Waiting(spans.get(thread.get("id")), str(thread.get("name", "?")), stack, own))
    # The others wait in code of Python's, as for a thread to end: for what the deadlock keeps from happening.
    return [waiting for waiting in found if waiting.stack[-1] == waiting.own[-1]] or found


def frames(stack: list[str], own: list[str]) -> str:
    """A stack in a line, the innermost first: the user's own frames, and where in a library they are."""
    if not own:
        return " < ".join(stack[:-6:-1])
    inside = f" (in {stack[-1]})" if stack[-1] != own[-1] else ""
    return " < ".join([own[-1] + inside, *own[-2:-5:-1]])


def death(run: Run) -> Death | None:
    """How a run's program died; None if it did not, or still runs."""
    root = run.root
    if root is None or root.status_number not in (ERROR, INTERRUPTED):
        return None
    facts = run.attributes(root)
    signal, code = facts.get("process.exit.signal"), facts.get("process.exit.code")
    signal = signal if isinstance(signal, str) else None
    code = code if type(code) is int else None
    if root.status_number == ERROR and not signal and not code:
        return None
    found = run.events_named("stacks", "memory", "crash", "last lines", CHUNK)
    origin = _exited(run, root, code) or run.origin(root)
    lines = next((event for _, event in found if event.name == "last lines"), None)
    output = str(lines.attributes.get("text", "")).split("\n")[-_LINES_MAX:] if lines else []
    cause = _cause(run, origin, facts, signal, code, output)
    leaves = run.open()
    if leaves:
        span = leaves[0] if len(leaves) == 1 else None
    else:
        span = origin
    folder = facts.get("process.working_directory")
    folder = folder if isinstance(folder, str) else ""
    crash = next((event for _, event in found if event.name == "crash"), None)
    stacks = [
        (at, event)
        for at, event in found
        if event.name in ("stacks", "memory") and (span is None or event.time_ns >= span.start_ns)
    ]
    own = [event for at, event in stacks if span is None or at == span.span_id]
    thread = _thread(own[-1]) if own else {}
    chunks = [event for at, event in found if event.name == CHUNK and span is not None and at == span.span_id]
    text = str(crash.attributes.get("text", "")) if crash and cause == "native crash" else str(thread.get("stack", ""))
    stack, own_frames = _stack(text, folder, reverse=cause == "native crash")
    phase = _phase(cause, span, root, facts, own, thread, bool(chunks))
    if phase == "deadlock" and (waiting := deadlock(run)):
        one = next((one for one in waiting if one.span is span), waiting[0])
        stack, own_frames = one.stack, one.own
    seen = [int(event.attributes.get("memory_bytes") or 0) for _, event in stacks]
    peak = facts.get("process.memory.peak_bytes")
    memory = max([*seen, peak if type(peak) is int else 0], default=0)
    ends = [span.end_ns or span.start_ns for span in run.spans if span is not root]
    return Death(
        cause,
        phase,
        span,
        signal,
        code,
        facts.get("process.exit.core_dumped") is True,
        memory or None,
        stack,
        output,
        "".join(str(event.attributes.get("text", "")) for event in chunks),
        len(chunks),
        max([root.start_ns, *ends, *(event.time_ns for at, event in found if at != root.span_id)]),
        leaves,
        own_frames,
    )


def _exited(run: Run, root: SpanRow, code: int | None) -> SpanRow | None:
    """Where `sys.exit` was called, if a step ended with it: other threads may have begun steps since."""
    said = f"SystemExit: {code}"
    ended = [span for span in run.children.get(root.span_id, []) if span.error == said]
    return run.origin(max(ended, key=lambda span: span.end_ns or 0)) if ended and code else None


def printed_error(output: list[str]) -> str:
    """The error that a program printed last, as Python prints one; nothing if its last words were others."""
    said = [line for line in output if line.strip() and not line.startswith("agentops: ")]
    return said[-1].strip() if said and _ERROR_LINE.match(said[-1]) else ""


def _cause(
    run: Run, origin: SpanRow, facts: dict[str, Any], signal: str | None, code: int | None, output: list[str]
) -> Cause:
    killed = facts.get("process.oom_kills")
    if type(killed) is int and killed > 0 and (signal == "SIGKILL" or code == 137):
        return "out of memory"
    kind = (origin.error or "").partition(":")[0]
    of_root = (run.root.error or "") if run.root is not None else ""
    if of_root.startswith("exit code") and origin is run.root:  # it could say no more
        kind = printed_error(output).partition(":")[0]
    if kind == "MemoryError":  # what is left of a program then may abort at its exit
        return "out of memory"
    if signal in _CRASHES or (code is not None and code - 128 in (4, 5, 6, 7, 8, 11, 31)):
        return "native crash"
    if signal or code in (137, 143):
        return "killed"
    if code is None:
        return "unknown"
    return "exit" if kind == "SystemExit" or of_root.startswith("exit code") else "exception"


def _phase(
    cause: Cause,
    span: SpanRow | None,
    root: SpanRow,
    facts: dict[str, Any],
    own: list[Event],
    thread: dict[str, Any],
    streams: bool,
) -> Phase:
    if facts.get("process.recorder") == "ingests":
        return "ingest"
    # What ended by itself had got on since its stacks were noted.
    if cause in ("killed", "unknown") and own and own[-1].name == "stacks":
        if thread.get("state") == "lock":
            return "deadlock" if own[-1].attributes.get("deadlock") is True else "lock"
        if thread.get("state") == "runs" and span is not None and span.kind_number != LLM:
            return "loop"
    if span is None or span is root:
        return "code"
    if span.kind_number == LLM:
        return "stream" if streams else "model call"
    return "tool" if span.kind_number in (TOOL, RETRIEVAL) else "code"


def _thread(event: Event) -> dict[str, Any]:
    """The thread that a span is on; the only one that runs code of the user's, where that is not known."""
    listed = _threads(event)
    on = event.attributes.get("thread")
    known = [thread for thread in listed if (thread.get("id") == on if on is not None else thread.get("own"))]
    return known[0] if len(known) == 1 else {}


def _threads(event: Event) -> list[dict[str, Any]]:
    threads = event.attributes.get("threads")
    return [thread for thread in threads if isinstance(thread, dict)] if isinstance(threads, list) else []


def _stack(text: str, folder: str, reverse: bool) -> tuple[list[str], list[str]]:
    """Frames as `agent.py:12 in parse`, the innermost last, and the user's own; of a crash, the thread that crashed."""
    if reverse and "Current thread" in text:
        text = text.partition("Current thread")[2].partition("\n\n")[0]
    found = [
        (path, f"{_short(path, folder)}:{number} in {function.strip()}")
        for path, number, function in _FRAME.findall(text)
        if not path.startswith(_AGENTOPS)
    ]
    if reverse:
        found.reverse()
    found = found[-_STACK_MAX:]
    return [told for _, told in found], [told for path, told in found if not _NOT_OWN.search(path)]


def _short(path: str, folder: str) -> str:
    if folder and path.startswith(folder.rstrip("/") + "/"):
        return path[len(folder.rstrip("/")) + 1 :]
    if _NOT_OWN.search(path) or os.path.isabs(path):
        return "/".join(path.split("/")[-2:])
    return path


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 10**9 else f"{count / 1e6:.0f} MB"


def sentence(run: Run, found: Death) -> str:
    """The death in one sentence, from the program's point of view, without its name."""
    span = found.span
    by_kernel = found.signal == "SIGKILL" or found.exit_code == 137
    ended = {
        "out of memory": "was killed by the kernel for memory" if by_kernel else "ran out of memory",
        "killed": f"was killed by {found.signal}" if found.signal else f"was killed (exit code {found.exit_code})",
        "interrupted": "was interrupted by Ctrl-C (SIGINT)",
        "native crash": f"crashed in native code ({found.signal or f'exit code {found.exit_code}'})",
        "exit": f"ended with exit code {found.exit_code}",
        "exception": f"failed (exit code {found.exit_code})",
        "unknown": "was cut off",
    }["interrupted" if found.signal == "SIGINT" else found.cause]
    if found.core_dumped:
        ended += ", which left a core dump"
    if span is None:
        names = ", ".join(f"{leaf.name} ({leaf.kind})" for leaf in found.open[:3])
        if found.phase == "deadlock":
            ended += " in a deadlock: every thread waited for another,"
        text = f"{ended} while {len(found.open)} spans were open: {names}"
    elif span is run.root:
        text = f"{ended} with no step open"
        if found.phase == "ingest":
            text = f"{ended} while its recorder brought records into the store"
    else:
        text = f"{ended} while {_called(run, span)} {_did(found)}"
    models = [other for other in run.before(span, 100) if other.kind_number == LLM] if span is not None else []
    if span is not None and span is not run.root and span.kind_number != LLM and models:
        text += f"; the model call before it had {'answered' if models[-1].status_number == OK else 'failed'}"
    if found.stack:
        text += f"; last stack: {(found.own or found.stack)[-1]}"
    return text


def _called(run: Run, span: SpanRow) -> str:
    above = run.by_id.get(span.parent_id) if span.parent_id is not None else None
    if above is None or above is run.root:
        return f"{span.name} ({span.kind})"
    step = run.children[above.span_id].index(span) + 1
    return f"{span.name} ({span.kind}, step {step} of {above.name})"


def _did(found: Death) -> str:
    if found.cause == "out of memory" and found.memory_bytes:
        return f"held {_size(found.memory_bytes)}"
    return {
        "tool": "ran",
        "model call": "waited for the model",
        "stream": f"was between two chunks of its answer, {found.chunks} had come",
        "lock": "waited for a lock",
        "deadlock": "was in a deadlock: every thread waited for another",
        "loop": "was busy without end",
        "ingest": "waited for the recorder to bring records into the store",
        "code": "was open",
    }[found.phase]
