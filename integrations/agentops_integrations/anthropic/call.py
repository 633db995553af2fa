"""One call of the client as a span: what the client's own tracing leaves out is added here."""

from __future__ import annotations

import asyncio
import json
import sys
import weakref
from collections.abc import Mapping
from time import monotonic_ns
from typing import Any

import httpx2
from anthropic._tracing import error_type
from opentelemetry.trace import StatusCode

from agentops import conventions
from agentops.recorder.recorder import recorder
from agentops.safety import failed
from agentops.trace.client import ClientSpan

from .answer import Answer, read
from .body import Body
from .events import Pieces
from .files import without_bytes

__all__ = ["ERROR", "MESSAGE", "PARAMETERS", "REQUEST", "STREAM", "Call", "Request", "make"]

#: OpenTelemetry's words for why a model stopped; what is not here stays as it is.
_FINISH_REASONS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_call"}
#: Parameters of a request that the conventions have a name for; the rest is kept under `anthropic.request.`.
PARAMETERS = {
    "model": conventions.REQUEST_MODEL,
    "system": conventions.SYSTEM_INSTRUCTIONS,
    "tools": conventions.TOOL_DEFINITIONS,
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "stop_sequences": "gen_ai.request.stop_sequences",
    "stream": "gen_ai.request.stream",
}
REQUEST = "anthropic.request."
#: Ours: an answer's message without its content; what is kept of a stream; the body of an error of the API.
MESSAGE, STREAM, ERROR = "anthropic.message", "anthropic.stream", "anthropic.error"
_USAGE = "anthropic.usage."
#: Fields of the usage that the conventions have a name for.
_NAMED = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
_MESSAGES = "anthropic.messages.create"
_SIZE_MAX = 1 << 20


def make(name: str, attributes: Mapping[str, Any]) -> ClientSpan:
    """The span for one that the client begins under `name`."""
    kind = conventions.kind_of(dict(attributes))
    if name == _MESSAGES:
        model = attributes.get(conventions.REQUEST_MODEL)
        return Call(f"chat {model}" if isinstance(model, str) else "chat", kind="llm")
    if kind == "tool" and attributes.get(conventions.TOOL_NAME):
        return ClientSpan(f"execute_tool {attributes[conventions.TOOL_NAME]}", kind=kind)
    if name == "anthropic.messages.batches.results":
        from .batch import Results

        return Results(name.removeprefix("anthropic."), kind=kind)
    return Request(name.removeprefix("anthropic."), kind=kind)


class Request(ClientSpan):
    """A method of the client that sends a request."""

    _asked = False
    _attempts = 0
    _refused: dict[str, Any] | None = None
    _began = _sent = 0  # when the first and the last attempt began, ns of the monotonic clock
    _answer: Answer | None = None

    def attempt(self, body: object) -> None:
        """One HTTP request of this call goes out; the first one's `body` is what was asked."""
        try:
            self._attempts += 1
            self._sent = monotonic_ns()
            self._began = self._began or self._sent
            if self._attempts > 1:
                with self.apart():
                    self.add_event("retry", {"attempt": self._attempts, **(self._refused or {})})
                self._refused = None
            self.ask(body)
        except Exception as problem:  # noqa: BLE001
            failed("recording a request", problem)

    def refused(self, status: int | None, exception: BaseException | None = None) -> None:
        """An attempt came to nothing; there may be another one."""
        if exception is None:
            self._refused = {"http.response.status_code": status}
        else:
            kind = type(exception)
            self._refused = {conventions.EXCEPTION_TYPE: f"{kind.__module__}.{kind.__qualname__}"}

    def ask(self, body: object) -> None:
        """Record the request, once."""
        if self._asked or not isinstance(body, Mapping) or not body:
            return
        self._asked = True
        if "messages" not in body:
            self.was_given(body)
            return
        messages, files = without_bytes(body["messages"])
        facts: dict[str, Any] = {
            PARAMETERS.get(key, REQUEST + key): value for key, value in body.items() if key != "messages"
        }
        if files:
            facts.update(files)
        if self._same is None or self._same.input is None:
            self.was_given(messages, facts)
        else:  # the program has said what it takes for the input
            self.was_given(None, {**facts, conventions.INPUT_MESSAGES: messages})

    def answered(self, response: httpx2.Response) -> None:
        """A response came."""
        try:
            is_whole = response.is_success and response.is_closed
            if is_whole and _type(response).startswith("application/json") and len(response.content) <= _SIZE_MAX:
                self.comes_out(json.loads(response.content))
        except Exception as problem:  # noqa: BLE001
            failed("recording an answer", problem)

    def made_up(self, message: object) -> None:
        """The program's own middleware gave an answer that is no HTTP response, such as one from its cache."""


