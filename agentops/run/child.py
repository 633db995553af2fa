"""Inside of a program that runs under `agentops run`."""

from __future__ import annotations

import os
import sys

from agentops.recorder.recorder import recorder
from agentops.run.launch import name_of
from agentops.trace.span import Span

__all__ = ["uncaught"]


def uncaught(exception: BaseException) -> None:
    """Record the exception that ends this process.

    Of the program itself it stands on the program's span; whoever started it says how it ended. A child gets a span
    of its own, since the program may go on.
    """
    if recorder.program is None:
        return
    if os.environ.get("AGENTOPS_RUN_BY") != str(os.getppid()):
        facts = {"process.command_args": sys.orig_argv, "process.pid": os.getpid()}
        with Span(name_of(sys.orig_argv), attributes=facts) as child:
            child.fail(exception)
        return
    program = Span("program")
    program._epoch, program._started = recorder.know_yourself(), True
    program._take_ids(int.from_bytes(recorder.program[0], "big"), recorder.program[1])
    program.record_exception(exception)
