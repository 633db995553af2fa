"""Calls of the Messages API made again from what is on record: the request, and its answer as it came.

`calls` reads those of a trace; `Again` is middleware that serves them, so that a program runs without a network:

    with Reader() as reader:
        recorded = calls(reader, reader.trace("latest"))
    client = client.with_middleware(Again(recorded, client))
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
from anthropic import APIResponse, AsyncAPIResponse, Middleware

from agentops import conventions
from agentops.errors import AgentopsError
from agentops.messages import with_bytes
from agentops.store.reader import Reader
from agentops.store.rows import SpanDetail, TraceRow

from .call import ERROR, MESSAGE, PARAMETERS, REQUEST, STREAM
from .events import again

__all__ = ["Again", "Chunk", "NotRecorded", "RecordedCall", "call_of", "calls"]

_NAMES = {name: key for key, name in PARAMETERS.items()}
_STATUS, _REQUEST_ID = "http.response.status_code", "anthropic.request.id"


class NotRecorded(AgentopsError):
    """A request that no recorded call has, or none that was not served yet."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a body as it came over the wire: seconds after the one before, and its bytes."""

    after_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call as it is on record.

    Attributes:
        span_id: of its span.
        start_ns: when it began, ns since 1970.
        request: the body of the request as it was sent.
        status: of the response.
        headers: of the response.
        chunks: of its body; of an answer that was no stream there is one.
        complete: it came to its end; otherwise the connection broke, or the program read no further.
    """

    span_id: str
    start_ns: int
    request: dict[str, Any]
    status: int
    headers: dict[str, str]
    chunks: Sequence[Chunk]
    complete: bool


def calls(reader: Reader, trace: TraceRow) -> list[RecordedCall]:
    """The calls of a trace whose answers are on record, in the order of starting.

    Args:
        reader: of the store.
        trace: one of its traces.
    """
    return [call for detail in reader.details(trace) if (call := call_of(detail)) is not None]


def call_of(span: SpanDetail) -> RecordedCall | None:
    """The call that a span is of; None if it is of none, or nothing came back."""
    facts = span.attributes
    if span.row.kind != "llm":
        return None
    request_id = facts.get(_REQUEST_ID)
    headers = {"request-id": request_id} if isinstance(request_id, str) else {}
    status, complete = 200, True
    kept, message, error = facts.get(STREAM), facts.get(MESSAGE), facts.get(ERROR)
    content = span.output if isinstance(span.output, list) else []
    if isinstance(kept, dict):
        chunks = _parts(again(_undone(kept), content))
        headers["content-type"] = "text/event-stream; charset=utf-8"
        complete = bool(chunks) and chunks[-1].data.endswith(_sse({"type": "message_stop"}))
    elif isinstance(message, dict):
        whole = {key: message[key] for key in ("id", "type", "role", "model") if key in message}
        chunks = [Chunk(0, json.dumps({**whole, "content": content, **message}).encode())]
        headers["content-type"] = "application/json"
    elif isinstance(error, dict) and isinstance(facts.get(_STATUS), int) and facts[_STATUS] >= 400:
        status = facts[_STATUS]
        chunks = [Chunk(0, json.dumps(error).encode())]
        headers |= {"content-type": "application/json", "x-should-retry": "false"}  # the last of its attempts
    else:
        return None
    return RecordedCall(span.row.hex_id, span.row.start_ns, _request(span), status, headers, chunks, complete)


def _request(span: SpanDetail) -> dict[str, Any]:
    facts = span.attributes
    messages = facts.get(conventions.INPUT_MESSAGES, span.input)
    found: dict[str, Any] = {"messages": with_bytes(messages, facts)}
    for key, value in facts.items():
        if key in _NAMES:
            found[_NAMES[key]] = value
        elif key.startswith(REQUEST) and key != _REQUEST_ID:
            found[key.removeprefix(REQUEST)] = value
    return found


def _undone(kept: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a stream, with its bytes as bytes: the reader gives them as a data URI."""
    from base64 import b64decode

    found = dict(kept)
    for name in ("events", "gaps"):
        value = kept.get(name)
        if isinstance(value, str):
            try:
                found[name] = b64decode(value.partition(",")[2])
            except ValueError:
                found[name] = b""
    return found


def _parts(events: Iterable[tuple[float, dict[str, Any]]]) -> list[Chunk]:
    """Events that came together as one chunk."""
    parts: list[tuple[float, list[bytes]]] = []
    for after_s, event in events:
        if after_s or not parts:
            parts.append((after_s, []))
        parts[-1][1].append(_sse(event))
    return [Chunk(after_s, b"".join(data)) for after_s, data in parts]


def _sse(event: dict[str, Any]) -> bytes:
    return f"event: {event.get('type')}\ndata: {json.dumps(event)}\n\n".encode()


class Again(Middleware):
    """Serves recorded calls: each once, to a request that is the same, in the order of starting.

    Args:
        recorded: the calls.
        client: any client of the same kind as the one that gets this middleware: it reads the answers.
        paced: wait before each chunk of a stream as long as it took.
    """

    def __init__(self, recorded: Iterable[RecordedCall], client: Any, *, paced: bool = False) -> None:
        self._client = client
        self._paced = paced
        self._left: dict[str, deque[RecordedCall]] = {}
        self._lock = threading.Lock()
        for call in recorded:
            self._left.setdefault(_key(call.request), deque()).append(call)

    def handle(self, request: Any, call_next: Any) -> Any:
        """The answer to a request, without sending it.

        Raises:
            NotRecorded: there is none on record.
        """
        call = self._next(request)
        body = _Body(call, self._paced)
        return self._made(request, APIResponse, call, body)

    async def handle_async(self, request: Any, call_next: Any) -> Any:
        """As `handle`."""
        call = self._next(request)
        body = _AsyncBody(call, self._paced)
        return self._made(request, AsyncAPIResponse, call, body)

    def _next(self, request: Any) -> RecordedCall:
        with self._lock:
            left = self._left.get(_key(request.json))
            if not left:
                known = "every call like it was served already" if left is not None else "no recorded call is like it"
                raise NotRecorded(f"a request to {request.url} is not on record: {known}")
            return left.popleft()

    def _made(self, request: Any, kind: Any, call: RecordedCall, body: Any) -> Any:
        stream = bool(call.request.get("stream")) and call.status == 200
        if stream:
            response = httpx2.Response(call.status, headers=call.headers, stream=body)
        else:
            response = httpx2.Response(call.status, headers=call.headers, content=call.chunks[0].data)
        response.request = httpx2.Request("POST", "http://recorded" + request.url)
        return kind(
            raw=response,
            cast_to=request.cast_to,
            client=self._client,
            stream=request.stream,
            stream_cls=request.stream_cls,
            options=request.options,
            retries_taken=request.retries_taken,
        )


class _Body(httpx2.SyncByteStream):
    def __init__(self, call: RecordedCall, paced: bool) -> None:
        self._call = call
        self._paced = paced

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._call.chunks:
            if self._paced:
                time.sleep(chunk.after_s)
            yield chunk.data


class _AsyncBody(httpx2.AsyncByteStream):
    def __init__(self, call: RecordedCall, paced: bool) -> None:
        self._call = call
        self._paced = paced

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._call.chunks:
            if self._paced:
                await asyncio.sleep(chunk.after_s)
            yield chunk.data


def _key(request: Any) -> str:
    return json.dumps(request, sort_keys=True, default=str)
