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
        cost(trace.cost_usd),
    ]
    return f"{', '.join(fact for fact in facts if fact)} - agentops show {short}{meanwhile}{unreached}"


def _meanwhile(reader: Reader, trace: TraceRow) -> str:
    """What a service answered is in traces of their own."""
    others, bad = reader.tally(trace.start_ns)
    if others < 2:
        return ""
    many = others != 2
    said = f"; meanwhile {others - 1} other run{'s' * many} {'were' if many else 'was'} recorded"
    minutes = max(1, -(-(trace.duration_ns or 0) // 60_000_000_000))
    bad -= bool(trace.errors)
    return said + (f", {bad} with errors or cut off: agentops ls 'errors>0' since:{minutes}m" if bad > 0 else "")


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
    if "ok" not in reports:
        return "; only its start and end were recorded: no Python was reached (-I, -E, -S, or another PYTHONPATH?)"
    return ""
