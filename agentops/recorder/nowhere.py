"""What is written to while there is no journal: recording is off, or none can be made."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

from agentops import safety
from agentops.recorder.capture import Capture, New

__all__ = ["Nowhere"]


class _Nothing(dict[bytes, int]):
    """A dict that stays empty."""

    def __setitem__(self, key: bytes, value: int) -> None: ...


class _Forgetful(Capture):
    """Captures for nobody, and keeps nothing."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None, safety.failed)
        self.seen = _Nothing()

    def remember(self, new: New, trace: bytes) -> None: ...


class Nowhere:
    """Stands in for a journal while there is none.

    Args:
        lost: why none can be made; what comes here is lost then, and counted. None: recording is off.
        until: when to try again, on the monotonic clock.
        try_again: called with this when something comes after that.
    """

    written = 0

    def __init__(self, lost: str | None = None, until: float = inf, try_again: Callable[[Nowhere], None] | None = None):
        self.capture = _Forgetful()
        self._lost = lost
        self._until = until
        self._try_again = try_again

    def append(self, payload: bytes) -> None:
        if self._lost is not None:
            safety.lost(self._lost, size=len(payload))
            if self.is_over and self._try_again is not None:
                self._try_again(self)

    @property
    def is_trouble(self) -> bool:
        """Whether it stands here because no journal can be made."""
        return self._lost is not None

    @property
    def is_over(self) -> bool:
        """Whether it is time to try a journal again."""
        return self._lost is not None and time.monotonic() > self._until

    def make_room(self) -> None: ...

    def leave(self, final: bool) -> None: ...

    def abandon(self) -> None: ...
