"""Calls of Anthropic's client, over HTTP to a server that speaks the Messages API, as they are on record."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import MessageParam
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import agentops
from agentops import span
from examples.stand_in import Fault, Reply, Request, StandIn, Text, ToolUse, Usage, overloaded

MODEL = "claude-haiku-5-5"
ASKED: list[MessageParam] = [{"role": "user", "content": "Where is my money?"}]
ANSWER = Reply(
    (Text("Within five days."), ToolUse("refund", {"order": 88213})),
    usage=Usage(100, 20, cache_read_input_tokens=30, cache_creation_input_tokens=50),
)
CONTENT = [("text", "Within five days."), ("tool_use", {"order": 88213})]
Spans = Callable[[], list[dict[str, Any]]]


def answering(*replies: Reply | Fault) -> Callable[[Request], Reply | Fault]:
    left = iter(replies)
    return lambda request: next(left, replies[-1])


@pytest.fixture(autouse=True)
def _no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "_TRACER_PROVIDER", None)


@contextmanager
def server(*replies: Reply | Fault) -> Iterator[StandIn]:
    with StandIn(answering(*(replies or (ANSWER,)))) as made:
        yield made


def client_of(server: StandIn, **options: Any) -> anthropic.Anthropic:
    http = httpx2.Client(trust_env=False)
    return anthropic.Anthropic(base_url=server.url, api_key="any", http_client=http, **options)


def async_client_of(server: StandIn) -> anthropic.AsyncAnthropic:
    http = httpx2.AsyncClient(trust_env=False)
    return anthropic.AsyncAnthropic(base_url=server.url, api_key="any", http_client=http)


def create(client: anthropic.Anthropic) -> None:
    client.messages.create(model=MODEL, max_tokens=64, messages=ASKED)


def create_stream(client: anthropic.Anthropic) -> None:
    for _ in client.messages.create(model=MODEL, max_tokens=64, messages=ASKED, stream=True):
        pass


def stream(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model=MODEL, max_tokens=64, messages=ASKED) as events:
        events.until_done()


def raw(client: anthropic.Anthropic) -> None:
    client.messages.with_raw_response.create(model=MODEL, max_tokens=64, messages=ASKED).parse()


def streaming_response(client: anthropic.Anthropic) -> None:
    with client.messages.with_streaming_response.create(model=MODEL, max_tokens=64, messages=ASKED) as response:
        response.parse()


async def async_create(client: anthropic.AsyncAnthropic) -> None:
    await client.messages.create(model=MODEL, max_tokens=64, messages=ASKED)


async def async_create_stream(client: anthropic.AsyncAnthropic) -> None:
    async for _ in await client.messages.create(model=MODEL, max_tokens=64, messages=ASKED, stream=True):
        pass


async def async_stream(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(model=MODEL, max_tokens=64, messages=ASKED) as events:
        await events.until_done()


def call(how: Any, at: StandIn) -> None:
    if not asyncio.iscoroutinefunction(how):
        with client_of(at) as client:
            how(agentops.wrap(client))
        return

    async def run() -> None:
        async with async_client_of(at) as client:
            await how(agentops.wrap(client))

    asyncio.run(run())


@pytest.mark.parametrize(
    "how",
    [create, create_stream, stream, raw, streaming_response, async_create, async_create_stream, async_stream],
    ids=lambda how: how.__name__,
)
def test_a_call_is_one_span_whichever_way_it_is_made(how: Any, spans: Spans) -> None:
    with server() as at:
        with span("answer", kind="agent", session="s-17"):
            call(how, at)
    [agent, chat] = spans()
    assert (chat["name"], chat["kind"], chat["status"]) == (f"chat {MODEL}", "llm", "ok")
    assert chat["parent_span_id"] == agent["span_id"]
    assert chat["session"] == "s-17"
    assert chat["input"] == ASKED
    assert [(block["type"], block.get("text", block.get("input"))) for block in chat["output"]] == CONTENT
    facts = chat["attributes"]
    assert facts["gen_ai.operation.name"] == "chat"
    assert facts["gen_ai.provider.name"] == "anthropic"
    assert facts["gen_ai.request.model"] == facts["gen_ai.response.model"] == MODEL
    assert facts["gen_ai.request.max_tokens"] == 64
    assert facts["gen_ai.response.finish_reasons"] == ["tool_call"]
    assert facts["gen_ai.response.id"].startswith("msg_")
    # OpenTelemetry's input tokens include the cache's, the API's do not.
    assert chat["usage"] == {
        "input_tokens": 180,
        "output_tokens": 20,
        "cache_read_input_tokens": 30,
        "cache_write_input_tokens": 50,
    }
    assert facts.get("gen_ai.request.stream", False) == ("stream" in how.__name__ and how is not streaming_response)


def test_all_of_the_request_is_on_record(spans: Spans) -> None:
    tools: Any = [{"name": "refund", "description": "pays back", "input_schema": {"type": "object"}}]
    with server() as at, client_of(at) as client:
        agentops.wrap(client).messages.create(
            model=MODEL,
            max_tokens=64,
            messages=ASKED,
            system="Be short.",
            tools=tools,
            tool_choice={"type": "auto"},
            stop_sequences=["END"],
            extra_body={"temperature": 0.5},
        )
    [chat] = spans()
    facts = chat["attributes"]
    assert facts["gen_ai.system_instructions"] == "Be short."
    assert facts["gen_ai.tool.definitions"] == tools
    assert facts["gen_ai.request.stop_sequences"] == ["END"]
    assert facts["gen_ai.request.temperature"] == 0.5
    assert facts["anthropic.request.tool_choice"] == {"type": "auto"}


def test_what_a_call_cost_is_the_price_lists_figure(spans: Spans) -> None:
    import genai_prices

    with server() as at:
        call(create, at)
    [chat] = spans()
    usage = genai_prices.Usage(input_tokens=180, output_tokens=20, cache_read_tokens=30, cache_write_tokens=50)
    assert chat["cost_usd"] == float(genai_prices.calc_price(usage, MODEL, provider_id="anthropic").total_price) > 0


def test_a_model_without_a_price_costs_nothing_known(spans: Spans) -> None:
    with server() as at, client_of(at) as client:
        agentops.wrap(client).messages.create(model="house-blend-1", max_tokens=64, messages=ASKED)
    [chat] = spans()
    assert chat["cost_usd"] is None
    assert chat["usage"]["input_tokens"] == 180


def test_retries_are_events_of_the_one_call(spans: Spans) -> None:
    with server(overloaded(0), ANSWER) as at:
        call(create, at)
    [chat] = spans()
    assert chat["status"] == "ok"
    told = {"attempt": 2, "http.response.status_code": 529}
    assert [(event["name"], event["attributes"]) for event in chat["events"]] == [("retry", told)]


@pytest.mark.parametrize("how", [create, create_stream, async_create], ids=lambda how: how.__name__)
def test_an_error_of_the_api_is_the_calls(how: Any, spans: Spans) -> None:
    with server(Fault(400, "invalid_request_error", "prompt is too long: 210000 tokens")) as at:
        with pytest.raises(anthropic.BadRequestError):
            call(how, at)
    [chat] = spans()
    assert chat["status"] == "error"
    assert chat["exception"]["type"] == "anthropic.BadRequestError"
    assert "prompt is too long" in chat["exception"]["message"]
    assert chat["attributes"]["error.type"] == "invalid_request_error"
    assert chat["input"] == ASKED


def test_nobody_there_is_the_calls_error(spans: Spans) -> None:
    with server() as at:
        pass
    with client_of(at, max_retries=0) as client, pytest.raises(anthropic.APIConnectionError):
        create(agentops.wrap(client))
    [chat] = spans()
    assert chat["exception"]["type"] == "anthropic.APIConnectionError"


def test_a_call_that_is_cancelled_says_so(spans: Spans) -> None:
    async def run(at: StandIn) -> None:
        async with async_client_of(at) as client:
            task = asyncio.ensure_future(async_create(agentops.wrap(client)))
            while not at.requests:  # until it is under way
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with server(Reply((Text("late"),), delay_s=0.5)) as at:
        asyncio.run(run(at))
    [chat] = spans()
    assert chat["status"] == "error"
    assert chat["exception"]["type"] == "asyncio.exceptions.CancelledError"


@pytest.mark.parametrize("handled", [KeyboardInterrupt, asyncio.CancelledError, ValueError])
def test_what_the_program_handles_is_no_error_of_a_call_that_it_makes_then(
    handled: type[BaseException], spans: Spans
) -> None:
    with server() as at, client_of(at) as client:
        wrapped = agentops.wrap(client)
        try:
            raise handled
        except handled:
            create(wrapped)
            stream(wrapped)
    assert [(s["status"], s["exception"]) for s in spans()] == [("ok", None)] * 2


@pytest.mark.parametrize("leave", ["close", "drop"])
def test_a_stream_that_is_left_keeps_what_came(leave: str, spans: Spans) -> None:
    with server(Reply((Text("one two three four five six"),), chunk_delay_s=0.01)) as at, client_of(at) as client:
        events = agentops.wrap(client).messages.create(model=MODEL, max_tokens=64, messages=ASKED, stream=True)
        for event in events:
            if event.type == "content_block_delta":
                break
        if leave == "close":
            events.close()
        del events
        gc.collect()
    [chat] = spans()
    assert chat["end_time_unix_nano"] is not None
    assert chat["output"][0]["text"]
    assert chat["cost_usd"] is None
    assert "gen_ai.response.finish_reasons" not in chat["attributes"]


def test_the_programs_own_middleware_comes_between(spans: Spans) -> None:
    def masks(request: Any, call_next: Any) -> Any:
        body = {**request.json, "messages": [{"role": "user", "content": "<masked>"}]}
        return call_next(request.copy(body=body))

    with server() as at, client_of(at, middleware=[masks]) as client:
        create(agentops.wrap(client))
        assert at.requests[0].body["messages"] == [{"role": "user", "content": "<masked>"}]
    [chat] = spans()
    assert chat["input"] == [{"role": "user", "content": "<masked>"}], "as it was sent"


def test_an_answer_that_the_programs_middleware_gives_is_on_record(spans: Spans) -> None:
    with server() as at, client_of(at) as client:
        first = client.messages.create(model=MODEL, max_tokens=64, messages=ASKED)
        cached = client.with_middleware(lambda request, call_next: first)
        create(agentops.wrap(cached))
        assert len(at.requests) == 1
    [chat] = spans()
    assert chat["input"] == ASKED
    assert chat["output"][0]["text"] == "Within five days."


def test_an_odd_answer_of_the_programs_middleware_reaches_the_program(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTOPS_RAISE", "0")

    class Odd:
        def to_dict(self, **_: object) -> dict[str, object]:
            raise RuntimeError("no")

    odd: Any = Odd()
    with server() as at, client_of(at) as client:
        wrapped: Any = agentops.wrap(client.with_middleware(lambda request, call_next: odd))
        assert wrapped.messages.create(model=MODEL, max_tokens=64, messages=ASKED) is odd


def test_a_wrapped_clients_options_and_copies_are_recorded_once(spans: Spans) -> None:
    with server() as at, client_of(at) as client:
        wrapped = agentops.wrap(agentops.wrap(client)).with_options(timeout=5).with_middleware(lambda r, n: n(r))
        create(wrapped)
        create(client)  # not wrapped
    assert len(spans()) == 1


def test_the_conversation_of_a_client_is_the_session(spans: Spans) -> None:
    with server() as at, client_of(at) as client:
        wrapped = agentops.wrap(client)
        create(wrapped.with_options(open_telemetry={**wrapped.open_telemetry, "conversation_id": "c-9"}))
    [chat] = spans()
    assert chat["session"] == "c-9"


def test_a_call_that_the_program_has_a_span_for_counts_once(spans: Spans) -> None:
    with server(overloaded(0), ANSWER) as at, client_of(at) as client:
        wrapped = agentops.wrap(client)
        with span("ask", kind="llm", input="the question") as bare:
            create(wrapped)
        with span("ask twice", kind="llm") as said:
            create(wrapped)
            said.set_attribute("gen_ai.usage.output_tokens", 7)
            said.output = "the words alone"
            create(wrapped)
    found = {s["name"]: s for s in spans()}
    twice, second, ask = found.pop("ask twice"), found.pop(f"chat {MODEL}"), found.pop("ask")
    assert not found
    assert (ask["name"], ask["input"], ask["usage"]["input_tokens"]) == ("ask", "the question", 180)
    assert ask["attributes"]["gen_ai.input.messages"] == ASKED
    assert ask["output"][0]["text"] == "Within five days."
    assert [event["name"] for event in ask["events"]] == ["retry"]
    assert ask["cost_usd"] > 0
    assert (twice["input"], twice["output"]) == (ASKED, "the words alone")
    assert (twice["usage"]["input_tokens"], twice["usage"]["output_tokens"]) == (180, 7)
    assert (second["name"], second["parent_span_id"]) == (f"chat {MODEL}", twice["span_id"])
    assert bare.attributes["gen_ai.response.finish_reasons"] == ["tool_call"]


@pytest.mark.parametrize("caught", [False, True])
def test_an_error_of_a_call_that_the_program_has_a_span_for_is_there(caught: bool, spans: Spans) -> None:
    with server(Fault(400, "invalid_request_error", "no")) as at, client_of(at) as client:
        try:
            with span("ask", kind="llm"):
                try:
                    create(agentops.wrap(client))
                except anthropic.BadRequestError:
                    if not caught:
                        raise
        except anthropic.BadRequestError:
            pass
    [ask] = spans()
    assert ask["status"] == ("ok" if caught else "error")
    assert ask["attributes"]["error.type"] == "invalid_request_error"
    assert [e["attributes"]["exception.type"] for e in ask["events"]] == ["anthropic.BadRequestError"]


def test_a_client_that_does_not_trace_itself_is_recorded_too(spans: Spans) -> None:
    with server() as at, client_of(at, open_telemetry=False) as client:
        create(agentops.wrap(client))
    assert [s["name"] for s in spans()] == [f"chat {MODEL}"]


def test_no_trace_header_is_sent_that_would_not_have_been_without_us(store: Any) -> None:
    with server() as at:
        call(create, at)
        assert "traceparent" not in at.requests[0].headers


@pytest.mark.parametrize("how", [create, stream], ids=lambda how: how.__name__)
def test_a_call_is_one_span_beside_our_own_provider_too(how: Any, spans: Spans, monkeypatch: Any) -> None:
    monkeypatch.setattr(otel, "_TRACER_PROVIDER", None)
    agentops.init(otel=True)
    with server() as at:
        with otel.get_tracer("another.library").start_as_current_span("outer"):
            call(how, at)
        assert "traceparent" not in at.requests[0].headers
    [outer, chat] = spans()
    assert (outer["name"], chat["parent_span_id"]) == ("outer", outer["span_id"])
    assert chat["input"] == ASKED


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The application's own tracer provider, and what its exporter gets."""
    exporter = InMemorySpanExporter()
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(otel, "_TRACER_PROVIDER", made)
    yield exporter
    made.shutdown()


