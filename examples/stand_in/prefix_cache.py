"""The provider's prompt cache: which beginning of a prompt it has read before.

As the documentation of the Messages API has it: a breakpoint (`cache_control`)
keeps everything up to and with its block, in the order of tools, system and
messages. A request looks from each of its breakpoints back over 20 blocks for
one that an earlier request has kept. What it finds is read, and what lies
between that and its last breakpoint is written.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from . import prompt
from .prompt import Json

LOOKBACK_BLOCKS = 20
BREAKPOINTS_MAX = 4
LIFETIMES_S = {"5m": 300.0, "1h": 3600.0}

#: Tokens that a prefix must have, by how the model's name begins; the first that fits.
_MINIMUM_TOKENS = (
    ("claude-opus-5", 512),
    ("claude-fable-5", 512),
    ("claude-mythos-5", 512),
    ("claude-opus-4-7", 2048),
    ("claude-opus-4-6", 4096),
    ("claude-opus-4-5", 4096),
    ("claude-haiku-4-5", 4096),
    ("claude-haiku-3", 2048),
    ("claude-3-haiku", 2048),
    ("claude-3-5-haiku", 2048),
    ("", 1024),
)


def minimum_tokens(model: str) -> int:
    """The shortest prefix that is kept for this model."""
    return next(tokens for start, tokens in _MINIMUM_TOKENS if model.startswith(start))


class Charge(NamedTuple):
    """What the tokens of a request are billed as; `kept` is what the cache holds once the answer begins."""

    fresh: int
    read: int
    written_5m: int
    written_1h: int
    kept: tuple[tuple[bytes, str], ...] = ()


@dataclass(slots=True)
class _Entry:
    ttl: str
    until_s: float


class PrefixCache:
    """What one provider keeps for one customer. Safe to use from many threads.

    Args:
        clock: Gives seconds; lifetimes are counted by it.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._entries: dict[bytes, _Entry] = {}
        self._lock = threading.Lock()

    def charge(self, request: Json) -> Charge:
        """Look up a request that has come in; what is read lives on from now."""
        blocks = prompt.blocks(request)
        marks = [at for at, block in enumerate(blocks) if block.ttl is not None]
        totals = _totals(blocks)
        whole = totals[-1] if totals else 0
        if not marks:
            return Charge(whole, 0, 0, 0)
        prefixes = _prefixes(request, blocks)
        with self._lock:
            hit = self._longest(prefixes, marks)
            for at in [*(mark for mark in marks if mark < hit), hit]:
                if at >= 0:
                    self._refresh(prefixes[at])
        read = totals[hit] if hit >= 0 else 0
        least = minimum_tokens(str(request["model"]))
        written = [at for at in marks if at > hit and totals[at] >= least]
        if not written:
            return Charge(whole - read, read, 0, 0)
        for_an_hour = [at for at in written if blocks[at].ttl == "1h"]
        until_1h = totals[for_an_hour[-1]] if for_an_hour else read
        until = max(totals[written[-1]], until_1h)
        kept = tuple((prefixes[at], blocks[at].ttl or "5m") for at in written)
        return Charge(whole - until, read, until - until_1h, until_1h - read, kept)

    def keep(self, charge: Charge) -> None:
        """The answer begins: from now on other requests find what this one has written."""
        with self._lock:
            now = self._clock()
            for prefix, ttl in charge.kept:
                self._entries[prefix] = _Entry(ttl, now + LIFETIMES_S[ttl])

    def _longest(self, prefixes: list[bytes], marks: list[int]) -> int:
        """The last block of the longest prefix that is there; -1 if none is."""
        now = self._clock()
        looked = {at for mark in marks for at in range(mark, max(-1, mark - LOOKBACK_BLOCKS), -1)}
        for at in sorted(looked, reverse=True):
            entry = self._entries.get(prefixes[at])
            if entry is not None and now < entry.until_s:
                return at
        return -1

    def _refresh(self, prefix: bytes) -> None:
        entry, now = self._entries.get(prefix), self._clock()
        if entry is not None and now < entry.until_s:
            entry.until_s = now + LIFETIMES_S[entry.ttl]


def _prefixes(request: Json, blocks: list[prompt.PromptBlock]) -> list[bytes]:
    """A name for the beginning of the prompt up to and with each block."""
    parameters = prompt.parameters(request)
    so_far = hashlib.sha256(str(request["model"]).encode())
    section, found = "", []
    for block in blocks:
        if block.section != section:
            between = list(parameters)[list(parameters).index(section) + 1 if section else 0 :]
            for name in between[: between.index(block.section) + 1]:
                so_far.update(f"\0{name}\0{parameters[name]}".encode())
            section = block.section
        so_far.update(b"\0" + block.content.encode("utf-8", "surrogatepass"))
        found.append(so_far.digest())
    return found


def _totals(blocks: list[prompt.PromptBlock]) -> list[int]:
    found, characters = [], 0
    for block in blocks:
        characters += block.characters
        found.append(prompt.tokens(characters))
    return found
