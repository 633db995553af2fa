"""Inside of a program that runs under `agentops run`."""

from __future__ import annotations

from agentops.recorder.recorder import recorder
from agentops.trace.span import Span

__all__ = ["uncaught"]


def uncaught(exception: BaseException) -> None:
    """Record the exception that ends this process on the program's span; whoever started it says how it ended."""
    if recorder.root is None:
        return
    program = Span("program")
    program._epoch, program._started = recorder.epoch, True
    program._take_ids(int.from_bytes(recorder.root[0], "big"), recorder.root[1])
    program.record_exception(exception)