def theirs(exporter: InMemorySpanExporter) -> list[tuple[str, Any, dict[str, Any], Any]]:
    """Spans as an exporter got them, without ids and times."""
    changing = ("gen_ai.response.id", "anthropic.request.id", "gen_ai.response.time_to_first_chunk", "server.port")
    return [
        (
            s.name,
            s.status.status_code,
            {k: v for k, v in (s.attributes or {}).items() if k not in changing and not k.startswith("url.")},
            [e.name for e in s.events],
        )
        for s in exporter.get_finished_spans()
    ]


@pytest.mark.parametrize("how", [create, create_stream, stream], ids=lambda how: how.__name__)
@pytest.mark.parametrize("fault", [False, True])
def test_the_applications_exporter_gets_what_it_got_without_us(
    how: Any, fault: bool, spans: Spans, provider: InMemorySpanExporter
) -> None:
    replies = (Fault(400, "invalid_request_error", "no"),) if fault else (overloaded(0), ANSWER)

    def made(wrap: bool) -> list[tuple[str, Any, dict[str, Any], Any]]:
        provider.clear()
        with server(*replies) as at, client_of(at) as client:
            try:
                how(agentops.wrap(client) if wrap else client)
            except anthropic.BadRequestError:
                assert fault
            assert "traceparent" in at.requests[-1].headers
        return theirs(provider)

    without = made(wrap=False)
    assert len(without) == 1
    agentops.flush()
    assert made(wrap=True) == without
    [ours] = [s for s in spans() if s["name"] == f"chat {MODEL}"]
    [sdk] = provider.get_finished_spans()
    assert ours["span_id"] == format(sdk.context.span_id, "016x"), "one tree in both places"
    assert ours["input"] == ASKED
    assert (ours["status"], bool(ours["exception"])) == (("error", True) if fault else ("ok", False))


