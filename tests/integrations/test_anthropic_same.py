"""One table of what a program can see of a call and its stream, with a client that is recorded and one that is not."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import traceback
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from opentelemetry import trace as otel

import agentops
from agentops import span

ASK: dict[str, Any] = {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}]}
MESSAGE: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
    "stop_sequence": None, "content": [{"type": "text", "text": "one two"}],
    "usage": {"input_tokens": 7, "output_tokens": 5},
}  # fmt: skip
WORDS = ["one ", "two ", "three ", "four"]


def sse(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


CHUNKS = [
    sse("message_start", message={**MESSAGE, "content": [], "stop_reason": None})
    + sse("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    *(sse("content_block_delta", index=0, delta={"type": "text_delta", "text": word}) for word in WORDS),
    sse("content_block_stop", index=0)
    + sse("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9}),
    sse("message_stop"),
]
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
BROKEN = httpx2.ReadError("the cable is cut")


class Wire(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """What is at the other end, and all that is done to it."""

    def __init__(self, chunks: list[Any], status: int = 200) -> None:
        self.chunks = chunks
        self.status = status
        self.seen: list[Any] = []

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        # The client says to the API whether middleware read an answer; the API does not care.
        self.seen.append(sorted(set(request.headers) - {"x-stainless-raw-response"}))
        body = json.loads(request.content)
        self.seen.append(body)
        if self.status != 200:
            return httpx2.Response(self.status, json=ERROR, headers={"x-should-retry": "false"})
        if not body.get("stream"):
            return httpx2.Response(200, json=MESSAGE, headers={"request-id": "req_1"})
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Cable(self))

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._answer(request)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(0)
        return self._answer(request)

    def close(self) -> None:
        pass


class Cable(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def __iter__(self) -> Iterator[bytes]:
        seen = self._wire.seen
        try:
            for number, chunk in enumerate(self._wire.chunks):
                seen.append(f"chunk {number}")
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk
            seen.append("end")
        except GeneratorExit:
            seen.append("left")
            raise

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = self._wire.seen
        try:
            for number, chunk in enumerate(self._wire.chunks):
                seen.append(f"chunk {number}")
                if isinstance(chunk, Exception):
                    raise chunk
                if chunk == "wait":
                    await asyncio.sleep(60)
                yield chunk
            seen.append("end")
        except GeneratorExit:
            seen.append("left")
            raise
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    def close(self) -> None:
        self._wire.seen.append("closed")

    async def aclose(self) -> None:
        self._wire.seen.append("closed")


def state(stream: Any) -> tuple[Any, ...]:
    response = stream.response
    return type(stream), response.is_closed, response.is_stream_consumed, response.status_code, sorted(response.headers)


def lines_of(error: BaseException) -> list[str]:
    """Where an exception came by, as the program's own frames show it."""
    return [frame.name for frame in traceback.extract_tb(error.__traceback__) if frame.filename == __file__]


# -- behaviours: each says what it sees; `wire.seen` is compared too --------------------------------


def whole(client: Any, wire: Wire) -> Any:
    message = client.messages.create(**ASK)
    return type(message), message.to_dict(), message._request_id


def in_order(client: Any, wire: Wire) -> Any:
    return [(type(event), event.to_dict()) for event in client.messages.create(**ASK, stream=True)]


def lazily(client: Any, wire: Wire) -> Any:
    events = client.messages.create(**ASK, stream=True)
    found = [state(events), list(wire.seen)]
    for _ in range(4):
        found += [next(events).type, len(wire.seen), state(events)]
    return found


def left_and_gone_on(client: Any, wire: Wire) -> Any:
    events = client.messages.create(**ASK, stream=True)
    for event in events:
        if event.type == "content_block_delta":
            break
    return [event.type for event in events], state(events)


def closed(client: Any, wire: Wire) -> Any:
    events = client.messages.create(**ASK, stream=True)
    next(events)
    events.close()
    events.close()
    found = []
    for _ in range(3):  # what a program gets that reads on
        try:
            found.append(next(events).type)
        except (StopIteration, httpx2.StreamError, httpx2.HTTPError) as error:
            found.append(type(error))
    return state(events), found


def with_block(client: Any, wire: Wire) -> Any:
    with pytest.raises(LookupError) as raised:
        with client.messages.create(**ASK, stream=True) as events:
            next(events)
            raise LookupError("the program's own")
    return state(events), lines_of(raised.value), raised.value.__context__


