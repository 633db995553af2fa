"""multiprocessing: what a process or a pool's task records hangs below the span in which it was started.

A forked child has its parent's context. One that is spawned, or that a fork server makes, gets its process object
pickled, and in it what stands above.
"""

from __future__ import annotations

import functools
import os
import sys
from types import ModuleType
from typing import Any

from .carrying import carried, current, elsewhere, is_first, traceparent

__all__ = ["begun_below", "instrument"]

_KEY = "agentops"


def instrument(module: ModuleType) -> None:
    """Have child processes begin, and a pool's tasks run, below the span that is current where they are started.

    Args:
        module: the imported `multiprocessing.process` or `multiprocessing.pool`.
    """
    if not is_first(module.__name__):
        return
    if hasattr(module, "BaseProcess"):
        _in_processes(module.BaseProcess)
    else:
        _in_pools(module.Pool)


def _in_processes(process: Any) -> None:
    start = process.start

    @functools.wraps(start)
    def carrying(self: Any) -> Any:
        context = current()
        facts = getattr(self, "_config", None)  # of multiprocessing's own, for the child
        said = traceparent(context) if context is not None else ("", False)
        if not said[0] or not isinstance(facts, dict):
            return start(self)
        facts[_KEY] = _Below(*said)
        try:
            return start(self)
        finally:
            facts.pop(_KEY, None)

    process.start = carrying


def _in_pools(pool: Any) -> None:
    for name in ("apply_async", "_map_async", "imap", "imap_unordered"):
        setattr(pool, name, _carrying(getattr(pool, name)))
    pool.__init__ = functools.wraps(pool.__init__)(_elsewhere(pool.__init__))


def _carrying(method: Any) -> Any:
    @functools.wraps(method)
    def carrying(self: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
        context = current()
        return method(self, func if context is None else carried(func, context), *args, **kwargs)

    return carrying


def _elsewhere(method: Any) -> Any:
    apart = elsewhere(method)  # workers serve all tasks

    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        (method if current() is None else apart)(self, *args, **kwargs)

    return made


class _Below:
    """In a child's process object; once there it is nothing, and has said what it has to."""

    def __init__(self, *said: Any) -> None:
        self._said = said

    def __reduce__(self) -> Any:
        return begun_below, self._said


def begun_below(said: str, is_current: bool) -> None:
    """Hang this process below a span of another one.

    Args:
        said: that span's `traceparent`.
        is_current: whether it is what this thread is in, as in a child that is forked.
    """
    os.environ["AGENTOPS_PARENT"] = said  # for when the recorder is imported, and for processes that this one starts
    if "agentops" in sys.modules:
        from agentops.trace.carrying import begun

        begun(said, is_current)
