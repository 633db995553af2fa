"""What users of other tracers have reported of calls to Anthropic's API, by the reports' names."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import httpx2
import pytest
from opentelemetry import trace as otel

import agentops
from agentops import span
from examples.stand_in import Reply, StandIn, Text, ToolUse, Usage

MODEL = "claude-haiku-5-5"
ASK: dict[str, Any] = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}]}
CACHED = Usage(100, 20, cache_read_input_tokens=3000, cache_creation_input_tokens=50, cache_creation_1h_input_tokens=40)
Spans = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "_TRACER_PROVIDER", None)


@contextmanager
def recorded(reply: Reply) -> Iterator[anthropic.Anthropic]:
    http = httpx2.Client(trust_env=False)
    with StandIn(lambda _: reply) as at:
        with anthropic.Anthropic(base_url=at.url, api_key="any", http_client=http) as client:
            yield agentops.wrap(client)


@contextmanager
def saying(*events: dict[str, Any]) -> Iterator[anthropic.Anthropic]:
    """A client that gets these events, whatever it asks."""
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()
    answer = httpx2.MockTransport(
        lambda _: httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    )
    with anthropic.Anthropic(api_key="any", http_client=httpx2.Client(transport=answer)) as client:
        yield agentops.wrap(client)


def plain(client: anthropic.Anthropic) -> None:
    client.messages.create(**ASK)


def streamed(client: anthropic.Anthropic) -> None:
    for _ in client.messages.create(**ASK, stream=True):
        pass


def helped(client: anthropic.Anthropic) -> None:
    with client.messages.stream(**ASK) as events:
        events.until_done()


def beta(client: anthropic.Anthropic) -> None:
    client.beta.messages.create(**ASK)


def usage_of(how: Any, spans: Spans) -> dict[str, Any]:
    with recorded(Reply((Text("yes"),), usage=CACHED)) as client:
        how(client)
    [chat] = spans()
    facts = {key: value for key, value in chat["attributes"].items() if "usage" in key}
    return {"usage": chat["usage"], "cost": chat["cost_usd"], **facts}


@pytest.mark.parametrize("how", [streamed, helped, beta], ids=lambda how: how.__name__)
def test_openinference_3487_and_litellm_36168_a_stream_loses_no_count_that_the_plain_call_has(
    how: Any, spans: Spans, tmp_path: Any
) -> None:
    found = usage_of(how, spans)
    assert found["usage"]["cache_read_input_tokens"] == 3000
    assert found["usage"]["cache_write_input_tokens"] == 50
    assert found["anthropic.usage.cache_creation.ephemeral_1h_input_tokens"] == 40
    assert found["usage"]["output_tokens"] == 20


def test_openinference_3734_the_prompt_includes_what_the_cache_read_and_wrote(spans: Spans) -> None:
    assert usage_of(plain, spans)["usage"]["input_tokens"] == 3150


def test_openinference_3342_tool_definitions_are_there(spans: Spans) -> None:
    tools: Any = [{"name": "refund", "description": "pays back", "input_schema": {"type": "object"}}]
    with recorded(Reply((ToolUse("refund", {}),))) as client:
        client.messages.create(**ASK, tools=tools)
    assert spans()[0]["attributes"]["gen_ai.tool.definitions"] == tools


def test_langfuse_10592_calls_beside_a_span_of_the_agents_are_counted_once(spans: Spans, store: Any) -> None:
    from agentops.store.reader import Reader

    with recorded(Reply((Text("yes"),), usage=CACHED)) as client, span("answer", kind="agent") as agent:
        plain(client)
        agent.set_attribute("gen_ai.usage.input_tokens", 3150)  # agents repeat what their calls used
    assert agentops.flush()
    with Reader(str(store)) as reader:
        [trace] = reader.traces()
    assert (trace.llm_calls, trace.output_tokens) == (1, 20)


START = {
    "type": "message_start",
    "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": [], "stop_reason": None,
        "usage": {
            "input_tokens": 10, "cache_read_input_tokens": 3000, "cache_creation_input_tokens": 5, "output_tokens": 1,
        },
    },
}  # fmt: skip


def test_openlit_1601_zeros_of_the_last_event_do_not_take_the_caches_counts_away(spans: Spans) -> None:
    zeros = {"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": None, "output_tokens": 9}
    change = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": zeros}
    with saying(START, change, {"type": "message_stop"}) as client:
        streamed(client)
    [chat] = spans()
    assert (chat["usage"]["input_tokens"], chat["usage"]["cache_read_input_tokens"]) == (3015, 3000)
    assert chat["usage"]["output_tokens"] == 9


def test_openlit_1370_counts_of_the_last_event_are_of_all_and_are_not_added(spans: Spans) -> None:
    changes = [
        {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 10, "output_tokens": 4}},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"input_tokens": 25, "output_tokens": 9},
        },
    ]
    with saying(START, *changes, {"type": "message_stop"}) as client:
        streamed(client)
    [chat] = spans()
    assert (chat["usage"]["input_tokens"], chat["usage"]["output_tokens"]) == (3030, 9)


def test_opentelemetry_2606_a_stream_that_another_task_closes_detaches_nothing(
    spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    async def words(client: anthropic.AsyncAnthropic) -> AsyncIterator[str]:
        with span("write", kind="chain"):
            async with client.messages.stream(**ASK) as events:
                async for text in events.text_stream:
                    yield text

    async def run(url: str) -> None:
        http = httpx2.AsyncClient(trust_env=False)
        async with anthropic.AsyncAnthropic(base_url=url, api_key="any", http_client=http) as client:
            made = words(agentops.wrap(client))
            await anext(made)

            async def close() -> None:
                await made.aclose()

            await asyncio.create_task(close())
            left = words(agentops.wrap(client))
            await anext(left)
            del left  # the event loop closes it in a task of its own

    with StandIn(lambda _: Reply((Text("one two three four five six seven eight"),))) as at:
        with caplog.at_level(logging.DEBUG):
            asyncio.run(run(at.url))
    assert not [record.getMessage() for record in caplog.records if "detach" in record.getMessage().lower()]
    found = spans()
    assert len([s for s in found if s["kind"] == "llm"]) == 2
    parents = {s["span_id"]: s for s in found}
    assert all(parents[s["parent_span_id"]]["name"] == "write" for s in found if s["kind"] == "llm")
    assert all(s["end_time_unix_nano"] for s in found)


def test_phoenix_11362_a_call_in_a_generator_is_not_current_between_its_pieces(spans: Spans) -> None:
    def words(client: anthropic.Anthropic) -> Iterator[str]:
        with client.messages.stream(**ASK) as events:
            yield from events.text_stream

    with recorded(Reply((Text("one two three four five six seven eight"),))) as client:
        with span("answer", kind="agent") as agent:
            for _ in words(client):
                with span("render"):
                    pass
    assert {s["parent_span_id"] for s in spans() if s["name"] == "render"} == {agent.span_id}
