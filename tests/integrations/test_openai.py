"""Calls of OpenAI's client, over HTTP to a server that speaks its API, as they are on record."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from opentelemetry import trace as otel

import agentops
from agentops import span
from agentops.exporters.messages import answered, asked
from tests.integrations.openai_stand_in import (
    CALL,
    MODEL,
    USAGE,
    Reply,
    Server,
    chat,
    chunks,
    refused,
    serving,
    streamed,
)

Spans = Callable[[], list[dict[str, Any]]]

MESSAGES: Any = [{"role": "user", "content": "Where is my money?"}]
TOOLS: Any = [{"type": "function", "function": {"name": "refund", "parameters": {"type": "object"}}}]
ASKED: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}
ANSWER = {"role": "assistant", "content": "Within five days.", "tool_calls": [CALL]}
COUNTED = {
    "input_tokens": 180,
    "output_tokens": 20,
    "cache_read_input_tokens": 30,
    "reasoning_output_tokens": 8,
}


@pytest.fixture(autouse=True)
def _no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "_TRACER_PROVIDER", None)


def client_of(server: Server, **options: Any) -> openai.OpenAI:
    http = httpx2.Client(trust_env=False)
    return openai.OpenAI(base_url=server.url, api_key="any", http_client=http, **options)


def async_client_of(server: Server) -> openai.AsyncOpenAI:
    http = httpx2.AsyncClient(trust_env=False)
    return openai.AsyncOpenAI(base_url=server.url, api_key="any", http_client=http)


def create(client: openai.OpenAI) -> None:
    client.chat.completions.create(**ASKED)


def parse(client: openai.OpenAI) -> None:
    client.chat.completions.parse(**ASKED)


def create_stream(client: openai.OpenAI) -> None:
    for _ in client.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True}):
        pass


def stream(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(**ASKED) as events:
        events.until_done()


def raw(client: openai.OpenAI) -> None:
    client.chat.completions.with_raw_response.create(**ASKED).parse()


def streaming_response(client: openai.OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(**ASKED) as response:
        response.parse()


def copied(client: openai.OpenAI) -> None:
    client.with_options(timeout=30).chat.completions.create(**ASKED)


async def async_create(client: openai.AsyncOpenAI) -> None:
    await client.chat.completions.create(**ASKED)


async def async_create_stream(client: openai.AsyncOpenAI) -> None:
    async for _ in await client.chat.completions.create(**ASKED, stream=True):
        pass


async def async_stream(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(**ASKED) as events:
        await events.until_done()


async def async_streaming_response(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.with_streaming_response.create(**ASKED) as response:
        await response.parse()


WAYS = [
    create, parse, create_stream, stream, raw, streaming_response, copied,
    async_create, async_create_stream, async_stream, async_streaming_response,
]  # fmt: skip


def call(how: Any, at: Server) -> None:
    if not asyncio.iscoroutinefunction(how):
        with client_of(at) as client:
            how(agentops.wrap(client))
        return

    async def run() -> None:
        async with async_client_of(at) as client:
            await how(agentops.wrap(client))

    asyncio.run(run())


def is_stream(how: Any) -> bool:
    return "stream" in how.__name__ and "response" not in how.__name__


@pytest.mark.parametrize("how", WAYS, ids=lambda how: how.__name__)
def test_a_call_is_one_span_whichever_way_it_is_made(how: Any, spans: Spans) -> None:
    with serving(streamed() if is_stream(how) else chat()) as at:
        with span("answer", kind="agent", session="s-17"):
            call(how, at)
    [agent, called] = spans()
    assert (called["name"], called["kind"], called["status"]) == (f"chat {MODEL}", "llm", "ok")
    assert called["parent_span_id"] == agent["span_id"]
    assert (called["input"], called["output"]) == (MESSAGES, ANSWER)
    assert called["usage"] == COUNTED
    facts = called["attributes"]
    assert facts["gen_ai.operation.name"] == "chat"
    assert facts["gen_ai.request.model"] == facts["gen_ai.response.model"] == MODEL
    assert facts["gen_ai.response.id"] == "chatcmpl-7"
    assert facts["gen_ai.response.finish_reasons"] == ["tool_call"]
    assert facts["openai.response.system_fingerprint"] == "fp_17"
    assert facts["server.address"] == "127.0.0.1"
    assert f":{facts['server.port']}/" in at.url
    assert facts.get("gen_ai.request.stream", False) == is_stream(how)
    assert ("gen_ai.response.time_to_first_chunk" in facts) == is_stream(how)


def test_all_of_the_request_is_on_record(spans: Spans) -> None:
    with serving(chat()) as at, client_of(at) as client:
        agentops.wrap(client).chat.completions.create(
            **ASKED, tools=TOOLS, temperature=0.5, max_completion_tokens=64, stop="END", n=1, seed=7,
            reasoning_effort="low", tool_choice="auto", extra_body={"top_k": 5, "guided_json": {"type": "object"}},
        )  # fmt: skip
    facts = spans()[0]["attributes"]
    expected = {
        "gen_ai.tool.definitions": TOOLS,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 64,
        "gen_ai.request.stop_sequences": ["END"],
        "gen_ai.request.choice.count": 1,
        "gen_ai.request.seed": 7,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.request.top_k": 5,
        "openai.request.tool_choice": "auto",
        "openai.request.guided_json": {"type": "object"},
    }
    assert {key: facts.get(key) for key in expected} == expected


def test_several_choices_are_all_there(spans: Spans) -> None:
    said = [
        {"index": n, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        for n, text in enumerate(("Soon.", "Later."))
    ]
    events = [
        {**chunk, "choices": [{"index": n, "delta": {"role": "assistant", "content": text}, "finish_reason": end}]}
        for chunk in chunks()[:1]
        for n, text, end in ((0, "Soon", None), (1, "Later", None), (0, ".", "stop"), (1, ".", "stop"))
    ]
    with serving(chat(choices=said), streamed(events)) as at, client_of(at) as client:
        create(agentops.wrap(client))
        create_stream(agentops.wrap(client))
    for one in spans():
        assert [choice["message"]["content"] for choice in one["output"]["choices"]] == ["Soon.", "Later."]
        assert one["attributes"]["gen_ai.response.finish_reasons"] == ["stop", "stop"]


RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_790_000_000,
    "model": MODEL,
    "status": "completed",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Within five days.", "annotations": []}],
        },
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "refund", "arguments": '{"order": 1}'},
    ],
    "usage": {
        "input_tokens": 180,
        "output_tokens": 20,
        "total_tokens": 200,
        "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 10},
        "output_tokens_details": {"reasoning_tokens": 8},
    },
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
RESPONSE_EVENTS: list[dict[str, Any]] = [
    {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "output": [], "status": "in_progress"}},
    {"type": "response.output_item.added", "output_index": 0, "item": {**RESPONSE["output"][0], "content": []}},
    {
        "type": "response.output_text.delta", "output_index": 0, "content_index": 0, "item_id": "msg_1",
        "delta": "Within five days.", "logprobs": [],
    },
    {"type": "response.completed", "sequence_number": 9, "response": RESPONSE},
]  # fmt: skip


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_a_call_of_the_responses_api(streams: bool, spans: Spans) -> None:
    whole = chat()
    whole.parts = [json.dumps(RESPONSE).encode()]
    with serving(streamed(RESPONSE_EVENTS, done=False) if streams else whole) as at, client_of(at) as client:
        answer = agentops.wrap(client).responses.create(
            model=MODEL, input="Where is my money?", instructions="Be short.", reasoning={"effort": "low"},
            stream=streams,
        )  # fmt: skip
        if streams:
            list(answer)
    [called] = spans()
    assert (called["name"], called["kind"], called["status"]) == (f"chat {MODEL}", "llm", "ok")
    assert called["input"] == "Where is my money?"
    assert called["output"] == RESPONSE["output"]
    assert called["usage"] == {**COUNTED, "cache_write_input_tokens": 10}
    facts = called["attributes"]
    assert facts["gen_ai.system_instructions"] == "Be short."
    assert facts["gen_ai.request.reasoning.level"] == "low"
    assert facts["gen_ai.response.finish_reasons"] == ["tool_call"]


def test_a_stream_of_a_response_that_breaks_off_is_on_record_as_far_as_it_came(spans: Spans) -> None:
    with serving(streamed(RESPONSE_EVENTS[:3], done=False)) as at, client_of(at) as client:
        list(agentops.wrap(client).responses.create(model=MODEL, input="Where?", stream=True))
    [called] = spans()
    assert called["status"] == "error"
    assert called["output"][0]["content"] == [{"type": "output_text", "text": "Within five days."}]


def test_embeddings_and_old_completions(spans: Spans) -> None:
    vectors = {
        "object": "list",
        "model": "text-embedding-4",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }
    old = {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1_790_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "finish_reason": "length", "text": " five days", "logprobs": None}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6},
    }
    replies = [Reply(parts=[json.dumps(answer).encode()]) for answer in (vectors, old)]
    with serving(*replies) as at, client_of(at) as client:
        wrapped = agentops.wrap(client)
        assert wrapped.embeddings.create(model="text-embedding-4", input=["money"]).data[0].embedding == [0.25, 0.5]
        wrapped.completions.create(model=MODEL, prompt="Within")
    found = {one["kind"]: one for one in spans()}
    assert (found["embedding"]["name"], found["embedding"]["input"]) == ("embeddings text-embedding-4", ["money"])
    assert found["embedding"]["usage"] == {"input_tokens": 3}
    assert (found["llm"]["name"], found["llm"]["input"]) == (f"text_completion {MODEL}", "Within")
    assert (found["llm"]["output"], found["llm"]["usage"]["output_tokens"]) == (" five days", 2)


def test_a_retry_is_an_event_on_the_one_call(spans: Spans) -> None:
    soon = {"retry-after-ms": "1"}
    replies = [refused(429, "rate_limit_error", **soon), refused(503, "overloaded", **soon), chat()]
    with serving(*replies) as at, client_of(at) as client:
        create(agentops.wrap(client))
    assert len([path for path in at.paths if path.endswith("completions")]) == 3
    [called] = spans()
    assert called["status"] == "ok"
    assert [(event["name"], event["attributes"]) for event in called["events"]] == [
        ("retry", {"attempt": 2, "http.response.status_code": 429}),
        ("retry", {"attempt": 3, "http.response.status_code": 503}),
    ]


def test_an_error_is_on_record_with_class_type_and_status(spans: Spans) -> None:
    with serving(refused(400, "invalid_request_error", "context_length_exceeded")) as at, client_of(at) as client:
        with pytest.raises(openai.BadRequestError):
            create(agentops.wrap(client))
    [called] = spans()
    assert called["status"] == "error"
    assert called["exception"]["type"] == "openai.BadRequestError"
    facts = called["attributes"]
    assert facts["error.type"] == "context_length_exceeded"
    assert facts["http.response.status_code"] == 400
    assert facts["openai.error"]["type"] == "invalid_request_error"


def test_a_server_that_is_not_there(spans: Spans) -> None:
    with serving(chat()) as at:
        pass
    with client_of(at, max_retries=1) as client, pytest.raises(openai.APIConnectionError):
        create(agentops.wrap(client))
    [called] = spans()
    assert called["exception"]["type"] == called["attributes"]["error.type"] == "openai.APIConnectionError"
    assert called["events"][0]["attributes"] == {"attempt": 2, "exception.type": "httpx2.ConnectError"}


def test_an_error_in_the_middle_of_a_stream(spans: Spans) -> None:
    events = [*chunks()[:3], {"error": {"message": "too many", "type": "server_error", "code": "overloaded"}}]
    with serving(streamed(events)) as at, client_of(at) as client:
        with pytest.raises(openai.APIError, match="too many"):
            create_stream(agentops.wrap(client))
    [called] = spans()
    assert (called["status"], called["output"]["content"]) == ("error", "Within five days.")
    assert (called["exception"]["type"], called["attributes"]["error.type"]) == ("openai.APIError", "overloaded")


@pytest.mark.parametrize("breaks", [False, True], ids=["just ends", "connection lost"])
def test_a_stream_that_is_cut_off(breaks: bool, spans: Spans) -> None:
    with serving(streamed(chunks()[:3], done=False, breaks=breaks)) as at, client_of(at) as client:
        if breaks:
            with pytest.raises(openai.APIConnectionError):
                create_stream(agentops.wrap(client))
        else:
            create_stream(agentops.wrap(client))  # the client says nothing
    [called] = spans()
    assert (called["status"], called["output"]["content"]) == ("error", "Within five days.")
    assert called["attributes"]["error.type"] == ("httpx2.RemoteProtocolError" if breaks else "stream_cut_off")


def leave_by_break(client: openai.OpenAI) -> None:
    for _ in client.chat.completions.create(**ASKED, stream=True):
        break


def leave_by_close(client: openai.OpenAI) -> None:
    events = client.chat.completions.create(**ASKED, stream=True)
    next(events)
    events.close()


def leave_by_an_error_of_the_program(client: openai.OpenAI) -> None:
    with pytest.raises(KeyError), client.chat.completions.create(**ASKED, stream=True) as events:
        for _ in events:
            raise KeyError("mine")


def never_read(client: openai.OpenAI) -> None:
    client.chat.completions.create(**ASKED, stream=True)


@pytest.mark.parametrize(
    "how", [leave_by_break, leave_by_close, leave_by_an_error_of_the_program, never_read], ids=lambda how: how.__name__
)
def test_a_stream_that_the_program_leaves_is_no_error(how: Any, spans: Spans) -> None:
    with serving(streamed(pause_s=0.005)) as at, client_of(at) as client:
        how(agentops.wrap(client))
        gc.collect()
    [called] = spans()
    assert called["status"] == "ok"
    assert called["end_time_unix_nano"] is not None
    assert "gen_ai.response.finish_reasons" not in called["attributes"]


def test_a_task_that_is_cancelled_in_the_middle_of_a_stream(spans: Spans) -> None:
    async def run(at: Server) -> None:
        began = asyncio.Event()

        async def read() -> None:
            async with async_client_of(at) as client:
                async for _ in await agentops.wrap(client).chat.completions.create(**ASKED, stream=True):
                    began.set()

        task = asyncio.create_task(read())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with serving(streamed(pause_s=0.2)) as at:
        asyncio.run(run(at))
    [called] = spans()
    assert (called["status"], called["exception"]["type"]) == ("error", "asyncio.exceptions.CancelledError")


def test_spans_between_the_chunks_of_a_stream_are_not_the_call_s(spans: Spans) -> None:
    with serving(streamed()) as at, client_of(at) as client, span("answer"):
        for number, _ in enumerate(agentops.wrap(client).chat.completions.create(**ASKED, stream=True)):
            if number == 1:
                with span("show"):
                    pass
    names = {one["span_id"]: one["name"] for one in spans()}
    assert {one["name"]: names.get(one["parent_span_id"]) for one in spans()} == {
        "answer": None,
        f"chat {MODEL}": "answer",
        "show": "answer",
    }


def test_calls_that_run_at_once_keep_apart(spans: Spans) -> None:
    async def one(client: openai.AsyncOpenAI, number: int) -> None:
        with span(f"task {number}"):
            async for _ in await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": str(number)}], stream=True
            ):
                pass

    async def run(at: Server) -> None:
        async with async_client_of(at) as client:
            wrapped = agentops.wrap(client)
            await asyncio.gather(*(one(wrapped, number) for number in range(8)))

    with serving(streamed(pause_s=0.002)) as at:
        asyncio.run(run(at))
    found = spans()
    tasks = {one["span_id"]: one["name"] for one in found if one["name"].startswith("task")}
    calls = [one for one in found if one["kind"] == "llm"]
    assert len(calls) == len(tasks) == 8
    assert {tasks[one["parent_span_id"]] for one in calls} == {f"task {one['input'][0]['content']}" for one in calls}
    for one in calls:
        assert tasks[one["parent_span_id"]] == f"task {one['input'][0]['content']}"
        assert one["output"] == ANSWER


def what_a_program_sees(client: openai.OpenAI) -> list[Any]:
    """Types, values and exceptions of all there is to see."""
    seen: list[Any] = [type(client)]
    seen.append(client.chat.completions.create(**ASKED))
    events = client.chat.completions.create(**ASKED, stream=True)
    seen += [type(events), type(events.response), list(events), events.response.is_closed, list(events)]
    response = client.chat.completions.with_raw_response.create(**ASKED, stream=True)
    seen += [type(response), response.headers["content-type"], list(response.parse())]
    with client.chat.completions.with_streaming_response.create(**ASKED, stream=True) as streaming:
        seen += [type(streaming), list(streaming.iter_lines())]
    for _ in range(2):
        try:
            seen.append(list(client.chat.completions.create(**ASKED, stream=True)))
        except openai.APIError as problem:
            seen += [type(problem), str(problem), type(problem.__cause__), getattr(problem, "body", None)]
    return seen


@pytest.mark.parametrize("way", ["wrap", "both"])
def test_a_program_sees_what_it_sees_without_us(way: str, spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    error = [chunks()[0], {"error": {"message": "too many", "type": "server_error", "code": None}}]
    replies = [chat(), streamed(), streamed(), streamed(), streamed(error), streamed(chunks()[:2], False, breaks=True)]
    with serving(*replies) as at, client_of(at, max_retries=0) as client:
        without = what_a_program_sees(client)
    with serving(*replies) as at, client_of(at, max_retries=0) as client:
        if way == "both":
            for cls in (openai.OpenAI, openai.AsyncOpenAI):
                for name in ("request", "_sleep_for_retry", "_process_response"):
                    monkeypatch.setattr(cls, name, getattr(cls, name))  # put back afterwards
                monkeypatch.setattr(cls, "_agentops_recorded", False, raising=False)
            wrapped = agentops.wrap(client)
            agentops.instrument("openai")
        else:
            wrapped = agentops.wrap(client)
        assert what_a_program_sees(wrapped) == without
    assert len([one for one in spans() if one["kind"] == "llm"]) == 6


VLLM = {
    "id": "meta/llama-4",
    "object": "model",
    "owned_by": "vllm",
    "root": "/weights/llama-4-awq",
    "parent": None,
    "max_model_len": 131072,
}
LLAMA_CPP = {
    "id": "llama-4-q4.gguf",
    "object": "model",
    "owned_by": "llamacpp",
    "meta": {"n_params": 8_030_261_312, "size": 4_912_898_304, "n_ctx_train": 131072},
}
OLLAMA = {"id": "llama4:8b", "object": "model", "owned_by": "library", "created": 1_790_000_000}


def called_until(known: Callable[[dict[str, Any]], bool], client: openai.OpenAI, model: str, spans: Spans) -> Any:
    """The first call that is recorded as `known` says; what a server serves is asked beside the first."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        client.chat.completions.create(model=model, messages=MESSAGES)
        facts: dict[str, Any] = spans()[0]["attributes"]
        if known(facts):
            return facts
    raise AssertionError(facts)


