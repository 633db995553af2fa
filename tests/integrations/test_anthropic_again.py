"""Calls of Anthropic's client made again from the store alone, with nothing at the other end of the network."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from opentelemetry import trace as otel

import agentops
from agentops import span
from agentops.store.reader import Reader
from agentops_integrations.anthropic.again import Again, NotRecorded, RecordedCall, calls
from examples.stand_in import (
    Block,
    Break,
    Fault,
    Reply,
    Request,
    ServerToolUse,
    StandIn,
    Text,
    Thinking,
    ToolUse,
    support_script,
)
from examples.support_agent.agent import SYSTEM, answer_ticket
from examples.support_agent.model import Model
from examples.support_agent.tools import TOOLS

RUNS = Path(__file__).parents[3] / "shared" / "data" / "tau_airline_runs.jsonl.gz"
MODEL = "claude-haiku-5-5"
#: Nobody listens there, and the client is to find out at once.
NOWHERE: dict[str, Any] = {"base_url": "http://127.0.0.1:9", "api_key": "any", "max_retries": 0}


@pytest.fixture(autouse=True)
def _no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "_TRACER_PROVIDER", None)


def http() -> httpx2.Client:
    return httpx2.Client(trust_env=False)


@contextmanager
def offline(recorded: list[RecordedCall]) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(http_client=http(), **NOWHERE) as client:
        yield client.with_middleware(Again(recorded, client))


def on_record(store: Path) -> list[RecordedCall]:
    """All recorded calls, the oldest trace first."""
    assert agentops.flush()
    with Reader(str(store)) as reader:
        return [call for trace in reversed(reader.traces(limit=None)) for call in calls(reader, trace)]


def answers(client: anthropic.Anthropic, asked: list[dict[str, Any]]) -> list[Any]:
    """What a program gets of calls: typed messages, and typed events in their order."""
    found: list[Any] = []
    for ask in asked:
        if ask.get("stream"):
            found.append([(type(event), event.to_dict(mode="json")) for event in client.messages.create(**ask)])
        else:
            message = client.messages.create(**ask)
            found.append((type(message), message.to_dict(mode="json"), message._request_id))
    return found


def test_the_demos_run_is_served_from_its_record(store: Path) -> None:
    def run(client: anthropic.Anthropic) -> tuple[str, bool]:
        written: list[str] = []
        outcome = answer_ticket(
            Model(client, MODEL, SYSTEM, TOOLS), "My kettle HH-2041 is cracked.", write=written.append
        )
        return "".join(written), outcome.resolved

    with StandIn(support_script) as server:
        with anthropic.Anthropic(base_url=server.url, api_key="any", http_client=http()) as client:
            first = run(agentops.wrap(client))
        sent = [request.body for request in server.requests]
    recorded = on_record(store)
    assert [call.request for call in recorded] == sent, "each request is on record as it was sent"
    with offline(recorded) as client:
        assert run(client) == first


@pytest.mark.skipif(not RUNS.exists(), reason="the recorded runs are not here")
def test_twenty_recorded_runs_are_served_as_the_same_messages_and_streams(store: Path) -> None:
    with gzip.open(RUNS, "rt") as file:
        runs = [requests_of(json.loads(line)["messages"]) for _, line in zip(range(20), file, strict=False)]
    asked = [ask for run in runs for ask, _ in run]
    replies = iter([reply for run in runs for _, reply in run])
    first = []
    with StandIn(lambda _: next(replies)) as server:
        with anthropic.Anthropic(base_url=server.url, api_key="any", http_client=http()) as client:
            wrapped = agentops.wrap(client)
            for run in runs:
                with span("airline", kind="agent"):
                    first += answers(wrapped, [ask for ask, _ in run])
    recorded = on_record(store)
    assert [call.request for call in recorded] == asked
    with offline(recorded) as client:
        assert answers(client, asked) == first


def requests_of(messages: list[dict[str, Any]]) -> list[tuple[dict[str, Any], Reply]]:
    """A recorded run as requests of the Messages API and their answers; every second one streams."""
    system, history, found = "", [], []  # type: str, list[Any], list[tuple[dict[str, Any], Reply]]
    for message in messages:
        if message["role"] == "system":
            system = message["content"]
        elif message["role"] == "user":
            history.append({"role": "user", "content": message["content"]})
        elif message["role"] == "tool":
            result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": message["content"]}
            history.append({"role": "user", "content": [result]})
        else:
            asked = [(call["id"], call["function"]) for call in message.get("tool_calls") or ()]
            uses = [(key, call["name"], json.loads(call["arguments"])) for key, call in asked]
            said = [message["content"]] if message["content"] else []
            ask = {"model": MODEL, "max_tokens": 64, "system": system, "messages": list(history)}
            reply = Reply((*map(Text, said), *(ToolUse(name, given) for _, name, given in uses)))
            found.append(({**ask, "stream": True} if len(found) % 2 else ask, reply))
            blocks: list[Any] = [{"type": "text", "text": text} for text in said]
            blocks += [{"type": "tool_use", "id": key, "name": name, "input": given} for key, name, given in uses]
            history.append({"role": "assistant", "content": blocks})
    return found


CITATION = {
    "type": "char_location", "cited_text": "bald", "document_index": 0, "document_title": "policy",
    "start_char_index": 0, "end_char_index": 4, "file_id": None,
}  # fmt: skip
GONE = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
EVERYTHING = (
    Thinking("They ask for the parcel."),
    Block({"type": "redacted_thinking", "data": "c2VjcmV0"}),
    ServerToolUse("web_search", {"query": "parcel"}, id="srvtoolu_7"),
    Block({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_7", "content": GONE}),
    Text("It comes: bald, übermorgen \U0001f600.", citations=(CITATION,)),
    ToolUse("refund", {"order": 88213, "why": "é"}),
    ToolUse("nothing", {}),
)


def asking(*contents: str, **more: Any) -> list[dict[str, Any]]:
    return [
        {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": content}], **more}
        for content in contents
    ]


def test_every_kind_of_block_comes_again_as_it_came(store: Path) -> None:
    asked = [*asking("all at once"), *asking("in pieces", stream=True)]
    with StandIn(lambda _: Reply(EVERYTHING)) as server:
        with anthropic.Anthropic(base_url=server.url, api_key="any", http_client=http()) as client:
            first = answers(agentops.wrap(client), asked)
    with offline(on_record(store)) as client:
        assert answers(client, asked) == first


@pytest.mark.parametrize("ascii", [False, True])
@pytest.mark.parametrize("spaces", [False, True])
def test_a_stream_comes_again_in_the_same_chunks_however_it_was_written(ascii: bool, spaces: bool, store: Path) -> None:
    def line(event: dict[str, Any]) -> bytes:
        separators = (", ", ": ") if spaces else (",", ":")
        text = json.dumps(event, ensure_ascii=ascii, separators=separators)
        return f"event: {event['type']}\ndata: {text}\n\n".encode()

    def delta(index: int, **what: str) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": index, "delta": what}

    tool = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
    usage = {"input_tokens": 7, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": [], "usage": usage}
    written = json.dumps({"city": "Zürich"}, ensure_ascii=ascii, separators=(",", ":")) + " "
    events = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "", "citations": None}},
        {"type": "ping"},
        *(delta(0, type="text_delta", text=text) for text in ("a", "", "üb")),
        {"type": "something_new", "what": {"ever": 1}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": tool},
        *(delta(1, type="input_json_delta", partial_json=text) for text in ("", written[:5], written[5:])),
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]  # fmt: skip
    lines = [line(event) for event in events]
    # Two events in one chunk, one event in two chunks, and an end of an event in a chunk of its own.
    chunks = [lines[0] + lines[1], lines[2][:9], lines[2][9:], lines[3][:-1], lines[3][-1:], *lines[4:]]
    [ask] = asking("hi", stream=True)

    def bodies(client: anthropic.Anthropic) -> list[bytes]:
        with client.messages.with_streaming_response.create(**ask) as response:
            return list(response.http_response.iter_raw())

    def events_of(client: anthropic.Anthropic) -> list[Any]:
        return [event.to_dict(mode="json") for event in client.messages.create(**ask)]

    class Slowly(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for chunk in chunks:
                time.sleep(0.003)
                yield chunk

    def handler(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Slowly())

    local = httpx2.Client(transport=httpx2.MockTransport(handler))
    with anthropic.Anthropic(http_client=local, **NOWHERE) as client:
        first = events_of(agentops.wrap(client))
    [recorded] = on_record(store)
    with offline([recorded]) as client:
        assert events_of(client) == first
    with offline([recorded]) as client:
        again = [
            [json.loads(part[6:]) for part in body.splitlines() if part[:5] == b"data:"] for body in bodies(client)
        ]
    # A chunk that ends in the middle of an event gives the program nothing yet.
    assert again == [events[:2], [events[2]], [events[3]], *([event] for event in events[4:])]
    assert all(0.002 < chunk.after_s < 1 for chunk in recorded.chunks)


def test_pauses_of_a_stream_can_be_served_too(store: Path) -> None:
    [ask] = asking("slowly", stream=True)
    reply = Reply((Text("one two three four five six"),), chunk_delay_s=0.05)
    with StandIn(lambda _: reply) as server:
        with anthropic.Anthropic(base_url=server.url, api_key="any", http_client=http()) as client:
            answers(agentops.wrap(client), [ask])
    [recorded] = on_record(store)
    assert sum(chunk.after_s for chunk in recorded.chunks) > 0.09
    with anthropic.Anthropic(http_client=http(), **NOWHERE) as client:
        start = time.monotonic()
        answers(client.with_middleware(Again([recorded], client, paced=True)), [ask])
        assert time.monotonic() - start > 0.09


def test_errors_and_broken_streams_come_again(store: Path) -> None:
    overloaded = Fault(529, "overloaded_error", "no")
    broken = (
        Fault(400, "invalid_request_error", "prompt is too long"),
        Reply((Text("one two three four five six seven"),), breaks=Break(5, fault=overloaded)),
        Reply((Text("one two three four five six seven"),), breaks=Break(5)),
        Reply((ToolUse("refund", {"a very long name of an argument": 1}),), breaks=Break(5)),
    )  # fmt: skip
    asked = [*asking("refused"), *asking("overloaded", "cut", "cut in a tool", stream=True)]

    def seen(client: anthropic.Anthropic) -> list[Any]:
        found: list[Any] = []
        for ask in asked:
            try:
                for event in client.messages.create(**ask):
                    found.append(event.to_dict(mode="json"))
            except anthropic.APIStatusError as error:
                found.append((type(error), error.status_code, error.type, str(error)))
        return found

    replies = iter(broken)
    with StandIn(lambda _: next(replies)) as server:
        with anthropic.Anthropic(base_url=server.url, api_key="any", http_client=http()) as client:
            first = seen(agentops.wrap(client))
    with offline(on_record(store)) as client:
        assert seen(client) == first


def test_concurrent_calls_each_get_their_own_answer_again(store: Path) -> None:
    asked = [*asking("a", "b", "c", stream=True), *asking("a", "a", "d")]

    async def run(client: anthropic.AsyncAnthropic, asked: list[dict[str, Any]]) -> list[Any]:
        async def one(ask: dict[str, Any]) -> Any:
            answer = await client.messages.create(**ask)
            return [e.to_dict() async for e in answer] if ask.get("stream") else answer.to_dict()

        return await asyncio.gather(*map(one, asked))

    def script(request: Request) -> Reply:
        return Reply((Text(f"{request.body['messages'][0]['content']} {next(number)}"),))

    async def live(url: str) -> list[Any]:
        async with anthropic.AsyncAnthropic(
            base_url=url, api_key="any", http_client=httpx2.AsyncClient(trust_env=False)
        ) as client:
            return await run(agentops.wrap(client), asked)

    async def recorded_only() -> list[Any]:
        http_client = httpx2.AsyncClient(trust_env=False)
        async with anthropic.AsyncAnthropic(http_client=http_client, **NOWHERE) as client:
            served = client.with_middleware(Again(on_record(store), client))
            found = await run(served, asked[:4])
            for ask in asked[4:]:  # the same request again, now one after the other
                found += await run(served, [ask])
            return found

    number = iter(range(100))
    with StandIn(script) as server:
        first = asyncio.run(live(server.url))
    assert asyncio.run(recorded_only()) == first


def test_a_request_that_is_not_on_record_is_refused(store: Path) -> None:
    asked = asking("hi")
    with StandIn(lambda _: Reply((Text("Hello."),))) as server:
        with anthropic.Anthropic(base_url=server.url, api_key="any", http_client=http()) as client:
            answers(agentops.wrap(client), asked)
    with offline(on_record(store)) as client:
        with pytest.raises(NotRecorded, match="no recorded call is like it"):
            answers(client, asking("ho"))
        answers(client, asked)
        with pytest.raises(NotRecorded, match="was served already"):
            answers(client, asked)


def test_with_a_redactor_no_text_of_a_stream_is_on_record_but_the_redacted_one(store: Path) -> None:
    agentops.init(redact=lambda text: text.replace("Mira of the harbour", "<name>"))
    [ask] = asking("Who is it?", stream=True)
    reply = Reply((Text("Please write to Mira of the harbour today, and not tomorrow."),))
    with StandIn(lambda _: reply) as server:
        with anthropic.Anthropic(base_url=server.url, api_key="any", http_client=http()) as client:
            answers(agentops.wrap(client), [ask])
    [recorded] = on_record(store)
    with offline([recorded]) as client:
        events = [event for event in client.messages.create(**ask) if event.type == "content_block_delta"]
    text = "".join(event.delta.text for event in events)
    assert text == "Please write to <name> today, and not tomorrow."
    agentops.shutdown()
    assert b"Mira" not in b"".join(file.read_bytes() for file in store.parent.rglob("*") if file.is_file())
