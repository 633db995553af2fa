"""Model calls. Nothing here traces them: `agentops.instrument()` records what the client does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from anthropic import Anthropic
from anthropic.types import Message, MessageParam, ToolChoiceParam, ToolParam

_TOOLS: ToolChoiceParam = {"type": "auto"}
_NO_TOOLS: ToolChoiceParam = {"type": "none"}


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
        return self.client.messages.create(
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

    def stream(self, messages: list[MessageParam], write: Callable[[str], object]) -> Message:
        """The model's answer in words only; each piece goes to `write` as it comes."""
        with self.client.messages.stream(
            model=self.name,
            max_tokens=self.max_tokens,
            system=self.system,
            tools=self.tools,
            tool_choice=_NO_TOOLS,
            messages=messages,
        ) as stream:
            for piece in stream.text_stream:
                write(piece)
            return stream.get_final_message()


def assistant_turn(answer: Message) -> MessageParam:
    """An answer as the part of the conversation that it becomes."""
    blocks = [block.to_dict(mode="json", exclude_none=True) for block in answer.content]
    return cast(MessageParam, {"role": "assistant", "content": blocks})


def text_of(answer: Message) -> str:
    return "".join(block.text for block in answer.content if block.type == "text")