@pytest.mark.parametrize(
    ("entry", "asked_for", "provider"),
    [(VLLM, "meta/llama-4", "vllm"), (LLAMA_CPP, "gpt-x", "llama.cpp"), (OLLAMA, "llama4:8b", "ollama")],
    ids=["vllm", "llama.cpp", "ollama"],
)
def test_what_a_local_server_tells_of_its_model_is_on_the_call(
    entry: dict[str, Any], asked_for: str, provider: str, spans: Spans
) -> None:
    with serving(chat(model=asked_for), models=[entry]) as at, client_of(at, default_headers={"x-team": "a"}) as client:
        wrapped = agentops.wrap(client)
        facts = called_until(lambda facts: "agentops.served_model" in facts, wrapped, asked_for, spans)
        assert facts["agentops.served_model"] == entry
        assert facts["gen_ai.provider.name"] == provider
        for _ in range(3):
            wrapped.chat.completions.create(model=asked_for, messages=MESSAGES)
    [(_, _, headers)] = [one for one in at.asked if one[0] == "/v1/models"]  # asked once, as the program itself would
    kept = {name.lower(): value for name, value in headers.items()}
    assert (kept["authorization"], kept["x-team"]) == ("Bearer any", "a")
    assert all(one["kind"] == "llm" for one in spans())


