"""subprocess: what a program records that is started inside of a span hangs below it."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from .carrying import current, is_first, traceparent

__all__ = ["instrument"]

#: Where `Popen` takes `env` by its place.
_PLACE = 10


def instrument(module: ModuleType) -> None:
    """Tell programs that are started inside of a span, by their environment, what they are below.

    Args:
        module: the imported `subprocess`.
    """
    if not is_first("subprocess"):
        return
    popen: Any = module.Popen
    begin = popen.__init__

    @functools.wraps(begin)
    def told(self: Any, *args: Any, **kwargs: Any) -> None:
        context = current()
        if context is not None:
            by_place = len(args) > _PLACE
            env = _with(args[_PLACE] if by_place else kwargs.get("env"), *traceparent(context))
            if by_place:
                args = (*args[:_PLACE], env, *args[_PLACE + 1 :])
            else:
                kwargs["env"] = env
        begin(self, *args, **kwargs)

    popen.__init__ = told


def _with(given: Any, said: str, is_current: bool) -> Any:
    """An environment that says what stands above; TRACEPARENT, which others read too, only where there is none."""
    known = os.environ.get("TRACEPARENT")
    env = os.environ if given is None else given
    if not said or not isinstance(env, Mapping) or (given is not None and env.get("TRACEPARENT", known) != known):
        return given  # the program says it itself
    more = {"TRACEPARENT": said} if is_current and "TRACEPARENT" not in env else {}
    return {**env, **more, "AGENTOPS_PARENT": said}
