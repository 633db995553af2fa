"""The span: a light object that implements OpenTelemetry's `Span` and writes both its edges itself.

The hot path is `__enter__`, `set_attribute` and `__exit__`. They are written for it: each helper call there
would cost more than what it does. benchmarks/hot_path.py measures them, so look there after a change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec
import xxhash
from opentelemetry import trace as otel_trace
from opentelemetry.context import _RUNTIME_CONTEXT, Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
)
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace.propagation import _SPAN_KEY

from agentops.conventions import DEFAULT_KIND, KIND_NUMBER, KINDS, Kind
from agentops.errors import UsageError
from agentops.journal.format import ABSENT, END, ERROR, EVENT, OK, START, UPDATE, decode_value
from agentops.recorder.above import Above, parsed
from agentops.recorder.capture import _SEED, INLINE_BYTES, LARGE, Capture, New
from agentops.recorder.forks import epoch as _epoch
from agentops.recorder.recorder import recorder
from agentops.safety import failed
from agentops.trace import collecting
from agentops.trace.facts import described, linked, scope, taken, text, texts

if TYPE_CHECKING:
    from agentops.recorder.nowhere import Nowhere
    from agentops.recorder.writer import Journal
    from agentops.trace.inside import Watch
    from agentops.trace.joined import Joined

__all__ = ["OUR_KEY", "ROOT_KEY", "Span", "current_span", "span_context"]

F = TypeVar("F", bound=Callable[..., Any])

#: Where our object stands in OpenTelemetry's context, beside its current span.
OUR_KEY = "agentops-span"
#: Trace and span id of what stands above spans without a parent, where it is not the program's (`recorder.root`):
#: a request that is served. Never current itself, since the application's samplers would follow it.
ROOT_KEY = "agentops-root"

# OpenTelemetry's context is a context variable behind two calls; where it is the usual one, go there at once.
_variable = getattr(_RUNTIME_CONTEXT, "_current_context", None)
if isinstance(_variable, ContextVar):
    _current: Callable[[], Context] = _variable.get
    _attach, _detach = _variable.set, _variable.reset
else:
    _current, _attach, _detach = _RUNTIME_CONTEXT.get_current, _RUNTIME_CONTEXT.attach, _RUNTIME_CONTEXT.detach
_set, _reset = _attach, _detach


def _spare(collects: bool) -> None:
    """What is begun while garbage is collected is recorded, and not current."""
    global _attach, _detach
    _attach, _detach = (_set_unless, _reset_unless) if collects else (_set, _reset)


def _set_unless(context: Context) -> Any:
    return None if collecting.is_collecting() else _set(context)


def _reset_unless(token: Any) -> None:
    if not collecting.is_collecting():
        _reset(token)


collecting.tell(_spare)
_put = dict.__setitem__  # Context is a dict that refuses to be changed; ours is new
_wall, _clock = time.time_ns, time.monotonic_ns
_latest, _thread = recorder.latest, get_ident
_digest = xxhash.xxh3_128_digest
_encode_text = msgspec.msgpack.Encoder().encode
TIME_NS_MAX = 2**63 - 1
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class _Provider:
    """The application's tracer provider as last seen, and how we have joined it, if it is an SDK's."""

    seen: object = None
    joined: Joined | None = None
    beside: Any = None  # agentops.trace.joined, where a span of ours goes with one of an SDK's


def look_at_provider() -> None:
    """Join the tracer provider that is in force now, if it is new."""
    if otel_trace._TRACER_PROVIDER is not _Provider.seen:
        _look_at(otel_trace._TRACER_PROVIDER)


def _look_at(provider: object) -> None:
    """A provider that we have not seen is in force: join it if it is an SDK's."""
    _Provider.seen = provider
    try:
        from agentops.trace.joined import join

        _Provider.joined = join(provider)
    except Exception as problem:  # noqa: BLE001
        _Provider.joined = None
        failed("joining the tracer provider", problem, lost=0)


