"""Functions that call a model in a way of their own, as `record` has them on record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anthropic.types
import openai.types.chat
import pytest

import agentops
from agentops import UsageError, record, span
from tests.integrations.openai_stand_in import CALL, MODEL, USAGE, chunks

Spans = Callable[[], list[dict[str, Any]]]

ASKED = [{"role": "user", "content": "Where is my money?"}]
TOKENS = {"input_tokens": 180, "output_tokens": 20, "cache_read_input_tokens": 30}
OPENAIS = {
    "id": "chatcmpl-7",
    "object": "chat.completion",
    "created": 1_790_000_000,
    "model": MODEL,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "In five days."}}],
    "usage": USAGE,
}
ANTHROPICS = {
    "id": "msg_7",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-5-5",
    "content": [{"type": "text", "text": "In five days."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 100,
        "output_tokens": 20,
        "cache_read_input_tokens": 30,
        "cache_creation_input_tokens": 50,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 40},
    },
}


@dataclass
class Choice:
    message: dict[str, str]
    finish_reason: str


@dataclass
class Answer:
    model: str
    choices: list[Choice]
    usage: dict[str, int] = field(default_factory=dict)


SHAPES: dict[str, tuple[Any, Any, dict[str, int], str | None]] = {
    "openai, plain": (OPENAIS, {"role": "assistant", "content": "In five days."}, TOKENS, "stop"),
    "openai, typed": (
        openai.types.chat.ChatCompletion.model_validate(OPENAIS),
        {"role": "assistant", "content": "In five days."},
        TOKENS,
        "stop",
    ),
    "openai's responses": (
        {
            "object": "response",
            "id": "resp_1",
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "In"}]}],
            "usage": {"input_tokens": 180, "output_tokens": 20, "input_tokens_details": {"cached_tokens": 30}},
        },
        [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "In"}]}],
        TOKENS,
        "length",
    ),
    "anthropic, plain": (
        ANTHROPICS,
        [{"type": "text", "text": "In five days."}],
        {**TOKENS, "cache_write_input_tokens": 50},
        "stop",
    ),
    "anthropic, typed": (
        anthropic.types.Message.model_validate(ANTHROPICS),
        [{"type": "text", "text": "In five days."}],
        {**TOKENS, "cache_write_input_tokens": 50},
        "stop",
    ),
    "ollama's own": (
        {
            "model": "llama4",
            "message": {"role": "assistant", "content": "In five days."},
            "done_reason": "stop",
            "prompt_eval_count": 180,
            "eval_count": 20,
        },
        {"role": "assistant", "content": "In five days."},
        {"input_tokens": 180, "output_tokens": 20},
        "stop",
    ),
    "a dict of one's own": (
        {"text": "In five days.", "usage": {"input_tokens": 180, "output_tokens": 20}, "finish_reason": "length"},
        {"text": "In five days.", "usage": {"input_tokens": 180, "output_tokens": 20}, "finish_reason": "length"},
        {"input_tokens": 180, "output_tokens": 20},
        "length",
    ),
    "a dataclass": (
        Answer("m-1", [Choice({"role": "assistant", "content": "Hi"}, "stop")], {"prompt_tokens": 180}),
        {"role": "assistant", "content": "Hi"},
        {"input_tokens": 180},
        "stop",
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_result_says_is_on_record_whatever_form_it_has(shape: str, spans: Spans) -> None:
    given, output, tokens, reason = SHAPES[shape]

    @record
    def ask(messages: list[dict[str, str]], model: str, temperature: float = 1.0) -> Any:
        return given

    assert ask(ASKED, model="m-1", temperature=0.5) is given
    [chat] = spans()
    assert (chat["name"], chat["kind"], chat["input"], chat["output"]) == ("chat m-1", "llm", ASKED, output)
    usage = dict(chat["usage"])
    usage.pop("reasoning_output_tokens", None)
    assert usage == tokens
    facts = chat["attributes"]
    assert (facts["gen_ai.request.model"], facts["gen_ai.request.temperature"]) == ("m-1", 0.5)
    assert facts["gen_ai.response.finish_reasons"] == [reason]


def test_the_parts_of_an_answer_that_prices_hang_on_are_there(spans: Spans) -> None:
    record(lambda messages: ANTHROPICS)(ASKED)
    facts = spans()[0]["attributes"]
    assert facts["gen_ai.response.id"] == "msg_7"
    assert facts["gen_ai.response.model"] == "claude-haiku-5-5"
    assert facts["anthropic.usage.cache_creation.ephemeral_5m_input_tokens"] == 10
    assert facts["anthropic.usage.cache_creation.ephemeral_1h_input_tokens"] == 40


def test_a_function_without_messages_has_its_arguments_as_input(spans: Spans) -> None:
    @record
    def ask(question: str, hint: str = "") -> str:
        return "Within five days."

    class Model:
        @record
        def ask(self, prompt: str) -> str:
            return "Within five days."

        @staticmethod
        @record
        def post(body: dict[str, Any]) -> dict[str, Any]:
            return OPENAIS

    assert ask("Where?", hint="money") == "Within five days."
    assert Model().ask("Where?") == "Within five days."
    assert Model.post({"model": "m-1", "messages": ASKED, "top_p": 0.9}) is OPENAIS
    post, method, function = sorted(spans(), key=lambda one: one["name"] != "chat m-1")[:3]
    assert (post["name"], post["input"], post["attributes"]["gen_ai.request.top_p"]) == ("chat m-1", ASKED, 0.9)
    by_input = {str(one["input"]): one for one in (method, function)}
    assert by_input["Where?"]["output"] == "Within five days."
    assert by_input["{'question': 'Where?', 'hint': 'money'}"]["name"] == "ask"


def test_what_a_call_leaves_to_the_function_is_of_the_request_too(spans: Spans) -> None:
    @record
    def ask(
        messages: list[dict[str, str]], model: str = "m-1", max_tokens: int | None = None, top_p: float = 0.9
    ) -> str:
        return "Soon."

    ask(ASKED)
    [chat] = spans()
    assert (chat["name"], chat["input"], chat["output"]) == ("chat m-1", ASKED, "Soon.")
    assert chat["attributes"] == {"gen_ai.request.model": "m-1", "gen_ai.request.top_p": 0.9}


def test_an_async_function_and_its_error(spans: Spans) -> None:
    @record
    async def ask(messages: list[dict[str, str]], model: str) -> Any:
        if model == "m-2":
            raise TimeoutError("no answer")
        return OPENAIS

    async def run() -> None:
        await ask(ASKED, "m-1")
        with pytest.raises(TimeoutError):
            await ask(ASKED, model="m-2")

    asyncio.run(run())
    found = {one["name"]: one for one in spans()}
    assert found["chat m-1"]["status"] == "ok"
    assert found["chat m-1"]["usage"]["input_tokens"] == 180
    assert (found["chat m-2"]["status"], found["chat m-2"]["exception"]["type"]) == ("error", "TimeoutError")


EVENTS_OF_ANTHROPIC: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**ANTHROPICS, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "In five "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "days."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 20}},
    {"type": "message_stop"},
]
STREAMS: dict[str, tuple[list[Any], Any, int | None]] = {
    "openai, plain": (chunks(), {"role": "assistant", "content": "Within five days.", "tool_calls": [CALL]}, 180),
    "openai, typed": (
        [openai.types.chat.ChatCompletionChunk.model_validate(chunk) for chunk in chunks()],
        {"role": "assistant", "content": "Within five days.", "tool_calls": [CALL]},
        180,
    ),
    "anthropic": (EVENTS_OF_ANTHROPIC, [{"type": "text", "text": "In five days."}], 180),
    "texts": (["Within ", "five ", "days."], "Within five days.", None),
    "texts, and the usage at last": (
        [{"text": "In five days."}, {"text": "", "usage": {"input_tokens": 180}}],
        [{"text": "In five days."}, {"text": "", "usage": {"input_tokens": 180}}],
        180,
    ),
    "more than a thousand": (
        [chunks()[0], *[chunks()[1]] * 2_000, chunks()[-1]],
        {"role": "assistant", "content": "Within " * 2_000},
        180,
    ),
}


@pytest.mark.parametrize("form", STREAMS)
@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_generator_is_one_call_with_its_answer_put_together(form: str, way: str, spans: Spans) -> None:
    events, output, tokens = STREAMS[form]

    @record
    def ask(messages: list[dict[str, str]]) -> Iterator[Any]:
        yield from events

    @record
    async def ask_async(messages: list[dict[str, str]]) -> AsyncIterator[Any]:
        for event in events:
            yield event

    async def run() -> list[Any]:
        return [event async for event in ask_async(ASKED)]

    with span("answer"):
        got = list(ask(ASKED)) if way == "sync" else asyncio.run(run())
    assert all(one is event for one, event in zip(got, events, strict=True))
    chat = spans()[1]
    assert (chat["kind"], chat["status"], chat["input"], chat["output"]) == ("llm", "ok", ASKED, output)
    assert (chat["usage"] or {}).get("input_tokens") == tokens


def test_a_stream_that_is_left_early_is_on_record_as_far_as_it_came(spans: Spans) -> None:
    @record
    def ask(messages: list[dict[str, str]]) -> Iterator[Any]:
        yield from chunks()

    stream = ask(ASKED)
    for _ in range(2):
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    [chat] = spans()
    assert (chat["status"], chat["output"]) == ("ok", {"role": "assistant", "content": "Within "})


def test_an_answer_of_an_api_that_says_error_is_one(spans: Spans) -> None:
    record(lambda messages: {"error": {"type": "overloaded", "message": "too many"}})(ASKED)
    [chat] = spans()
    assert chat["status"] == "error"
    assert chat["attributes"]["error.type"] == "overloaded"
    assert chat["exception"]["message"] == "too many"


def test_results_that_no_one_understands_change_nothing(spans: Spans) -> None:
    class Odd:
        __slots__ = ()

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("no")

    odd = [Odd(), {"choices": [], "usage": "lots", "id": 7}, {"choices": [None]}, {"type": "message"}, 7, None, b"x"]
    ask = record(lambda messages, answer: answer)
    for answer in odd:
        assert ask("hm", answer) is answer
    assert len(spans()) == len(odd)


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(UsageError, match="record"):
        record("gpt-6")  # type: ignore[arg-type]


def test_in_the_program_s_own_span_for_the_call_it_counts_once(spans: Spans) -> None:
    from agentops.store.reader import Reader

    ask = record(lambda messages: OPENAIS)
    with span("answer", kind="agent"):
        with span("chat", kind="llm"):
            ask(ASKED)
    assert agentops.flush()
    with Reader() as reader:
        [trace] = reader.iter_traces()
    assert (trace.llm_calls, trace.input_tokens, trace.output_tokens) == (1, 180, 20)
