"""The stand-in, seen through the real client."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import anthropic
import httpx2
import pytest
from anthropic import Anthropic
from anthropic.types import MessageParam, ToolParam

from examples.stand_in import (
    Fault,
    Reply,
    Request,
    Script,
    StandIn,
    Text,
    ToolUse,
    Usage,
    overloaded,
    overloaded_first,
)

MODEL = "claude-haiku-5-5"
ROOT = Path(__file__).parents[2]
HELLO: list[MessageParam] = [{"role": "user", "content": "hello"}]
WEATHER: ToolParam = {"name": "weather", "input_schema": {"type": "object"}}
CITY = {"city": "Ålesund, Norway", "days": 3}

Serve = Callable[[Script], tuple[StandIn, Anthropic]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(script: Script) -> tuple[StandIn, Anthropic]:
            server = stack.enter_context(StandIn(script))
            return server, stack.enter_context(client_of(server.url))

        yield start


def client_of(url: str) -> Anthropic:
    return Anthropic(
        base_url=url,
        api_key="any",
        max_retries=0,
        open_telemetry=False,
        http_client=httpx2.Client(trust_env=False),
    )


def says(*content: Text | ToolUse) -> Script:
    return lambda request: Reply(content)


def test_an_answer_has_what_the_api_sends(serve: Serve) -> None:
    server, client = serve(says(Text("good morning")))
    answer = client.messages.create(model=MODEL, max_tokens=50, messages=HELLO)

    assert answer.id.startswith("msg_")
    assert answer.role == "assistant"
    assert answer.model == MODEL
    assert answer.stop_reason == "end_turn"
    assert [block.to_dict() for block in answer.content] == [{"type": "text", "text": "good morning"}]
    assert answer.usage.output_tokens == 3
    assert answer.usage.cache_read_input_tokens == 0
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")
    assert [request.body["messages"] for request in server.requests] == [HELLO]


def test_no_two_answers_share_an_id(serve: Serve) -> None:
    _, client = serve(says(Text("x")))
    answers = [client.messages.create(model=MODEL, max_tokens=5, messages=HELLO) for _ in range(3)]
    assert len({answer.id for answer in answers}) == 3


def test_a_longer_conversation_counts_more_tokens(serve: Serve) -> None:
    _, client = serve(says(Text("x")))

    def count(text: str) -> int:
        answer = client.messages.create(model=MODEL, max_tokens=5, messages=[{"role": "user", "content": text}])
        return answer.usage.input_tokens

    assert count("a" * 4001) - count("a") == 1000
    assert count("a" * 4001) == count("b" * 4001)


def test_count_tokens_agrees_with_the_usage(serve: Serve) -> None:
    _, client = serve(says(Text("x")))
    counted = client.messages.count_tokens(model=MODEL, messages=HELLO, system="Be kind.", tools=[WEATHER])
    answer = client.messages.create(model=MODEL, max_tokens=5, messages=HELLO, system="Be kind.", tools=[WEATHER])
    assert counted.input_tokens == answer.usage.input_tokens > 0


def test_the_script_may_set_the_usage(serve: Serve) -> None:
    usage = Usage(7, 11, cache_read_input_tokens=900, cache_creation_input_tokens=80)
    _, client = serve(lambda request: Reply((Text("x"),), usage=usage))
    whole = client.messages.create(model=MODEL, max_tokens=5, messages=HELLO).usage
    with client.messages.stream(model=MODEL, max_tokens=5, messages=HELLO) as stream:
        streamed = stream.get_final_message().usage

    for got in (whole, streamed):
        assert got.input_tokens == 7
        assert got.output_tokens == 11
        assert got.cache_read_input_tokens == 900
        assert got.cache_creation_input_tokens == 80


def test_the_script_may_set_the_stop_reason(serve: Serve) -> None:
    _, client = serve(lambda request: Reply((Text("x"),), stop_reason="max_tokens"))
    answer = client.messages.create(model=MODEL, max_tokens=5, messages=HELLO)
    assert answer.stop_reason == "max_tokens"


def test_a_tool_call_and_its_result_go_round(serve: Serve) -> None:
    def script(request: Request) -> Reply:
        last = request.body["messages"][-1]["content"]
        if isinstance(last, str):
            return Reply((Text("let me see"), ToolUse("weather", CITY)))
        return Reply((Text(f"it is {last[0]['content']}"),))

    _, client = serve(script)
    first = client.messages.create(model=MODEL, max_tokens=50, messages=HELLO, tools=[WEATHER])
    assert first.stop_reason == "tool_use"
    call = first.content[1]
    assert call.type == "tool_use"
    assert call.id.startswith("toolu_")
    assert call.input == CITY

    second = client.messages.create(
        model=MODEL,
        max_tokens=50,
        tools=[WEATHER],
        messages=[
            *HELLO,
            {"role": "assistant", "content": first.content},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "mild"}],
            },
        ],
    )
    assert second.stop_reason == "end_turn"
    assert second.content[0].to_dict() == {"type": "text", "text": "it is mild"}


def test_a_stream_adds_up_to_the_answer(serve: Serve) -> None:
    text = "One two  three\nfour, five six: seven — eight.\n\n"
    _, client = serve(says(Text(text), ToolUse("weather", CITY), ToolUse("now")))
    with client.messages.stream(model=MODEL, max_tokens=50, messages=HELLO, tools=[WEATHER]) as stream:
        events = list(stream)
        answer = stream.get_final_message()

    pieces = [event.text for event in events if event.type == "text"]
    assert "".join(pieces) == text
    assert len(pieces) > 2
    partial = [event for event in events if event.type == "input_json"]
    assert len(partial) > 2
    assert [block.type for block in answer.content] == ["text", "tool_use", "tool_use"]
    assert [b.input for b in answer.content if b.type == "tool_use"] == [CITY, {}]
    assert answer.stop_reason == "tool_use"
    assert answer.usage.output_tokens > 10


def test_an_empty_text_can_be_streamed(serve: Serve) -> None:
    _, client = serve(says(Text("")))
    with client.messages.stream(model=MODEL, max_tokens=5, messages=HELLO) as stream:
        assert stream.get_final_text() == ""


def test_the_events_come_in_the_order_of_the_api(serve: Serve) -> None:
    _, client = serve(says(Text("good morning")))
    with client.messages.with_streaming_response.create(
        model=MODEL, max_tokens=5, messages=HELLO, stream=True
    ) as response:
        lines = list(response.iter_lines())
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["request-id"].startswith("req_")

    names = [line.removeprefix("event: ") for line in lines if line[:6] == "event:"]
    assert names == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert sum(line.startswith("data: {") for line in lines) == len(names)


def test_the_server_outlives_a_stream_that_nobody_finished(serve: Serve) -> None:
    _, client = serve(says(Text("word " * 20_000)))
    with client.messages.stream(model=MODEL, max_tokens=5, messages=HELLO) as stream:
        next(iter(stream.text_stream))
    answer = client.messages.create(model=MODEL, max_tokens=5, messages=HELLO)
    assert answer.content


def test_overload_is_the_client_s_overloaded_error(serve: Serve) -> None:
    _, client = serve(lambda request: overloaded(retry_after_s=7))
    with pytest.raises(anthropic.OverloadedError) as caught:
        client.messages.create(model=MODEL, max_tokens=5, messages=HELLO)
    assert caught.value.status_code == 529
    assert caught.value.type == "overloaded_error"
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.request_id is not None


def test_a_client_that_retries_gets_through(serve: Serve) -> None:
    script = overloaded_first(2, says(Text("at last")), retry_after_s=0.01)
    server, client = serve(script)
    answer = client.with_options(max_retries=2).messages.create(model=MODEL, max_tokens=5, messages=HELLO)
    assert answer.content[0].to_dict()["text"] == "at last"
    assert len(server.requests) == 3


def test_any_fault_has_its_status_type_and_message(serve: Serve) -> None:
    _, client = serve(lambda request: Fault(429, "rate_limit_error", "slow down"))
    with pytest.raises(anthropic.RateLimitError, match="slow down") as caught:
        client.messages.create(model=MODEL, max_tokens=5, messages=HELLO)
    assert caught.value.type == "rate_limit_error"


def test_a_broken_script_fails_at_once_and_says_so(serve: Serve) -> None:
    def script(request: Request) -> Reply:
        raise ZeroDivisionError("in the script")

    server, client = serve(script)
    with pytest.raises(anthropic.InternalServerError, match="in the script"):
        client.with_options(max_retries=5).messages.create(model=MODEL, max_tokens=5, messages=HELLO)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ([], "not a JSON object"),
        ({"max_tokens": 5, "messages": HELLO}, "model"),
        ({"model": MODEL, "messages": HELLO}, "max_tokens"),
        ({"model": MODEL, "max_tokens": 0, "messages": HELLO}, "max_tokens"),
        ({"model": MODEL, "max_tokens": True, "messages": HELLO}, "max_tokens"),
        ({"model": MODEL, "max_tokens": 5}, "messages"),
        ({"model": MODEL, "max_tokens": 5, "messages": []}, "messages"),
        (
            {"model": MODEL, "max_tokens": 5, "messages": [{"role": "tool"}]},
            "messages.0.role",
        ),
        (
            {
                "model": MODEL,
                "max_tokens": 5,
                "messages": [*HELLO, {"role": "user", "content": ""}],
            },
            "messages.1.content",
        ),
        (
            {
                "model": MODEL,
                "max_tokens": 5,
                "messages": [{"role": "user", "content": [{"text": "x"}]}],
            },
            "messages.0.content.0.type",
        ),
        (
            {
                "model": MODEL,
                "max_tokens": 5,
                "messages": [{"role": "assistant", "content": "x"}],
            },
            "messages.0.role",
        ),
    ],
)
def test_an_unsound_request_is_refused(serve: Serve, body: object, complaint: str) -> None:
    server, client = serve(says(Text("x")))
    with pytest.raises(anthropic.BadRequestError, match=complaint) as caught:
        client.post("/v1/messages", body=body, cast_to=object)
    assert caught.value.type == "invalid_request_error"
    assert len(server.requests) == 1


CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "mild"}


@pytest.mark.parametrize(
    "turns",
    [
        pytest.param([("assistant", [CALL])], id="call at the end"),
        pytest.param([("assistant", [CALL]), ("user", "so?")], id="call unanswered"),
        pytest.param([("user", [RESULT])], id="result of no call"),
        pytest.param(
            [("assistant", [CALL]), ("user", "so?"), ("user", [RESULT])],
            id="result too late",
        ),
    ],
)
def test_a_tool_call_must_be_answered_by_the_next_message(serve: Serve, turns: list[tuple[str, object]]) -> None:
    _, client = serve(says(Text("x")))
    messages = [*HELLO, *({"role": role, "content": c} for role, c in turns)]
    with pytest.raises(anthropic.BadRequestError, match="toolu_1"):
        client.messages.create(
            model=MODEL,
            max_tokens=5,
            messages=messages,  # type: ignore[arg-type]
        )


def test_other_paths_are_not_found(serve: Serve) -> None:
    _, client = serve(says(Text("x")))
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.post("/v1/complete", body={}, cast_to=object)
    assert caught.value.type == "not_found_error"
    with pytest.raises(anthropic.NotFoundError):
        client.models.list()


def test_no_key_no_answer(serve: Serve) -> None:
    server, _ = serve(says(Text("x")))
    with httpx2.Client(trust_env=False) as http:
        response = http.post(f"{server.url}/v1/messages", json={})
        assert response.status_code == 401
        assert response.json()["error"]["type"] == "authentication_error"
        # On the same connection: what was refused must have been read to its end.
        response = http.post(f"{server.url}/v1/messages", content=b"{", headers={"x-api-key": "any"})
        assert response.status_code == 400
        assert response.json()["request_id"] == response.headers["request-id"]


def test_answers_do_not_wait_for_acknowledgements(serve: Serve) -> None:
    _, client = serve(says(Text("word " * 4_000)))

    def took_s() -> float:
        raw = client.messages.with_raw_response.create(model=MODEL, max_tokens=5, messages=HELLO)
        return raw.elapsed.total_seconds()

    # Nagle's algorithm against delayed acknowledgements costs 40 ms, each time.
    assert sorted(took_s() for _ in range(9))[4] < 0.03


def test_many_clients_at_once_each_get_their_own_answer(serve: Serve) -> None:
    def script(request: Request) -> Reply:
        return Reply((Text(request.body["messages"][0]["content"].upper()),))

    server, client = serve(script)

    def ask(number: int) -> object:
        answer = client.messages.create(
            model=MODEL,
            max_tokens=5,
            messages=[{"role": "user", "content": f"number {number}"}],
        )
        return answer.content[0].to_dict()["text"]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(64)))
    assert answers == [f"NUMBER {number}" for number in range(64)]
    assert len(server.requests) == 64


def test_nothing_answers_after_the_end() -> None:
    with StandIn(says(Text("x"))) as server, client_of(server.url) as client:
        client.messages.create(model=MODEL, max_tokens=5, messages=HELLO)
        server.__exit__(None, None, None)
        with pytest.raises(anthropic.APIConnectionError):
            client.messages.create(model=MODEL, max_tokens=5, messages=HELLO)


def test_it_runs_by_itself() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.stand_in", "--overloaded", "1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        with client_of(url) as client:
            with pytest.raises(anthropic.OverloadedError):
                client.messages.create(model=MODEL, max_tokens=5, messages=HELLO)
            answer = client.messages.create(model=MODEL, max_tokens=5, messages=HELLO)
        assert "Harbour & Hearth" in str(answer.content[0].to_dict()["text"])
    finally:
        process.terminate()
        assert process.wait(timeout=10) == 0
        process.stdout.close()  # type: ignore[union-attr]