def test_instrument_records_every_client_that_is_made_later(program: Any, tmp_path: Any, read: Any) -> None:
    with server() as at:
        done = program(
            """
            import sys, agentops
            agentops.instrument()
            assert "anthropic" not in sys.modules, "a library that nobody imports is not loaded"
            import anthropic
            agentops.instrument("anthropic")
            assert anthropic.__spec__.loader.get_source("anthropic"), "the module is as it was"
            anthropic.Anthropic(base_url=sys.argv[1], api_key="x").messages.create(
                model="claude-haiku-5-5", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
            """,
            at.url,
            NO_PROXY="127.0.0.1",
        )
    assert done.returncode == 0, done.stderr
    [chat] = read(tmp_path / "traces.db")
    assert chat["input"] == [{"role": "user", "content": "hi"}]


def test_what_cannot_be_wrapped_is_said() -> None:
    with pytest.raises(agentops.UsageError, match="no integration for a client of type builtins"):
        agentops.wrap({})
    with pytest.raises(agentops.UsageError, match="no integration for 'antropic'; there are anthropic"):
        agentops.instrument("antropic")


def seen_of_a_stream(client: anthropic.Anthropic, at: StandIn) -> list[Any]:
    """What a program can see of streams: objects and their types, order, laziness, ends, what they leave open."""
    seen: list[Any] = []
    ask: dict[str, Any] = {"model": MODEL, "max_tokens": 64, "messages": ASKED}
    events = client.messages.create(**ask, stream=True)
    seen += [type(events), events.response.is_closed]
    seen += [next(events).type, events.response.is_stream_consumed]
    seen += [(type(event), event.type) for event in events]
    seen += [events.response.is_closed, events.response.elapsed > 0 * events.response.elapsed]
    with client.messages.stream(**ask) as helper:
        seen += [type(helper), list(helper.text_stream), helper.get_final_message().to_dict()["usage"]]
    with client.messages.create(**ask, stream=True) as left:
        seen.append(next(iter(left)).type)
    seen.append(left.response.is_closed)
    with pytest.raises(httpx2.HTTPError) as after:  # reading on after it was closed
        list(left)
    seen.append(after.type)
    with client.messages.with_streaming_response.create(**ask) as body:
        seen += [type(body), b"".join(body.iter_bytes())[:10], body.http_response.is_closed]
    with client.messages.with_streaming_response.create(**ask, stream=True) as body:
        seen.append([line for line in body.iter_lines() if line.startswith("event:")])
    whole = client.messages.with_raw_response.create(**ask)
    seen += [type(whole), whole.parse() is whole.parse(), whole.retries_taken]
    return seen


