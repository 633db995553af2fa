"""Scripts made from other scripts."""

from __future__ import annotations

import itertools
from dataclasses import replace

from .reply import Fault, Reply, Request, Script, overloaded


def paced(script: Script, *, delay_s: float, chunk_delay_s: float) -> Script:
    """The same answers, with the pauses that a real model makes."""

    def answer(request: Request) -> Reply | Fault:
        reply = script(request)
        if isinstance(reply, Fault):
            return reply
        return replace(reply, delay_s=delay_s, chunk_delay_s=chunk_delay_s)

    return answer


def overloaded_first(count: int, script: Script, *, retry_after_s: float = 1) -> Script:
    """The first `count` requests are answered with 529, the others by `script`."""
    # next() on a count is one step of the interpreter, so that two requests at
    # once never take the same number; a plain `seen += 1` would need a lock.
    numbers = itertools.count()

    def answer(request: Request) -> Reply | Fault:
        if next(numbers) < count:
            return overloaded(retry_after_s)
        return script(request)

    return answer
