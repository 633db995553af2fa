"""What a call of a model used, in buckets that do not overlap and add up, from whatever attributes say it.

Who records a call counts in a way of its own: OpenTelemetry's input tokens include those that the prompt cache read and
wrote, Anthropic's answers count them apart; some count thinking as output, some beside it. Here each token stands in
one bucket, and the sums that the conventions want (`Usage.input_tokens`, `Usage.output_tokens`) come from them.

Sources: https://github.com/open-telemetry/semantic-conventions-genai (and its older names),
https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md, and the `usage` objects of
https://docs.anthropic.com/en/api/messages and https://platform.openai.com/docs/api-reference/chat/object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from agentops import conventions as c
from agentops.conventions import token_count

__all__ = ["BUCKETS", "MARKS", "PLAIN", "SAID", "Mark", "Usage", "tier_of", "usage_of"]

Mark = Literal["missing", "reported", "estimated"]
#: Their places are their numbers in a row's `marks`.
MARKS: tuple[Mark, ...] = ("missing", "reported", "estimated")
_REPORTED, _ESTIMATED = 1, 2

#: In the order of a row in the store; only ever append.
BUCKETS = (
    "fresh_input", "cache_read", "cache_write_5m", "cache_write_1h", "audio_input", "output", "thinking",
    "audio_output", "web_searches", "tool_requests",
)  # fmt: skip
_MAX = 2**63 - 1

_INPUT_TOKENS = (c.INPUT_TOKENS, c.OI_INPUT_TOKENS, "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens")
_OUTPUT_TOKENS = (c.OUTPUT_TOKENS, c.OI_OUTPUT_TOKENS, "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens")
_READ = (
    c.CACHE_READ_TOKENS, "llm.token_count.prompt_details.cache_read", "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.details.cache_read_tokens",
)  # fmt: skip
_WRITE = (
    c.CACHE_WRITE_TOKENS, c.CACHE_CREATION_TOKENS, "llm.token_count.prompt_details.cache_write",
    "gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.details.cache_write_tokens",
)  # fmt: skip
_WRITE_5M = ("anthropic.usage.cache_creation.ephemeral_5m_input_tokens", "cache_creation_5m_tokens")
_WRITE_1H = ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens", "cache_creation_1h_tokens")
_AUDIO_IN = ("gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio")
_AUDIO_READ = ("gen_ai.usage.audio.cache_read.input_tokens",)
_AUDIO_OUT = ("gen_ai.usage.audio.output_tokens", "llm.token_count.completion_details.audio")
_THINKING = (
    c.REASONING_TOKENS, "llm.token_count.completion_details.reasoning", "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.details.reasoning_tokens", "anthropic.usage.output_tokens_details.thinking_tokens",
)  # fmt: skip
_SEARCHES = ("anthropic.usage.server_tool_use.web_search_requests",)
_REQUESTS = (
    "anthropic.usage.server_tool_use.web_fetch_requests",
    "anthropic.usage.server_tool_use.code_execution_requests",
)
_TIERS = (
    "anthropic.usage.service_tier", "anthropic.response.service_tier", "openai.response.service_tier",
    "gen_ai.openai.response.service_tier",
)  # fmt: skip
_SPEED = ("anthropic.usage.speed",)
_TIER = re.compile(r"[a-z][a-z0-9_-]{0,23}")
_NO_TIER = ("standard", "auto")
#: A provider's `usage` as it came, under one of these.
_RAW = ("usage", "gen_ai.usage", "llm.usage", "anthropic.usage")
#: Where its parts stand, and under which of the names above they are known.
_OF_RAW = (
    (("input_tokens",), c.INPUT_TOKENS),
    (("prompt_tokens",), c.INPUT_TOKENS),
    (("output_tokens",), c.OUTPUT_TOKENS),
    (("completion_tokens",), c.OUTPUT_TOKENS),
    (("cache_read_input_tokens",), c.CACHE_READ_TOKENS),
    (("cache_creation_input_tokens",), c.CACHE_WRITE_TOKENS),
    (("cache_creation", "ephemeral_5m_input_tokens"), _WRITE_5M[0]),
    (("cache_creation", "ephemeral_1h_input_tokens"), _WRITE_1H[0]),
    (("prompt_tokens_details", "cached_tokens"), c.CACHE_READ_TOKENS),
    (("prompt_tokens_details", "audio_tokens"), _AUDIO_IN[0]),
    (("input_tokens_details", "cached_tokens"), c.CACHE_READ_TOKENS),
    (("completion_tokens_details", "reasoning_tokens"), c.REASONING_TOKENS),
    (("completion_tokens_details", "audio_tokens"), _AUDIO_OUT[0]),
    (("output_tokens_details", "reasoning_tokens"), c.REASONING_TOKENS),
    (("output_tokens_details", "thinking_tokens"), c.REASONING_TOKENS),
    (("server_tool_use", "web_search_requests"), _SEARCHES[0]),
    (("server_tool_use", "web_fetch_requests"), _REQUESTS[0]),
)


_GROUPS = (
    _INPUT_TOKENS, _OUTPUT_TOKENS, _READ, _WRITE, _WRITE_5M, _WRITE_1H, _AUDIO_IN, _AUDIO_READ, _AUDIO_OUT, _THINKING,
    _SEARCHES, *((name,) for name in _REQUESTS),
)  # fmt: skip
#: Of each attribute its group, and how many others of that come before it.
_PLACES = {name: (group, place) for group, names in enumerate(_GROUPS) for place, name in enumerate(names)}
_COUNTS = frozenset(_PLACES)
_TOTALS = frozenset((*_INPUT_TOKENS, *_OUTPUT_TOKENS))
_OF_TIER = frozenset((*_TIERS, *_SPEED, *_RAW))
_IS_RAW = frozenset(_RAW)
#: What a call says that says no more of its usage and price than how many tokens there were.
PLAIN = frozenset((c.INPUT_TOKENS, c.OUTPUT_TOKENS))
#: All that may be said of either.
SAID = _COUNTS | _OF_TIER | {c.OI_COST, c.CACHE_HIT, c.RESPONSE_MODEL, c.REQUEST_MODEL, c.OI_MODEL}


class Usage(NamedTuple):
    """Tokens and requests of one call, each in one bucket; None where nobody said how many.

    fresh_input: input that the prompt cache neither read nor wrote, audio left out.
    cache_read, cache_write_5m, cache_write_1h: read from the prompt cache; written to it for so long.
    audio_input, audio_output: of audio, what the cache read left out.
    output: without thinking and audio.
    thinking: reasoning tokens.
    web_searches, tool_requests: requests of tools that the provider runs: searches, and all others.
    marks: two bits a bucket, in their order, the first lowest: places in MARKS.
    """

    fresh_input: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    audio_input: int | None = None
    output: int | None = None
    thinking: int | None = None
    audio_output: int | None = None
    web_searches: int | None = None
    tool_requests: int | None = None
    marks: int = 0

    @property
    def input_tokens(self) -> int | None:
        """All input, with what the prompt cache read and wrote; None if the fresh part of it is not known."""
        fresh, read, short, long, heard = self[0:5]
        return None if fresh is None else min(_MAX, fresh + (read or 0) + (short or 0) + (long or 0) + (heard or 0))

    @property
    def output_tokens(self) -> int | None:
        """All output, with thinking; None if it is not known."""
        rest, thinking, said = self[5:8]
        return None if rest is None else min(_MAX, rest + (thinking or 0) + (said or 0))

    def mark(self, bucket: str) -> Mark:
        """Whether a bucket's number was `reported`, is `estimated`, or is `missing`."""
        number = self.marks >> 2 * BUCKETS.index(bucket) & 3
        return MARKS[number] if number < len(MARKS) else "missing"