def test_a_server_without_such_a_list_is_silent(spans: Spans) -> None:
    with serving(chat(), server="llama.cpp") as at, client_of(at) as client:
        wrapped = agentops.wrap(client)
        facts = called_until(lambda _: "/v1/models" in at.paths, wrapped, MODEL, spans)
    assert facts["gen_ai.provider.name"] == "llama.cpp"
    assert "agentops.served_model" not in facts


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://myopenai.com.example/v1", "myopenai.com.example"),
        ("http://localhost:11434/v1", "ollama"),
    ],
)
def test_who_serves_is_known_by_the_address(url: str, provider: str, spans: Spans) -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(200, json=json.loads(chat().parts[0]))

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    with openai.OpenAI(base_url=url, api_key="any", http_client=http, max_retries=0) as client:
        create(agentops.wrap(client))
    assert spans()[0]["attributes"]["gen_ai.provider.name"] == provider
    assert [path.rpartition("/")[2] for path in asked] == ["completions"]  # never through the program's own client


def test_in_the_program_s_own_span_for_the_call_it_is_that_span(spans: Spans) -> None:
    with serving(chat()) as at, client_of(at) as client:
        with span("ask", kind="llm", input="my own words"):
            create(agentops.wrap(client))
    [called] = spans()
    assert (called["name"], called["input"], called["output"]) == ("ask", "my own words", ANSWER)
    assert called["attributes"]["gen_ai.input.messages"] == MESSAGES
    assert called["usage"] == COUNTED


