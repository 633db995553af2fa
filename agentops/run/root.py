"""The program's own span. It is never current: the application's samplers would follow it."""

from __future__ import annotations

import os
from typing import Any

from opentelemetry.trace import StatusCode

from agentops.errors import AgentopsError
from agentops.journal.draft import Draft
from agentops.recorder.recorder import recorder
from agentops.run.evidence import Found
from agentops.safety import failed
from agentops.store.reader import Reader
from agentops.trace.span import Span, span_context

__all__ = ["Root"]

#: The program has a redactor of its own, which cannot be had here.
_WITHHELD = "<withheld: the program redacts what it records>"


class Root:
    """Begins with it.

    Args:
        name: of the span.
        command: the program and its arguments.
        trace: id of the trace.
        span_id: id of the span; the program has been told both.
        start_ns: when it was started, in ns since 1970.
        pid: of the program.
        shared: what the journal is to be made of, and the process that it was made for, see `Recorder.begin_in`.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        trace: bytes,
        span_id: int,
        start_ns: int,
        pid: int,
        shared: tuple[Draft, tuple[int, int]] | None,
    ) -> None:
        if shared is not None:
            recorder.begin_in(*shared)
        # The last line says enough; and what this process waits for is the program.
        recorder.configure(None, quiet=True, watch_after=0, watch_memory=False)
        attributes: dict[str, Any] = {"process.pid": pid, "process.working_directory": os.getcwd()}
        self._trace = trace
        self._command = command
        self.span = Span(name, attributes=attributes)
        self.span._epoch = recorder.know_yourself()
        above = recorder.root  # `agentops run` in a program that runs under it
        if above is not None:
            self.span.add_link(span_context(*above))
        self.span._take_ids(int.from_bytes(trace, "big"), span_id)
        self.span._write_start(0, start_ns)
        if recorder.redacts:  # else the program may say at its beginning that it does, and that is yet to come
            self._say_command()

    def _say_command(self) -> None:
        self.span.set_attribute("process.command_args", self._command)
        self.span.checkpoint()

    def learn(self, redactors: set[str]) -> None:
        """The program redacts what it records: then so does this process.

        Args:
            redactors: the names of those in use.
        """
        known = redactors & {"pii", "secrets"}
        if not recorder.redacts and known:
            recorder.configure(None, redact="pii" if "pii" in known else "secrets")
        if redactors - known:
            self._command = [*self._command[:1], *[_WITHHELD] * (len(self._command) > 1)]

    def end(self, store: str, code: int, signal: int, sentence: str, found: Found, kind: str = "") -> None:
        """The program has ended: say how, and what the program itself could still say.

        Args:
            store: where all of its processes recorded to.
            code: exit code.
            signal: number of the signal that ended it, or 0.
            sentence: how it ended, in words.
            found: what else there is to tell.
            kind: of the exception that ended the program, if it could record no more of it.
        """
        self._say_command()
        self.span.set_attributes(found.attributes)
        if signal:
            self.span.set_attribute("process.exit.signal", sentence)
        else:
            self.span.set_attribute("process.exit.code", code)
        if code:
            self.span.set_status(StatusCode.ERROR, sentence)
            try:
                self._take_exception(store, sentence if signal else "", kind)
            except AgentopsError as problem:
                failed("reading what ended the program", problem)
        for name, facts in found.events:
            self.span.add_event(name, facts)
        self.span.end()
        recorder.shutdown()

    def _take_exception(self, store: str, signal: str, kind: str) -> None:
        """The uncaught exception, if there was one: it is in the journal of the process that had it."""
        recorder.flush()
        with Reader(store) as reader:
            detail = reader.span(reader.trace(self._trace.hex()), self.span.span_id)
        said = [event.attributes for event in detail.events if event.name == "exception"]
        if said and signal in ("", "SIGINT"):
            kind, message, stack = (
                str(said[-1].get(f"exception.{key}", "")) for key in ("type", "message", "stacktrace")
            )
            self.span._error = (kind, message, stack)
        elif kind and not signal:
            self.span._error = (kind, "", "")
