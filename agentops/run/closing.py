"""The last line of `agentops run`: which run it was, how it ended, and how to go on."""

from __future__ import annotations

import shlex

from agentops.errors import AgentopsError, UsageError
from agentops.formats import cost, duration
from agentops.inert import line
from agentops.run.launch import Program
from agentops.store.reader import Reader
from agentops.store.rows import TraceRow

__all__ = ["closing_line"]


def closing_line(program: Program) -> str:
    """One line, without its newline, that is safe on a terminal."""
    run = program.trace.hex()
    try:
        with Reader(program.store) as reader:
            return f"agentops: run {run[:8]} {_how(reader, program)}"
    except AgentopsError as problem:
        return (
            f"agentops: run {run[:8]} ended with {program.end.sentence}, and cannot be read: {line(str(problem), 200)}"
        )


def _how(reader: Reader, program: Program) -> str:
    from agentops.analysis.why import headline

    trace = reader.trace(program.trace.hex())
    meanwhile = _meanwhile(reader, trace)
    short = _short(reader, trace.trace_id)
    unreached = _unreached(program.reports)
    if trace.status == "error" or trace.errors:
        said = f"ended well with {trace.errors} error{'s' * (trace.errors != 1)}"
        if trace.status == "error":
            said = f"was ended by {program.end.sentence}" if program.end.signal else "failed"
            if program.end.signal:
                from agentops.analysis.death import death
                from agentops.analysis.run import Run

                found = death(Run(reader, trace))
                if found is not None:
                    said += f" ({found.cause})" * (found.cause in ("out of memory", "native crash"))
                    at = found.span
                    if at is not None and at.parent_id is not None:
                        said += f" in {line(at.name, 80)} ({at.kind})"
                    return f"{said} - agentops why {short}{meanwhile}{unreached}"
            name, kind = headline(reader, trace) or (trace.name, "error")
            # Of a program that only ended badly, its exit code says most.
            plain = name == trace.name and kind == "error"
            said += f" ({program.end.sentence})" * (plain and not program.end.signal)
            said += "" if plain else f" in {line(name, 80)} ({line(kind, 80)})"
        return f"{said} - agentops why {short}{meanwhile}{unreached}"
    facts = [
        "ok",
        duration(trace.duration_ns),
        f"{trace.spans} span{'s' * (trace.spans != 1)}",
        f"{trace.tokens} tokens" if trace.tokens else "",
        cost(trace.cost_usd, trace.unpriced),
    ]
    return f"{', '.join(fact for fact in facts if fact)} - agentops show {short}{meanwhile}{unreached}"


def _meanwhile(reader: Reader, trace: TraceRow) -> str:
    """What a service answered is in traces of their own."""
    traces, errors, cut_off = reader.tally(trace.start_ns)
    others, errors = traces - 1, errors - bool(trace.errors)
    if not others:
        return ""
    since = f"since:{max(1, -(-(trace.duration_ns or 0) // 60_000_000_000))}m"
    said = f"; meanwhile {others} other run{'s' * (others != 1)} {'were' if others != 1 else 'was'} recorded"
    said += f", {errors} with errors (agentops ls 'errors>0' {since})" * bool(errors)
    return said + f", {cut_off} cut off (agentops ls status:interrupted {since})" * bool(cut_off)


def _short(reader: Reader, trace_id: str) -> str:
    try:
        return reader.trace(trace_id[:4]).trace_id[:4]
    except UsageError:  # several runs begin so
        return trace_id[:8]


def _unreached(reports: list[str]) -> str:
    missing = [report.partition(" ")[2] for report in reports if report.startswith("missing ")]
    if missing:
        python, _, reason = missing[0].partition(": ")
        why = f" ({line(reason, 120)})" if reason else ""
        return (
            f"; only its start and end were recorded, since {line(python, 200)} cannot import agentops{why}: "
            f"install agentops-recorder there ({line(shlex.quote(python), 200)} -m pip install ...)"
        )
    if "no memory" in reports:
        return "; memory ran out before agentops could record what ended it"
    if "ok" not in reports:
        return "; only its start and end were recorded: no Python was reached (-I, -E, -S, or another PYTHONPATH?)"
    return ""
