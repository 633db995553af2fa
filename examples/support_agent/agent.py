"""The agent: it makes a plan, works in a loop with tools, and writes an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from anthropic.types import MessageParam

from agentops import score, span

from .model import Model, assistant_turn, text_of
from .tools import run_tool

SYSTEM = """\
You answer support tickets for Harbour & Hearth, a small shop for kitchenware.
Rely on the policies and the order, never on guesses. Refund without asking back if
the policies allow it. If a tool fails, try it again at most twice."""

_MAKE_A_PLAN = """\
Before you act, make a plan. Answer only with JSON in this form:
{"goal": "...", "steps": ["...", "..."]}"""
_WORK = """\
Carry it out with the tools. When nothing is left to do, say so in one sentence."""
_ANSWER = "Now write the reply to the customer: short, friendly, no headings."

# A model that keeps calling tools would go on, and cost money, for ever.
_ITERATIONS_MAX = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    trace_id: str
    resolved: bool


def answer_ticket(model: Model, ticket: str, *, write: Callable[[str], object]) -> Outcome:
    """Answers a ticket; `write` gets the answer piece by piece."""
    with span(
        "answer ticket",
        kind="agent",
        session="ticket-1042",
        user="customer-7",
        tags=["demo"],
        input=ticket,
    ) as run:
        # One list that only grows: every call sends the whole conversation again,
        # because the API remembers nothing between calls.
        messages: list[MessageParam] = []
        make_plan(model, ticket, messages)
        resolved = work(model, messages)
        run.output = write_answer(model, messages, write)
    # A score can come at any time after the run: from code like here, from the
    # customer, or from another model.
    score(
        "resolved",
        int(resolved),
        trace=run.trace_id,
        comment="the agent came to an end by itself" if resolved else "it was stopped",
    )
    return Outcome(run.trace_id, resolved)


def make_plan(model: Model, ticket: str, messages: list[MessageParam]) -> None:
    with span("plan", kind="plan", input=ticket) as planning:
        # The ticket is a block of its own: text from outside should not run into
        # the instructions.
        messages.append(
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": ticket},
                    {"type": "text", "text": _MAKE_A_PLAN},
                ],
            }
        )
        answer = model.ask(messages, may_call_tools=False)
        messages.append(assistant_turn(answer))
        text = text_of(answer)
        try:
            planning.output = parse_plan(text)
        except ValueError as error:
            # A plan in prose still guides the model; the trace should say so.
            planning.add_event("plan is not JSON", {"error": str(error)})
            planning.output = text


def parse_plan(text: str) -> dict[str, object]:
    """The JSON object in a text; models like to wrap it in a fence or a greeting."""
    plan: dict[str, object] = json.loads(text[text.find("{") : text.rfind("}") + 1])
    return plan


def work(model: Model, messages: list[MessageParam]) -> bool:
    """Tool calls until the model wants no more; False if it had to be stopped."""
    messages.append({"role": "user", "content": _WORK})
    with span("solve", kind="loop") as loop:
        for number in range(1, _ITERATIONS_MAX + 1):
            with span(f"iteration {number}", kind="chain"):
                if not one_iteration(model, messages):
                    loop.output = {"iterations": number}
                    return True
        loop.add_event("stopped", {"iterations_max": _ITERATIONS_MAX})
        return False


def one_iteration(model: Model, messages: list[MessageParam]) -> bool:
    """One model call with the tools that it asks for; False if it asks for none."""
    answer = model.ask(messages, may_call_tools=True)
    messages.append(assistant_turn(answer))
    calls = [block for block in answer.content if block.type == "tool_use"]
    if calls:
        # All results go into one message, also when a call failed: a tool call
        # without a result makes the next request invalid.
        messages.append({"role": "user", "content": [run_tool(c) for c in calls]})
    return bool(calls)


def write_answer(model: Model, messages: list[MessageParam], write: Callable[[str], object]) -> str:
    with span("write answer", kind="chain") as writing:
        messages.append({"role": "user", "content": _ANSWER})
        text = text_of(model.stream(messages, write))
        writing.output = text
    return text
