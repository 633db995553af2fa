"""The agent's tools: each is a plain function, and the decorator is all the tracing.

Arguments become the span's input, the result its output, and an exception is
recorded before it goes on to the caller.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypedDict

from anthropic.types import ToolParam, ToolResultBlockParam, ToolUseBlock

from agentops import span

from .search import Document, PolicyIndex

_HERE = Path(__file__).parent


class Order(TypedDict):
    order_id: str
    customer: str
    item: str
    total_cents: int
    currency: str
    paid_with: str
    status: str
    # A count instead of a date, so that the demo tells the same story every day.
    delivered_days_ago: int | None


class Refund(TypedDict):
    refund_id: str
    order_id: str
    amount_cents: int
    currency: str


class PaymentService:
    """A remote service as it is on a bad day: its first answer never comes."""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._calls = 0

    def refund(self, *, key: str) -> str:
        """Pays once per `key`, however often it is asked; returns the reference."""
        self._calls += 1
        if self._calls == 1:
            time.sleep(self._timeout_s)
            raise TimeoutError(f"payment service did not answer in {self._timeout_s} s")
        return f"RF-{key.removeprefix('HH-')}"


_payments = PaymentService(timeout_s=0.2)


@cache
def _policies() -> PolicyIndex:
    return PolicyIndex(_HERE / "knowledge")


@cache
def _orders() -> dict[str, Order]:
    orders: dict[str, Order] = json.loads((_HERE / "orders.json").read_text("utf-8"))
    return orders


@span("search_policies", kind="retrieval")
def search_policies(query: str, limit: int = 3) -> list[Document]:
    return _policies().search(query, limit)


@span("lookup_order", kind="tool")
def lookup_order(order_id: str) -> Order:
    try:
        return _orders()[order_id]
    except KeyError:
        raise LookupError(f"no order {order_id}") from None


@span("issue_refund", kind="tool")
def issue_refund(order_id: str, amount_cents: int, reason: str) -> Refund:
    order = _orders()[order_id]
    # The model proposes, the code decides: never trust an amount from a prompt.
    if not 0 < amount_cents <= order["total_cents"]:
        raise ValueError(f"{amount_cents} is not between 1 and {order['total_cents']}")
    # A timeout does not say whether the money went out, and the agent will try
    # again. The order as the key keeps the second try from paying twice.
    refund_id = _payments.refund(key=order_id)
    return Refund(
        refund_id=refund_id,
        order_id=order_id,
        amount_cents=amount_cents,
        currency=order["currency"],
    )


_FUNCTIONS: dict[str, Callable[..., object]] = {
    "search_policies": search_policies,
    "lookup_order": lookup_order,
    "issue_refund": issue_refund,
}


def run_tool(call: ToolUseBlock) -> ToolResultBlockParam:
    """Runs what the model asked for. A failure is an answer too: the model reads it."""
    try:
        result = _FUNCTIONS[call.name](**call.input)
    except (LookupError, TimeoutError, TypeError, ValueError) as error:
        content, failed = f"{type(error).__name__}: {error}", True
    else:
        content, failed = json.dumps(result), False
    return {
        "type": "tool_result",
        "tool_use_id": call.id,
        "content": content,
        "is_error": failed,
    }


def _tool(name: str, description: str, **properties: dict[str, str]) -> ToolParam:
    return {
        "name": name,
        "description": description,
        "input_schema": {
            "type": "object",
            "properties": properties,
            "required": list(properties),
        },
    }


TOOLS: list[ToolParam] = [
    _tool(
        "search_policies",
        "Search the shop's policies. Returns the sections that fit best.",
        query={"type": "string", "description": "A few key words."},
    ),
    _tool(
        "lookup_order",
        "Look up an order by its number.",
        order_id={"type": "string", "description": "For example HH-1234."},
    ),
    _tool(
        "issue_refund",
        "Refund an order, in full or in part. If it fails, it is safe to try again.",
        order_id={"type": "string"},
        amount_cents={"type": "integer", "description": "At most what was paid."},
        reason={"type": "string", "description": "For the books, a few words."},
    ),
]
