"""What broke the provider's prompt cache, where, how often, and what that cost: from the store alone.

A provider keeps what it has read of a prompt up to a breakpoint, and a later prompt that begins the same reads it for
a tenth of the price. So a call should read all that the call before it in the conversation had read and written. Where
it did not, the prompts are laid side by side, block by block: equal blocks have equal numbers, and what differs is
looked at only where the first pair does.

The rules are those of Anthropic's documentation of prompt caching: order of tools, system prompt, messages; a
breakpoint looks back over 20 blocks; lifetimes of five minutes or an hour begin again with each read; the least length
depends on the model. Tokens are the provider's own counts; bytes are those of the prompt as it is on record.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import msgspec

from agentops import conventions, prices
from agentops.analysis.differences import common, difference
from agentops.analysis.prompts import FIVE_MINUTES, NO_PROMPT, SECTIONS, Block, Prompt, Prompts
from agentops.analysis.run import LLM
from agentops.store.filters import Filter
from agentops.store.flow import Key, encoded_attributes
from agentops.store.reader import Reader
from agentops.store.rows import SpanRow, TraceRow

__all__ = ["Audit", "Finding", "audit"]

_LOOKBACK_BLOCKS = 20
_LIFETIMES_NS = {FIVE_MINUTES: 300 * 10**9, "1h": 3600 * 10**9}
_ONE_HOUR = "1h"
#: Providers that keep prompts without breakpoints, for some minutes, and count what is read in steps.
_IMPLICIT = frozenset(("openai", "azure.ai.openai", "az.ai.openai"))
_BLUR_TOKENS = 256
_LONG_TOKENS = 100_000
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
#: Parameters that are part of the prompt, and the section from which on they are.
_PARAMETERS = {
    "anthropic.request.speed": 1,
    "anthropic.request.tool_choice": 2,
    "anthropic.request.thinking": 2,
    "anthropic.request.output_config": 2,
}
_WHOLE_MARK = "anthropic.request.cache_control"
_WRITTEN_1H = "anthropic.usage.cache_creation.ephemeral_1h_input_tokens"
_TIER, _SPEED = "anthropic.response.service_tier", "anthropic.request.speed"
_NAMED = (
    conventions.PROVIDER_NAME,
    conventions.REQUEST_MODEL,
    conventions.INPUT_TOKENS,
    conventions.CACHE_READ_TOKENS,
    conventions.CACHE_WRITE_TOKENS,
    _WRITTEN_1H,
    _TIER,
    _WHOLE_MARK,
)
#: A conversation that shares this much of its messages with one before it goes on from that.
_SAME_CONVERSATION = 0.5
#: A breakpoint that was set this often and never found again is useless.
_NEVER = 3
#: So many of the conversations that were begun last are looked at for the one that a call goes on with.
_LATEST = 16
#: So many later calls of a conversation are looked at for one that finds it.
_LATER = 3

#: What `Finding.kind` may be.
Kind = Literal[
    "break", "expired", "lookback", "concurrent", "evicted", "uncovered", "unread", "never_hit", "too_short", "long"
]


class Finding(NamedTuple):
    """One thing to change.

    Args:
        kind: `break` (the prefix changed), `expired`, `lookback` (more than 20 blocks since), `concurrent` (the call
            before had not begun to answer), `evicted` (nothing explains it), `uncovered` (no breakpoint behind what is
            sent again), `unread` (written and never read), `never_hit` (a breakpoint that is never found again),
            `too_short` (for the model), `long` (written for an hour where five minutes would do).
        section: `tools`, `system`, `messages`, or a parameter of the request.
        position: of the tool, the block of the system prompt, or the message, in the first call that has it.
        path: of the text that changed, in that.
        paragraph, byte: in that text; None where nothing changed.
        what: what kind of thing changed.
        before, after: how it read in the first of the calls.
        times: in how many calls. runs: in how many traces.
        tokens: input tokens that it is about, of all the calls. bytes: of one call, on average.
        cost_usd: what all of it cost more than it had to; None where no price is known.
        trace_id, span_id: the first call that has it.
        model: of that call.
        advice: what to do.
    """

    kind: Kind
    section: str
    position: int | None
    path: str
    paragraph: int | None
    byte: int | None
    what: str
    before: str
    after: str
    times: int
    runs: int
    tokens: int
    bytes: int
    cost_usd: float | None
    trace_id: str
    span_id: int
    model: str
    advice: str


class Audit(NamedTuple):
    """What came of it; findings with the dearest first. `wasted_usd` is None where no call has a price."""

    traces: int
    conversations: int
    calls: int
    input_tokens: int
    read_tokens: int
    written_tokens: int
    wasted_usd: float | None
    findings: list[Finding]


class _Rates(NamedTuple):
    """US dollars a token."""

    fresh: float
    read: float
    written: float
    written_1h: float


class _Call(NamedTuple):
    trace: TraceRow
    span: SpanRow
    provider: str
    model: str
    tokens: int
    read: int
    written: int
    written_1h: int
    batch: bool
    fast: bool
    parameters: tuple[bytes, ...]
    prompt: Prompt

    @property
    def is_implicit(self) -> bool:
        """Whether the provider keeps prompts without being asked."""
        return self.provider in _IMPLICIT

    @property
    def cached(self) -> int:
        """What of the prompt the provider had after it."""
        if self.is_implicit:
            return self.tokens if self.tokens >= _minimum(self.model) else 0
        return self.read + self.written

    @property
    def size(self) -> int:
        """Bytes of the prompt."""
        return self.prompt.size(len(self.prompt))

    @property
    def fresh(self) -> int:
        return self.tokens - self.read - self.written


class _Known:
    """The conversations of one group with one model.

    Args:
        prompts: what their calls sent.
    """

    def __init__(self, prompts: Prompts) -> None:
        self._prompts = prompts
        self.all: list[_Conversation] = []
        self._by_first: dict[int, list[_Conversation]] = {}
        self._said: dict[int, tuple[set[int], int]] = {}  # by a conversation's last call

    def begin(self, call: _Call) -> _Conversation:
        """A conversation that `call` is the first of."""
        made = _Conversation(call)
        self.all.append(made)
        blocks = call.prompt.sections[2].blocks
        if blocks:
            alike = self._by_first.setdefault(blocks[0], [])
            alike.append(made)
            del alike[:-_LATEST]
        return made

    def before(self, call: _Call) -> _Conversation | None:
        """The conversation that a call goes on with: the one whose last call shares most of its messages."""
        mine = call.prompt.sections[2]
        if not mine.blocks:
            return None
        whole = mine.size(len(mine.blocks))
        best, most = None, 0.0
        for conversation in reversed(self._by_first.get(mine.blocks[0], [])):
            theirs = conversation.calls[-1].prompt.sections[2]
            same = common(theirs.blocks, mine.blocks)
            if same == len(theirs.blocks) > 0:  # as most do: all that was sent is sent again
                return conversation
            share = theirs.size(same) / min(whole, theirs.size(len(theirs.blocks))) if same else 0.0
            if share > most:
                best, most = conversation, share
        if most >= _SAME_CONVERSATION:
            return best
        numbers, size = self._said_by(call)
        best, most = None, 0.0
        for conversation in self.all[-_LATEST:]:
            last = conversation.calls[-1]
            others, length = self._said_by(last)
            shared = self._prompts.size(numbers & others)
            share = shared / min(size, length) if shared else 0.0
            is_beside = last.span.parent_id == call.span.parent_id is not None
            if share and (is_beside or share >= _SAME_CONVERSATION) and share >= most:
                best, most = conversation, share
        if best is None and len(mine.blocks) > 1:  # all of its messages may be new, if the same step sends them
            for conversation in reversed(self.all[-_LATEST:]):
                last = conversation.calls[-1]
                is_longer = len(mine.blocks) >= len(last.prompt.sections[2].blocks) > 1
                if is_longer and last.span.parent_id == call.span.parent_id is not None:
                    return conversation
        return best

    def _said_by(self, call: _Call) -> tuple[set[int], int]:
        """Its messages and their bytes; a system prompt says nothing of which conversation it is."""
        found = self._said.get(call.span.span_id)
        if found is None:
            numbers = self._prompts.said(call.prompt.sections[2])
            found = self._said[call.span.span_id] = numbers, self._prompts.size(numbers)
            while len(self._said) > 4 * _LATEST:
                del self._said[next(iter(self._said))]
        return found


class _Told(NamedTuple):
    """What a span says of a call: its attributes as they are encoded, and the values of those that are small."""

    trace: TraceRow
    span: SpanRow
    input: Key
    encoded: dict[str, bytes]
    values: dict[str, Any]

    def call(self, prompts: Prompts) -> _Call:
        values, encoded = self.values, self.encoded
        provider = str(values.get(conventions.PROVIDER_NAME) or "")
        tools, system = encoded.get(conventions.TOOL_DEFINITIONS), encoded.get(conventions.SYSTEM_INSTRUCTIONS)
        prompt = prompts.prompt(tools, system, self.input, values.get(_WHOLE_MARK))
        if provider in _IMPLICIT:
            prompt.marks[:] = [(len(prompt) - 1, FIVE_MINUTES)] if len(prompt) else []
        return _Call(
            self.trace,
            self.span,
            provider,
            str(values.get(conventions.REQUEST_MODEL) or self.span.model or ""),
            _count(values.get(conventions.INPUT_TOKENS)),
            _count(values.get(conventions.CACHE_READ_TOKENS)),
            _count(values.get(conventions.CACHE_WRITE_TOKENS)),
            _count(values.get(_WRITTEN_1H)),
            values.get(_TIER) == "batch",
            encoded.get(_SPEED) == b"\xa4fast",
            tuple(encoded.get(name, b"") for name in _PARAMETERS),
            prompt,
        )


class _Conversation:
    """Calls that go on from each other. Of a long one, prompts are held of the last few alone.

    Args:
        call: the first.
    """

    def __init__(self, call: _Call) -> None:
        self.calls = [call]
        #: The last that left anything with the provider.
        self.keeper = call
        #: Of each call after the first: whether it sent all that the one before had sent, and had a breakpoint.
        self.continued: list[bool] = []
        self.marked: list[bool] = [bool(call.prompt.marks)]
        #: Where the first call sends something again without a breakpoint behind it, and how many bytes.
        self.uncovered: tuple[_Place, int, _Call] | None = None
        #: By place of breakpoints: the first call with it, its position there, how many there were, if one was found.
        self.tried: dict[tuple[int, int], tuple[_Call, int, int, bool]] = {}
        #: Calls that wrote for an hour, and where their last breakpoint for it stood.
        self.for_an_hour: list[tuple[_Call, _Place]] = []
        self._look_for_hours(call)

    def add(self, call: _Call) -> None:
        before = self.calls[-1]
        is_continued = _is_continued(before, call)
        self.continued.append(is_continued)
        self.marked.append(bool(call.prompt.marks))
        if self.uncovered is None and is_continued and before.tokens > max(before.cached, call.read):
            at = call.prompt.marks[-1][0] + 1 if call.prompt.marks else 0
            self.uncovered = _at_mark(call, at, "uncovered"), call.size - call.prompt.size(at), call
        self._look_for_marks(call)
        self._look_for_hours(call)
        self.calls.append(call)
        if len(self.calls) > _LATER:
            self.calls[-1 - _LATER] = self.calls[-1 - _LATER]._replace(prompt=NO_PROMPT)
        if call.cached:
            self.keeper = call

    def _look_for_hours(self, call: _Call) -> None:
        if call.written_1h:
            at = next((at for at, ttl in reversed(call.prompt.marks) if ttl == _ONE_HOUR), 0)
            self.for_an_hour.append((call._replace(prompt=NO_PROMPT), _at_mark(call, at, "long")))

    def _look_for_marks(self, call: _Call) -> None:
        """Which breakpoints of the calls before stand behind what this one begins with."""
        for back, earlier in enumerate(reversed(self.calls[-_LATER:])):
            same = _first_difference(earlier, call) if earlier.prompt.marks else 0
            for at, _ in earlier.prompt.marks:
                section, here = earlier.prompt.place(at)
                where = section, here if section < 2 else -1
                first, position, times, is_hit = self.tried.get(where, (earlier, at, 0, False))
                self.tried[where] = first, position, times + (back == 0), is_hit or at < same


def audit(reader: Reader, filter: Filter | None = None) -> Audit:
    """Look through the model calls of the traces that `filter` selects.

    Args:
        reader: the store.
        filter: see `agentops.store.filters`; None selects all.
    """
    looking = _Looking(reader)
    traces = sorted(reader.iter_traces(filter), key=lambda trace: trace.start_ns)
    groups: dict[str, list[TraceRow]] = {}
    for trace in traces:
        groups.setdefault(f"s {trace.session}" if trace.session else f"t {trace.trace_id}", []).append(trace)
    for group in groups.values():
        looking.group(group)
    return looking.result(len(traces))


class _Looking:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._rates: dict[tuple[str, str, bool, bool, int], _Rates | None] = {}
        self._found: dict[tuple[Any, ...], _Sum] = {}
        self.conversations = self.calls = self.tokens = self.read = self.written = 0
        #: Calls by what stands before their messages, across conversations: when, and whether they read anything.
        self._heads: dict[tuple[Any, ...], list[tuple[int, bool]]] = {}
        self._single: list[tuple[_Call, tuple[Any, ...]]] = []
        self._for_an_hour: list[tuple[_Call, _Place, tuple[Any, ...], int]] = []
        self._latest: dict[tuple[Any, ...], tuple[_Call, Prompts]] = {}
        self._broken: set[int] = set()  # first calls whose prompt begins otherwise than that of the one before

    # -- reading -------------------------------------------------------------------------------------

    def group(self, traces: list[TraceRow]) -> None:
        """One session, or a trace without one."""
        prompts = Prompts(self._reader)
        told = [each for trace in traces for each in self._told(trace)]
        told.sort(key=lambda each: (each.span.start_ns, each.span.end_ns or 0))
        conversations: dict[tuple[str, str], _Known] = {}
        heads: dict[int, tuple[Any, ...]] = {}
        for each in told:
            call = each.call(prompts)
            self._rates_of(call)
            self.calls += 1
            self.tokens += call.tokens
            self.read += call.read
            self.written += call.written
            which = call.provider, call.model
            known = conversations.get(which) or conversations.setdefault(which, _Known(prompts))
            before = known.before(call)
            head = self._head_of(call, prompts)
            if before is None:
                before = known.begin(call)
                heads[id(before)] = head
                self._first(call, prompts)
            else:
                self._pair(before, call, prompts)
                before.add(call)
            if call.prompt.marks and not call.cached:
                last = call.prompt.marks[-1][0]
                size = call.prompt.size(last + 1)
                tokens = call.tokens * size // max(1, call.size)
                if tokens < _minimum(call.model):
                    self._note(_at_mark(call, last, "too_short"), call, tokens, size, None)
            self._heads.setdefault(head, []).append((call.span.start_ns, call.read > 0))
        for conversation, head in ((each, heads[id(each)]) for known in conversations.values() for each in known.all):
            self.conversations += 1
            self._whole(conversation, head)

    def _told(self, trace: TraceRow) -> Iterable[_Told]:
        """The calls of a trace, each once: of several spans that name one answer, the one that says most."""
        spans, exchanges = self._reader.flow(trace)
        found: dict[object, _Told] = {}
        for span in spans:
            if span.kind_number != LLM or span.end_ns is None:
                continue
            exchange = exchanges[span.span_id]
            encoded = encoded_attributes(exchange.body)
            values = {name: _small(encoded[name]) for name in _NAMED if name in encoded}
            if exchange.input is None or not _count(values.get(conventions.INPUT_TOKENS)):
                continue
            told = _Told(trace, span, exchange.input, encoded, values)
            key = encoded.get(conventions.RESPONSE_ID, span.span_id)
            if key not in found or len(found[key].values) <= len(values):
                found[key] = told
        return found.values()

    def _head_of(self, call: _Call, prompts: Prompts) -> tuple[Any, ...]:
        tools, system, _ = call.prompt.sections
        texts = tuple(prompts.blocks[number].text for number in (*tools.blocks, *system.blocks))
        return call.provider, call.model, hash(texts)

    # -- pairs of calls ------------------------------------------------------------------------------

    def _pair(self, conversation: _Conversation, call: _Call, prompts: Prompts) -> None:
        """What a call lost of what the call before it had left."""
        before = conversation.keeper
        lost = before.cached - call.read
        if lost <= (_BLUR_TOKENS if call.is_implicit else 0):
            return
        if call.prompt.marks:  # else it asked for nothing: what that costs is told for the conversation
            self._lost(before, call, lost, prompts)

    def _lost(self, before: _Call, call: _Call, lost: int, prompts: Prompts) -> None:
        rates = self._rates_of(call)
        written_1h = min(lost, call.written_1h)
        written = min(lost - written_1h, call.written - call.written_1h)
        usd = None
        if rates is not None:
            paid = written_1h * rates.written_1h + written * rates.written
            paid += (lost - written_1h - written) * rates.fresh
            usd = paid - lost * rates.read
        place = _why_lost(before, call, prompts)
        if place.kind == "break" or not call.is_implicit:  # what is kept without being asked may go any time
            self._note(place, call, lost, round(before.size * lost / before.tokens), usd)

    def _first(self, call: _Call, prompts: Prompts) -> None:
        """The first call of a conversation: what stands before its messages may be that of another one."""
        alike = (call.provider, call.model, _kind_of_head(call, prompts))
        before, others = self._latest.get(alike, (None, None))
        self._latest[alike] = call, prompts
        if before is None or others is None or not call.prompt.marks or not call.written:
            return
        at = _first_difference_of_heads(before, others, call, prompts)
        if at is None or at >= call.prompt.head:
            return
        head_marks = [mark for mark in before.prompt.marks if at <= mark[0] < before.prompt.head]
        if not head_marks:
            return
        gap = call.span.start_ns - before.span.start_ns
        if gap > _LIFETIMES_NS.get(head_marks[-1][1], 0):
            return
        last = head_marks[-1][0]
        share = before.prompt.size(last + 1) / max(1, before.size)
        kept = before.cached if last == before.prompt.marks[-1][0] else round(before.tokens * share)
        lost = min(kept, before.cached) - call.read
        if lost <= 0:
            return
        self._broken |= {before.span.span_id, call.span.span_id}
        place = _changed(before, others, call, prompts, at)
        rates = self._rates_of(call)
        hour = min(lost, call.written_1h)
        usd = None
        if rates is not None:
            usd = hour * (rates.written_1h - rates.read) + (lost - hour) * (rates.written - rates.read)
        self._note(place, call, lost, round(before.size * lost / before.tokens), usd)

    # -- whole conversations -------------------------------------------------------------------------

    def _whole(self, conversation: _Conversation, head: tuple[Any, ...]) -> None:
        calls = conversation.calls
        if not calls[0].is_implicit:
            self._uncovered(conversation)
            for first, at, times, is_hit in conversation.tried.values():
                if times >= _NEVER and not is_hit and any(call.cached for call in calls):
                    self._note(_at_mark(first, at, "never_hit"), first, 0, first.prompt.size(at + 1), None, times)
        if len(calls) == 1 and calls[0].written:
            self._single.append((calls[0], head))
        gaps = [later.span.start_ns - earlier.span.start_ns for earlier, later in pairwise(calls)]
        self._for_an_hour += [(*each, head, max(gaps, default=0)) for each in conversation.for_an_hour]

    def _uncovered(self, conversation: _Conversation) -> None:
        """What is sent again and again without a breakpoint behind it."""
        calls = conversation.calls
        if conversation.uncovered is None or not all(conversation.continued):
            return
        rates = self._rates_of(calls[0])
        least = _minimum(calls[0].model)
        gap = max(later.span.start_ns - earlier.span.start_ns for earlier, later in pairwise(calls))
        if gap > _LIFETIMES_NS[_ONE_HOUR]:
            return
        tokens, times, saved = 0, 0, 0.0
        kept = 0  # of the call before, had it had a breakpoint behind its last block
        for n, call in enumerate(calls):
            again = 0
            if n:
                before = calls[n - 1]
                if before.cached > call.read and conversation.marked[n]:
                    return  # it asked for what it had, and did not get it: that is another matter
                again = before.tokens - max(before.cached, call.read)
            read = kept if n else call.read
            keeps = call.tokens if call.tokens >= least else 0
            if rates is not None:
                price = rates.written_1h if gap > _LIFETIMES_NS[FIVE_MINUTES] else rates.written
                written = max(0, keeps - read)
                cheapest = read * rates.read + written * price + (call.tokens - read - written) * rates.fresh
                saved += _paid(call, rates) - cheapest
            kept = keeps
            if again > 0 and kept:
                tokens, times = tokens + again, times + 1
        if times and (rates is None or saved > 0):
            place, size, first = conversation.uncovered
            self._note(place, first, tokens, size, saved if rates is not None else None, times)

    def _written_in_vain(self) -> None:
        """Conversations of one call whose prompt nobody has read."""
        reads = {head: sorted(time for time, read in calls if read) for head, calls in self._heads.items()}
        for call, head in self._single:
            start = call.span.start_ns
            lifetime = max((_LIFETIMES_NS.get(ttl, 0) for _, ttl in call.prompt.marks), default=0)
            later = bisect_right(reads[head], start)
            is_read = later < len(reads[head]) and reads[head][later] <= start + lifetime
            if is_read or call.span.span_id in self._broken:  # the second is told already
                continue
            rates = self._rates_of(call)
            usd = None
            if rates is not None:
                short = call.written - call.written_1h
                usd = short * (rates.written - rates.fresh) + call.written_1h * (rates.written_1h - rates.fresh)
            mark = call.prompt.marks[-1][0] if call.prompt.marks else 0
            self._note(_at_mark(call, mark, "unread"), call, call.written, 0, usd)

    def _written_for_too_long(self) -> None:
        """What is kept for an hour, and was never used after more than five minutes."""
        short, hour = _LIFETIMES_NS[FIVE_MINUTES], _LIFETIMES_NS[_ONE_HOUR]
        times = {head: sorted(time for time, _ in self._heads[head]) for _, _, head, _ in self._for_an_hour}
        pays = {
            head: any(short <= later - earlier <= hour for earlier, later in pairwise(each))
            for head, each in times.items()
        }
        for call, place, head, gap in self._for_an_hour:
            if gap < short and not pays[head]:
                rates = self._rates_of(call)
                usd = None if rates is None else call.written_1h * (rates.written_1h - rates.written)
                self._note(place, call, call.written_1h, 0, usd)

    # -- adding up -----------------------------------------------------------------------------------

    def _note(self, place: _Place, call: _Call, tokens: int, size: int, usd: float | None, times: int = 1) -> None:
        key = place.key()
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = _Sum(place, call)
        found.add(place, call, tokens, size, usd, times)

    def _rates_of(self, call: _Call) -> _Rates | None:
        # Long prompts may have another price; it holds for all of their tokens.
        size = -(-call.tokens // 1_000) * 1_000 if call.tokens > _LONG_TOKENS else 1_000
        key = (call.provider, call.model, call.batch, call.fast, size)
        if key not in self._rates:
            self._rates[key] = _rates(*key)
        return self._rates[key]

    def result(self, traces: int) -> Audit:
        self._written_in_vain()
        self._written_for_too_long()
        findings = [found.finding() for found in self._found.values()]
        findings.sort(key=lambda finding: (-(finding.cost_usd or 0), -finding.tokens, -finding.times))
        costs = [finding.cost_usd for finding in findings if finding.cost_usd is not None]
        known = costs or any(rates is not None for rates in self._rates.values())
        wasted = sum(costs) if known else None
        return Audit(traces, self.conversations, self.calls, self.tokens, self.read, self.written, wasted, findings)


class _Place(NamedTuple):
    kind: Kind
    section: str
    position: int | None = None
    path: str = ""
    paragraph: int | None = None
    byte: int | None = None
    what: str = ""
    before: str = ""
    after: str = ""

    def key(self) -> tuple[Any, ...]:
        """Equal for what is one thing to change."""
        moves = self.section == "messages"  # the same message has another number in each call
        where = (None, None) if moves else (self.position, self.paragraph)
        return self.kind, self.section, *where, self.path, self.what


class _Sum:
    def __init__(self, place: _Place, call: _Call) -> None:
        self._place, self._call = place, call
        self._times = self._tokens = self._bytes = self._notes = 0
        self._usd: float | None = None
        self._runs: set[int] = set()

    def add(self, place: _Place, call: _Call, tokens: int, size: int, usd: float | None, times: int) -> None:
        if place.byte is not None and self._place.byte is not None and self._place.section != "messages":
            self._place = self._place._replace(byte=min(self._place.byte, place.byte))
        self._times += times
        self._notes += 1
        self._tokens += tokens
        self._bytes += size
        self._runs.add(call.trace.no)
        if usd is not None:
            self._usd = (self._usd or 0.0) + usd

    def finding(self) -> Finding:
        return Finding(
            *self._place,
            self._times,
            len(self._runs),
            self._tokens,
            self._bytes // self._notes,
            self._usd,
            self._call.trace.trace_id,
            self._call.span.span_id,
            self._call.model,
            _advice(self._place),
        )


# -- which call goes on from which -----------------------------------------------------------------------


def _is_continued(before: _Call, call: _Call) -> bool:
    return before.parameters == call.parameters and _first_difference(before, call) >= len(before.prompt)


def _first_difference(before: _Call, call: _Call) -> int:
    """The first block that is another one; the number of blocks of `before`, if none is."""
    at = 0
    for one, other in zip(before.prompt.sections, call.prompt.sections, strict=True):
        if one is not other and one.blocks != other.blocks[: len(one.blocks)]:
            return at + common(one.blocks, other.blocks)
        if len(one.blocks) != len(other.blocks) and other is not call.prompt.sections[2]:
            return at + len(one.blocks)
        at += len(one.blocks)
    return at


# -- why ---------------------------------------------------------------------------------------------------


def _why_lost(before: _Call, call: _Call, prompts: Prompts) -> _Place:
    marks = before.prompt.marks or [(len(before.prompt) - 1, FIVE_MINUTES)]
    last, ttl = marks[-1]
    if call.span.start_ns - before.span.start_ns > _LIFETIMES_NS.get(ttl, _LIFETIMES_NS[FIVE_MINUTES]):
        return _at_mark(before, last, "expired")
    at = _first_difference(before, call)
    parameter = _changed_parameter(before, call, prompts)
    if parameter is not None and parameter[0] <= min(at, last):
        return _Place("break", parameter[1], None, "", None, None, "a parameter", parameter[2], parameter[3])
    if at <= last:
        return _changed(before, prompts, call, prompts, at)
    behind = [mark for mark, _ in call.prompt.marks if mark >= last]
    if not behind:
        return _at_mark(call, call.prompt.marks[-1][0] + 1, "uncovered")
    if min(behind) - last >= _LOOKBACK_BLOCKS:
        return _at_mark(call, min(behind), "lookback")
    if before.span.end_ns is not None and call.span.start_ns < before.span.end_ns:
        return _at_mark(before, last, "concurrent")
    return _at_mark(before, last, "evicted")


def _changed_parameter(before: _Call, call: _Call, prompts: Prompts) -> tuple[int, str, str, str] | None:
    """Position from which on a changed parameter counts, its name, and both values; of several, the first."""
    tools, system, _ = before.prompt.sections
    starts = (0, len(tools.blocks), len(tools.blocks) + len(system.blocks))
    for (name, section), old, new in zip(_PARAMETERS.items(), before.parameters, call.parameters, strict=True):
        if old != new:
            texts = (prompts.shown(old), prompts.shown(new))
            return (starts[section], name.removeprefix("anthropic.request."), *texts)
    images = [not prompts.images.isdisjoint(each.prompt.sections[2].blocks) for each in (before, call)]
    if images[0] != images[1]:
        return starts[2], "images", "some" if images[0] else "none", "some" if images[1] else "none"
    return None


def _changed(before: _Call, old: Prompts, call: _Call, new: Prompts, at: int) -> _Place:
    """The place of the first block that is another one than in the call before."""
    n, here = before.prompt.place(at)
    section = SECTIONS[n]
    theirs = [old.blocks[number] for number in before.prompt.sections[n].blocks]
    mine = [new.blocks[number] for number in call.prompt.sections[n].blocks]
    index = _index(call, n, here)
    names = "tools" if section == "tools" else "blocks" if section == "system" else "messages"
    if here >= len(mine):
        return _Place("break", section, index, "", 1, 0, f"removed {names}", theirs[here].text[:60], "")
    if here >= len(theirs):
        return _Place("break", section, index, "", 1, 0, f"added {names}", "", mine[here].text[:60])
    texts = [[block.text for block in side[here:]] for side in (theirs, mine)]
    shown = texts[0][0][:60], texts[1][0][:60]
    if len(texts[0]) > 1 and sorted(texts[0]) == sorted(texts[1]):
        if section == "tools":
            shown = _names(theirs[here:]), _names(mine[here:])
        return _Place("break", section, index, "", 1, 0, f"the order of {names}", *shown)
    # What follows tells whether the block was changed, put in or taken out.
    follows = texts[0][1:2], texts[1][1:2]
    if section != "messages" or follows[0] != follows[1]:
        if texts[0][0] in texts[1][1:]:
            return _Place("break", section, index, "", 1, 0, f"added {names}", "", shown[1])
        if texts[1][0] in texts[0][1:]:
            return _Place("break", section, index, "", 1, 0, f"removed {names}", shown[0], "")
    if section == "tools" and _name(theirs[here].value) != _name(mine[here].value):
        return _Place("break", section, index, ".name", 1, 0, "another tool", *shown)
    if theirs[here].role != mine[here].role:
        return _Place("break", section, index, ".role", 1, 0, "a value", theirs[here].role, mine[here].role)
    found = difference(theirs[here].value, mine[here].value)
    if found is None:  # cannot be: equal blocks are equal
        return _Place("break", section, index)
    path = found.path
    if section == "messages":
        block = call.prompt.message(here)[1]
        path = f"[{block}]{path}" if block else path
    return _Place("break", section, index, path, found.paragraph, found.byte, found.what, found.before, found.after)


def _name(tool: Any) -> Any:
    return tool.get("name") if isinstance(tool, dict) else None


def _names(tools: list[Block]) -> str:
    return ", ".join(str(_name(tool.value)) for tool in tools[:8])


def _index(call: _Call, section: int, at: int) -> int:
    return call.prompt.message(at)[0] if section == 2 else at


def _at_mark(call: _Call, at: int, kind: Kind) -> _Place:
    section, here = call.prompt.place(at)
    return _Place(kind, SECTIONS[section], _index(call, section, here))


def _kind_of_head(call: _Call, prompts: Prompts) -> tuple[Any, ...]:
    """Equal for calls that are to begin the same: the step that makes them, and how their system prompt begins."""
    tools, system, _ = call.prompt.sections
    begins = prompts.blocks[system.blocks[0]].text[:48] if system.blocks else ""
    names = sorted(str(_name(prompts.blocks[number].value)) for number in tools.blocks)
    return (call.span.name, call.trace.name, begins, *names)


def _first_difference_of_heads(before: _Call, old: Prompts, call: _Call, new: Prompts) -> int | None:
    at = 0
    for n in (0, 1):
        theirs = [old.blocks[number].text for number in before.prompt.sections[n].blocks]
        mine = [new.blocks[number].text for number in call.prompt.sections[n].blocks]
        if theirs != mine:
            return at + common(theirs, mine)
        at += len(theirs)
    return None


# -- numbers -----------------------------------------------------------------------------------------------


def _minimum(model: str) -> int:
    return next(tokens for start, tokens in _MINIMUM_TOKENS if model.startswith(start))


def _small(encoded: bytes) -> Any:
    """A value that stands on the span itself; None for others."""
    try:
        return msgspec.msgpack.decode(encoded)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _count(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0


def _paid(call: _Call, rates: _Rates) -> float:
    short = call.written - call.written_1h
    return (
        call.fresh * rates.fresh + call.read * rates.read + short * rates.written + call.written_1h * rates.written_1h
    )


def _rates(provider: str, model: str, batch: bool, fast: bool, many: int) -> _Rates | None:
    """What a token of each kind costs in a prompt of so many, by the price list; None where it has no price."""

    def cost(**kinds: int) -> float | None:
        return prices.cost_usd(
            model, provider=provider, input_tokens=many, output_tokens=0, batch=batch, fast=fast, **kinds
        )

    found = (
        cost(),
        cost(cache_read_tokens=many),
        cost(cache_write_tokens=many),
        cost(cache_write_tokens=many, cache_write_1h_tokens=many),
    )
    fresh, read, written, written_1h = found
    if fresh is None or read is None or written is None or written_1h is None:
        return None
    return _Rates(fresh / many, read / many, written / many, written_1h / many)


_ADVICE = {
    "expired": "the pause was longer than the cache lives: set a ttl of 1h where pauses are shorter than that",
    "lookback": "a breakpoint looks back over 20 blocks: set another one at most 20 blocks before it",
    "concurrent": "wait for the first answer to begin before sending calls that share its prompt",
    "evicted": "nothing here explains it: the provider may have dropped it early",
    "uncovered": "set a breakpoint behind the last block of each call: cache_control of the whole request",
    "unread": "leave out the breakpoint where only one call has this prompt",
    "never_hit": "leave it out, or move it before what changes",
    "too_short": "the provider keeps no prefix this short for the model: the breakpoint does nothing",
    "long": "five minutes would have done: leave out the ttl of 1h",
}


def _advice(place: _Place) -> str:
    if place.kind != "break":
        return _ADVICE[place.kind]
    if place.what == "a parameter":
        return "keep it the same throughout a conversation"
    if place.what in ("the order of keys", "the order of a list", "keys"):
        return "write them in one order, such as sorted"
    if place.section == "tools":
        if place.what == "the order of tools":
            return "send the tools in one order, such as by name"
        return "keep tools the same throughout a conversation"
    if place.section == "messages":
        return "add to the conversation instead of changing what was sent"
    return "say it in the last message, behind the breakpoints: a system prompt has to stay the same"
