"""Spans inside of an iteration of a loop: each tells the iteration what it was given and what came of it.

A span that begins below a step of a loop is made an `Inside`, and so are those below it. The spans of a program that
has no loop open pay nothing for this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import xxhash

from agentops import conventions, messages
from agentops.journal.format import decode_value
from agentops.recorder import capture
from agentops.recorder.plain import plain
from agentops.safety import failed
from agentops.trace.circles import Called, Event, Given, Person, Result, Said, Turn
from agentops.trace.span import Span
from agentops.volatile import steady

__all__ = ["Inside", "Watch", "is_below_whole", "told_by_client"]

#: What is below them is how they work.
_WHOLE = ("tool", "retrieval", "llm")
#: They are calls where nothing is recorded below them.
_OR_WITHIN = ("chain", "agent")
_SEARCHES = re.compile(
    r"(?i)(?:^|[^a-z])(?:search|find|query|look_?up|retrieve|retrieval|grep|browse|ask|google)(?:$|[^a-z])"
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_hash = xxhash.xxh3_128_digest
_NUMBERS = re.compile(r"[\d…]+")
_DEPTH_MAX = 60
_BYTES_MAX = 100_000
_WATCHING = "watching a loop"


class Watch:
    """What the spans inside of one iteration tell.

    Args:
        turn: the iteration.
    """

    def __init__(self, turn: Turn) -> None:
        self.turn = turn

    def takes(self, span: Span) -> None:
        """`span` begins inside of the iteration."""
        span._watch = self
        if type(span) is Span:
            span.__class__ = Inside

    def other(self, name: str, attributes: Mapping[str, Any], error: tuple[str, str, str] | None) -> None:
        """Another library's span has ended."""
        given = _first(attributes, conventions.INPUT_KEYS)
        output = _first(attributes, conventions.OUTPUT_KEYS)
        kind = conventions.kind_of(dict(attributes))
        named = attributes.get(conventions.TOOL_NAME)
        name = named if isinstance(named, str) else name
        self.tell(name, kind, _plain(given), _plain(output), error, given, leaf=True)

    def tell(
        self,
        name: str,
        kind: str,
        given: Any,
        output: Any,
        error: tuple[str, str, str] | None,
        arguments: Any,
        leaf: bool,
    ) -> None:
        """A span has ended: what it was given and what came of it, as plain data."""
        self.turn.failure = error
        if kind == "llm":
            self._of_model(given, output)
        elif kind == "plan":
            self.turn.tell(_said(output))
        elif kind in _WHOLE or (kind in _OR_WITHIN and leaf and not (given is None and output is None and not error)):
            if error is not None:
                output = f"{error[0]}: {error[1]}"
            call = _called(name, kind, given, arguments)
            self.turn.tell([_with_answer(call, output, error is not None)])

    def tell_own(self, step: Span) -> None:
        """What the program has said of the iteration itself."""
        if step._input is not None:
            self.turn.events.extend(_given(_plain(step._input)))  # not of a loop around
        if step._output is not None:
            self.turn.events.extend(_said(_plain(step._output)))

    def _of_model(self, given: Any, output: Any) -> None:
        asked = [_called(name, "tool", args, args)._replace(call_id=id_) for name, args, id_ in messages.calls(output)]
        self.turn.tell([*_given(given), *_said(output)], asked)


class Inside(Span):
    """A span inside of an iteration."""

    _given: Any = None  # what it was given, as it was then
    _came: Any = None
    _has_inner = False
    _below_whole = False

    def _write_start(self, parent_id: int, time_ns: int, nearest: int = 0) -> None:
        super()._write_start(parent_id, time_ns, nearest)
        if self._watch is None:
            return
        _guarded(self._look_at_start)

    def _look_at_start(self) -> None:
        parent = self._parent
        if isinstance(parent, Inside):
            parent._has_inner = True
        self._below_whole = is_below_whole(parent)
        if not self._below_whole:
            self._given = _of_input(self.kind, self._input)

    @property
    def output(self) -> Any:
        """The output as it was set last; what is recorded is what it was at that moment."""
        return self._output

    @output.setter
    def output(self, value: Any) -> None:
        Span.output.fset(self, value)  # type: ignore[attr-defined]
        if self._watch is not None and not self._below_whole and not self._ended:
            _guarded(lambda: setattr(self, "_came", _plain(value)))

    def end(self, end_time: int | None = None) -> None:
        """End the span; leaving its `with` block does it. A second end changes nothing."""
        if self._ended:
            return
        super().end(end_time)
        watch = self._watch
        if watch is None:
            return
        self._watch = None
        if self._below_whole:
            watch.turn.failure = self._error
        else:
            _guarded(lambda: self._tell(watch))
        self._given = self._came = None

    def _tell(self, watch: Watch) -> None:
        given, output, arguments = self._given, self._came, self._input
        if self._attributes and (given is None or output is None):
            attributes = self.attributes
            if given is None:
                arguments = _first(attributes, conventions.INPUT_KEYS)
                given = _of_input(self.kind, arguments)
            output = _plain(_first(attributes, conventions.OUTPUT_KEYS)) if output is None else output
        if given is None and self._input is not None:  # set while it was open
            given = _of_input(self.kind, self._input)
        watch.tell(self.name, self.kind, given, output, self._error, arguments, not self._has_inner)


