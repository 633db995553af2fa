"""What stands above a process's spans, as those that started it said: in the form of a `traceparent`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["PARENT", "Above", "above_process", "parsed", "written"]

#: Set for processes that an instrumented program starts inside of a span. A variable of our own, since TRACEPARENT may
#: stand in the program's environment for others, who must find it as it was.
PARENT = "AGENTOPS_PARENT"

_HEX = frozenset("0123456789abcdef")
_LENGTHS = [2, 32, 16, 2]


class Above(NamedTuple):
    """A span of elsewhere."""

    trace: bytes
    span_id: int
    flags: int


def parsed(traceparent: object) -> Above | None:
    """What a `traceparent` says, or None if it is none (https://www.w3.org/TR/trace-context/#traceparent-header)."""
    if not isinstance(traceparent, str):
        return None
    parts = traceparent.strip().split("-")
    version, trace, span_id, flags = (*parts, "", "", "", "")[:4]
    if [len(part) for part in parts[:4]] != _LENGTHS or not _HEX.issuperset(version + trace + span_id + flags):
        return None
    if version == "ff" or (version == "00" and len(parts) != 4) or not int(trace, 16) or not int(span_id, 16):
        return None
    return Above(bytes.fromhex(trace), int(span_id, 16), int(flags, 16))


def written(trace: bytes, span_id: int, flags: int = 1) -> str:
    """The `traceparent` of a span."""
    return f"00-{trace.hex()}-{span_id:016x}-{flags:02x}"


def above_process(environment: Mapping[str, str]) -> tuple[Above | None, Above | None]:
    """What stands above the spans of this process that have no parent, and the program's span of `agentops run`.

    TRACEPARENT is OpenTelemetry's (https://opentelemetry.io/docs/specs/otel/context/env-carriers/). Under
    `agentops run` it may be of somebody else's trace, in which the run began: it counts in the program's own.
    """
    program = parsed(environment.get("AGENTOPS_RUN", ""))
    given = parsed(environment.get("TRACEPARENT", ""))
    if program is not None and given is not None and given.trace != program.trace:
        given = None
    return parsed(environment.get(PARENT, "")) or given or program, program
