"""Prompts of model calls as the provider reads them: blocks in the order of tools, system, messages.

Equal blocks have equal numbers. What a store holds once is read once: a message that stands in a thousand calls is
decoded for the first of them, and a conversation that goes on is the one before it with its new messages.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec

from agentops.analysis.differences import common
from agentops.journal.format import LIST
from agentops.store.flow import Key
from agentops.store.reader import Reader

__all__ = ["FIVE_MINUTES", "NO_PROMPT", "SECTIONS", "Block", "Prompt", "Prompts", "Section"]

#: In the order in which a provider reads them.
SECTIONS = ("tools", "system", "messages")
FIVE_MINUTES = "5m"
#: Values whose keys stand in the order that the caller gave them; of all others the API knows the keys.
_WRITTEN = frozenset(("input", "input_schema", "data", "arguments", "parameters"))
_INSTRUCTING = ("system", "developer")
_UNMARKABLE = frozenset(("thinking", "redacted_thinking"))
#: So many of the lists that were read last are held, of which others may go on.
_SECTIONS_MAX = 128
#: Numbers of the blocks of an item, with the lifetime of a breakpoint behind each.
_Parts = tuple[tuple[int, str | None], ...]
_decode_list = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw]).decode
_decode_items = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
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
    """Numbers of blocks; how many bytes there are up to and with each; where breakpoints stand and how long each keeps;
    and where each message begins."""

    blocks: list[int]
    sizes: list[int]
    marks: list[tuple[int, str]]
    starts: list[int]

    def size(self, until: int) -> int:
        """Bytes of so many of the first blocks."""
        until = min(until, len(self.sizes))
        return self.sizes[until - 1] if until > 0 else 0


class Prompt(NamedTuple):
    """All that one call sent. `marks` are positions among all blocks of it, with lifetimes; in order."""

    sections: tuple[Section, Section, Section]
    marks: list[tuple[int, str]]

    @property
    def head(self) -> int:
        """How many blocks stand before the messages."""
        return len(self.sections[0].blocks) + len(self.sections[1].blocks)

    def size(self, until: int) -> int:
        """Bytes of so many of the first blocks."""
        found = 0
        for section in self.sections:
            found += section.size(until)
            until -= len(section.blocks)
        return found

    def __len__(self) -> int:
        return self.head + len(self.sections[2].blocks)

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


_EMPTY = Section([], [], [], [])
NO_PROMPT = Prompt((_EMPTY, _EMPTY, _EMPTY), [])


class _Whole(NamedTuple):
    """A list of messages that goes on from no other: its items as they are encoded, and where each of them ends."""

    section: Section
    body: bytes
    ends: list[int]


class Prompts:
    """Reads the prompts of one conversation or several that share much.

    Args:
        reader: the store.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._numbers: dict[tuple[str, str], int] = {}
        self.blocks: list[Block] = []
        self._sections: OrderedDict[tuple[str, Key], Section] = OrderedDict()
        self._items: dict[bytes, _Parts] = {}
        self._last = _Whole(_EMPTY, b"", [])  # that was read last
        #: Numbers of blocks that are images.
        self.images: set[int] = set()

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
            self._mark_whole(made, _ttl(whole))
        return made

    def said(self, section: Section) -> set[int]:
        """Numbers of its blocks, without those that instruct the model."""
        return {number for number in section.blocks if self.blocks[number].role not in _INSTRUCTING}

    def size(self, numbers: set[int]) -> int:
        """Bytes of blocks."""
        return sum(self.blocks[number].size for number in numbers)

    def _mark_whole(self, prompt: Prompt, ttl: str) -> None:
        at = len(prompt)
        for section in reversed(prompt.sections):
            for number in reversed(section.blocks):
                at -= 1
                if self.blocks[number].kind not in _UNMARKABLE:
                    if not prompt.marks or prompt.marks[-1][0] != at:
                        prompt.marks.append((at, ttl))
                    return

    def shown(self, encoded: bytes) -> str:
        """A small value of a span, as JSON; nothing where there is none."""
        return _encode(self._reader.value(encoded)).decode()[:60] if encoded else ""

    def _section(self, name: str, key: Key | None) -> Section:
        if key is None:
            return _EMPTY
        found = self._sections.get((name, key))
        if found is not None:
            self._sections.move_to_end((name, key))
        else:
            found = self._messages(key) if name == "messages" and isinstance(key, int) else None
            if found is None:
                value = self._reader.value(key)
                items = [] if value is None else value if isinstance(value, list) else [value]
                found = self._made(_EMPTY, [tuple(self._read(item, name)) for item in items])
            self._keep((name, key), found)
        return found

    def _keep(self, key: tuple[str, Key], section: Section) -> None:
        self._sections[key] = section
        while len(self._sections) > _SECTIONS_MAX:
            self._sections.popitem(last=False)

    def _messages(self, key: int) -> Section | None:
        """A list of messages, read back along the conversation as far as it is not known; None if it is none."""
        chain: list[bytes] = []
        seen: set[int] = set()
        at, found = key, None
        while at and found is None:
            raw = self._reader.raws([at]).get(at)
            if at in seen or raw is None or raw[0] != LIST:  # a store from elsewhere may go in a circle
                return None
            seen.add(at)
            try:
                at, items = _decode_list(raw[1])
            except (msgspec.MsgspecError, ValueError, RecursionError):
                return None
            chain.append(bytes(items))
            found = self._sections.get(("messages", at))
        try:
            section = found or self._whole(chain.pop())
            for added in reversed(chain):
                section = self._made(section, [self._item(bytes(item)) for item in _decode_items(added)])
        except (msgspec.MsgspecError, ValueError, LookupError):
            return None
        return section

    def _whole(self, encoded: bytes) -> Section:
        """A list that goes on from no other. With a breakpoint that has moved it mostly begins as the last one did."""
        header = 1 if encoded[0] & 0xF0 == 0x90 else {0xDC: 3, 0xDD: 5}[encoded[0]]
        count = encoded[0] & 0x0F if header == 1 else int.from_bytes(encoded[1:header], "big")
        body, last = encoded[header:], self._last
        same = min(count, bisect_right(last.ends, common(last.body, body)))
        at = last.ends[same - 1] if same else 0
        rest = list(map(bytes, _decode_items(b"\xdd" + (count - same).to_bytes(4, "big") + body[at:])))
        ends = [*last.ends[:same], *accumulate(map(len, rest), initial=at)]
        del ends[same]
        section = self._made(self._beginning(last.section, same), list(map(self._item, rest)))
        self._last = _Whole(section, body, ends)
        return section

    @staticmethod
    def _beginning(section: Section, items: int) -> Section:
        if items == len(section.starts):
            return section
        blocks = section.starts[items]
        marks = [mark for mark in section.marks if mark[0] < blocks]
        return Section(section.blocks[:blocks], section.sizes[:blocks], marks, section.starts[:items])

    def _made(self, before: Section, items: Iterable[_Parts]) -> Section:
        """`before` with more items: tools, blocks of the system prompt, or messages."""
        made = Section(*map(list, before))  # type: ignore[arg-type]
        size = made.size(len(made.sizes))
        for parts in items:
            made.starts.append(len(made.blocks))
            for number, ttl in parts:
                if ttl is not None:
                    made.marks.append((len(made.blocks), ttl))
                made.blocks.append(number)
                size += self.blocks[number].size
                made.sizes.append(size)
        return made

    def _item(self, encoded: bytes) -> _Parts:
        found = self._items.get(encoded)
        if found is None:
            found = self._items[encoded] = tuple(self._read(self._reader.value(encoded), "messages"))
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
        try:
            text = _encode(_plain(block)).decode()
        except (RecursionError, ValueError, TypeError, OverflowError):  # what no client could have sent
            block, text = None, "null"
        number = self._numbers.get((role, text))
        if number is None:
            number = self._numbers[role, text] = len(self.blocks)
            kind = str(block.get("type") or "") if isinstance(block, dict) else ""
            self.blocks.append(Block(text, len(text.encode()), kind, role))
            if kind == "image":
                self.images.add(number)
        return number, _ttl(mark) if isinstance(mark, dict) else None


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
