"""One call of the client as a span: what the client's own tracing leaves out is added here."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx2

from agentops import conventions
from agentops.recorder.recorder import recorder
from agentops.safety import failed
from agentops.trace.client import ClientSpan

from .answer import Answer, Pieces, read

__all__ = ["Call", "make"]

#: OpenTelemetry's words for why a model stopped; what is not here stays as it is.
_FINISH_REASONS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_call"}
#: Parameters of a request that the conventions have a name for; the rest is kept under `anthropic.request.`.
_PARAMETERS = {
    "system": conventions.SYSTEM_INSTRUCTIONS,
    "tools": conventions.TOOL_DEFINITIONS,
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "stop_sequences": "gen_ai.request.stop_sequences",
    "stream": "gen_ai.request.stream",
}
_MESSAGES = "anthropic.messages.create"
#: Parts of the API's usage that have names in the conventions.
_NAMED = frozenset(
    f"anthropic.usage.{name}"
    for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
)


def make(name: str, attributes: Mapping[str, Any]) -> ClientSpan:
    """The span for one that the client begins under `name`."""
    kind = conventions.kind_of(dict(attributes))
    if name == _MESSAGES:
        model = attributes.get(conventions.REQUEST_MODEL)
        return Call(f"chat {model}" if isinstance(model, str) else "chat", kind="llm")
    if kind == "tool" and attributes.get(conventions.TOOL_NAME):
        return ClientSpan(f"execute_tool {attributes[conventions.TOOL_NAME]}", kind=kind)
    return ClientSpan(name.removeprefix("anthropic."), kind=kind)


class Call(ClientSpan):
    """A call of `messages.create`, in whichever of its forms."""

    _asked = False
    _attempts = 0
    _body: Body | None = None
    _answer: Answer | None = None
    _pieces: Pieces | None = None
    _told = 0
    _closing = False
    _handled: BaseException | None = None  # what the program was handling when the call began

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._handled = sys.exc_info()[1]

    def attempt(self, body: object) -> None:
        """One HTTP request of this call goes out; the first one's `body` is what was asked."""
        try:
            self._attempts += 1
            if self._attempts > 1:
                with self.apart():
                    self.add_event("retry", {"attempt": self._attempts})
            self.ask(body)
        except Exception as problem:  # noqa: BLE001
            failed("recording a request", problem)

    def ask(self, body: object) -> None:
        """Record the request."""
        if self._asked or not isinstance(body, Mapping):
            return
        self._asked = True
        for key, value in body.items():
            if key not in ("messages", "model"):
                self.keep(_PARAMETERS.get(key, f"anthropic.request.{key}"), value)
        if self._same is None or self._same.input is None:
            self.input = body.get("messages")
        else:  # the program has said what it takes for the input
            self.keep(conventions.INPUT_MESSAGES, body.get("messages"))

    def answered(self, response: httpx2.Response) -> None:
        """A response came; its body is looked at when the span ends, as far as the program has read it by then."""
        try:
            if not response.is_success:
                return
            if response.is_stream_consumed or response.is_closed:
                self._answer = _read(response.content, httpx2.Headers({"content-type": _type(response)}))
            else:
                self._body = Body(response.headers)
                # A redactor looks through whole texts: one may be found in two pieces that is in neither.
                plain = "content-encoding" not in response.headers and not recorder.redacts
                if plain and _type(response).startswith("text/event-stream"):
                    self._pieces = Pieces()
                    self._body.tell = self._came
                response.stream = self._body.watched(response.stream)
        except Exception as problem:  # noqa: BLE001
            failed("recording an answer", problem)

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
        answer = self._answer
        if answer is None and self._body is not None:
            answer = _read(self._body.data, self._body.headers)
        if answer is not None:
            self._record(answer)
        raised = sys.exc_info()[1]
        if raised is self._handled:
            raised = None
        cut = self.attributes.get(conventions.ERROR_TYPE) == "api_error" and answer is not None and not answer.complete
        if self.status == "error":
            # The client ends the span while it handles the error, but tells it the type of it alone.
            if isinstance(raised, Exception) and not (cut and not _is_of_client(raised)):
                with self.apart():
                    self.fail(raised)
            elif cut:
                self._error = ("api_error", "the stream ended before its end event", "")
        elif isinstance(raised, (asyncio.CancelledError, KeyboardInterrupt)):
            with self.apart():
                self.fail(raised)

    def _record(self, answer: Answer) -> None:
        message = answer.message
        self.output = message.get("content")
        if self._told:
            self.keep(conventions.CHUNKS, self._told)
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
        read, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
        # OpenTelemetry's input tokens include what the cache read and wrote, the API's do not.
        whole = _count(usage, "input_tokens") + read + written
        if "input_tokens" in usage:
            self.keep(conventions.INPUT_TOKENS, whole)
            self.keep(conventions.CACHE_READ_TOKENS, read)
            self.keep(conventions.CACHE_WRITE_TOKENS, written)
        if "output_tokens" in usage and reason is not None:  # before it stopped, it is a placeholder
            self.keep(conventions.OUTPUT_TOKENS, _count(usage, "output_tokens"))
        for name, value in _facts(usage):
            self.keep(name, value)