def test_in_a_function_that_is_recorded_too_it_counts_once(spans: Spans) -> None:
    with serving(chat()) as at, client_of(at) as client:
        wrapped = agentops.wrap(client)

        @agentops.record
        def ask(messages: Any, model: str) -> Any:
            return wrapped.chat.completions.create(model=model, messages=messages)

        with span("answer", kind="agent"):
            ask(MESSAGES, MODEL)
    [_, called] = spans()
    assert (called["input"], called["output"], called["usage"]) == (MESSAGES, ANSWER, COUNTED)


def test_a_loop_that_asks_the_same_again_and_again_is_seen_to(spans: Spans) -> None:
    with serving(chat(), models=[]) as at, client_of(at) as client:
        wrapped = agentops.wrap(client)
        steps = agentops.loop("solve", max_iterations=12)
        for _ in steps:
            create(wrapped)
            with span("refund", kind="tool", input={"order": 88213}) as tool:
                tool.output = "no such order"
    assert (steps.stopped, steps.iterations < 12) == ("circle", True)


def test_what_comes_of_a_stream_is_on_record_before_it_ends(spans: Spans) -> None:
    with serving(streamed(pause_s=0.06)) as at, client_of(at) as client:
        events = agentops.wrap(client).chat.completions.create(**ASKED, stream=True)
        for _ in range(4):
            next(events)
        [called] = spans()
        said = [event["attributes"]["text"] for event in called["events"] if event["name"] == "agentops.chunk"]
        assert "".join(said).startswith("Within five")
        list(events)
    [called] = spans()
    assert (called["output"], called["events"]) == (ANSWER, [])