def dropped(client: Any, wire: Wire) -> Any:
    events = client.messages.create(**ASK, stream=True)
    next(events)
    gone = weakref.ref(events.response)
    gc.disable()
    try:
        del events
        found = [gone() is None, list(wire.seen)]
    finally:
        gc.enable()
    gc.collect()
    return found, gone() is None


def dropped_unread(client: Any, wire: Wire) -> Any:
    gone = weakref.ref(client.messages.create(**ASK, stream=True).response)
    gc.collect()
    return gone() is None


def dropped_message(client: Any, wire: Wire) -> Any:
    gone = weakref.ref(client.messages.create(**ASK))
    return gone() is None


def cable_cut(client: Any, wire: Wire) -> Any:
    events = client.messages.create(**ASK, stream=True)
    with pytest.raises(httpx2.ReadError) as raised:
        list(events)
    return raised.value is BROKEN, raised.value.__cause__, lines_of(raised.value), state(events)


def error_event(client: Any, wire: Wire) -> Any:
    events = client.messages.create(**ASK, stream=True)
    found = []
    with pytest.raises(anthropic.APIStatusError) as raised:
        for event in events:
            found.append(event.type)
    error = raised.value
    return found, type(error), error.status_code, error.type, str(error), error.__context__, state(events)


def just_ends(client: Any, wire: Wire) -> Any:
    events = client.messages.create(**ASK, stream=True)
    return [event.type for event in events], state(events)


def refused(client: Any, wire: Wire) -> Any:
    with pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(**ASK)
    error = raised.value
    return type(error), error.status_code, error.body, error.request_id, error.__context__, error.__cause__


def helper(client: Any, wire: Wire) -> Any:
    with client.messages.stream(**ASK) as events:
        found = [type(events), list(events.text_stream), events.get_final_message().to_dict(), events.get_final_text()]
    return found, events.response.is_closed


def helper_events(client: Any, wire: Wire) -> Any:
    with client.messages.stream(**ASK) as events:
        return [(type(event), event.type) for event in events], events.current_message_snapshot.to_dict()


def raw(client: Any, wire: Wire) -> Any:
    answer = client.messages.with_raw_response.create(**ASK)
    return type(answer), answer.parse() is answer.parse(), answer.retries_taken, sorted(answer.headers), answer.text()


def raw_stream(client: Any, wire: Wire) -> Any:
    answer = client.messages.with_raw_response.create(**ASK, stream=True)
    return type(answer), [event.type for event in answer.parse()], answer.is_closed


def raw_bytes(client: Any, wire: Wire) -> Any:
    with client.messages.with_streaming_response.create(**ASK, stream=True) as answer:
        return list(answer.iter_bytes()), answer.is_closed


def raw_lines(client: Any, wire: Wire) -> Any:
    with client.messages.with_streaming_response.create(**ASK, stream=True) as answer:
        return list(answer.iter_lines()), answer.is_closed


def current_span(client: Any, wire: Wire) -> Any:
    outside = otel.get_current_span()
    events = client.messages.create(**ASK, stream=True)
    return [otel.get_current_span() is outside for _ in events]


def closed_by_another_thread(client: Any, wire: Wire) -> Any:
    events = client.messages.create(**ASK, stream=True)
    next(events)
    thread = threading.Thread(target=events.close)
    thread.start()
    thread.join()
    return state(events)


def while_handling(client: Any, wire: Wire) -> Any:
    try:
        raise LookupError
    except LookupError as handled:
        found = [event.type for event in client.messages.create(**ASK, stream=True)]
        return found, sys.exc_info()[1] is handled


def inside_a_generator(client: Any, wire: Wire) -> Any:
    def words() -> Iterator[str]:
        with client.messages.stream(**ASK) as events:
            yield from events.text_stream

    made = words()
    found = [next(made)]
    made.close()
    return found


SYNC: list[tuple[Callable[[Any, Wire], Any], list[Any], int]] = [
    *((behaviour, CHUNKS, 200) for behaviour in (
        whole, in_order, lazily, left_and_gone_on, closed, with_block, dropped, dropped_unread, dropped_message, helper,
        helper_events, raw, raw_stream, raw_bytes, raw_lines, current_span, closed_by_another_thread, while_handling,
        inside_a_generator,
    )),
    (cable_cut, [*CHUNKS[:3], BROKEN], 200),
    (error_event, [*CHUNKS[:3], sse("error", error=ERROR["error"])], 200),
    (just_ends, CHUNKS[:3], 200),
    (refused, [], 529),
    (in_order, [b"".join(CHUNKS)], 200),
    (in_order, [bytes([byte]) for byte in b"".join(CHUNKS)], 200),
    (in_order, [b": a comment\n\n" + CHUNKS[0], b"event: ping\r\ndata: {}\r\n\r\n", *CHUNKS[1:]], 200),
]  # fmt: skip


