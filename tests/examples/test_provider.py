"""What the stand-in can say, in one table, read by each of the real client's ways to ask."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import anthropic
import httpx2
import pytest

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
    overloaded,
)

MODEL = "claude-sonnet-5"
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
SEARCH = {"query": "tide tables Ålesund"}
FOUND = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [
        {
            "type": "web_search_result",
            "url": "https://example.org/tides",
            "title": "Tides",
            "encrypted_content": "AAEC",
            "page_age": "2 days",
        }
    ],
}
CITED = {
    "type": "web_search_result_location",
    "url": "https://example.org/tides",
    "title": "Tides",
    "encrypted_index": "AAEC",
    "cited_text": "High water at nine",
}
QUOTED = {
    "type": "char_location",
    "document_index": 0,
    "document_title": "Tides",
    "start_char_index": 0,
    "end_char_index": 10,
    "cited_text": "High water",
    "file_id": None,
}
REDACTED = {"type": "redacted_thinking", "data": "c2VjcmV0"}
WHOLE_USAGE = Usage(
    input_tokens=7,
    output_tokens=31,
    cache_read_input_tokens=900,
    cache_creation_input_tokens=80,
    cache_creation_1h_input_tokens=50,
    thinking_tokens=12,
    web_search_requests=2,
    web_fetch_requests=1,
    service_tier="priority",
    speed="fast",
)


@dataclass(frozen=True)
class Case:
    """What the provider says, and the fields of the message that a program must get of it."""

    reply: Reply
    content: list[dict[str, Any]]
    stop_reason: str | None = "end_turn"


CASES = {
    "text": Case(Reply((Text("good  morning,\nAda — 早"),)), [{"type": "text", "text": "good  morning,\nAda — 早"}]),
    "empty text": Case(Reply((Text(""),)), [{"type": "text", "text": ""}]),
    "nothing": Case(Reply(()), []),
    "tool calls": Case(
        Reply((Text("let me see"), ToolUse("weather", {"city": "Ålesund", "days": [1, 2]}), ToolUse("now"))),
        [
            {"type": "text", "text": "let me see"},
            {"type": "tool_use", "name": "weather", "input": {"city": "Ålesund", "days": [1, 2]}},
            {"type": "tool_use", "name": "now", "input": {}},
        ],
        "tool_use",
    ),
    "thinking": Case(
        Reply((Thinking("First the tide, then the boat.", "c2ln"), Text("At nine."))),
        [
            {"type": "thinking", "thinking": "First the tide, then the boat.", "signature": "c2ln"},
            {"type": "text", "text": "At nine."},
        ],
    ),
    "redacted thinking": Case(
        Reply((Block(REDACTED), Text("At nine."))), [REDACTED, {"type": "text", "text": "At nine."}]
    ),
    "a tool of the provider": Case(
        Reply((ServerToolUse("web_search", SEARCH), Block(FOUND), Text("High water at nine.", (CITED,)))),
        [
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": SEARCH},
            FOUND,
            {"type": "text", "text": "High water at nine.", "citations": [CITED]},
        ],
    ),
    "citations of a document": Case(
        Reply((Text("At nine.", (QUOTED, QUOTED)),)),
        [{"type": "text", "text": "At nine.", "citations": [QUOTED, QUOTED]}],
    ),
    "cut short": Case(Reply((Text("At"),), stop_reason="max_tokens"), [{"type": "text", "text": "At"}], "max_tokens"),
    "a pause": Case(
        Reply((ServerToolUse("web_search", SEARCH),), stop_reason="pause_turn"),
        [{"type": "server_tool_use", "name": "web_search", "input": SEARCH}],
        "pause_turn",
    ),
    "refused": Case(Reply((), stop_reason="refusal"), [], "refusal"),
    "every count": Case(Reply((Text("x"),), usage=WHOLE_USAGE), [{"type": "text", "text": "x"}]),
}


def asked(**more: Any) -> Any:
    return {"model": MODEL, "max_tokens": 64, "messages": HELLO, **more}


def create(client: anthropic.Anthropic) -> Any:
    return client.messages.create(**asked())


def stream(client: anthropic.Anthropic) -> Any:
    with client.messages.stream(**asked()) as events:
        return events.get_final_message()


def raw_events(client: anthropic.Anthropic) -> Any:
    snapshot: Any = None
    from anthropic.lib.streaming._messages import accumulate_event

    parts: dict[int, bytes] = {}
    for event in client.messages.create(**asked(), stream=True):
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=parts)
    return snapshot


def beta(client: anthropic.Anthropic) -> Any:
    return client.beta.messages.create(**asked())


def raw_response(client: anthropic.Anthropic) -> Any:
    return client.messages.with_raw_response.create(**asked()).parse()


async def async_create(client: anthropic.AsyncAnthropic) -> Any:
    return await client.messages.create(**asked())


async def async_stream(client: anthropic.AsyncAnthropic) -> Any:
    async with client.messages.stream(**asked()) as events:
        return await events.get_final_message()


WAYS = (create, stream, raw_events, beta, raw_response, async_create, async_stream)
STREAMING = (stream, raw_events, async_stream)


Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """What a program gets that asks in one of these ways. Clients are dear to make: all tests have the same two."""
    replies: list[Reply | Fault] = []
    with ExitStack() as stack:
        server = stack.enter_context(StandIn(lambda request: replies[-1]))
        given: Any = {"base_url": server.url, "api_key": "any", "max_retries": 0, "open_telemetry": False}
        plain = stack.enter_context(anthropic.Anthropic(http_client=httpx2.Client(trust_env=False), **given))
        runner = stack.enter_context(asyncio.Runner())
        http = httpx2.AsyncClient(trust_env=False)
        other = anthropic.AsyncAnthropic(http_client=http, **given)
        stack.callback(lambda: runner.run(other.close()))

        def run(way: Callable[..., Any], reply: Reply | Fault, **options: Any) -> Any:
            replies[:] = [reply]
            if asyncio.iscoroutinefunction(way):
                return runner.run(way(other.with_options(**options)))
            return way(plain.with_options(**options))

        yield run


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_client_reads_what_the_provider_says(ask: Ask, case: Case, way: Callable[..., Any]) -> None:
    message = ask(way, case.reply)
    got = [block.to_dict(mode="json") for block in message.content]
    assert len(got) == len(case.content)
    for block, expected in zip(got, case.content, strict=True):
        assert {key: block.get(key) for key in expected} == expected
    assert message.stop_reason == case.stop_reason
    assert message.role == "assistant"
    assert message.model == MODEL
    assert message.usage.input_tokens > 0
    if case.reply.usage is not None:
        assert counts(message.usage) == counts(case.reply.usage)


def counts(usage: Any) -> list[Any]:
    """Every count that the API knows, whoever tells it."""
    if isinstance(usage, Usage):
        short = usage.cache_creation_input_tokens - usage.cache_creation_1h_input_tokens
        split = [short, usage.cache_creation_1h_input_tokens, usage.thinking_tokens]
        tools = [usage.web_search_requests, usage.web_fetch_requests]
    else:
        lifetimes, tool_use = usage.cache_creation, usage.server_tool_use
        split = [lifetimes.ephemeral_5m_input_tokens, lifetimes.ephemeral_1h_input_tokens]
        split.append(usage.output_tokens_details.thinking_tokens)
        tools = [tool_use.web_search_requests, tool_use.web_fetch_requests]
    named = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "service_tier")
    return [*(getattr(usage, name) for name in named), usage.speed, *split, *tools]


FAULTS = {
    "invalid": (Fault(400, "invalid_request_error", "no"), anthropic.BadRequestError),
    "rate": (Fault(429, "rate_limit_error", "slow down", {"retry-after": "3"}), anthropic.RateLimitError),
    "server": (Fault(500, "api_error", "oh"), anthropic.InternalServerError),
    "overloaded": (overloaded(), anthropic.OverloadedError),
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(("fault", "raised"), FAULTS.values(), ids=FAULTS)
def test_an_error_is_the_client_s_own(
    ask: Ask, fault: Fault, raised: type[anthropic.APIStatusError], way: Callable[..., Any]
) -> None:
    with pytest.raises(raised) as caught:
        ask(way, fault)
    assert (caught.value.status_code, caught.value.type) == (fault.status, fault.type)
    assert caught.value.request_id


@pytest.mark.parametrize("way", STREAMING, ids=lambda way: way.__name__)
def test_an_error_in_the_middle_of_a_stream_comes_with_status_200(ask: Ask, way: Callable[..., Any]) -> None:
    reply = Reply((Text("one two three four five six seven"),), breaks=Break(4, overloaded()))
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask(way, reply)
    assert (caught.value.status_code, caught.value.type) == (200, "overloaded_error")


@pytest.mark.parametrize("way", STREAMING, ids=lambda way: way.__name__)
def test_a_stream_that_just_ends_raises_nothing(ask: Ask, way: Callable[..., Any]) -> None:
    message = ask(way, Reply((Text("one two three four five six seven"),), breaks=Break(4)))
    assert message.stop_reason is None
    assert message.content[0].text == "one two three"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_dropped_connection_is_an_error_of_the_connection(ask: Ask, way: Callable[..., Any]) -> None:
    with pytest.raises((anthropic.APIConnectionError, httpx2.TransportError)):
        ask(way, Reply((Text("one two three four five six seven"),), breaks=Break(4, drop=True)))


@pytest.mark.parametrize("way", [create, async_create], ids=lambda way: way.__name__)
def test_a_client_does_not_wait_for_ever(ask: Ask, way: Callable[..., Any]) -> None:
    with pytest.raises(anthropic.APITimeoutError):
        ask(way, Reply((Text("late"),), delay_s=0.5), timeout=0.1)


def test_images_documents_and_all_that_a_history_may_hold_are_taken() -> None:
    picture = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(bytes(300_000)).decode()}
    messages: list[Any] = [
        {
            "role": "user",
            "content": [
                {"type": "image", "source": picture},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "High water."}},
                {"type": "text", "text": "What is this?"},
            ],
        },
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, REDACTED]},
        {"role": "user", "content": "And?"},
    ]
    with StandIn(lambda request: Reply((Text("A boat."),))) as server:
        http = httpx2.Client(trust_env=False)
        with anthropic.Anthropic(base_url=server.url, api_key="any", http_client=http) as client:
            usage = client.messages.create(**asked(messages=messages)).usage
            assert 1_500 < usage.input_tokens < 2_000  # an image costs by its size, not by its bytes
            assert client.messages.count_tokens(model=MODEL, messages=messages).input_tokens == usage.input_tokens


def test_a_batch_is_in_progress_and_then_has_results() -> None:
    def script(request: Request) -> Reply | Fault:
        text = request.body["messages"][0]["content"]
        return Reply((Text(text.upper()),)) if text != "bad" else Fault(529, "overloaded_error", "Overloaded")

    requests: list[Any] = [
        {"custom_id": name, "params": asked(messages=[{"role": "user", "content": name}])} for name in ("one", "bad")
    ]
    requests.append({"custom_id": "unsound", "params": asked(max_tokens=0)})
    with StandIn(script) as server:
        http = httpx2.Client(trust_env=False)
        with anthropic.Anthropic(base_url=server.url, api_key="any", http_client=http) as client:
            begun = client.messages.batches.create(requests=requests)
            assert begun.processing_status == "in_progress"
            assert begun.request_counts.processing == 3
            batch = client.messages.batches.retrieve(begun.id)
            assert (batch.processing_status, batch.request_counts.succeeded) == ("ended", 1)
            assert [each.id for each in client.messages.batches.list()] == [begun.id]
            results = {line.custom_id: line.result for line in client.messages.batches.results(begun.id)}
    one, bad, unsound = (results[name] for name in ("one", "bad", "unsound"))
    assert one.type == "succeeded"
    assert one.message.content[0].to_dict() == {"type": "text", "text": "ONE"}
    assert one.message.usage.service_tier == "batch"
    assert bad.type == unsound.type == "errored"
    assert bad.error.error.type == "overloaded_error"
    assert "max_tokens" in unsound.error.error.message


def test_pieces_of_a_slow_stream_come_one_by_one(ask: Ask) -> None:
    reply = replace(Reply((Text("one two three four five six seven"),)), chunk_delay_s=0.05)

    def first(client: anthropic.Anthropic) -> Any:
        with client.messages.stream(**asked()) as events:
            return next(iter(events.text_stream))

    assert ask(first, reply) == "one two three"