def test_tool_calls_and_answers_go_out_in_the_parts_of_the_conventions(spans: Spans) -> None:
    messages = [*MESSAGES, ANSWER, {"role": "tool", "tool_call_id": "call_1", "content": "paid"}]
    with serving(chat()) as at, client_of(at) as client:
        agentops.wrap(client).chat.completions.create(model=MODEL, messages=messages)
    [called] = spans()
    tool_call = {"type": "tool_call", "id": "call_1", "name": "refund", "arguments": {"order": 88213}}
    [said] = answered(called["output"], "tool_call")
    assert said["parts"] == [{"type": "text", "content": "Within five days."}, tool_call]
    assert [message["role"] for message in asked(called["input"])] == ["user", "assistant", "tool"]
    reasoned = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
    searched = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "refund"}}
    items = answered([reasoned, searched, *RESPONSE["output"]])
    assert [part["type"] for message in items for part in message["parts"]] == [
        "reasoning",
        "server_tool_call",
        "text",
        "tool_call",
    ]
    [alone] = answered([RESPONSE["output"][1]])
    assert (alone["parts"][0]["type"], alone["finish_reason"]) == ("tool_call", "tool_call")


PROGRAM = """
import httpx2, openai
client = openai.OpenAI(base_url="URL", api_key="any", http_client=httpx2.Client(trust_env=False))
question = [{"role": "user", "content": "Where?"}]
for event in client.chat.completions.create(model="gpt-6-mini", messages=question, stream=True):
    pass
"""


