"""Prompts of model calls as the provider reads them: blocks in the order of tools, system, messages.

Equal blocks have equal numbers. What a store holds once is read once: a message that stands in a thousand calls is
decoded for the first of them, and a conversation that goes on is the one before it with its new messages.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from agentops.journal.format import LIST, Reference, decode_value
from agentops.store.details import jsonable
from agentops.store.flow import Key
from agentops.store.reader import Reader

__all__ = ["FIVE_MINUTES", "SECTIONS", "Block", "Prompt", "Prompts", "Section"]

#: In the order in which a provider reads them.
SECTIONS = ("tools", "system", "messages")
FIVE_MINUTES = "5m"
#: Values whose keys stand in the order that the caller gave them; of all others the API knows the keys.
_WRITTEN = frozenset(("input", "input_schema", "data", "arguments", "parameters"))
_UNMARKABLE = frozenset(("thinking", "redacted_thinking"))
_encode = msgspec.json.Encoder().encode


class Block(NamedTuple):
    """What a breakpoint may stand behind: a tool, a block of the system prompt or of a message.

    Args:
        text: all of it as JSON, without breakpoints.
        size: in bytes.
        kind: its type, such as `text`.
        role: of its message.
    """

    text: str
    size: int
    kind: str
    role: str

    @property
    def value(self) -> Any:
        """As it was sent, without breakpoints."""
        return msgspec.json.decode(self.text)


class Section(NamedTuple):
    """Numbers of blocks; where breakpoints stand and how long each keeps; where each message begins."""

    blocks: list[int]
    marks: list[tuple[int, str]]
    starts: list[int]


class Prompt(NamedTuple):
    """All that one call sent. `marks` are positions among all blocks of it, with lifetimes; in order."""

    sections: tuple[Section, Section, Section]
    marks: list[tuple[int, str]]

    @property
    def head(self) -> int:
        """How many blocks stand before the messages."""
        return len(self.sections[0].blocks) + len(self.sections[1].blocks)

    @property
    def blocks(self) -> list[int]:
        tools, system, messages = self.sections
        return [*tools.blocks, *system.blocks, *messages.blocks]

    def place(self, at: int) -> tuple[int, int]:
        """Section and position in it of block `at`."""
        for n, section in enumerate(self.sections):
            if at < len(section.blocks) or n == len(SECTIONS) - 1:
                return n, at
            at -= len(section.blocks)
        raise AssertionError

    def message(self, at: int) -> tuple[int, int]:
        """Number of the message in which block `at` of the messages stands, and of the block in it."""
        starts = self.sections[2].starts
        n = max(0, bisect_right(starts, at) - 1)
        return n, at - (starts[n] if starts else 0)


class Prompts:
    """Reads the prompts of one conversation or several that share much.

    Args:
        reader: the store.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._numbers: dict[tuple[str, str], int] = {}
        self.blocks: list[Block] = []
        self._sections: dict[tuple[str, Key], Section] = {}
        self._items: dict[int, tuple[tuple[int, str | None], ...]] = {}

    def prompt(self, tools: bytes | None, system: bytes | None, messages: Key | None, whole: Any) -> Prompt:
        """The prompt of a call.

        Args:
            tools: as they are encoded on its span.
            system: likewise.
            messages: its input.
            whole: a breakpoint for all of the request, which goes behind the last block that may have one.
        """
        sections = (
            self._section("tools", tools),
            self._section("system", system),
            self._section("messages", messages),
        )
        marks: list[tuple[int, str]] = []
        before = 0
        for section in sections:
            marks += [(before + at, ttl) for at, ttl in section.marks]
            before += len(section.blocks)
        made = Prompt(sections, marks)
        if isinstance(whole, dict):
            blocks = made.blocks
            for at in range(len(blocks) - 1, -1, -1):
                if self.blocks[blocks[at]].kind not in _UNMARKABLE:
                    if not marks or marks[-1][0] != at:
                        marks.append((at, _ttl(whole)))
                    break
        return made

    def shown(self, encoded: bytes) -> str:
        """A small value of a span, as JSON; nothing where there is none."""
        return _encode(self._reader.value(encoded)).decode()[:60] if encoded else ""

    def _section(self, name: str, key: Key | None) -> Section:
        if key is None:
            return Section([], [], [])
        found = self._sections.get((name, key))
        if found is not None:
            return found
        chain: list[tuple[int, list[Any]]] = []
        at: Key = key
        before: Section | None = None
        while isinstance(at, int) and name == "messages":  # back along a conversation, as far as it is not known
            before = self._sections.get((name, at))
            raw = self._reader.raws([at]).get(at) if before is None else None
            if raw is None or raw[0] != LIST or len(chain) > 100_000:
                break
            try:
                previous, items = decode_value(raw[1])
            except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
                break
            if type(previous) is not int or type(items) is not list:
                break
            chain.append((at, items))
            at = previous
            if not previous:
                break
        if not chain:
            found = before or self._made(Section([], [], []), self._values(self._reader.value(key)), name)
            self._sections[name, key] = found
            return found
        found = before or Section([], [], [])
        for number, items in reversed(chain):
            found = self._made(found, items, name)
            self._sections[name, number] = found
        return found

    def _made(self, before: Section, items: list[Any], name: str) -> Section:
        """`before` with more items: tools, blocks of the system prompt, or messages."""
        blocks, marks, starts = list(before.blocks), list(before.marks), list(before.starts)
        for item in items:
            starts.append(len(blocks))
            for number, ttl in self._item(item, name):
                if ttl is not None:
                    marks.append((len(blocks), ttl))
                blocks.append(number)
        return Section(blocks, marks, starts)

    def _item(self, item: Any, name: str) -> tuple[tuple[int, str | None], ...]:
        if type(item) is not Reference:
            return tuple(self._read(jsonable(item), name))
        found = self._items.get(item.number)
        if found is None:
            found = self._items[item.number] = tuple(self._read(self._reader.value(item.number), name))
        return found

    def _read(self, item: Any, name: str) -> Iterator[tuple[int, str | None]]:
        """Number and lifetime of the blocks in an item."""
        if name != "messages" or not isinstance(item, dict):
            yield self._number(item, "")
            return
        role, content = str(item.get("role") or ""), item.get("content")
        parts = content if isinstance(content, list) else [] if content is None else [content]
        for part in parts:
            yield self._number(part, role)
        # A message of another house has calls of tools beside the content.
        rest = {key: value for key, value in item.items() if key not in ("role", "content", "cache_control")}
        if rest or not parts:
            yield self._number(rest, role)

    def _number(self, block: Any, role: str) -> tuple[int, str | None]:
        if isinstance(block, str):
            block = {"type": "text", "text": block}
        mark = block.get("cache_control") if isinstance(block, dict) else None
        text = _encode(_plain(block)).decode()
        number = self._numbers.get((role, text))
        if number is None:
            number = self._numbers[role, text] = len(self.blocks)
            kind = str(block.get("type") or "") if isinstance(block, dict) else ""
            self.blocks.append(Block(text, len(text.encode()), kind, role))
        return number, _ttl(mark) if isinstance(mark, dict) else None

    @staticmethod
    def _values(value: Any) -> list[Any]:
        return [] if value is None else value if isinstance(value, list) else [value]


def _ttl(mark: dict[str, Any]) -> str:
    ttl = mark.get("ttl")
    return ttl if isinstance(ttl, str) else FIVE_MINUTES


def _plain(value: Any, is_written: bool = False) -> Any:
    """Without breakpoints, and with those keys in one order that the API knows."""
    if isinstance(value, list):
        return [_plain(item, is_written) for item in value]
    if not isinstance(value, dict) or is_written:
        return value
    return {key: _plain(value[key], key in _WRITTEN) for key in sorted(value, key=str) if key != "cache_control"}