def test_the_programs_stream_is_what_it_is_without_us(spans: Spans) -> None:
    # One that is left must not have come as a whole: what came may be read on whatever was closed.
    slow = replace(ANSWER, chunk_delay_s=0.2)
    replies = [ANSWER, ANSWER, slow, ANSWER, ANSWER, ANSWER] * 2
    with server(*replies) as at, client_of(at) as client:
        assert seen_of_a_stream(agentops.wrap(client), at) == seen_of_a_stream(client, at)
    assert len(spans()) == 6


def test_the_programs_async_stream_is_what_it_is_without_us(spans: Spans) -> None:
    async def seen(client: anthropic.AsyncAnthropic) -> list[Any]:
        ask: dict[str, Any] = {"model": MODEL, "max_tokens": 64, "messages": ASKED}
        events = await client.messages.create(**ask, stream=True)
        found: list[Any] = [type(events), (await events.__anext__()).type]
        found += [(type(event), event.type) async for event in events]
        found.append(events.response.is_closed)
        async with client.messages.stream(**ask) as helper:
            found += [type(helper), [text async for text in helper.text_stream]]
        return found

    async def run(at: StandIn) -> None:
        async with async_client_of(at) as client:
            assert await seen(agentops.wrap(client)) == await seen(client)

    with server() as at:
        asyncio.run(run(at))
    assert len(spans()) == 2


@pytest.mark.parametrize("own_span", [False, True], ids=["client alone", "in a span of the program's"])
def test_a_loop_sees_that_a_model_asks_for_the_same_again_and_again(own_span: bool, spans: Spans) -> None:
    with server() as at, client_of(at) as client, span("answer", kind="agent"):
        wrapped = agentops.wrap(client)
        messages = list(ASKED)
        steps = agentops.loop("solve", max_iterations=9)
        for _ in steps:
            with span("ask", kind="llm") if own_span else nullcontext():
                answer = wrapped.messages.create(model=MODEL, max_tokens=64, messages=messages)
            messages.append({"role": "assistant", "content": answer.content})  # no spans for the tools
            call = answer.content[-1]
            assert call.type == "tool_use"
            messages.append(
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "not found"}]}
            )
    assert (steps.stopped, steps.iterations) == ("circle", 4)  # the third answer comes with the fourth request
    assert steps.circle is not None
    assert (steps.circle.tools, steps.circle.arguments) == (("refund",), {"order": 88213})
