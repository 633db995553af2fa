"""What a generator has yielded, as it was then, in bounded memory."""

from __future__ import annotations

from typing import Any

from agentops import safety
from agentops.journal.format import decode_value
from agentops.recorder.capture import Capture

__all__ = ["Yielded"]

ITEMS_MAX = 1_000
BYTES_MAX = 64 << 10
_SIMPLE = frozenset((int, float, bool, type(None)))

#: It only copies: what is recorded of it is redacted like any output, at the generator's end.
_copy = Capture(None, safety.withheld).encode


class Yielded:
    """Keeps the first items; of the others, how many there were."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._bytes = 0
        self._more = 0

    def add(self, item: object) -> None:
        """One more has been yielded."""
        if self._more or len(self._items) >= ITEMS_MAX:
            self._more += 1
            return
        kept: Any = item
        if type(item) is str:
            self._bytes += len(item)
        elif type(item) not in _SIMPLE:
            kept = _Copy(_copy(item))
            self._bytes += len(kept.data)
        if self._bytes > BYTES_MAX:
            self._more = 1
        else:
            self._items.append(kept)

    def output(self, returned: object) -> Any:
        """What is recorded as the output: the items as a list; None if there is nothing to say.

        Args:
            returned: what the generator's body gave back.
        """
        items = [decode_value(item.data) if type(item) is _Copy else item for item in self._items]
        if self._more:
            items.append(f"<{self._more} more>")
        if returned is None:
            return items
        return {"yielded": items, "returned": returned} if items else returned


class _Copy:
    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data