def usage_of(attributes: Mapping[str, Any]) -> Usage | None:
    """What a span's attributes say that its call used; None if they say nothing of it."""
    if attributes.keys() & _IS_RAW:
        for name in _RAW:
            if isinstance(raw := attributes.get(name), Mapping):
                attributes = {**_of_raw(raw), **attributes}
    counts = attributes.keys() & _COUNTS
    if not counts:
        return None
    found: list[int | None] = [None] * len(_GROUPS)
    places = [len(_PLACES)] * len(_GROUPS)
    for name in counts:
        group, place = _PLACES[name]
        if place < places[group] and (number := _count(attributes, name)) is not None:
            found[group], places[group] = number, place
    given, output, read, written, short, long, heard, heard_before, said, thinking, searches, *others = found
    if counts <= _TOTALS:
        if given is None and output is None:
            return None
        marks = (given is not None) + ((output is not None) << 10)
        return Usage(given, None, None, None, None, output, None, None, None, None, marks)
    if given is None and output is None and read is None and written is None:
        return None
    estimated = 0
    if short is None and long is None:
        short = written
        if written and _is_anthropic(attributes):  # who does not say it asks for five minutes mostly
            estimated |= 1 << 2
    elif written is not None and (rest := written - (short or 0) - (long or 0)) > 0:
        if long is None:
            long = rest
        else:  # not all of what was written is told apart
            estimated |= (short is not None) << 2
            short = (short or 0) + rest
    if heard is not None:
        heard = max(0, heard - (heard_before or 0))
    fresh = given
    if given is not None:
        beside = (read or 0) + (short or 0) + (long or 0)
        if given >= beside + (heard or 0):
            fresh = given - beside - (heard or 0)
        else:  # whoever counted left the cache's tokens out
            fresh = max(0, given - (heard or 0))
            estimated |= 1
    rest_of_output = output
    if output is not None:
        beside = (thinking or 0) + (said or 0)
        if output >= beside:
            rest_of_output = output - beside
        else:
            estimated |= 1 << 5
    known = [number for number in others if number is not None]
    requests = min(_MAX, sum(known)) if known else None
    buckets = fresh, read, short, long, heard, rest_of_output, thinking, said, searches, requests
    marks = 0
    for place, number in enumerate(buckets):
        if number is not None:
            marks |= (_ESTIMATED if estimated >> place & 1 else _REPORTED) << 2 * place
    return Usage(*buckets, marks)


