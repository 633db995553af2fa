"""One run, read once: its skeleton, what went in and out as far as that is cheap, and values within a budget."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from agentops.analysis.raised import comes_from
from agentops.conventions import KIND_NUMBER
from agentops.journal.format import ERROR, INTERRUPTED, OK, RUNNING
from agentops.store.flow import Exchange, Key, own
from agentops.store.reader import Reader
from agentops.store.rows import Event, SpanRow, TraceRow

__all__ = ["AGENT", "LLM", "LOOP", "PLAN", "RETRIEVAL", "TOOL", "Run", "called"]

AGENT, LLM, TOOL, RETRIEVAL, LOOP, PLAN = (
    KIND_NUMBER[kind] for kind in ("agent", "llm", "tool", "retrieval", "loop", "plan")
)
#: What a program makes of another's error is not raised from it.
_TELLS_NOTHING = re.compile(r"(?:\w+\.)*(?:SystemExit|KeyboardInterrupt|CalledProcessError|BrokenProcessPool)$")
_KILLED = re.compile(r"(?:SIG(?!ABRT|SEGV|BUS|ILL|FPE|TRAP|SYS)[A-Z0-9]+|signal \d+)$")
_NOTHING = Exchange(None, None, b"")
#: Whole values that one question may cost; what stands in contents themselves is cheaper and not counted.
_VALUES_MAX = 50
#: So many later calls of the same name are looked at for one that went well.
_LATER_CALLS = 100
#: A trace with more spans is huge: of it, not everything is looked at.
_HUGE_SPANS = 2_500
#: Contents that are looked at in one trace; beyond it, the first and the last.
_CONTENTS_MAX, _CONTENTS_MAX_OF_HUGE = 6_000, 500


class Run:
    """A trace with its spans in the order of starting.

    Args:
        reader: the store.
        trace: one of its traces.
        skeleton_only: without inputs, outputs and attributes.
    """

    def __init__(self, reader: Reader, trace: TraceRow, skeleton_only: bool = False) -> None:
        self._reader = reader
        self.trace = trace
        self.spans, self.exchanges = (reader.spans(trace), {}) if skeleton_only else reader.flow(trace)
        self.by_id = {span.span_id: span for span in self.spans}
        self.parents = {span.parent_id for span in self.spans}
        self.huge = len(self.spans) > _HUGE_SPANS
        self.trouble = [span for span in self.spans if span.status_number != OK]
        self._failed_below: dict[int | None, list[SpanRow]] = {}
        for span in self.trouble:
            if span.status_number == ERROR:
                self._failed_below.setdefault(span.parent_id, []).append(span)
        self.has_tools = any(span.kind_number == TOOL for span in self.spans)
        self._children: dict[int | None, list[SpanRow]] | None = None
        self.raws: dict[Key, tuple[int, bytes]] = {}
        self._events: list[tuple[int, str, int]] | None = None
        self._values: dict[Key, Any] = {}
        self._left = _VALUES_MAX

    @property
    def root(self) -> SpanRow | None:
        """The first span without a parent in the store."""
        for span in self.spans:
            if span.parent_id is None:
                return span
        return self.spans[0] if self.spans else None

    @property
    def children(self) -> dict[int | None, list[SpanRow]]:
        """By the parent's id, in the order of starting."""
        if self._children is None:
            self._children = {}
            for span in self.spans:
                self._children.setdefault(span.parent_id, []).append(span)
        return self._children

    def path(self, span: SpanRow) -> list[SpanRow]:
        """From the root to `span`."""
        found = [span]
        seen = {span.span_id}
        while found[-1].parent_id in self.by_id and found[-1].parent_id not in seen:
            found.append(self.by_id[found[-1].parent_id])
            seen.add(found[-1].span_id)
        return found[::-1]

    def contains(self, span: SpanRow) -> bool:
        """Whether it has spans below it."""
        return span.span_id in self.parents

    def events(self) -> list[tuple[int, str, int]]:
        """Span, name and number of what happened."""
        if self._events is None:
            self._events = self._reader.event_names(self.trace)
        return self._events

    def events_named(self, *names: str) -> list[tuple[int, Event]]:
        """Span and event, of those with one of these names, in the order of time."""
        return self._reader.events(self.trace, names)

    # -- values --------------------------------------------------------------------------------------

    def exchange(self, span: SpanRow) -> Exchange:
        return self.exchanges.get(span.span_id, _NOTHING)

    def load(self, keys: Iterable[Key | None], most: int | None = None) -> None:
        """Fetch what stands in contents, many at once; of too many, the first and the last.

        Args:
            keys: of the contents; others are passed over.
            most: so many, however many were loaded before; None for what is left of all that a run may cost.
        """
        wanted: list[Key] = [key for key in dict.fromkeys(keys) if type(key) is int and key not in self.raws]
        room = max(0, (_CONTENTS_MAX_OF_HUGE if self.huge else _CONTENTS_MAX) - len(self.raws))
        room = room if most is None else most
        if len(wanted) > room:
            wanted = wanted[: room // 2] + wanted[len(wanted) - (room - room // 2) :]
        self.raws.update(self._reader.raws(wanted))

    def raw(self, key: Key | None) -> bytes:
        """The encoded bytes of what stands in a value itself; nothing if it was not loaded."""
        if key is None:
            return b""
        if isinstance(key, bytes):
            return key
        found = self.raws.get(key)
        return b"" if found is None else found[1]

    def own(self, key: Key) -> Any:
        """What stands in a loaded value itself: of a list, what it adds to the one before."""
        form, data = self.raws.get(key, (0, key if isinstance(key, bytes) else b""))
        return own(form, data) if data else None

    def whole(self, key: Key) -> Any:
        """A whole value, whatever was spent before: for one that is known to be small, as what a model answered."""
        return self._reader.value(key)

    def value(self, key: Key | None) -> Any:
        """A whole value, or what stands in it itself where the budget is used up."""
        if key is None:
            return None
        if key not in self._values:
            if self._left <= 0:
                return self.own(key)
            self._left -= isinstance(key, int)
            self._values[key] = self._reader.value(key)
        return self._values[key]

    def input(self, span: SpanRow) -> Any:
        return self.value(self.exchange(span).input)

    def output(self, span: SpanRow) -> Any:
        return self.value(self.exchange(span).output)

    def attributes(self, span: SpanRow) -> dict[str, Any]:
        return self._reader.attributes(self.exchange(span))

    def exception(self, span: SpanRow) -> dict[str, str] | None:
        """Type, message and stacktrace of the exception that ended a span."""
        return self._reader.span(self.trace, span.span_id).exception

    # -- failures ------------------------------------------------------------------------------------

    def failed(self) -> list[SpanRow]:
        return [span for span in self.trouble if span.status_number == ERROR]

    def open(self) -> list[SpanRow]:
        """Spans that did not end, without those that merely waited for one of these."""
        found = [span for span in self.trouble if span.status_number in (RUNNING, INTERRUPTED) and span.end_ns is None]
        waiting = {span.parent_id for span in found}
        return [span for span in found if span.span_id not in waiting]

    def origin(self, span: SpanRow) -> SpanRow:
        """Where the error that `span` ended with was raised: the deepest failed span that it came up from."""
        seen: set[int] = set()
        while span.span_id not in seen:
            seen.add(span.span_id)
            failed = self._failed_below.get(span.span_id)
            if not failed:
                return span
            came = [child for child in failed if child.error == span.error] or self._what_it_came_from(span, failed)
            if came is None and _KILLED.match(span.error or ""):  # by somebody else, whatever had failed before
                return span
            last = max(came or failed, key=lambda child: child.end_ns or 0)
            if came == []:
                return span
            # Another error may be what was made of it, if nothing was begun in between.
            if came is None and any(child.start_ns > (last.end_ns or 0) for child in self.children[span.span_id]):
                return span
            span = last
        return span

    def _what_it_came_from(self, span: SpanRow, failed: list[SpanRow]) -> list[SpanRow] | None:
        """Those of `failed` that the traceback of `span` speaks of; None if it has none that would tell."""
        exception = self.exception(span) if span.error else None
        if exception is None or not exception["stacktrace"] or _TELLS_NOTHING.match(exception["type"]):
            return None
        stack, message = exception["stacktrace"], exception["message"]
        return [child for child in failed if child.error and comes_from(stack, message, child.error)]

    def before(self, span: SpanRow, most: int | None = None) -> list[SpanRow]:
        """Spans that had ended when `span` began (of one with spans in it: when it ended), the latest to end last.

        Args:
            span: of this run.
            most: at most this many, those that began last.
        """
        until = span.end_ns or span.start_ns if self.contains(span) else span.start_ns
        found: list[SpanRow] = []
        for other in reversed(self.spans[: bisect_right(self.spans, until, key=_start)]):
            if other.end_ns is not None and other.end_ns <= until and other is not span:
                found.append(other)
                if len(found) == most:
                    break
        found.sort(key=_end)
        return found

    def worked_later(self, span: SpanRow, good: Any) -> tuple[bool, bool]:
        """Whether a later span of its name went well, and whether one of these had the same input.

        Args:
            span: one that went badly.
            good: says of a span whether it went well.
        """
        given, name, looked = self.exchange(span).input, span.name, 0
        later = again = False
        for other in self.spans[bisect_right(self.spans, span.start_ns, key=_start) :]:
            if other.name == name:
                looked += 1
                if good(other):
                    later = True
                    again = self.exchange(other).input == given
                if again or looked == _LATER_CALLS:
                    break
        return later, again


def _start(span: SpanRow) -> int:
    return span.start_ns


def _end(span: SpanRow) -> int:
    return span.end_ns or 0


def called(span: SpanRow) -> str:
    """A span in a sentence: `refund (tool)`."""
    return f"{span.name} ({span.kind})"
