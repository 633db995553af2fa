"""The rules of the demo's model, called without a network."""

import json
from typing import Any

import pytest

from examples.stand_in import Request, Text, ToolUse, support_script

TICKET = "The kettle of order HH-2041 came with a crack. Money back, please."
ORDER = {
    "order_id": "HH-2041",
    "customer": "Mira",
    "item": "the kettle",
    "total_cents": 4990,
    "currency": "EUR",
    "status": "delivered",
    "delivered_days_ago": 1,
}
DOCUMENTS = [{"id": "refunds.md#damaged", "score": 2.0, "content": "..."}]
REFUND = {
    "refund_id": "RF-1",
    "order_id": "HH-2041",
    "amount_cents": 4990,
    "currency": "EUR",
}
ALL_TOOLS = ("search_policies", "lookup_order", "issue_refund")

Run = tuple[str, object]
"""The name of a tool and its result; an exception for a failed call."""

SEARCHED: Run = ("search_policies", DOCUMENTS)
FOUND: Run = ("lookup_order", ORDER)
FAILED: Run = ("issue_refund", TimeoutError("no answer"))
REFUNDED: Run = ("issue_refund", REFUND)


def ask(*runs: Run, ticket: str = TICKET, last: str = "", tools: Any = ALL_TOOLS) -> Any:
    """What the script says after these tool calls."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": ticket}]
    for number, (name, result) in enumerate(runs):
        failed = isinstance(result, Exception)
        call = {"type": "tool_use", "id": f"t{number}", "name": name, "input": {}}
        answer = {
            "type": "tool_result",
            "tool_use_id": f"t{number}",
            "content": str(result) if failed else json.dumps(result),
            "is_error": failed,
        }
        messages.append({"role": "assistant", "content": [call]})
        messages.append({"role": "user", "content": [answer]})
    if last:
        messages.append({"role": "user", "content": last})
    body = {"messages": messages, "tools": [{"name": name} for name in tools]}
    return support_script(Request("/v1/messages", {}, body)).content


def call_in(content: Any) -> ToolUse | None:
    return next((part for part in content if isinstance(part, ToolUse)), None)


def text_in(content: Any) -> str:
    return "".join(part.text for part in content if isinstance(part, Text))


@pytest.mark.parametrize(
    ("runs", "tool"),
    [
        pytest.param((), "search_policies", id="first the policy"),
        pytest.param((SEARCHED,), "lookup_order", id="then the order"),
        pytest.param((SEARCHED, FOUND), "issue_refund", id="then the money"),
        pytest.param((SEARCHED, FOUND, FAILED), "issue_refund", id="once more"),
        pytest.param((SEARCHED, FOUND, FAILED, REFUNDED), None, id="done"),
        pytest.param((SEARCHED, FOUND, FAILED, FAILED, FAILED), None, id="given up"),
        pytest.param((SEARCHED, ("lookup_order", LookupError("no order"))), None, id="no order"),
    ],
)
def test_the_next_step_follows_from_the_results(runs: tuple[Run, ...], tool: str | None) -> None:
    call = call_in(ask(*runs))
    assert (call.name if call else None) == tool


def test_a_refund_is_of_what_was_paid() -> None:
    call = call_in(ask(SEARCHED, FOUND))
    assert call is not None
    assert call.input["order_id"] == "HH-2041"
    assert call.input["amount_cents"] == 4990


@pytest.mark.parametrize(
    "change",
    [{"delivered_days_ago": 31}, {"status": "on its way", "delivered_days_ago": None}],
)
def test_no_refund_against_the_policy(change: dict[str, object]) -> None:
    order = ("lookup_order", {**ORDER, **change})
    assert call_in(ask(SEARCHED, order)) is None


def test_no_refund_for_a_change_of_mind() -> None:
    ticket = "I do not like the kettle of order HH-2041. Money back, please."
    assert call_in(ask(SEARCHED, FOUND, ticket=ticket)) is None


def test_a_tool_that_is_not_offered_is_not_called() -> None:
    assert call_in(ask(SEARCHED, FOUND, tools=ALL_TOOLS[:2])) is None


def test_a_plan_is_json() -> None:
    content = ask(last="Make a plan. Answer only with JSON.")
    plan = json.loads(text_in(content))
    assert plan["goal"]
    assert any("HH-2041" in step for step in plan["steps"])


def test_the_last_answer_tells_what_the_tools_said() -> None:
    text = text_in(ask(SEARCHED, FOUND, FAILED, REFUNDED, tools=()))
    for fact in ("Mira", "49.90 EUR", "RF-1", "refunds.md#damaged"):
        assert fact in text


def test_a_failed_refund_is_not_called_a_refund() -> None:
    text = text_in(ask(SEARCHED, FOUND, FAILED, FAILED, FAILED, tools=()))
    assert "I have refunded" not in text
    assert "colleague" in text


def test_without_an_order_number_it_asks_for_one() -> None:
    text = text_in(ask(SEARCHED, ticket="My kettle is cracked.", tools=()))
    assert "number of your order" in text