class Span(OtelSpan):
    """One step of a program: a context manager, an async context manager, and a decorator.

    Args:
        name: what the step is called; short, without ids.
        kind: one of `agentops.conventions.KINDS`.
        input: any value; it is recorded as it is when the span starts.
        session: id of the conversation that this belongs to; spans inside inherit it.
        user: id of the user on whose behalf it happens; spans inside inherit it.
        tags: labels; spans inside inherit them.
        metadata: further facts about the run; spans inside inherit them.
        attributes: by their OpenTelemetry names.
        links: OpenTelemetry links to other spans.
        parent: a `traceparent` from elsewhere (a header, a message, a variable of the environment) that it hangs
            below. None, "" and what is no `traceparent` change nothing: it hangs below the current span.

    Raises:
        UsageError: `kind` is none of the kinds.

    As a decorator it makes a span of every call: arguments become the input, the result the output. Of a generator's
    call it is open from the first step to the last, current in the body and not for who iterates, and its output is
    what was yielded. (With `with span(...)` in a generator that is not decorated it stays current while that waits.)
    """

    # Defaults of what most spans never set: looked up on the class, so that no span pays for them.
    _attributes: dict[str, Any] | None = None
    _large = False  # an attribute is large
    _rich = False  # the end says more than status and attributes
    _changed = False  # something was set since the last record
    _ended = False
    _started: bool | None = False  # None: not yet, and a parent was given
    _status = 0
    _error: tuple[str, str, str] | None = None
    _output: Any = None
    _output_value: Any = None
    _output_reference = ABSENT
    _parent: Span | None = None
    _sdk: OtelSpan | None = None
    _token: Any = None
    _context: SpanContext | None = None
    _outer: SpanContext | None = None  # of the span that it began below, if that was not a light one of ours
    _scope: dict[str, Any] | None = None
    _links: Sequence[Link] | None = None
    _given: Above | None = None
    _renamed = False
    _of_client = False  # a client library has said what it knows of this call
    _outside_name: str | None = None  # what the SDK's span that it goes with is called, if otherwise
    _trace = b""
    _id = 0
    _watch: Watch | None = None  # of the iteration of a loop that it is in
    _left: Callable[[BaseException], None] | None = None  # told of what may have ended a loop inside
    # These only beside an SDK provider.
    _above: Span | None = None
    _is_light = True  # nobody has asked the provider for a span that goes with it
    _seen_above: SpanContext | None = None  # of a span that the provider's exporter does not see, what it sees above
    _is_shown = False  # the provider's exporter sees it
    _to_say: dict[str, Any] | None = None  # attributes that the provider's span gets when it begins
    _handed = 0  # attributes that the provider's span got beside those that were set
    _handed_all = True  # it got all that were set
    _event_times: frozenset[int] = frozenset()
    _offset: int  # of the wall clock over the monotonic one, as it was when the trace began here
    _epoch = 0  # of the process that began it, see agentops.recorder.forks

    def __init__(
        self,
        name: str,
        *,
        kind: Kind = DEFAULT_KIND,
        input: Any = None,
        session: str | None = None,
        user: str | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        parent: str | None = None,
    ) -> None:
        try:
            self._kind = KIND_NUMBER[kind]
        except KeyError:
            raise UsageError(f"there is no kind {kind!r}; there are {', '.join(KINDS)}") from None
        self.name = name if type(name) is str else text(name)
        self._input = input
        if session is not None or user is not None or tags is not None or metadata is not None:
            self._scope = scope(session, user, tags, metadata)
        if attributes is not None:
            self.set_attributes(attributes)
        if links is not None:
            self._links = list(links)
        if parent:
            self._given = parsed(parent)
            self._started = False if self._given is None else None

    # -- start ---------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if otel_trace._TRACER_PROVIDER is not _Provider.seen:
            _look_at(otel_trace._TRACER_PROVIDER)
        context = _current() if self._started is False else self._other_context()
        try:
            if _Provider.joined is not None:
                self._token = _attach(_Provider.joined.start(self, context))
                return self
            self._begin(context)
            inside = Context(context)
            _put(inside, _SPAN_KEY, self)
            _put(inside, OUR_KEY, self)
            self._token = _attach(inside)
        except Exception as problem:  # noqa: BLE001
            failed("starting a span", problem)
        return self

    def _begin(self, context: Context) -> None:
        """Start it as a light span below what is current in `context`, without making it current."""
        current = context.get(_SPAN_KEY)
        self._epoch = _epoch[0] or recorder.know_yourself()
        self._id = recorder.random_bits(64) or 1
        if type(current) is Span:
            self._parent = current
            self._trace = current._trace
            self._offset = offset = current._offset
            self._write_start(current._id, _clock() + offset)
            return
        parent_id = 0 if current is None else self._adopt(context, current)
        if not parent_id:
            above: tuple[bytes, int] | None = context.get(ROOT_KEY) or recorder.root  # type: ignore[assignment]
            if above is not None:
                self._trace, parent_id = above
            else:
                self._trace = (recorder.random_bits(128) or 1).to_bytes(16, "big")
        nearest = 0
        if self._parent is None:
            self._offset = _wall() - _clock()
        elif parent_id != self._parent._id:
            nearest = self._parent._id  # perhaps nobody records the parent
        self._write_start(parent_id, _clock() + self._offset, nearest)

    def _other_context(self) -> Context:
        """Where it begins, if it has a parent that was given, or has ended and is entered again: a new one like it."""
        if self._started and not self._ended:
            raise UsageError(f"the span {self.name!r} is open: make another, or decorate a function with it")
        kept = {key: value for key, value in vars(self).items() if key in _DESCRIPTION}
        vars(self).clear()
        vars(self).update(kept)
        return _current() if self._given is None else below(_current(), self._given)

    def _adopt(self, context: Context, current: object) -> int:
        """The parent's id where the current span is not a light one of ours; 0 for a new trace."""
        ours = context.get(OUR_KEY)
        parent = current.get_span_context() if isinstance(current, OtelSpan) else None
        if parent is None or not parent.is_valid:  # somebody suppressed tracing; the tree goes on
            if not isinstance(ours, Span):
                return 0
            trace, span_id = ours._trace, ours._id
        else:
            trace, span_id = parent.trace_id.to_bytes(16, "big"), parent.span_id
        self._trace = trace
        if isinstance(ours, Span) and ours._trace == trace:
            self._parent = ours
            self._offset = ours._offset
            if ours._watch is not None:
                ours._watch.takes(self)
        self._outer = parent
        return span_id

    def _write_start(self, parent_id: int, time_ns: int, nearest: int = 0) -> None:
        self._start_ns = time_ns
        _latest[_thread()] = self._id
        value = self._input
        journal = recorder.journal or recorder.open()
        capture = journal.capture
        new = digest = None
        number = ABSENT
        if value is not None:
            if type(value) is str and INLINE_BYTES <= len(value) < LARGE and capture.hurries:
                try:  # the commonest large value, without a call
                    data = _encode_text(value)
                    digest = _digest(data, seed=_SEED)
                    number = capture.seen.get(digest, 0)
                except UnicodeEncodeError:
                    digest = None
            if digest is not None:
                value = None
                contents: Sequence[tuple[int, int, bytes]] | None = None
                if not number:
                    number = capture._next()
                    contents = ((number, 0, data),)
                else:
                    digest = None
            else:
                new = New() if capture.hurries else capture.new(self._trace, self._id, parent_id, self._scope)
                number, value = capture.value(value, new, self._trace)
                contents = new.contents or None
            record: tuple[object, ...] = (
                START, self._id, self._trace, parent_id, time_ns, self.name, self._kind, number, value, contents
            )  # fmt: skip
        else:
            record = (START, self._id, self._trace, parent_id, time_ns, self.name, self._kind)
        if self._attributes is not None or self._scope is not None or self._links is not None or nearest:
            new = new or capture.new(self._trace, self._id, parent_id, self._scope)
            record = self._with_extras(record, capture, new, nearest)
        parent = self._parent
        if parent is not None and parent._changed:
            parent._write_update()
        try:
            payload = capture.fast(record)
        except Exception:  # noqa: BLE001 - a name that is no text, a lone surrogate
            payload = capture.record(record)
        try:
            journal.append(payload)
        except OSError as problem:
            recorder.lost(journal, problem, len(payload))
            return
        if digest is not None:
            capture.seen[digest] = number
        if new is not None:
            capture.remember(new, self._trace)
            self._changed = False
        self._started = True

    def _take_ids(self, trace_id: int, span_id: int) -> None:
        """The ids that an SDK's span has given; called before the start is written."""
        self._trace, self._id = trace_id.to_bytes(16, "big"), span_id
        above = self._above
        if above is not None and above._trace == self._trace:
            self._parent, self._offset = above, above._offset
            if above._watch is not None:
                above._watch.takes(self)
        else:
            self._offset = _wall() - _clock()

    def _with_extras(self, record: tuple[object, ...], capture: Capture, new: New, nearest: int) -> tuple[object, ...]:
        if len(record) == 7:
            record = (*record, ABSENT, None, None)
        contents = list(record[9] or ())  # type: ignore[call-overload]
        attributes = self._take_attributes(capture, new)
        links = linked(self._links)
        seen = {number for number, _, _ in contents}
        contents += [content for content in new.contents if content[0] not in seen]
        return (*record[:9], contents, attributes, self._scope, links, nearest)

    # -- while it is open ----------------------------------------------------------------------------

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one attribute; any value is taken, as it is now."""
        if self._ended:
            return
        if type(key) is not str:
            key = text(key)
        kind = type(value)
        given = value
        if kind is str:
            if len(value) >= INLINE_BYTES:
                self._large = self._rich = True
        elif kind is not int and kind is not float and kind is not bool:
            value = _fixed(value)
        attributes = self._attributes
        if attributes is None:
            self._attributes = {key: value}
        else:
            attributes[key] = value
        self._changed = True
        if self._sdk is not None:
            _Provider.beside.set_attribute(self, key, given)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set several attributes."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    @property
    def input(self) -> Any:
        """The input as it was given."""
        return self._input

    @input.setter
    def input(self, value: Any) -> None:
        self._input = value
        if self._started and not self._ended:
            self._write_value(value, "input")

    @property
    def output(self) -> Any:
        """The output as it was set last; what is recorded is what it was at that moment."""
        return self._output

    @output.setter
    def output(self, value: Any) -> None:
        if self._ended:
            return
        self._output = value
        kind = type(value)
        if kind is str or value is None or kind is bool or kind is float:
            self._output_value = value
            self._output_reference = 0
            self._changed = self._rich = True
            return
        if self._started:
            self._write_value(value, "output")
        else:  # there is no record yet that it could follow
            self._output_value, self._output_reference = _fixed(value), 0
            self._changed = self._rich = True

    def _write_value(self, value: object, which: str) -> None:
        """Record a value that may change later: at once, since its contents are counted in this journal."""
        if self._epoch != _epoch[0]:
            return
        try:
            journal = recorder.journal or recorder.open()
            new = journal.capture.new(self._trace, self._id)
            number, value = journal.capture.value(value, new, self._trace)
            if not number and which == "output":
                self._output_reference, self._output_value = 0, value
                self._changed = self._rich = True
                return
            output, given = (number, value), (ABSENT, None)
            if which == "output":
                self._output_reference, self._output_value = ABSENT, None
            else:
                output, given = given, output
            self._append(journal, (UPDATE, self._id, self._trace, None, *output, new.contents, *given), new)
        except Exception as problem:  # noqa: BLE001
            failed(f"recording an {which}", problem)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Record that something happened; it is written at once.

        Args:
            name: what happened.
            attributes: facts about it; any values.
            timestamp: in ns since 1970; now if None.
        """
        if self._ended or not self._started or self._epoch != _epoch[0]:
            return
        try:
            if self._changed:
                self._write_update()
            journal = recorder.journal or recorder.open()
            new = journal.capture.new(self._trace, self._id)
            facts = taken(texts(attributes), journal.capture, new, self._trace) if attributes else None
            when = min(int(timestamp or self._now()), TIME_NS_MAX)
            self._append(journal, (EVENT, self._id, self._trace, when, text(name), facts, new.contents), new)
            if self._sdk is not None:
                _Provider.beside.add_event(self, str(name), attributes, when)
        except Exception as problem:  # noqa: BLE001
            failed("recording an event", problem)

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Link another span; it is recorded when this one ends."""
        if not self._ended:
            self._rich = True
            self._links = [*(self._links or ()), Link(context, attributes)]
            if self._sdk is not None:
                _Provider.beside.add_link(self, context, attributes)

    def checkpoint(self) -> None:
        """Write what was set since the last record now, so that a kill cannot take it."""
        if self._started and not self._ended and self._changed:
            self._write_update()

    def _write_update(self) -> None:
        if self._epoch != _epoch[0]:
            return  # begun by the process that this one was forked from, and that one has the word
        try:
            self._changed = False
            journal = recorder.journal or recorder.open()
            new = journal.capture.new(self._trace, self._id)
            attributes = self._take_attributes(journal.capture, new)
            number, value = self._output_reference, self._output_value
            if number == 0 and type(value) is not msgspec.Raw:  # that one is captured
                number, value = journal.capture.value(value, new, self._trace)
            self._append(journal, (UPDATE, self._id, self._trace, attributes, number, value, new.contents), new)
        except Exception as problem:  # noqa: BLE001
            failed("writing what was set on a span", problem)

    def _append(self, journal: Journal | Nowhere, record: tuple[object, ...], new: New) -> None:
        payload = journal.capture.record(record)
        try:
            journal.append(payload)
        except OSError as problem:
            recorder.lost(journal, problem, len(payload))
        else:
            journal.capture.remember(new, self._trace)

    def _take_attributes(self, capture: Capture, new: New) -> dict[str, Any] | None:
        attributes = self._attributes
        if attributes is None:
            return None
        return taken(attributes, capture, new, self._trace, captured=True) if self._large else attributes

    def update_name(self, name: str) -> None:
        """Rename the span."""
        if not self._ended:
            self.name = name if type(name) is str else text(name)
            self._renamed = self._rich = True
            if self._sdk is not None:
                _Provider.beside.update_name(self)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set OpenTelemetry's status; an error's description is shown as its message."""
        if self._ended:
            return
        code = status.status_code if isinstance(status, Status) else status
        if isinstance(status, Status):
            description = status.description
        if code is StatusCode.ERROR:
            self._status = ERROR
            self._rich = True
            if self._error is None:
                self._error = ("", text(description or ""), "")
        elif code is StatusCode.OK:
            self._status, self._error = OK, None
        if self._sdk is not None:
            _Provider.beside.set_status(self, code, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Record an exception as an event, as OpenTelemetry does; it does not make the span an error."""
        kind, message, stack = described(exception)
        facts = {"exception.type": kind, "exception.message": message, "exception.stacktrace": stack}
        self.add_event("exception", {**facts, **(attributes or {})}, timestamp)

    # -- end -----------------------------------------------------------------------------------------

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        exception: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        if exception is not None:
            self._leave_by(exception)
        token = self._token
        if token is not None:
            self._token = None
            try:
                _detach(token)
            except ValueError:  # left in another context than it was entered in
                if _current().get(OUR_KEY) is self and isinstance(token.old_value, Context):
                    _attach(token.old_value)
        self.end()

    def _leave_by(self, exception: BaseException) -> None:
        self.fail(exception)
        if not isinstance(exception, GeneratorExit):
            return
        # A generator may be closed anywhere, and the collector does it in the middle of anything.
        current, before = _current(), getattr(self._token, "old_value", None)
        if current.get(OUR_KEY) is not self:
            self._token = None  # what is current here is another's
        elif collecting.is_collecting():
            self._token = None
            if isinstance(before, Context):
                for key in (_SPAN_KEY, OUR_KEY):  # no other context may be put in its place, so it becomes the other
                    dict.pop(current, key, None)
                    if key in before:
                        _put(current, key, before[key])

    def fail(self, exception: BaseException) -> None:
        """Make this span an error because of `exception`; leaving it by an exception does the same.

        A generator closed early and `sys.exit(0)` are no errors.
        """
        if self._ended or isinstance(exception, GeneratorExit):
            return
        if isinstance(exception, SystemExit) and exception.code in (None, 0):
            return
        try:
            self._error = described(exception)
            self._status = ERROR
            self._rich = True
            if self._sdk is not None:
                _Provider.beside.record_exception(self, exception)
            if self._left is not None:
                self._left(exception)
        except Exception as problem:  # noqa: BLE001
            failed("recording an exception", problem)

    def end(self, end_time: int | None = None) -> None:
        """End the span; leaving its `with` block does it. A second end changes nothing.

        Args:
            end_time: in ns since 1970; now if None.
        """
        if self._ended:
            return
        self._ended = True
        if end_time is not None:
            end_time = min(int(end_time), TIME_NS_MAX)
        if not self._started or self._epoch != _epoch[0]:
            return  # never begun, or begun by the process that this one was forked from
        try:
            parent = self._parent
            if parent is not None and parent._changed:
                parent._write_update()
            if self._sdk is None:
                self._write_end(end_time or _clock() + self._offset, self._attributes)
            else:
                _Provider.beside.end(self, end_time or _clock() + self._offset)
        except Exception as problem:  # noqa: BLE001
            failed("ending a span", problem)
        if recorder.hooks:
            recorder.hook_runner.put(self)

    def _write_end(self, time_ns: int, attributes: dict[str, Any] | None) -> None:
        self._end_ns = time_ns
        status = self._status or OK
        journal = recorder.journal or recorder.open()
        capture = journal.capture
        if not self._rich:
            record = (END, self._id, self._trace, time_ns, status, attributes)
            try:
                payload = capture.fast(record)
            except Exception:  # noqa: BLE001 - as in `_write_start`
                payload = capture.record(record)
            try:
                journal.append(payload)
            except OSError as problem:
                recorder.lost(journal, problem, len(payload))
            return
        number = self._output_reference
        new = New() if capture.hurries else capture.new(self._trace, self._id)
        value = self._output_value
        if number == 0 and type(value) is not msgspec.Raw:  # that one is captured
            number, value = capture.value(value, new, self._trace)
        if attributes is not None and self._large:
            attributes = taken(attributes, capture, new, self._trace, captured=True)
        links = linked(self._links)
        self._append(
            journal,
            (
                END, self._id, self._trace, time_ns, status, attributes, number, value, new.contents,
                self._error, self.name if self._renamed else None, None, links,
            ),
            new,
        )  # fmt: skip

    def _now(self) -> int:
        return _clock() + self._offset

    # -- facts ---------------------------------------------------------------------------------------

    @property
    def kind(self) -> Kind:
        """What kind of step it is."""
        return KINDS[self._kind]

    @property
    def trace_id(self) -> str:
        """Id of the trace, 32 hex digits; `score(trace=)` and `agentops show` take it."""
        return self._trace.hex()

    @property
    def span_id(self) -> str:
        """Id of the span, 16 hex digits."""
        return format(self._id, "016x")

    @property
    def status(self) -> str:
        """`running`, `ok` or `error`."""
        return "error" if self._status == ERROR else "ok" if self._ended else "running"

    @property
    def attributes(self) -> dict[str, Any]:
        """What was set so far."""
        return {
            key: decode_value(value) if type(value) is msgspec.Raw else value
            for key, value in (self._attributes or {}).items()
        }

    def get_span_context(self) -> SpanContext:
        """OpenTelemetry's ids of this span.

        Where the application has set a tracer provider since it began, that one makes a span with these ids too:
        somebody who asks may be about to begin one below it.
        """
        context = self._context
        if self._is_light and self._started and not self._ended:
            try:
                look_at_provider()
                if _Provider.joined is not None:
                    _Provider.joined.take_over(self)
                    context = self._context
            except Exception as problem:  # noqa: BLE001
                failed("joining an open span to the tracer provider", problem, lost=0)
        if context is None:
            above: Span | None = self
            while above is not None and above._outer is None:
                above = above._parent
            outer = above and above._outer
            context = span_context(self._trace, self._id)
            if outer is not None and outer.trace_id == context.trace_id:  # what samples by its parent goes on to
                context = SpanContext(outer.trace_id, self._id, False, outer.trace_flags, outer.trace_state)
            self._context = context
        return context

    def is_recording(self) -> bool:
        """Whether what is set on it is still recorded."""
        return bool(self._started) and not self._ended

    def __repr__(self) -> str:
        return f"<agentops.Span {self.name!r} {self.kind} {self.trace_id[:8]}/{self.span_id[:8]} {self.status}>"

    # -- other ways to use it ------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, exception, trace)

    def __call__(self, function: F) -> F:
        """Decorate `function`: each call is a span like this one."""
        from agentops.trace.decorator import decorate

        return decorate(self, function)

    def _again(self) -> Span:
        """A new span of the same description, for the next call of a decorated function."""
        new = Span.__new__(Span)
        new._kind, new.name, new._input = self._kind, self.name, self._input
        if self._scope is not None:
            new._scope = self._scope
        if self._attributes is not None:
            new._attributes, new._large, new._rich = dict(self._attributes), self._large, self._large
        if self._links is not None:
            new._links = self._links
        if self._given is not None:
            new._given, new._started = self._given, None
        return new


#: What a span is made with; the rest comes with its start.
_DESCRIPTION = ("name", "_kind", "_input", "_scope", "_attributes", "_large", "_links", "_given")


def span_context(trace: bytes, span_id: int) -> SpanContext:
    """OpenTelemetry's ids of a span that is recorded."""
    return SpanContext(int.from_bytes(trace, "big"), span_id, is_remote=False, trace_flags=_SAMPLED)


def below(context: Context, above: Above) -> Context:
    """`context` with a span of elsewhere as the current one."""
    ids = SpanContext(
        int.from_bytes(above.trace, "big"), above.span_id, is_remote=True, trace_flags=TraceFlags(above.flags)
    )
    return Context({**context, _SPAN_KEY: NonRecordingSpan(ids)})


def current_span() -> Span | None:
    """The innermost open span of ours in this context, or None.

    None too where another trace's span has been made current inside of it.
    """
    context = _current()
    ours = context.get(OUR_KEY)
    if not isinstance(ours, Span):
        return None
    current = context.get(_SPAN_KEY)
    if current is ours or not isinstance(current, OtelSpan):
        return ours
    other = current.get_span_context()
    return ours if not other.is_valid or other.trace_id.to_bytes(16, "big") == ours._trace else None


def _fixed(value: object) -> object:
    """A value that may change later, as it is now."""
    try:
        return msgspec.Raw((recorder.journal or recorder.open()).capture.encode(value))
    except Exception as problem:  # noqa: BLE001
        failed("recording an attribute", problem)
        return None