def test_a_program_that_nobody_prepared_is_recorded(
    tmp_path: Path, read: Callable[[Path], list[dict[str, Any]]]
) -> None:
    with serving(streamed()) as at:
        (tmp_path / "agent.py").write_text(PROGRAM.replace("URL", at.url))
        command = [Path(sys.executable).parent / "agentops", "run", "--", sys.executable, "agent.py"]
        environment = {**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db")}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60)
    [program, called] = read(tmp_path / "traces.db")
    assert called["parent_span_id"] == program["span_id"]
    assert (called["output"], called["usage"]) == (ANSWER, COUNTED)


INSTRUMENTED = """
import asyncio
import agentops
ORDER
import httpx2
from agentops import span
client = openai.OpenAI(base_url="URL", api_key="any", http_client=httpx2.Client(trust_env=False))
question = dict(model="gpt-6-mini", messages=[{"role": "user", "content": "Where?"}])
with span("whole"):
    client.chat.completions.create(**question)
with span("streamed"):
    for event in client.chat.completions.create(**question, stream=True, stream_options={"include_usage": True}):
        pass
async def later():
    http = httpx2.AsyncClient(trust_env=False)
    async with openai.AsyncOpenAI(base_url="URL", api_key="any", http_client=http) as client:
        with span("later"):
            await client.chat.completions.create(**question)
asyncio.run(later())
"""
THEIRS = "from openinference.instrumentation.openai import OpenAIInstrumentor as Theirs; Theirs().instrument()"
ORDERS = {
    "theirs first": f"agentops.init(otel=True); import openai; {THEIRS}; agentops.instrument()",
    "ours first": f"agentops.init(otel=True); agentops.instrument(); import openai; {THEIRS}",
    "an SDK's provider": (
        "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider; "
        f"trace.set_tracer_provider(TracerProvider()); agentops.instrument(); import openai; {THEIRS}"
    ),
}


@pytest.mark.parametrize("order", ORDERS)
def test_each_call_counts_once_beside_openinference(order: str, program: Any, tmp_path: Path) -> None:
    from agentops.store.reader import Reader

    with serving(chat(), streamed(), chat()) as at:
        done = program(INSTRUMENTED.replace("URL", at.url).replace("ORDER", ORDERS[order]), PYTHONWARNINGS="default")
    assert done.returncode == 0, done.stderr
    with Reader(str(tmp_path / "traces.db")) as reader:
        traces = {trace.name: trace for trace in reader.iter_traces()}
        assert set(traces) == {"whole", "streamed", "later"}
        for trace in traces.values():
            assert trace.spans >= 3  # theirs and ours are both there
            assert (trace.llm_calls, trace.input_tokens, trace.output_tokens) == (1, 180, 20)


def test_a_usage_that_no_one_asked_for_is_missing_and_not_made_up(spans: Spans) -> None:
    with serving(streamed(chunks(usage=False))) as at, client_of(at) as client:
        list(agentops.wrap(client).chat.completions.create(**ASKED, stream=True))
    assert "stream_options" not in at.asked[-1][1]
    [called] = spans()
    assert called["usage"] is None
    assert called["attributes"]["gen_ai.response.finish_reasons"] == ["tool_call"]
    assert USAGE["prompt_tokens"] == 180