async def async_whole(client: Any, wire: Wire) -> Any:
    message = await client.messages.create(**ASK)
    return type(message), message.to_dict()


async def async_in_order(client: Any, wire: Wire) -> Any:
    events = await client.messages.create(**ASK, stream=True)
    return [(type(event), event.to_dict()) async for event in events], state(events)


async def async_lazily(client: Any, wire: Wire) -> Any:
    events = await client.messages.create(**ASK, stream=True)
    found = [state(events), list(wire.seen)]
    for _ in range(4):
        found += [(await events.__anext__()).type, len(wire.seen), state(events)]
    await events.close()
    return found, state(events)


async def async_cancelled(client: Any, wire: Wire) -> Any:
    found: list[Any] = []

    async def read() -> None:
        events = await client.messages.create(**ASK, stream=True)
        found.append(weakref.ref(events.response))
        async for event in events:
            found.append(event.type)

    task = asyncio.ensure_future(read())
    while f"chunk {len(CHUNKS[:3])}" not in wire.seen:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    response = found.pop(0)()
    return found, response is None or response.is_closed


async def async_dropped(client: Any, wire: Wire) -> Any:
    events = await client.messages.create(**ASK, stream=True)
    await events.__anext__()
    gone = weakref.ref(events.response)
    del events
    gc.collect()
    for _ in range(5):
        await asyncio.sleep(0)
    return gone() is None


async def async_closed_in_another_task(client: Any, wire: Wire) -> Any:
    events = await client.messages.create(**ASK, stream=True)
    await events.__anext__()
    await asyncio.ensure_future(events.close())
    return state(events)


async def async_helper(client: Any, wire: Wire) -> Any:
    async with client.messages.stream(**ASK) as events:
        return type(events), [text async for text in events.text_stream], (await events.get_final_message()).to_dict()


async def async_cable_cut(client: Any, wire: Wire) -> Any:
    events = await client.messages.create(**ASK, stream=True)
    with pytest.raises(httpx2.ReadError) as raised:
        async for _ in events:
            pass
    return raised.value is BROKEN, raised.value.__cause__, state(events)


async def async_at_once(client: Any, wire: Wire) -> Any:
    async def one() -> list[str]:
        return [event.type async for event in await client.messages.create(**ASK, stream=True)]

    found = await asyncio.gather(*(one() for _ in range(5)))
    wire.seen.sort(key=str)
    return found


ASYNC: list[tuple[Any, list[Any], int]] = [
    *((behaviour, CHUNKS, 200) for behaviour in (
        async_whole, async_in_order, async_lazily, async_dropped, async_closed_in_another_task, async_helper,
        async_at_once,
    )),
    (async_cancelled, [*CHUNKS[:3], "wait"], 200),
    (async_cable_cut, [*CHUNKS[:3], BROKEN], 200),
]  # fmt: skip


def seen(behaviour: Any, chunks: list[Any], status: int, recorded: bool) -> Any:
    wire = Wire(chunks, status)
    if not asyncio.iscoroutinefunction(behaviour):
        with anthropic.Anthropic(api_key="any", http_client=httpx2.Client(transport=wire)) as client:
            found = behaviour(agentops.wrap(client) if recorded else client, wire)
        gc.collect()  # a traceback holds its frames until then
        return found, wire.seen

    async def run() -> Any:
        http = httpx2.AsyncClient(transport=wire)
        async with anthropic.AsyncAnthropic(api_key="any", http_client=http) as client:
            return await behaviour(agentops.wrap(client) if recorded else client, wire)

    found = asyncio.run(run())
    gc.collect()
    return found, wire.seen


@pytest.mark.parametrize(("behaviour", "chunks", "status"), [*SYNC, *ASYNC])
def test_a_program_sees_what_it_sees_without_us(
    behaviour: Any, chunks: list[Any], status: int, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otel, "_TRACER_PROVIDER", None)
    BROKEN.__traceback__ = BROKEN.__context__ = None
    without = seen(behaviour, chunks, status, recorded=False)
    BROKEN.__traceback__ = BROKEN.__context__ = None
    with span("program", kind="agent"):
        assert seen(behaviour, chunks, status, recorded=True) == without
