"""Everything that Anthropic's client can be asked for, and everything that comes back, is on record."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import os
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import httpx2
import pydantic
import pytest
from anthropic import beta_tool
from opentelemetry import trace as otel

import agentops
from agentops import span
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
    Usage,
)

MODEL = "claude-haiku-5-5"
ASK: dict[str, Any] = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": "Where is it?"}]}
Spans = Callable[[], list[dict[str, Any]]]

CITATION = {
    "type": "char_location", "cited_text": "in five days", "document_index": 0, "document_title": "policy",
    "start_char_index": 0, "end_char_index": 12, "file_id": None,
}  # fmt: skip
FOUND = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
EVERYTHING = Reply(
    (
        Thinking("They ask for the parcel."),
        Block({"type": "redacted_thinking", "data": "c2VjcmV0"}),
        ServerToolUse("web_search", {"query": "parcel"}, id="srvtoolu_7"),
        Block({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_7", "content": FOUND}),
        Text("It comes in five days: bald, übermorgen.", citations=(CITATION,)),
        ToolUse("refund", {"order": 88213, "why": "it is late"}),
    ),
    usage=Usage(
        100, 50, cache_read_input_tokens=30, cache_creation_input_tokens=50, cache_creation_1h_input_tokens=20,
        thinking_tokens=11, web_search_requests=2, web_fetch_requests=1, service_tier="priority", speed="fast",
    ),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "_TRACER_PROVIDER", None)


@contextmanager
def recorded(*replies: Reply | Fault, **options: Any) -> Iterator[tuple[anthropic.Anthropic, StandIn]]:
    """A client that is recorded, and the server that it asks."""
    left = iter(replies)
    http = httpx2.Client(trust_env=False)
    with StandIn(lambda request: next(left, replies[-1])) as at:
        with anthropic.Anthropic(base_url=at.url, api_key="any", http_client=http, **options) as client:
            yield agentops.wrap(client), at


class Place(pydantic.BaseModel):
    city: str


def parse(client: anthropic.Anthropic) -> None:
    assert client.messages.parse(**ASK, output_format=Place).parsed_output == Place(city="Rome")


def beta(client: anthropic.Anthropic) -> None:
    client.beta.messages.create(**ASK, betas=["context-1m-2025-08-07"])


def beta_stream(client: anthropic.Anthropic) -> None:
    with client.beta.messages.stream(**ASK, betas=["context-1m-2025-08-07"]) as events:
        events.until_done()


def raw(client: anthropic.Anthropic) -> None:
    client.messages.with_raw_response.create(**ASK)  # not parsed


def raw_lines(client: anthropic.Anthropic) -> None:
    with client.messages.with_streaming_response.create(**ASK, stream=True) as response:
        for _ in response.iter_lines():
            pass


@pytest.mark.parametrize("how", [parse, beta, beta_stream, raw, raw_lines], ids=lambda how: how.__name__)
def test_other_ways_to_make_a_call_are_one_span_too(how: Any, spans: Spans) -> None:
    with recorded(Reply((Text('{"city": "Rome"}'),), usage=Usage(7, 5))) as (client, _):
        how(client)
    [chat] = spans()
    assert (chat["name"], chat["kind"], chat["status"]) == (f"chat {MODEL}", "llm", "ok")
    assert chat["input"] == ASK["messages"]
    assert [block["text"] for block in chat["output"]] == ['{"city": "Rome"}']
    assert (chat["usage"]["input_tokens"], chat["usage"]["output_tokens"]) == (7, 5)
    assert chat["attributes"]["anthropic.request.id"].startswith("req_")
    if "beta" in how.__name__:
        assert chat["attributes"]["anthropic.beta"] == ["context-1m-2025-08-07"]


@pytest.mark.parametrize("streams", [False, True])
def test_every_block_and_every_count_is_on_record(streams: bool, spans: Spans) -> None:
    with recorded(EVERYTHING) as (client, _):
        if streams:
            with client.messages.stream(**ASK) as events:
                message = events.get_final_message()
        else:
            message = client.messages.create(**ASK)
    [chat] = spans()
    got = [block.to_dict(mode="json") for block in message.content]
    assert [block["type"] for block in chat["output"]] == [block["type"] for block in got]
    for ours, theirs in zip(chat["output"], got, strict=True):
        assert {key: value for key, value in ours.items() if value} == {k: v for k, v in theirs.items() if v}
    facts = chat["attributes"]
    assert facts["gen_ai.usage.input_tokens"] == 180
    assert facts["gen_ai.usage.output_tokens"] == 50
    assert facts["gen_ai.usage.cache_read.input_tokens"] == 30
    assert facts["gen_ai.usage.cache_write.input_tokens"] == 50
    assert facts["gen_ai.usage.reasoning.output_tokens"] == 11
    assert facts["anthropic.usage.cache_creation.ephemeral_5m_input_tokens"] == 30
    assert facts["anthropic.usage.cache_creation.ephemeral_1h_input_tokens"] == 20
    assert facts["anthropic.usage.server_tool_use.web_search_requests"] == 2
    assert facts["anthropic.usage.server_tool_use.web_fetch_requests"] == 1
    assert facts["anthropic.usage.service_tier"] == "priority"
    assert facts["anthropic.usage.speed"] == "fast"
    assert facts["anthropic.message.stop_reason"] == "tool_use"
    assert ("gen_ai.response.time_to_first_chunk" in facts) == streams


def test_images_and_documents_are_on_record_by_digest_type_and_size_and_their_bytes_once(spans: Spans) -> None:
    picture, paper = bytes(range(256)) * 40, b"%PDF-1.7" + bytes(9000)

    def source(kind: str, data: bytes) -> dict[str, str]:
        return {"type": "base64", "media_type": kind, "data": base64.b64encode(data).decode()}

    def given(tool: str) -> list[Any]:
        result = [{"type": "image", "source": source("image/png", picture)}]
        return [
            {"role": "user", "content": [{"type": "document", "source": source("application/pdf", paper)}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": tool, "name": "look", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": tool, "content": result}]},
        ]

    with recorded(Reply((Text("A kettle."),))) as (client, at):
        with span("answer", kind="agent"):
            for tool in ("toolu_1", "toolu_2"):  # the messages differ, the files do not
                client.messages.create(**{**ASK, "messages": given(tool)})
        assert at.requests[-1].body["messages"] == given("toolu_2"), "what is sent is as it was"
    chats = [s for s in spans() if s["kind"] == "llm"]
    for chat, tool in zip(chats, ("toolu_1", "toolu_2"), strict=True):
        [image] = chat["input"][2]["content"][0]["content"]
        digest = "sha256:" + hashlib.sha256(picture).hexdigest()
        assert image["source"] == {"type": "base64", "media_type": "image/png", "data": digest, "bytes": len(picture)}
        assert chat["input"][2]["content"][0]["tool_use_id"] == tool
        kept = chat["attributes"]["agentops.bytes." + digest]
        assert base64.b64decode(kept.partition(",")[2]) == picture


def test_what_is_kept_to_make_a_call_again_is_not_shown_to_people(spans: Spans, store: Any) -> None:
    from agentops.cli.main import main

    with recorded(Reply((Text("A kettle."),))) as (client, _):
        for _ in client.messages.create(**ASK, stream=True):
            pass
    [chat] = spans()
    assert "anthropic.stream" in chat["attributes"]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["show", "latest", "--content"]) == 0
    assert "A kettle." in out.getvalue()
    assert "anthropic.stream" not in out.getvalue()


def test_who_gets_an_export_gets_the_image_where_it_was_and_nothing_that_is_kept_for_us(
    spans: Spans, store: Any
) -> None:
    from agentops.exporters.otel import readable
    from agentops.store.reader import Reader

    data = base64.b64encode(bytes(range(256)) * 4).decode()
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    with recorded(Reply((Text("A kettle."),))) as (client, _):
        client.messages.create(**{**ASK, "messages": [{"role": "user", "content": [image]}]})
        for _ in client.messages.create(**ASK, stream=True):
            pass
    assert agentops.flush()
    with Reader(str(store)) as reader:
        details = [detail for trace in reader.traces() for detail in reader.details(trace)]
    sent = [dict(readable(detail).attributes or {}) for detail in details]
    [part] = json.loads(str(sent[1]["gen_ai.input.messages"]))[0]["parts"]
    assert (part["type"], part["mime_type"], part["content"]) == ("blob", "image/png", data)
    for attributes in sent:
        assert not [key for key in attributes if key.startswith(("agentops.bytes.", "anthropic.stream"))]


@beta_tool
def weather(city: str) -> str:
    """Tells the weather.

    Args:
        city: where.
    """
    if city == "Atlantis":
        raise LookupError("no such city")
    return f"rain in {city}"


@pytest.mark.parametrize("city", ["Rome", "Atlantis"])
def test_a_tool_that_the_client_runs_is_a_span_with_arguments_and_result(city: str, spans: Spans) -> None:
    with recorded(Reply((ToolUse("weather", {"city": city}),)), Reply((Text("Take a coat."),))) as (client, _):
        runner = client.beta.messages.tool_runner(**ASK, tools=[weather])
        assert [message.stop_reason for message in runner] == ["tool_use", "end_turn"]
    agent, first, tool, second = spans()
    assert (agent["kind"], first["kind"], second["kind"]) == ("agent", "llm", "llm")
    assert {s["parent_span_id"] for s in (first, tool, second)} == {agent["span_id"]}
    assert (tool["name"], tool["kind"], tool["input"]) == ("execute_tool weather", "tool", {"city": city})
    before = second["attributes"]["anthropic.request.thread"]["previous_message_id"]
    assert before == first["attributes"]["gen_ai.response.id"], "the rest of the conversation is at the provider"
    if city == "Rome":
        assert (tool["status"], tool["output"]) == ("ok", "rain in Rome")
    else:
        assert (tool["status"], tool["exception"]["type"]) == ("error", "tool_error")
        assert "no such city" in tool["exception"]["message"]


def test_tools_of_the_async_runner_are_spans_too(spans: Spans) -> None:
    @anthropic.beta_async_tool
    async def weather(city: str) -> str:
        """Tells the weather."""
        return f"rain in {city}"

    replies = iter([Reply((ToolUse("weather", {"city": "Rome"}),)), Reply((Text("Take a coat."),))])

    async def run(url: str) -> None:
        http = httpx2.AsyncClient(trust_env=False)
        async with anthropic.AsyncAnthropic(base_url=url, api_key="any", http_client=http) as client:
            async for _ in agentops.wrap(client).beta.messages.tool_runner(**ASK, tools=[weather]):
                pass

    with StandIn(lambda _: next(replies)) as at:
        asyncio.run(run(at.url))
    [tool] = [s for s in spans() if s["kind"] == "tool"]
    assert (tool["input"], tool["output"]) == ({"city": "Rome"}, "rain in Rome")


def test_counting_tokens_is_on_record_and_no_call_of_a_model(spans: Spans) -> None:
    with recorded(EVERYTHING) as (client, _):
        counted = client.messages.count_tokens(model=MODEL, messages=ASK["messages"]).input_tokens
    [count] = spans()
    assert (count["name"], count["kind"]) == ("messages.count_tokens", "chain")
    assert (count["input"], count["output"]) == (ASK["messages"], {"input_tokens": counted})
    assert (count["usage"], count["cost_usd"]) == (None, None)


def test_results_of_a_batch_are_calls_of_their_own_at_the_batchs_price(spans: Spans) -> None:
    def script(request: Request) -> Reply | Fault:
        if request.body["max_tokens"] == 1:
            return Fault(400, "invalid_request_error", "too short")
        tier = "standard" if request.body["max_tokens"] == 65 else "batch"
        return Reply((Text("Within five days."),), usage=Usage(1000, 200, service_tier=tier))

    http = httpx2.Client(trust_env=False)
    with StandIn(script) as at, anthropic.Anthropic(base_url=at.url, api_key="any", http_client=http) as bare:
        client = agentops.wrap(bare)
        requests: Any = [{"custom_id": name, "params": {**ASK, "max_tokens": n}} for name, n in (("a", 64), ("b", 1))]
        batch = client.messages.batches.create(requests=requests)
        for _ in range(2):  # the same results read twice are the same calls
            read = {found.custom_id: found.result.type for found in client.messages.batches.results(batch.id)}
        assert read == {"a": "succeeded", "b": "errored"}
        client.messages.create(**{**ASK, "max_tokens": 65})
    found = spans()
    [made] = [s for s in found if s["name"] == "messages.batches.create"]
    assert made["input"] == {"requests": requests}
    calls = {s["attributes"].get("anthropic.message.batch.custom_id"): s for s in found if s["kind"] == "llm"}
    assert len([s for s in found if s["kind"] == "llm"]) == len(calls) == 3
    good, bad, full = calls["a"], calls["b"], calls[None]
    results = [s for s in found if s["name"] == "messages.batches.results"]
    assert good["parent_span_id"] in [s["span_id"] for s in results]
    assert good["attributes"]["anthropic.message.batch.id"] == batch.id
    assert good["attributes"]["anthropic.usage.service_tier"] == "batch"
    assert good["output"][0]["text"] == "Within five days."
    assert good["usage"]["input_tokens"] == 1000
    assert good["cost_usd"] > 0
    assert good["cost_usd"] == pytest.approx(full["cost_usd"] / 2)
    assert (bad["status"], bad["exception"]["type"]) == ("error", "invalid_request_error")
    assert bad["exception"]["message"] == "too short"
    assert full["status"] == "ok"


@pytest.mark.parametrize("everywhere", [False, True], ids=["wrap", "instrument"])
def test_copies_of_a_client_stay_recorded_whatever_options_they_are_given(
    everywhere: bool, program: Any, tmp_path: Any, read: Any
) -> None:
    source = """
        import sys, anthropic, httpx2, agentops
        if sys.argv[2] == "True":
            agentops.instrument()
        http = httpx2.Client(trust_env=False)
        bare = anthropic.Anthropic(base_url=sys.argv[1], api_key="x", http_client=http)
        client = agentops.wrap(bare) if sys.argv[2] == "False" else bare
        copies = [
            client.with_options(open_telemetry={"conversation_id": "c-9"}),
            client.with_options(open_telemetry=False),
            client.with_options(middleware=[]),
            client.with_options(open_telemetry={"traces": {"content_mode": "content"}}).with_options(timeout=9),
            client.copy(max_retries=0),
        ]
        for copy in copies:
            copy.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
        if sys.argv[2] == "False":
            bare.with_options(timeout=3).messages.create(
                model="m", max_tokens=9, messages=[{"role": "user", "content": "not this"}])
        """
    with StandIn(lambda _: Reply((Text("Hello."),))) as at:
        done = program(source, at.url, str(everywhere))
    assert done.returncode == 0, done.stderr
    chats = read(tmp_path / "traces.db")
    assert [(c["name"], c["input"], c["output"][0]["text"]) for c in chats] == [
        ("chat m", [{"role": "user", "content": "hi"}], "Hello.")
    ] * 5
    assert sorted(c["session"] or "" for c in chats) == ["", "", "", "", "c-9"]


def test_an_error_in_the_middle_of_a_stream_has_class_type_and_its_status_200(spans: Spans) -> None:
    breaks = Break(5, fault=Fault(529, "overloaded_error", "Overloaded"))
    with recorded(Reply((Text("one two three four five six seven eight"),), breaks=breaks)) as (client, _):
        with pytest.raises(anthropic.APIStatusError):
            for _ in client.messages.create(**ASK, stream=True):
                pass
    [chat] = spans()
    assert chat["status"] == "error"
    assert chat["exception"]["type"].startswith("anthropic.")
    assert "Overloaded" in chat["exception"]["message"]
    assert chat["attributes"]["error.type"] == "overloaded_error"
    assert chat["attributes"]["http.response.status_code"] == 200
    assert chat["output"][0]["text"].startswith("one two")
    assert chat["cost_usd"] is None


@pytest.mark.parametrize("lines", [False, True], ids=["events", "lines"])
def test_a_stream_that_just_ends_is_on_record_as_cut_off(lines: bool, spans: Spans) -> None:
    with recorded(Reply((Text("one two three four five six seven"),), breaks=Break(5))) as (client, _):
        if lines:
            raw_lines(client)
        else:
            for _ in client.messages.create(**ASK, stream=True):
                pass  # nothing is raised
    [chat] = spans()
    assert (chat["status"], chat["attributes"]["error.type"]) == ("error", "api_error")
    assert chat["exception"]["message"] == "the stream ended before its end event"
    assert chat["output"][0]["text"].startswith("one two")


def test_a_connection_that_breaks_is_the_calls_error(spans: Spans) -> None:
    with recorded(Reply((Text("one two three four five six seven"),), breaks=Break(5, drop=True))) as (client, _):
        with pytest.raises(httpx2.TransportError):
            for _ in client.messages.create(**ASK, stream=True):
                pass
    [chat] = spans()
    assert (chat["status"], chat["attributes"]["error.type"]) == ("error", "connection_error")
    assert chat["exception"]["type"].startswith("httpx2.")


def test_a_request_that_is_sent_again_says_why(spans: Spans) -> None:
    dropped = Reply((Text("never"),), breaks=Break(0, drop=True))
    overloaded = Fault(529, "overloaded_error", "Overloaded", {"retry-after-ms": "1"})
    with recorded(dropped, overloaded, Reply((Text("yes"),))) as (client, _):
        client.messages.create(**ASK)
    [chat] = spans()
    assert chat["status"] == "ok"
    assert [event["attributes"] for event in chat["events"]] == [
        {"attempt": 2, "exception.type": "anthropic.APIConnectionError"},
        {"attempt": 3, "http.response.status_code": 529},
    ]


MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "stop_reason": "end_turn",
    "stop_sequence": None, "content": [{"type": "text", "text": "Soon."}],
    "usage": {"input_tokens": 7, "output_tokens": 5},
}  # fmt: skip


@contextmanager
def answering(body: bytes, kind: str) -> Iterator[tuple[str, list[str]]]:
    """A server that gives every request the same answer; its address, and the paths that were asked for."""
    asked: list[str] = []

    def talk(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            while first := lines.readline():
                asked.append(first.split()[1].decode())
                length = 0
                while (line := lines.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line[15:])
                lines.read(length)
                head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def bedrock(url: str) -> Any:
    http = httpx2.Client(trust_env=False)
    return anthropic.AnthropicBedrock(api_key="any", aws_region="eu-central-1", base_url=url, http_client=http)


def vertex(url: str) -> Any:
    http = httpx2.Client(trust_env=False)
    return anthropic.AnthropicVertex(
        access_token="any", project_id="shop", region="global", base_url=url, http_client=http
    )


@pytest.mark.parametrize(("make", "provider"), [(bedrock, "aws.bedrock"), (vertex, "gcp.vertex_ai")])
def test_the_clients_of_other_houses_are_recorded_under_these_names(make: Any, provider: str, spans: Spans) -> None:
    with answering(json.dumps(MESSAGE).encode(), "application/json") as (url, asked), make(url) as client:
        agentops.wrap(client).messages.create(**ASK)
        agentops.wrap(client).with_options(open_telemetry={"conversation_id": "c-9"}).messages.create(**ASK)
    assert MODEL in asked[0]
    for chat in spans():
        assert (chat["name"], chat["input"]) == (f"chat {MODEL}", ASK["messages"])
        assert chat["attributes"]["gen_ai.provider.name"] == provider
        assert (chat["output"][0]["text"], chat["usage"]["input_tokens"]) == ("Soon.", 7)
    assert len(spans()) == 2


def test_tool_definitions_are_stored_once_and_there_in_every_call(spans: Spans) -> None:
    tools = [{"name": "refund", "description": "pays back " * 20, "input_schema": {"type": "object"}}]
    with recorded(Reply((Text("yes"),))) as (client, _):
        for n in range(3):
            client.messages.create(**{**ASK, "messages": [{"role": "user", "content": str(n)}]}, tools=tools)
    assert [chat["attributes"]["gen_ai.tool.definitions"] for chat in spans()] == [tools] * 3


def frame(event: dict[str, Any]) -> bytes:
    """An event in the framing of Amazon Bedrock."""
    payload = json.dumps({"bytes": base64.b64encode(json.dumps(event).encode()).decode()}).encode()
    said = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in said.items()
    )
    head = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    head += struct.pack(">I", zlib.crc32(head))
    return head + headers + payload + struct.pack(">I", zlib.crc32(head + headers + payload))


def test_a_stream_of_bedrock_is_on_record(spans: Spans) -> None:
    pytest.importorskip("botocore", reason="the client needs botocore for streams of Bedrock")
    text = {"type": "text", "text": ""}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": text},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Soon."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]
    body = b"".join(map(frame, events))
    with answering(body, "application/vnd.amazon.eventstream") as (url, _), bedrock(url) as client:
        got = [event.type for event in agentops.wrap(client).messages.create(**ASK, stream=True)]
    assert got == [event["type"] for event in events]
    [chat] = spans()
    assert (chat["output"][0]["text"], chat["usage"]["output_tokens"]) == ("Soon.", 5)


@pytest.mark.skipif(not os.environ.get("ANTHROPIC_API_KEY"), reason="there is no ANTHROPIC_API_KEY")
@pytest.mark.parametrize("streams", [False, True])
def test_a_call_of_the_real_api_is_on_record(streams: bool, spans: Spans) -> None:
    with anthropic.Anthropic() as client:
        answer: Any = agentops.wrap(client).messages.create(**ASK, stream=streams)
        counted = [event.usage.output_tokens for event in answer if event.type == "message_delta"] if streams else None
    [chat] = spans()
    assert chat["status"] == "ok"
    assert chat["usage"]["output_tokens"] == (counted[-1] if counted else answer.usage.output_tokens)
    assert chat["attributes"]["anthropic.request.id"].startswith("req_")
