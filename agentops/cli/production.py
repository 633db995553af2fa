"""`agentops doctor --production`: what a deployment needs besides a good store."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from agentops.errors import AgentopsError
from agentops.redaction.presidio import missing
from agentops.settings import resolve
from agentops.store.health import Check, room
from agentops.store.location import StorePath
from agentops.store.reader import Reader

__all__ = ["production"]

_FORK_S = 30.0
_FORKING = """
import os, agentops
with agentops.span("before the fork"):
    child = os.fork()
    if not child:
        with agentops.span("in the child"): pass
        os._exit(0)
    os.waitpid(child, 0)
agentops.flush()
"""


def production(store: StorePath) -> list[Check]:
    """Look at what a deployment needs."""
    cap = resolve()["max_bytes"].value
    free = room(store, max(0, cap - _size(store)))
    return [free._replace(name="room"), _forking(), _redaction(), _export(store)]


def _size(store: str) -> int:
    try:
        return os.path.getsize(store)
    except OSError:
        return 0


def _forking() -> Check:
    """Record in a forked child, as a server does that loads the program once and forks its workers."""
    advice = "load agentops in each worker only (gunicorn without --preload, uwsgi with lazy-apps)"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "traces.db")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTOPS_")}
        try:
            subprocess.run(  # noqa: S603 - this Python, and a program of our own
                [sys.executable, "-c", _FORKING],
                cwd=folder,
                env={**kept, "AGENTOPS_STORE": path},
                capture_output=True,
                timeout=_FORK_S,
                check=True,
            )
            with Reader(path) as reader:
                found = {span.name for trace in reader.traces() for span in reader.spans(trace)}
                traces = reader.count()
        except (OSError, subprocess.SubprocessError, AgentopsError) as problem:
            return Check("forking", False, f"a program that forks could not be recorded: {problem}", advice)
    if traces == 1 and found == {"before the fork", "in the child"}:
        return Check("forking", True, "a forked child records into its parent's trace", None)
    return Check("forking", False, "what a forked child recorded did not arrive in its parent's trace", advice)


def _redaction() -> Check:
    configured = resolve()["redact"]
    if configured.value == "pii" and (problem := missing()):
        return Check("redaction", False, f"all that may be personal is withheld: {problem}", str(problem))
    if configured.value != "off":
        return Check("redaction", True, f"{configured.value} (from {configured.origin})", None)
    return Check(
        "redaction",
        False,
        "not configured; whether a program itself calls agentops.init(redact=...) cannot be seen from outside",
        'set AGENTOPS_REDACT=pii, or redact = "pii" in agentops.toml; `agentops audit` shows what the store holds now',
    )


def _export(store: str) -> Check:
    """Whether what is configured can be sent to: the checks of the store say what came of it."""
    from agentops.exporters.sender import missing
    from agentops.exporters.target import targets_of

    configured = resolve()["export"]
    if not configured.value:
        used = _used(store)
        if used:
            return Check("export", True, f"by programs' own agentops.init(export=...): {', '.join(used)}", None)
        says = "none is configured; whether a program calls agentops.init(export=...) cannot be seen from outside"
        return Check("export", True, says, None)
    try:
        targets = targets_of(configured)
    except AgentopsError as wrong:
        return Check("export", False, f"{wrong}; nothing is exported", f"correct it in {configured.origin}")
    if any(not target.is_console for target in targets) and (problem := missing()):
        return Check("export", False, str(problem), "pip install 'agentops-recorder[otel]'")
    return Check("export", True, f"{', '.join(one.known_as for one in targets)} (from {configured.origin})", None)


def _used(store: str) -> list[str]:
    """Names of the targets that programs have exported to."""
    from agentops.store.destinations import METRICS
    from agentops.store.outbox import states

    try:
        names = [state.name.removesuffix(METRICS) for state in states(store)] if os.path.exists(store) else []
    except AgentopsError:
        return []
    return list(dict.fromkeys(name for name in names if not name.startswith("console#")))
