"""Model calls, each with a span around it that is made by hand.

Written out to show what such a span holds, and how to trace a client that nothing
has wrapped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from anthropic import Anthropic
from anthropic.types import (
    Message,
    MessageParam,
    ToolChoiceParam,
    ToolParam,
    Usage,
)
from opentelemetry.trace import Span

from agentops import span

_TOOLS: ToolChoiceParam = {"type": "auto"}
_NO_TOOLS: ToolChoiceParam = {"type": "none"}

# OpenTelemetry's words for why a model stopped; what is not here stays as it is.
_FINISH_REASONS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "tool_use": "tool_call",
}


@dataclass(frozen=True, slots=True)
class Model:
    """A model with the part of the prompt that is the same in every call."""

    client: Anthropic
    name: str
    system: str
    tools: list[ToolParam]
    max_tokens: int = 1024

    def ask(self, messages: list[MessageParam], *, may_call_tools: bool) -> Message:
        """The model's answer, all at once."""
        with span(f"chat {self.name}", kind="llm", input=messages) as call:
            self._record_request(call, stream=False)
            answer = self.client.messages.create(
                model=self.name,
                max_tokens=self.max_tokens,
                system=self.system,
                # The tools are sent even where they must not be called: the
                # conversation speaks of them, and a prompt whose beginning never
                # changes can be cached by the provider.
                tools=self.tools,
                tool_choice=_TOOLS if may_call_tools else _NO_TOOLS,
                messages=messages,
            )
            call.output = answer_content(answer)
            _record_answer(call, answer)
        return answer

    def stream(self, messages: list[MessageParam], write: Callable[[str], object]) -> Message:
        """The model's answer in words only; each piece goes to `write` as it comes."""
        with span(f"chat {self.name}", kind="llm", input=messages) as call:
            self._record_request(call, stream=True)
            started = time.perf_counter()
            first = True
            with self.client.messages.stream(
                model=self.name,
                max_tokens=self.max_tokens,
                system=self.system,
                tools=self.tools,
                tool_choice=_NO_TOOLS,
                messages=messages,
            ) as stream:
                for piece in stream.text_stream:
                    if first:
                        waited_s = time.perf_counter() - started
                        call.set_attribute("gen_ai.response.time_to_first_chunk", waited_s)
                        first = False
                    write(piece)
                answer = stream.get_final_message()
            call.output = answer_content(answer)
            _record_answer(call, answer)
        return answer

    def _record_request(self, call: Span, *, stream: bool) -> None:
        call.set_attribute("gen_ai.operation.name", "chat")
        call.set_attribute("gen_ai.provider.name", "anthropic")
        call.set_attribute("gen_ai.request.model", self.name)
        call.set_attribute("gen_ai.request.max_tokens", self.max_tokens)
        call.set_attribute("gen_ai.request.stream", stream)


def answer_content(answer: Message) -> list[dict[str, object]]:
    """The blocks of an answer as plain JSON, fit for a span and for the next request."""
    return [block.to_dict(mode="json", exclude_none=True) for block in answer.content]


def assistant_turn(answer: Message) -> MessageParam:
    """An answer as the part of the conversation that it becomes."""
    return cast(MessageParam, {"role": "assistant", "content": answer_content(answer)})


def text_of(answer: Message) -> str:
    return "".join(block.text for block in answer.content if block.type == "text")


def _record_answer(call: Span, answer: Message) -> None:
    call.set_attribute("gen_ai.response.model", answer.model)
    call.set_attribute("gen_ai.response.id", answer.id)
    if answer.stop_reason is not None:
        reason = _FINISH_REASONS.get(answer.stop_reason, answer.stop_reason)
        call.set_attribute("gen_ai.response.finish_reasons", [reason])
    _record_usage(call, answer.usage)


def _record_usage(call: Span, usage: Usage) -> None:
    # Two ways of counting meet here: the API's input_tokens leave out what the
    # cache read and wrote, OpenTelemetry's include it.
    read = usage.cache_read_input_tokens or 0
    written = usage.cache_creation_input_tokens or 0
    everything = usage.input_tokens + read + written
    call.set_attribute("gen_ai.usage.input_tokens", everything)
    call.set_attribute("gen_ai.usage.cache_read.input_tokens", read)
    call.set_attribute("gen_ai.usage.cache_write.input_tokens", written)
    call.set_attribute("gen_ai.usage.output_tokens", usage.output_tokens)
