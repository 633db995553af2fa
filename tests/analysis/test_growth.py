"""How the context of a run grows, from the addresses of what was sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agentops.analysis.growth import growth
from agentops.store.reader import Reader

RUN = """
    def ask(messages, tokens=None):
        with span("ask", kind="llm", input=list(messages)) as call:
            if tokens:
                call.set_attribute("gen_ai.usage.input_tokens", tokens)

    def said(text):
        return {"role": "user", "content": text * 40}

    with span("answer", kind="agent"):
        history = [said("where is it? ")]
        ask(history, 100)
        for number in range(3):
            history += [said(f"answer {number} "), {"role": "user", "content": f"short {number}"}]
            ask(history, 300 + 200 * number)
        with span("another agent", kind="agent"):
            ask([said("something else "), said("entirely ")], 50)
        history[1] = said("the second message was rewritten ")
        ask(history, 710)
        with span("two libraries, one call", kind="llm", input=list(history)):
            ask(history)
"""


def test_what_is_new_in_a_call_and_how_the_context_grows(record: Callable[[str], Path]) -> None:
    with Reader(str(record(RUN))) as reader:
        found = growth(reader, reader.trace("latest"))
    assert [(turn.messages, turn.new, turn.new_tokens) for turn in found.turns] == [
        (1, 1, None),
        (3, 2, 200),
        (5, 2, 200),
        (7, 2, 200),
        (2, 2, None),  # a conversation of its own
        (7, 6, 10),  # of which only the first message is as it was
        (7, 0, None),
    ]
    assert [turn.before is None for turn in found.turns] == [True, False, False, False, True, False, False]
    assert found.tokens_per_turn == (3 * 200 + 10) / 4


def test_a_run_without_model_calls_has_no_context(record: Callable[[str], Path]) -> None:
    with Reader(str(record("with span('nothing', input={'messages': 1}): pass"))) as reader:
        assert growth(reader, reader.trace("latest")) == ([], None)
