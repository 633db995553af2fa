"""Agents that go wrong, ten kinds of failure in several shapes each, recorded as a user would record them.

Each function runs one agent and gives the id of the span that is at fault. Around it are steps that went well, so
that to find it is not trivial.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from agentops import span

PLANTED: dict[str, Callable[[], str]] = {}
_FINISH = "gen_ai.response.finish_reasons"


def planted(run: Callable[[], str]) -> Callable[[], str]:
    PLANTED[run.__name__] = run
    return run


def hex_id(s: Any) -> str:
    return format(s.get_span_context().span_id, "016x")


def chat(messages: Any, answer: Any, finish: str = "stop", name: str = "chat", tokens: int = 300) -> str:
    with span(name, kind="llm", input=messages) as s:
        s.set_attribute("gen_ai.request.model", "claude-haiku-4-5")
        s.set_attribute("gen_ai.request.max_tokens", 1024)
        s.set_attribute("gen_ai.usage.input_tokens", tokens)
        s.set_attribute("gen_ai.usage.output_tokens", 40)
        s.set_attribute(_FINISH, [finish])
        s.output = answer
    return hex_id(s)


def step(name: str, kind: Any, given: Any, gives: Any) -> str:
    with span(name, kind=kind, input=given) as s:
        s.output = gives
    return hex_id(s)


def tool_use(name: str, arguments: dict[str, Any], call_id: str = "toolu_01") -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": "I will use a tool."},
        {"type": "tool_use", "id": call_id, "name": name, "input": arguments},
    ]


def tool_call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_9f", "type": "function", "function": function}],
    }


DOCS = [
    {"id": "doc-1", "text": "Refunds take five days and go to the card that was charged."},
    {"id": "doc-2", "text": "Ship on Mondays."},
]


def healthy(n: int = 3, first: int = 0) -> None:
    """Steps that go well: a model asks, a tool answers."""
    for i in range(first, first + n):
        with span(f"turn {i}", kind="chain"):
            chat(
                [{"role": "user", "content": f"question {i} about shipping"}],
                tool_use("weather", {"city": f"Bonn {i}"}),
                "tool_use",
            )
            step("weather", "tool", {"city": f"Bonn {i}"}, {"temperature": 20 + i, "sky": "clear"})
            step("search_manual", "retrieval", f"rule {i}", DOCS)


# -- 1: a tool is called with a wrong argument -----------------------------------------------------


@planted
def wrong_argument_anthropic() -> str:
    with suppress(ValueError), span("order agent", kind="agent", input="Cancel my order please"):
        healthy()
        with span("act", kind="loop"):
            cause = chat(
                [{"role": "user", "content": "Cancel my order"}],
                tool_use("cancel_order", {"order_id": "ORD-99812"}),
                "tool_use",
                "plan next action",
            )
            step("audit", "tool", {"event": "about to cancel"}, "logged")
            with span("cancel_order", kind="tool", input={"order_id": "ORD-99812"}):
                raise ValueError("no order with id ORD-99812 in the customer's account")
    return cause


@planted
def wrong_argument_openai() -> str:
    with suppress(RuntimeError), span("travel agent", kind="agent", input="Fly me to Paris next week"):
        healthy(2)
        with span("iteration 3"):
            cause = chat(
                [{"role": "system", "content": "You book flights."}],
                tool_call("book_flight", {"to": "PARIS", "passengers": 1}),
                "tool_calls",
                "gpt call",
            )
            with span("dispatch"):
                try:
                    with span("book_flight", kind="tool", input={"to": "PARIS", "passengers": 1}):
                        raise KeyError("PARIS")
                except KeyError as problem:
                    raise RuntimeError("the flight could not be booked") from problem
    return cause


@planted
def wrong_argument_without_a_literal() -> str:
    with suppress(ValueError), span("payments", kind="agent"):
        healthy(2)
        cause = chat(
            "Transfer some money to Ann",
            json.dumps({"tool": "transfer", "args": {"amount": -5, "to": "Ann"}}),
            name="decide",
        )
        with span("transfer", kind="tool", input={"amount": -5, "to": "Ann"}):
            raise ValueError("the amount must be positive")
    return cause


# -- 2: a tool's error is swallowed ----------------------------------------------------------------


@planted
def swallowed_exception() -> str:
    with span("report agent", kind="agent", input="Weekly report") as run:
        healthy(2)
        try:
            with span("load_sales", kind="tool", input={"week": 12}) as bad:
                raise ConnectionError("database sales-db refused the connection")
        except ConnectionError:
            pass
        healthy(2, 2)
        chat([{"role": "user", "content": "Write the report"}], "Sales were fine this week.")
        run.output = "Sales were fine this week."
    return hex_id(bad)


@planted
def swallowed_as_a_value() -> str:
    with span("assistant", kind="agent") as run:
        healthy(2)
        with span("work", kind="loop"):
            with span("step 7"):
                bad = step(
                    "get_invoice",
                    "tool",
                    {"invoice": "INV-2"},
                    {"error": {"code": 503, "message": "billing backend is not reachable"}},
                )
            healthy(2, 5)
        run.output = "Your invoice is 20 EUR."
    return bad


@planted
def swallowed_as_a_text() -> str:
    with span("crew", kind="agent"):
        healthy()
        bad = step(
            "run_sql",
            "tool",
            "SELECT * FROM user",
            'Error: relation "user" does not exist. ' + "Hint: check the schema. " * 12,
        )
        chat([{"role": "tool", "content": "Error"}], "There are 12 users.", name="gpt-4o")
        healthy(2, 6)
    return bad


@planted
def swallowed_tool_result_block() -> str:
    with span("claude agent", kind="agent"):
        healthy()
        block = {
            "type": "tool_result",
            "tool_use_id": "toolu_3",
            "is_error": True,
            "content": [{"type": "text", "text": "quota of 10 calls is used up"}],
        }
        bad = step("translate", "tool", {"text": "Guten Tag"}, block)
        healthy(1, 8)
        chat("Sum it up", "All is translated.")
    return bad


# -- 3: a retrieval finds nothing ------------------------------------------------------------------


@planted
def empty_list() -> str:
    with span("faq bot", kind="agent", input="What about warranty on used items?") as run:
        healthy(2)
        bad = step("find_passages", "retrieval", "warranty used items", [])
        chat([{"role": "user", "content": "Context: (none). Warranty on used items?"}], "The warranty is two years.")
        run.output = "The warranty is two years."
    return bad


@planted
def empty_documents() -> str:
    with span("rag", kind="chain", input="q"):
        healthy(1)
        with span("gather"):
            bad = step(
                "vector store",
                "retrieval",
                {"query": "tax rules 2031", "k": 5},
                {"documents": [[]], "ids": [[]], "distances": [[]]},
            )
            step("rerank", "rerank", [], DOCS[:1])
        chat("Answer from the context", "The tax is 19 percent.")
        healthy(1, 4)
    return bad


@planted
def empty_by_a_tool_in_words() -> str:
    with span("helper", kind="agent"):
        healthy(2)
        bad = step("kb_search", "tool", {"q": "reset of device X"}, "No matching documents were found.")
        chat("Answer", "Hold the button for 40 seconds.")
    return bad


# -- 4: loops --------------------------------------------------------------------------------------


@planted
def loop_same_arguments() -> str:
    first = ""
    with span("deploy agent", kind="agent"):
        healthy(2)
        for n in range(9):
            with span(f"iteration {n}"):
                chat(
                    [{"role": "user", "content": f"state {n}"}],
                    tool_use("deployment_state", {"service": "api"}),
                    "tool_use",
                )
                made = step("deployment_state", "tool", {"service": "api"}, {"state": "pending"})
                first = first or made
    return first


@planted
def loop_ids_differ() -> str:
    first = ""
    with span("watcher", kind="agent"):
        healthy(2)
        for n in range(8):
            chat([{"role": "user", "content": f"go on {n}"}], f"Let me check again ({n}).")
            request = {
                "query": "status of the transfer",
                "request_id": f"{n:08x}-1b2c-4d5e-8f90-a1b2c3d4e5f6",
                "at": f"2026-05-0{n + 1}T10:00:0{n}Z",
            }
            made = step("check_transfer", "tool", request, {"state": "unknown"})
            first = first or made
    return first


@planted
def loop_of_two() -> str:
    first = ""
    with span("editor", kind="agent"):
        healthy(1)
        for _ in range(6):
            made = step("open_file", "tool", {"path": "app.py"}, "import os\n" * 40)
            first = first or made
            step("edit_file", "tool", {"path": "app.py", "patch": "-a +b"}, "no change")
        healthy(1, 3)
    return first


# -- 5: refusals -----------------------------------------------------------------------------------


@planted
def refusal_anthropic() -> str:
    with span("chemistry tutor", kind="agent"):
        healthy(2)
        bad = chat(
            [{"role": "user", "content": "How do I mix these?"}], [{"type": "text", "text": ""}], "refusal", "explain"
        )
        healthy(1, 5)
    return bad


@planted
def refusal_openai_filter() -> str:
    with suppress(ValueError), span("story writer", kind="agent"):
        healthy(2)
        with span("draft"):
            bad = chat([{"role": "user", "content": "Write chapter two"}], "", "content_filter", "write chapter")
        with span("count words"):
            raise ValueError("a chapter has at least 100 words")
    return bad


@planted
def refusal_in_the_response() -> str:
    with span("moderated", kind="agent"):
        healthy(1)
        with span("ask", kind="llm", input="tell me") as bad:
            bad.output = {
                "id": "resp_1",
                "choices": [
                    {
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": None, "refusal": "I can't help with that."},
                    }
                ],
            }
        chat("and then", "Fine.")
    return hex_id(bad)


# -- 6: answers cut off ----------------------------------------------------------------------------


@planted
def cut_off_attribute() -> str:
    with span("summarizer", kind="agent"):
        healthy(2)
        bad = chat("Summarize this book", "The book begins with a voyage and then the", "length", "summarize")
        chat("Translate the summary", "Das Buch beginnt mit einer Reise.", name="translate")
    return bad


@planted
def cut_off_in_the_response() -> str:
    with span("coder", kind="agent"):
        healthy(1)
        with span("generate", kind="llm", input=[{"role": "user", "content": "write a parser"}]) as bad:
            bad.output = {
                "type": "message",
                "role": "assistant",
                "stop_reason": "max_tokens",
                "content": [{"type": "text", "text": "def parse(text):\n    if text" * 20}],
            }
        step("save", "tool", {"path": "parser.py"}, {"saved": True})
        healthy(1, 3)
    return hex_id(bad)


# -- 7: timeouts -----------------------------------------------------------------------------------


@planted
def timeout_raised() -> str:
    with suppress(TimeoutError), span("shopper", kind="agent"):
        healthy(2)
        with span("checkout"):
            with span("payment gateway", kind="tool", input={"amount": 12}) as bad:
                raise TimeoutError("no answer within 30 s")
    return hex_id(bad)


@planted
def timeout_of_the_whole() -> str:
    with suppress(TimeoutError), span("planner", kind="agent"):
        healthy(1)
        with span("gather prices", kind="chain"):
            with span("slow shop", kind="tool", input={"item": "lamp"}) as bad:
                time.sleep(0.05)
                bad.output = {"price": 4}
            step("fast shop", "tool", {"item": "lamp"}, {"price": 5})
        raise TimeoutError("deadline of 0.04 s exceeded")
    return hex_id(bad)


@planted
def timeout_as_a_value() -> str:
    with span("researcher", kind="agent"):
        healthy(1)
        bad = step("fetch_page", "tool", {"url": "https://example.com/a"}, "Request timed out after 30 seconds")
        chat("go on", "The page says nothing new.")
    return bad


# -- 8: bad JSON -----------------------------------------------------------------------------------


def _parsed(text: str, name: str = "parse", given: Any = None) -> None:
    with span(name, input=given):
        json.loads(text)


@planted
def bad_json_cut() -> str:
    text = '{"steps": ["find the order", "refund it", {"amount": 12,}]}'
    with suppress(ValueError), span("plan and act", kind="agent"):
        chat("Make a plan. Answer with JSON only.", '{"steps": []}', name="first plan")
        bad = chat("Make a better plan. Answer with JSON only.", text, name="second plan")
        healthy(2)
        _parsed(text, "run plan")
    return bad


@planted
def bad_json_prose() -> str:
    text = "Sure! Here is the JSON that you asked for: name is Ann."
    with suppress(ValueError), span("extractor", kind="agent"):
        healthy(2)
        bad = chat(
            [{"role": "user", "content": "Extract the fields as JSON"}],
            [{"type": "text", "text": text}],
            "end_turn",
            "extract fields",
        )
        chat(
            [{"role": "user", "content": "Say something nice"}],
            [{"type": "text", "text": "You look great."}],
            "end_turn",
            "compliment",
        )
        step("store", "tool", {"ok": 1}, {"stored": True})
        with span("post-process"):
            _parsed(text, "to record", text)
    return bad


@planted
def bad_json_arguments() -> str:
    function = {"name": "set_alarm", "arguments": '{"at": "07:00", "label": "wake'}
    message = {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": function}]}
    with suppress(ValueError), span("voice agent", kind="agent"):
        healthy(2)
        bad = chat([{"role": "user", "content": "wake me at seven"}], message, "tool_calls", "understand")
        healthy(1, 6)
        with span("dispatch"):
            json.loads(function["arguments"])
    return bad


# -- 9: context overflow ---------------------------------------------------------------------------


class BadRequestError(Exception):
    pass


@planted
def overflow_error() -> str:
    with suppress(BadRequestError), span("log analyst", kind="agent"):
        healthy(2)
        step("read_log", "tool", {"path": "app.log"}, "line of a log\n" * 4000)
        with span("analyse", kind="llm", input=[{"role": "user", "content": "what is wrong?"}]) as bad:
            raise BadRequestError(
                "Error code: 400 - {'type': 'error', 'message': 'prompt is too long: 212345 tokens > 200000 maximum'}"
            )
    return hex_id(bad)


@planted
def overflow_growth() -> str:
    with suppress(BadRequestError), span("browser", kind="agent"):
        messages = [{"role": "user", "content": "find the price"}]
        for n in range(4):
            chat(list(messages), f"looking {n}", tokens=500 + 50 * n)
            messages.append({"role": "assistant", "content": f"looking {n}"})
        bad = step("dump_page", "tool", {"url": "https://example.com"}, "<div>x</div>" * 3000)
        chat(list(messages), "a large page", tokens=90_000)
        with span("chat", kind="llm", input=messages):
            raise BadRequestError("maximum context length is 128000 tokens, you requested 131000 tokens")
    return bad


@planted
def overflow_finish_reason() -> str:
    with span("novelist", kind="agent"):
        healthy(2)
        bad = chat("Continue", "And then", "model_context_window_exceeded", "continue story", 199_000)
    return bad


# -- 10: an exception far from its cause -----------------------------------------------------------


@planted
def far_wrong_id() -> str:
    with suppress(LookupError), span("account agent", kind="agent", input="Close the account of Mr Miller"):
        chat("Who is it?", "Mr Miller", name="understand")
        bad = step("resolve_customer", "tool", {"name": "Miller"}, {"customer": "CUS-00417", "confidence": 0.41})
        healthy(3)
        step("check_balance", "tool", {"customer": "CUS-00417"}, {"balance": 0})
        with span("finish"), span("close_account", kind="tool", input={"customer": "CUS-00417"}):
            raise LookupError("customer CUS-00417 is not active")
    return bad


@planted
def far_none() -> str:
    with suppress(AttributeError), span("mailer", kind="agent"):
        step("find_template", "tool", {"name": "greeting"}, {"text": "Hello"})
        bad = step("find_recipient", "tool", {"name": "Zed"}, None)
        step("log_event", "tool", {"event": "begun"}, None)
        healthy(3)
        with span("compose"):
            with span("render"):
                recipient: Any = None
                recipient.lower()
    return bad


@planted
def far_none_inside() -> str:
    with suppress(TypeError), span("quote agent", kind="agent"):
        bad = step("load_rates", "chain", {"region": "EU"}, {"region": "EU", "rate": None})
        healthy(3)
        with span("price", input={"rate": None, "hours": 4}):
            rate: Any = None
            rate * 4
    return bad


@planted
def far_missing_key() -> str:
    items = [{"sku": "a", "price": 3}, {"sku": "b"}]
    with suppress(KeyError), span("cart agent", kind="agent"):
        step("fetch_item", "tool", {"sku": "a"}, items[0])
        bad = step("fetch_item", "tool", {"sku": "b"}, items[1])
        step("fetch_item", "tool", {"sku": "c"}, {"sku": "c", "price": 9})
        healthy(2)
        with span("sum up"):
            sum(item["price"] for item in items)  # type: ignore[misc]
    return bad


@planted
def far_unparsable_value() -> str:
    with suppress(ValueError), span("invoice agent", kind="agent"):
        healthy(1)
        bad = chat("Read the amount", {"amount": "twelve euros", "currency": "EUR"}, name="read invoice")
        healthy(3, 2)
        step("convert", "tool", {"currency": "EUR"}, {"rate": 1.0})
        with span("book", kind="tool"):
            float("twelve euros")
    return bad


@planted
def far_empty_feeds_index_error() -> str:
    with suppress(IndexError), span("planner", kind="agent"):
        bad = step("list_candidates", "tool", {"role": "pilot"}, {"candidates": [], "total": 0})
        healthy(3)
        with span("choose"), span("rank"):
            candidates: list[str] = []
            candidates[0]
    return bad


# -- more shapes of the same kinds -----------------------------------------------------------------


@planted
def wrong_argument_in_a_validation_error() -> str:
    with suppress(ValueError), span("refund agent", kind="agent", input="refund please"):
        healthy(2)
        bad = chat("refund", tool_use("issue_refund", {"amount": "12,50 EUR"}), "tool_use")
        healthy(1, 4)
        with span("issue_refund", kind="tool", input={"amount": "12,50 EUR"}):
            raise ValueError(
                "1 validation error for Refund\namount\n  Input should be a number [input_value='12,50 EUR']"
            )
    return bad


@planted
def wrong_argument_missing() -> str:
    with suppress(TypeError), span("mail agent", kind="agent"):
        healthy(1)
        bad = chat(
            "send it", {"choices": [{"message": tool_call("send_mail", {"subject": "Hi"})}]}, "tool_calls", "decide"
        )
        with span("execute"), span("send_mail", kind="tool", input={"subject": "Hi"}):
            raise TypeError("send_mail() missing 1 required positional argument: 'to'")
    return bad


@planted
def wrong_argument_with_a_swallowed_error() -> str:
    with span("database agent", kind="agent", input="how many users?") as run:
        healthy(1)
        bad = chat("how many users?", "SELECT count(*) FROM usres", name="write sql")
        healthy(1, 3)
        step("run_query", "tool", {"sql": "SELECT count(*) FROM usres"}, '{"error": "no such table: usres"}')
        run.output = "42"
    return bad


@planted
def timeout_that_cancels() -> str:
    started: list[str] = []

    async def vendor() -> None:
        with span("call vendor", kind="tool", input={"x": 1}) as s:
            started.append(hex_id(s))
            await asyncio.Event().wait()

    async def agent() -> None:
        with span("async agent", kind="agent"):
            healthy(1)
            with span("guarded"):
                await asyncio.wait_for(vendor(), 0.02)

    with suppress(TimeoutError, asyncio.TimeoutError):
        asyncio.run(agent())
    return started[0]


@planted
def bad_json_raised_in_the_root() -> str:
    with suppress(ValueError), span("structurer", kind="agent"):
        healthy(1)
        bad = chat("Return a JSON object", "Here you go: name is Ann", name="to json")
        healthy(1, 3)
        json.loads("Here you go: name is Ann")
    return bad


@planted
def bad_json_that_the_run_got_over() -> str:
    with span("planner", kind="agent") as run:
        healthy(1)
        bad = chat("Return a JSON object", '{"steps": ["a", "b"', name="make plan")
        healthy(1, 3)
        with suppress(ValueError), span("parse plan"):
            json.loads('{"steps": ["a", "b"')
        run.output = "done"
    return bad


@planted
def far_id_in_an_address() -> str:
    with suppress(OSError), span("account agent", kind="agent", input="report of Ann"):
        bad = step("resolve account", "tool", {"name": "Ann"}, {"account": "acc_99172"})
        healthy(3)
        with span("download"):
            raise OSError("404 Client Error: Not Found for url: https://api.example.com/v1/accounts/acc_99172/report")
    return bad


@planted
def far_date_that_the_message_does_not_quote() -> str:
    with suppress(ValueError), span("booking agent", kind="agent", input="book friday"):
        bad = step("normalize date", "chain", "friday", {"date": "2024-13-45"})
        healthy(3)
        with span("book", kind="tool", input={"date": "2024-13-45", "seat": "2A"}):
            raise ValueError("month must be in 1..12")
    return bad


@planted
def far_zero() -> str:
    with suppress(ZeroDivisionError), span("statistics agent", kind="agent"):
        bad = step("count_users", "tool", {"segment": "new"}, {"segment": "new", "users": 0})
        healthy(3)
        with span("average"):
            1 / 0
    return bad


@planted
def far_none_of_a_decorated_function() -> str:
    @span("find_customer", kind="tool")
    def find(name: str) -> dict[str, str] | None:
        return {"mail": "a@b"} if name == "Ann" else None

    @span("notify", kind="tool")
    def notify(name: str) -> None:
        pass

    with suppress(TypeError), span("mailer", kind="agent"):
        find("Ann")
        notify("Ann")
        with span("second") as second:
            bob: Any = find("Bob")
        notify("Bob")
        healthy(2)
        with span("mail"):
            bob["mail"]
    assert second
    return "find_customer"


@planted
def swallowed_by_an_agent_below() -> str:
    with span("orchestrator", kind="agent", input="research") as run:
        healthy(1)
        with span("researcher", kind="agent", input="x") as below:
            healthy(1, 3)
            with suppress(ConnectionError), span("browse", kind="tool", input={"url": "u"}) as bad:
                raise ConnectionError("net is down")
            below.output = "nothing"
        healthy(1, 6)
        run.output = "done"
    return hex_id(bad)


@planted
def swallowed_and_recorded_as_an_event() -> str:
    with span("assistant", kind="agent"):
        healthy(1)
        with span("vector lookup", kind="tool", input="t") as bad:
            bad.record_exception(ValueError("index is broken"))
            bad.output = "fallback"
        healthy(1, 3)
    return hex_id(bad)


@planted
def swallowed_where_tools_have_no_spans() -> str:
    bad = ""
    with span("bare agent", kind="agent", input="q"):
        messages: list[Any] = [{"role": "user", "content": "q"}]
        for n in range(5):
            made = chat(list(messages), tool_use("look", {"n": n}, f"t{n}"), "tool_use", f"call {n}")
            result = {"type": "tool_result", "tool_use_id": f"t{n}", "content": "data", "is_error": False}
            if n == 2:
                result |= {"content": "permission denied for table x", "is_error": True}
            messages += [{"role": "assistant", "content": "looking"}, {"role": "user", "content": [result]}]
            bad = made if n == 3 else bad  # the first that was told
        chat(list(messages), "All good")
    return bad


@planted
def refusal_of_a_guardrail() -> str:
    with span("guarded agent", kind="agent"):
        healthy(1)
        bad = step("pii check", "guardrail", "my number is 12", {"blocked": True, "reason": "pii"})
        healthy(1, 3)
    return bad


@planted
def wrong_tool_called() -> str:
    with suppress(KeyError), span("stock agent", kind="agent", input="q"):
        healthy(1)
        bad = chat("go", tool_use("get_stonks", {"ticker": "A"}), "tool_use", "decide")
        healthy(1, 3)
        with span("dispatch"):
            {"weather": 1}["get_stonks"]
    return bad