class Body:
    """The bytes of a response as the program reads them; none is read for us."""

    #: More of one answer is not kept.
    BYTES_MAX = 64 << 20

    def __init__(self, headers: httpx2.Headers) -> None:
        self.headers = headers
        self.tell: Callable[[bytes], None] | None = None
        self._chunks: list[bytes] = []
        self._size = 0

    @property
    def data(self) -> bytes:
        return b"".join(self._chunks)

    def add(self, chunk: bytes) -> None:
        if self._size < self.BYTES_MAX:
            self._size += len(chunk)
            self._chunks.append(chunk)
        if self.tell is not None:
            self.tell(chunk)

    def watched(self, stream: Any) -> Any:
        """`stream`, of the same kind, with each chunk seen on its way."""
        if not isinstance(stream, httpx2.SyncByteStream):
            return _AsyncWatched(stream, self)
        return _Both(stream, self) if isinstance(stream, httpx2.AsyncByteStream) else _Watched(stream, self)


class _Watched(httpx2.SyncByteStream):
    def __init__(self, stream: Any, body: Body) -> None:
        self._stream = stream
        self._body = body

    @property
    def elapsed(self) -> Any:
        return getattr(self._stream, "elapsed", None)

    def __iter__(self) -> Any:
        for chunk in self._stream:
            self._body.add(chunk)
            yield chunk

    def close(self) -> None:
        self._stream.close()


class _AsyncWatched(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, body: Body) -> None:
        self._stream = stream
        self._body = body

    @property
    def elapsed(self) -> Any:
        return getattr(self._stream, "elapsed", None)

    async def __aiter__(self) -> Any:
        chunks = self._stream.__aiter__()
        try:
            async for chunk in chunks:
                self._body.add(chunk)
                yield chunk
        finally:  # in the task that read it, not in one that the event loop makes later
            if hasattr(chunks, "aclose"):
                await chunks.aclose()

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Both(_Watched, _AsyncWatched):
    """For a body that can be read either way."""


def _read(body: bytes, headers: httpx2.Headers) -> Answer | None:
    try:
        return read(body, headers)
    except Exception as problem:  # noqa: BLE001 - whatever a server may send
        failed("reading an answer", problem)
        return None


def _type(response: httpx2.Response) -> str:
    return str(response.headers.get("content-type", ""))


def _count(usage: Mapping[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _facts(usage: Mapping[str, Any], prefix: str = "anthropic.usage.") -> Iterator[tuple[str, Any]]:
    """What the API says of usage that has no name in the conventions: lifetimes, tiers, tools. Prices depend on it."""
    for key, value in usage.items():
        if isinstance(value, Mapping):
            yield from _facts(value, f"{prefix}{key}.")
        elif isinstance(value, (int, str)) and prefix + key not in _NAMED:
            yield prefix + key, value
    thinking = usage.get("output_tokens_details")
    if isinstance(thinking, Mapping) and isinstance(thinking.get("thinking_tokens"), int):
        yield conventions.REASONING_TOKENS, thinking["thinking_tokens"]


def _is_of_client(exception: BaseException) -> bool:
    return type(exception).__module__.partition(".")[0] in ("anthropic", "httpx2", "httpcore2")