class Call(Request):
    """A call of `messages.create`, in whichever of its forms."""

    _body: Body | None = None
    _pieces: Pieces | None = None
    _told = 0
    _closing = False
    _handled: BaseException | None = None  # what the program was handling when the call began

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._handled = sys.exc_info()[1]

    def answered(self, response: httpx2.Response) -> None:
        """A response came; its body is looked at when the span ends, as far as the program has read it by then."""
        try:
            if not response.is_success:
                return
            if response.is_stream_consumed or response.is_closed:
                self._body = body = Body(httpx2.Headers({"content-type": _type(response)}))
                body.add(response.content)
                body.whole = True
            else:
                self._body = Body(response.headers)
                # A redactor looks through whole texts: one may be found in two pieces that is in neither.
                plain = "content-encoding" not in response.headers and not recorder.redacts
                if plain and _type(response).startswith("text/event-stream"):
                    self._pieces = Pieces()
                    self._body.tell = self._came
                if self._sdk is None and _type(response).startswith("text/event-stream"):
                    known = weakref.ref(response)
                    self._body.begins = lambda: self._begins(known)
                response.stream = self._body.watched(response.stream)
        except Exception as problem:  # noqa: BLE001
            failed("recording an answer", problem)

    def _begins(self, response: weakref.ref[httpx2.Response]) -> None:
        """The program begins to read a stream: what its events say is in their bytes, so the client need not look."""
        found = response()
        first = getattr(getattr(found, "stream", None), "stream_observer", None)
        theirs = getattr(first, "inner", None)
        if first is not None and theirs is not None and hasattr(theirs, "_parsed"):
            first.inner = Reading(self, theirs._parsed is True)

    def _came(self, part: bytes) -> None:
        """Have on record what came of a stream, in case that there is no end to it."""
        if self._pieces is None or self._ended:
            return
        try:
            for piece in self._pieces.add(part):
                self._told += 1
                with self.apart():
                    self.add_event(conventions.CHUNK, piece)
        except Exception as problem:  # noqa: BLE001
            self._pieces = None
            failed("recording a piece of an answer", problem)

    def made_up(self, message: object) -> None:
        """The program's own middleware gave an answer that is no HTTP response, such as one from its cache."""
        to_dict = getattr(message, "to_dict", None)
        if callable(to_dict):
            self._answer = Answer(to_dict(mode="json"), True)

    def did_not(self, kind: str, error: Any) -> None:
        """It was not answered: it `errored`, was `canceled` or `expired`."""
        inner = error.get("error") if isinstance(error, dict) else None
        said = inner if isinstance(inner, dict) else {}
        self.set_status(StatusCode.ERROR)
        self._error = (str(said.get("type") or kind), str(said.get("message") or kind), "")
        self.keep(conventions.ERROR_TYPE, self._error[0])
        if isinstance(error, dict):
            self.keep(ERROR, error)

    def end(self, end_time: int | None = None) -> None:
        """End it with what came back."""
        if self._ended or self._closing or not self._started:
            return
        self._closing = True  # what is set now may end it again, where it is the last reference to a stream
        end_time = end_time or self._now()
        try:
            self._finish()
        except Exception as problem:  # noqa: BLE001
            failed("recording an answer", problem)
        if self._body is not None:
            self._body.tell = None  # it would keep this alive
        super().end(end_time)

    def _finish(self) -> None:
        answer, body = self._answer, self._body
        if answer is None and body is not None:
            try:
                answer = read(body, self._sent)
            except Exception as problem:  # noqa: BLE001 - whatever a server may send
                failed("reading an answer", problem)
        if answer is not None:
            self._record(answer)
        raised = sys.exc_info()[1]
        if raised is self._handled:
            raised = None
        incomplete = answer is not None and not answer.complete
        cut = incomplete and self.attributes.get(conventions.ERROR_TYPE) == "api_error"
        if self.status == "error":
            # The client ends the span while it handles the error, but tells it the type of it alone.
            if isinstance(raised, Exception) and not (cut and not _is_of_client(raised)):
                with self.apart():
                    self.fail(raised)
                self._said(raised)
            elif cut:
                self._error = _CUT
        elif isinstance(raised, (asyncio.CancelledError, KeyboardInterrupt)):
            with self.apart():
                self.fail(raised)
        elif incomplete and body is not None and body.whole:  # read as bytes, so the client does not know
            with self.apart():
                self.set_status(StatusCode.ERROR)
            self._error = _CUT
            self.keep(conventions.ERROR_TYPE, "api_error")

    def _said(self, raised: Exception) -> None:
        """What the API said of an error."""
        body = getattr(raised, "body", None)
        if isinstance(body, dict):
            self.keep(ERROR, body)

    def _record(self, answer: Answer) -> None:
        message = answer.message
        self.comes_out(message.get("content"))
        if self._told:
            self.keep(conventions.CHUNKS, self._told)
        if answer.stream is not None:
            self.keep(STREAM, answer.stream)
            if answer.first_s is not None and _FIRST_CHUNK not in (self._attributes or ()):
                self.keep(_FIRST_CHUNK, (self._sent - self._began) / 1e9 + answer.first_s)
        else:
            self.keep(MESSAGE, {key: value for key, value in message.items() if key != "content"})
        usage = message.get("usage") or {}
        reason = message.get("stop_reason")
        if isinstance(reason, str):
            self.keep(conventions.FINISH_REASONS, [_FINISH_REASONS.get(reason, reason)])
            self.keep("anthropic.message.stop_reason", reason)
        if message.get("id"):
            self.keep(conventions.RESPONSE_ID, message["id"])
        model = message.get("model")
        if isinstance(model, str):
            self.keep(conventions.RESPONSE_MODEL, model)
        self._count(usage, finished=reason is not None)

    def _count(self, usage: Mapping[str, Any], finished: bool) -> None:
        """Record all that the usage says: what the conventions have a name for under that, the rest under ours."""
        keep = self.keep
        if "input_tokens" in usage:
            keep(conventions.INPUT_TOKENS, _whole(usage))
            keep(conventions.CACHE_READ_TOKENS, _number(usage, "cache_read_input_tokens"))
            keep(conventions.CACHE_WRITE_TOKENS, _number(usage, "cache_creation_input_tokens"))
        if not finished:
            return  # before it stopped, the rest are placeholders
        if "output_tokens" in usage:
            keep(conventions.OUTPUT_TOKENS, _number(usage, "output_tokens"))
        for key, value in usage.items():
            if key in _NAMED or value is None:
                continue
            if not isinstance(value, Mapping):
                keep(_USAGE + key, value)
                continue
            for name, inner in value.items():
                if name == "thinking_tokens":
                    keep(conventions.REASONING_TOKENS, inner)
                elif inner is not None:
                    keep(f"{_USAGE}{key}.{name}", inner)


class Reading:
    """What the client tells of a stream that the program reads, in place of what it would look at itself.

    Args:
        call: that the stream is the answer of.
        parsed: its events are read, and not bytes.
    """

    def __init__(self, call: Call, parsed: bool) -> None:
        self._call = call
        self._parsed = parsed

    def begin(self) -> None:
        self._parsed = True

    def item(self, item: object) -> None:
        pass

    def end(self, how: str, error: BaseException | None = None) -> None:
        call = self._call
        if isinstance(error, Exception):
            call.set_status(StatusCode.ERROR)
            call.set_attribute(conventions.ERROR_TYPE, error_type(error))
        elif how == "read":
            call.set_status(StatusCode.OK)
        call.end()


_CUT = ("api_error", "the stream ended before its end event", "")


def _whole(usage: Mapping[str, Any]) -> int:
    """OpenTelemetry's input tokens include what the cache read and wrote, the API's do not."""
    return sum(
        _number(usage, key) for key in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )


def _number(usage: Mapping[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _type(response: httpx2.Response) -> str:
    return str(response.headers.get("content-type", ""))


def _is_of_client(exception: BaseException) -> bool:
    return type(exception).__module__.partition(".")[0] in ("anthropic", "httpx2", "httpcore2")
