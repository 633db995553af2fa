"""agentops: tracing and guardrails for agents, embedded in your program, with nothing to deploy.

    from agentops import span

    with span("answer ticket", kind="agent", input=ticket) as run:
        ...

Everything here is resolved on first use (PEP 562): the command line shares this package and must list a
thousand traces before the rest of it would be imported.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

if os.path.basename(getattr(sys, "argv", [""])[0]) != "agentops":  # the command does without, and starts twice as fast
    import opentelemetry.context as _context  # noqa: F401 - what the first span needs anyway

if TYPE_CHECKING:
    from agentops.errors import AgentopsError, UsageError
    from agentops.exporters.target import Target
    from agentops.integrations import instrument, wrap
    from agentops.redaction.redactor import Redactor
    from agentops.setup import flush, init, price, shutdown
    from agentops.trace.carrying import carry, traceparent
    from agentops.trace.circles import Circle
    from agentops.trace.hooks import on_span_end
    from agentops.trace.loop import Loop, Step
    from agentops.trace.loop import Loop as loop
    from agentops.trace.recorded import record
    from agentops.trace.scores import score
    from agentops.trace.span import Span, current_span
    from agentops.trace.span import Span as span

__version__ = "0.1.0"

__all__ = [
    "AgentopsError",
    "Circle",
    "Loop",
    "Redactor",
    "Span",
    "Step",
    "Target",
    "UsageError",
    "carry",
    "current_span",
    "flush",
    "init",
    "instrument",
    "loop",
    "on_span_end",
    "price",
    "record",
    "score",
    "shutdown",
    "span",
    "traceparent",
    "wrap",
]

_HOMES = {
    "AgentopsError": "agentops.errors",
    "Circle": "agentops.trace.circles",
    "Loop": "agentops.trace.loop",
    "Redactor": "agentops.redaction.redactor",
    "Span": "agentops.trace.span",
    "Step": "agentops.trace.loop",
    "Target": "agentops.exporters.target",
    "UsageError": "agentops.errors",
    "carry": "agentops.trace.carrying",
    "current_span": "agentops.trace.span",
    "flush": "agentops.setup",
    "init": "agentops.setup",
    "instrument": "agentops.integrations",
    "on_span_end": "agentops.trace.hooks",
    "price": "agentops.setup",
    "record": "agentops.trace.recorded",
    "score": "agentops.trace.scores",
    "shutdown": "agentops.setup",
    "traceparent": "agentops.trace.carrying",
    "wrap": "agentops.integrations",
}


def _warn_of_the_other() -> None:
    """Another project owns the name on the package index, and each overwrites the other's files."""
    for folder in sys.path:
        if folder.endswith("-packages"):
            try:
                names = os.listdir(folder)
            except OSError:
                continue
            if any(name.startswith("agentops-") and name.endswith((".dist-info", ".egg-info")) for name in names):
                import logging

                logging.getLogger("agentops").warning(
                    "the distribution `agentops` of another project is installed in this environment too, and the two "
                    "overwrite each other: pip uninstall agentops, then install agentops-recorder again"
                )


_warn_of_the_other()


def __getattr__(name: str) -> object:
    if name == "span":
        value = importlib.import_module("agentops.trace.span").Span
    elif name == "loop":
        value = importlib.import_module("agentops.trace.loop").Loop
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'agentops' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
