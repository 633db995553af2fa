"""Keep the recorder's thread from working: for figures that are of the caller alone."""

from __future__ import annotations

__all__ = ["keep_idle"]


def keep_idle() -> None:
    """Before the first span of a process: nothing is ingested but by `flush()`, which also makes room."""
    from agentops.recorder import recorder

    recorder.POLL_S = recorder.POLL_IDLE_S = 3600.0
