"""The script of the support demo: a "model" made of a few rules.

It keeps no state. Like a real model, it sees the conversation and nothing else,
so any number of agents can talk to it at once, and a replayed request gets the
same answer.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from .conversation import ToolRun, first_text, last_text, offered_tools, tool_runs
from .reply import Reply, Request, Text, ToolUse

_ORDER_ID = re.compile(r"\b[A-Z]{2}-\d{4}\b")
_ASKS_FOR_PLAN = re.compile(r"\bplan\b.*\bJSON\b", re.IGNORECASE | re.DOTALL)
_WANTS_MONEY = re.compile(r"refund|money back|reimburse", re.IGNORECASE)
_DAMAGED = re.compile(r"crack|broke|damage|chip|dent", re.IGNORECASE)
_REFUND_TRIES_MAX = 3
_REFUND_DAYS_MAX = 30

# What a customer says, and what to look for because of it.
_TOPICS = {
    _DAMAGED.pattern: "item damaged on arrival",
    _WANTS_MONEY.pattern: "refund",
    r"late|where is|track|lost": "parcel late or lost",
    r"stopped working|defect|warranty": "warranty repair",
    r"return|send it back|changed my mind": "return change of mind",
}


def support_script(request: Request) -> Reply:
    """Plan, look up the policy, look up the order, refund, answer."""
    case = _Case.read(request.body)
    if _ASKS_FOR_PLAN.search(last_text(request.body)):
        return Reply((Text(json.dumps(_plan(case))),))
    tools = offered_tools(request.body)
    if not tools:
        return Reply((Text(_answer(case)),))
    step = _next_step(case)
    if step is None or step[1].name not in tools:
        return Reply((Text("Everything that the tools can do here is done."),))
    return Reply((Text(step[0]), step[1]))


@dataclass(frozen=True, slots=True)
class _Case:
    """What the conversation says about the ticket."""

    ticket: str
    order_id: str | None
    wants_money: bool
    damaged: bool
    runs: list[ToolRun]

    @classmethod
    def read(cls, body: dict[str, Any]) -> _Case:
        ticket = first_text(body)
        order_id = _ORDER_ID.search(ticket)
        return cls(
            ticket=ticket,
            order_id=order_id.group() if order_id else None,
            wants_money=bool(_WANTS_MONEY.search(ticket)),
            damaged=bool(_DAMAGED.search(ticket)),
            runs=tool_runs(body),
        )

    def tries(self, tool: str) -> int:
        return sum(run.name == tool for run in self.runs)

    def result(self, tool: str) -> Any:
        """What the tool's last good call returned, or None."""
        good = [run.result for run in self.runs if run.name == tool and run.ok]
        return json.loads(good[-1]) if good else None

    def may_refund(self) -> bool:
        order = self.result("lookup_order")
        return bool(
            self.wants_money
            and self.damaged
            and order
            and order["status"] == "delivered"
            and order["delivered_days_ago"] <= _REFUND_DAYS_MAX
        )


def _plan(case: _Case) -> dict[str, Any]:
    steps = ["Find the policy that applies"]
    if case.order_id:
        steps.append(f"Look up order {case.order_id}")
    if case.wants_money:
        steps.append("Refund the order if the policy allows it")
    return {"goal": "Answer the ticket", "steps": [*steps, "Write to the customer"]}


def _next_step(case: _Case) -> tuple[str, ToolUse] | None:
    """The next tool call with a word about it; None when nothing is left to do."""
    if not case.tries("search_policies"):
        call = ToolUse("search_policies", {"query": _query(case.ticket)})
        return "First, what our policies say.", call
    if case.order_id and not case.tries("lookup_order"):
        call = ToolUse("lookup_order", {"order_id": case.order_id})
        return "Now the order itself.", call
    refunded = case.result("issue_refund") is not None
    tries = case.tries("issue_refund")
    if case.may_refund() and not refunded and tries < _REFUND_TRIES_MAX:
        order = case.result("lookup_order")
        amount = {"order_id": order["order_id"], "amount_cents": order["total_cents"]}
        call = ToolUse("issue_refund", {**amount, "reason": _query(case.ticket)})
        return ("That failed; once more." if tries else "The policy allows it."), call
    return None


def _query(ticket: str) -> str:
    found = [query for pattern, query in _TOPICS.items() if re.search(pattern, ticket, re.IGNORECASE)]
    return ", ".join(found) or " ".join(ticket.split()[:8])


def _answer(case: _Case) -> str:
    order = case.result("lookup_order")
    greeting = f"Hello {order['customer']}," if order else "Hello,"
    signature = "Kind regards\nHarbour & Hearth support"
    return "\n\n".join([greeting, *_paragraphs(case), signature])


def _paragraphs(case: _Case) -> list[str]:
    order = case.result("lookup_order")
    if case.order_id is None:
        return ["Please send us the number of your order, so that we can help you."]
    if order is None:
        return [f"We cannot find an order {case.order_id}. Is the number right?"]
    if case.may_refund():
        return _about_refund(case, order)
    said = f"Thank you for writing to us. Your order {case.order_id} is "
    if not case.wants_money:
        return [f"{said}{order['status']}.{_source(case)}"]
    rule = "Without a return we refund only what arrives damaged, and only for"
    days = f"{_REFUND_DAYS_MAX} days after delivery"
    return [f"{said}{order['status']}. {rule} {days}.{_source(case)}"]


def _about_refund(case: _Case, order: dict[str, Any]) -> list[str]:
    sorry = f"I am sorry that {order['item']} reached you in a bad state."
    refund = case.result("issue_refund")
    if refund is None:
        return [sorry, "Our payment service is down; a colleague will refund you."]
    amount = f"{refund['amount_cents'] / 100:.2f} {refund['currency']}"
    what = f"I have refunded {amount} for it, reference {refund['refund_id']}."
    when = "Your bank shows it within five working days."
    return [sorry, f"{what} {when}{_source(case)}"]


def _source(case: _Case) -> str:
    documents = case.result("search_policies")
    return f" This follows our policy {documents[0]['id']}." if documents else ""