def tier_of(attributes: Mapping[str, Any]) -> str | None:
    """At whose price a call was made: `batch`, `fast`, or the service tier's name; None for the standard one."""
    if not attributes.keys() & _OF_TIER:
        return None
    if attributes.keys() & _IS_RAW:
        for name in _RAW:
            if isinstance(raw := attributes.get(name), Mapping):
                attributes = {_TIERS[0]: raw.get("service_tier"), _SPEED[0]: raw.get("speed"), **attributes}
    tier = None
    for key in _TIERS:
        if isinstance(value := attributes.get(key), str):
            tier = value
            break
    if tier != "batch" and attributes.get(_SPEED[0]) == "fast":
        return "fast"
    return tier if tier is not None and tier not in _NO_TIER and _TIER.fullmatch(tier) else None


def _count(attributes: Mapping[str, Any], name: str) -> int | None:
    value = attributes[name]
    number = value if type(value) is int else token_count(attributes, name)  # type: ignore[arg-type]
    return None if number is None or number < 0 else min(number, _MAX)


def _is_anthropic(attributes: Mapping[str, Any]) -> bool:
    provider = attributes.get(c.PROVIDER_NAME) or attributes.get("gen_ai.system") or attributes.get("llm.provider")
    model = attributes.get(c.RESPONSE_MODEL) or attributes.get(c.REQUEST_MODEL) or attributes.get(c.OI_MODEL)
    return provider == "anthropic" or (isinstance(model, str) and "claude" in model)


def _of_raw(raw: Mapping[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for path, name in _OF_RAW:
        value: Any = raw
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        number = token_count({"": value}, "")
        if number is not None and number >= 0:
            found.setdefault(name, number)
    # Anthropic's own form counts apart what the cache read and wrote.
    if c.INPUT_TOKENS in found and ("cache_read_input_tokens" in raw or "cache_creation_input_tokens" in raw):
        found[c.INPUT_TOKENS] += found.get(c.CACHE_READ_TOKENS, 0) + found.get(c.CACHE_WRITE_TOKENS, 0)
    return found
