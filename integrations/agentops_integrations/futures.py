"""concurrent.futures: what a task records hangs below the span in which it was submitted."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from .carrying import carried, current, elsewhere, is_first

__all__ = ["instrument"]


def instrument(module: ModuleType) -> None:
    """Have an executor's tasks run below the span that is current where they are submitted; `map` submits too.

    Args:
        module: the imported `concurrent.futures.thread` or `concurrent.futures.process`.
    """
    if not is_first(module.__name__):
        return
    executor: Any = getattr(module, "ThreadPoolExecutor", None) or module.ProcessPoolExecutor
    submit = executor.submit
    submit_elsewhere = elsewhere(submit)  # it starts workers, which serve all tasks

    @functools.wraps(submit)
    def carrying(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        context = current()
        if context is None:
            return submit(self, fn, *args, **kwargs)
        return submit_elsewhere(self, carried(fn, context), *args, **kwargs)

    executor.submit = carrying
