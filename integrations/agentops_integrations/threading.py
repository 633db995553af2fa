"""threading: what a thread records hangs below the span in which it was started."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from .carrying import attach, current, is_first

__all__ = ["instrument"]

#: By the id of a thread that is being started.
_contexts: dict[int, Any] = {}


def instrument(module: ModuleType) -> None:
    """Have threads begin below the span that is current where they are started, whatever their class.

    Args:
        module: the imported `threading`.
    """
    if not is_first("threading"):
        return
    start, bootstrap = module.Thread.start, module.Thread._bootstrap_inner

    @functools.wraps(start)
    def carrying(self: Any) -> Any:
        context = current()
        if (
            context is None or getattr(self, "_context", None) is not None
        ):  # from 3.14 on the program may have given one
            _contexts.pop(id(self), None)
            return start(self)
        _contexts[id(self)] = context
        try:
            return start(self)
        except BaseException:
            _contexts.pop(id(self), None)
            raise

    @functools.wraps(bootstrap)
    def carried(self: Any) -> None:
        context = _contexts.pop(id(self), None)
        if context is not None:
            variables = getattr(self, "_context", None)
            attach(context) if variables is None else variables.run(attach, context)
        bootstrap(self)

    module.Thread.start, module.Thread._bootstrap_inner = carrying, carried