def told_by_client(span: Span, watch: Watch, name: str) -> None:
    """The span of a client's call has ended."""
    _guarded(lambda: _tell_of_client(span, watch, name))


def _tell_of_client(span: Span, watch: Watch, name: str) -> None:
    if is_below_whole(span._parent):
        return
    attributes = span.attributes
    given = _first(attributes, conventions.INPUT_KEYS) if span._input is None else span._input
    output = _first(attributes, conventions.OUTPUT_KEYS) if span._output is None else span._output
    named = attributes.get(conventions.TOOL_NAME)
    name = named if isinstance(named, str) else name
    watch.tell(name, span.kind, _of_input(span.kind, given), _plain(output), span._error, given, leaf=True)


def is_below_whole(parent: Span | None) -> bool:
    """Whether what begins below `parent` is how a tool or a model works, and not what the agent does."""
    return parent is not None and (getattr(parent, "_below_whole", False) or parent.kind in _WHOLE)


def _guarded(look: Callable[[], None]) -> None:
    try:
        look()
    except Exception as problem:  # noqa: BLE001
        failed(_WATCHING, problem, lost=0)


def _first(attributes: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((attributes[key] for key in keys if attributes.get(key) is not None), None)


def _plain(value: Any) -> Any:
    """A value as it is now, as plain data; a large one as a digest, since to look through it takes time."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    try:
        data = capture._encode(value)
        return decode_value(data) if len(data) <= _BYTES_MAX else f"<{_hash(data).hex()}>"
    except Exception:  # noqa: BLE001 - as in `Capture.encode`
        return plain(value, None, _DEPTH_MAX)


def _of_input(kind: str, value: Any) -> Any:
    """What of an input matters; of a conversation, what comes after the model's own last words."""
    if kind == "llm":
        talk = messages.conversation(value)
        if talk is not None:
            return {"new": _plain(talk[0]), "talks": talk[1]}
    return _plain(value)


def _called(name: str, kind: str, given: Any, arguments: Any) -> Called:
    name = name.removeprefix("execute_tool ")
    text = "" if given is None else steady(given)
    searches = kind == "retrieval" or (kind != "agent" and _SEARCHES.search(_HUMP.sub("_", name)) is not None)
    shape = _NUMBERS.sub("…", text)
    return Called(name, _digest(text), _digest(repr(given)), _digest(shape), b"", 0, searches, arguments)


def _with_answer(call: Called, answer: Any, failed: bool = False) -> Called:
    text = "" if answer is None else steady(answer, is_answer=True)
    return call._replace(answer=_digest(text), length=-1 if failed else len(text))


def _given(given: Any) -> Iterator[Event]:
    if isinstance(given, dict) and given.keys() == {"new", "talks"}:
        for item in messages.results(given["new"]):
            told = item.get("content", item.get("output"))
            text = "" if told is None else steady(told, is_answer=True)
            identifier = messages.identifier(item, "tool_use_id", "tool_call_id", "call_id")
            yield Result(identifier, _digest(text), len(text))
        words = steady(" ".join(messages.said(given["new"])))
        if words:
            yield Person(_digest(words)) if given["talks"] else _given_words(words)
    elif given is not None:
        yield _given_words(steady(given))


def _given_words(words: str) -> Given:
    return Given(_digest(words), _digest(_NUMBERS.sub("…", words)))


def _said(output: Any) -> Iterator[Said]:
    words = " ".join(messages.said(output)) if isinstance(output, (list, dict)) else output
    if words is not None and words != "":
        text = steady(words)
        yield Said(_digest(text), len(text))


def _digest(text: str) -> bytes:
    return _hash(text.encode("utf-8", "surrogatepass"))
