"""Other people's instrumentation makes the same spans over us as over the bare SDK, and our store has them so."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

Compared = Callable[..., Any]

ANTHROPIC = """
    import anthropic, httpx2
    {instrumented}
    QUESTION = dict(model="claude-haiku-5-5", max_tokens=64, messages=[dict(role="user", content="Where is my money?")])
    def work():
        client = anthropic.Anthropic(
            base_url=MESSAGES, api_key="any", max_retries=0, http_client=httpx2.Client(trust_env=False)
        )
        with span("ours", kind="agent"):
            client.messages.create(**QUESTION)
            for _ in client.messages.create(**QUESTION, stream=True):
                pass
            with span("ours around the stream", kind="chain"):
                with client.messages.stream(**QUESTION) as events:
                    events.get_final_message()
            try:
                client.messages.create(**{{**QUESTION, "messages": [dict(role="user", content="fail")]}})
            except anthropic.APIStatusError:
                pass
        async def several():
            client = anthropic.AsyncAnthropic(
                base_url=MESSAGES, api_key="any", http_client=httpx2.AsyncClient(trust_env=False)
            )
            with span("ours async", kind="agent"):
                for _ in range(2):
                    await client.messages.create(**QUESTION)
        import asyncio
        asyncio.run(several())
"""
LANGCHAIN = """
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.runnables import RunnableLambda, RunnableParallel
    from langchain_core.tools import tool
    @tool
    def look_up(order: int) -> str:
        "Looks an order up."
        with span("ours in a tool", kind="tool"):
            with other("theirs in a tool"):
                return f"order {order} is on its way"
    def work():
        answers = AIMessage(
            "On its way.", usage_metadata=dict(input_tokens=100, output_tokens=20, total_tokens=120), id="answer-1"
        )
        model = GenericFakeChatModel(messages=iter([answers] * 3))
        chain = ChatPromptTemplate.from_template("Where is {what}?") | model | RunnableLambda(lambda m: m.content)
        with span("ours", kind="agent"):
            chain.invoke(dict(what="my money"))
            look_up.invoke(dict(order=88213))
            RunnableParallel(a=RunnableLambda(lambda x: x + 1), b=RunnableLambda(lambda x: x + 2)).invoke(1)
            try:
                RunnableLambda(lambda x: 1 / x).invoke(0)
            except ZeroDivisionError:
                pass
    """
INSTRUMENTED = {
    "anthropic's own": ANTHROPIC.format(instrumented=""),
    "anthropic by openinference": ANTHROPIC.format(
        instrumented="""
    def switch_on():
        from openinference.instrumentation.anthropic import AnthropicInstrumentor
        AnthropicInstrumentor().instrument()
"""
    ),
    "anthropic by opentelemetry": ANTHROPIC.format(
        instrumented="""
    def switch_on():
        from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor
        AnthropicInstrumentor().instrument()
"""
    ),
    "anthropic by traceloop": ANTHROPIC.format(
        instrumented="""
    def switch_on():
        from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
        AnthropicInstrumentor().instrument()
"""
    ),
    "httpx": """
    import asyncio, httpx
    def switch_on():
        from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
        HTTPXClientInstrumentor().instrument()
    def work():
        with span("ours"), httpx.Client(trust_env=False) as client:
            client.get(ANY + "/hello")
            client.get(ANY + "/fails")
            try:
                client.get("http://127.0.0.1:1/")
            except httpx.ConnectError:
                pass
        async def several():
            async with httpx.AsyncClient(trust_env=False) as client:
                with span("ours async"):
                    await asyncio.gather(*(client.get(ANY + "/hello") for _ in range(3)))
        asyncio.run(several())
    """,
    "urllib3": """
    import urllib3
    def switch_on():
        from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
        URLLib3Instrumentor().instrument()
    def work():
        http = urllib3.PoolManager()
        with span("ours"):
            http.request("GET", ANY + "/hello")
            with span("ours inside"):
                http.request("GET", ANY + "/fails")
            try:
                http.request("GET", "http://127.0.0.1:1/", retries=False)
            except urllib3.exceptions.HTTPError:
                pass
    """,
    "sqlite3": """
    import sqlite3
    def switch_on():
        from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
        SQLite3Instrumentor().instrument()
    def work():
        connection = sqlite3.connect("theirs.db")
        with span("ours"):
            cursor = connection.cursor()
            cursor.execute("create table t (a)")
            with span("ours inside"):
                cursor.executemany("insert into t values (?)", [(1,), (2,)])
            cursor.execute("select a from t").fetchall()
            try:
                cursor.execute("select nothing from nowhere")
            except sqlite3.OperationalError:
                pass
        connection.close()
    """,
    "asyncio": """
    import asyncio, os
    os.environ["OTEL_PYTHON_ASYNCIO_COROUTINE_NAMES_TO_TRACE"] = "step,fails"
    os.environ["OTEL_PYTHON_ASYNCIO_TO_THREAD_FUNCTION_NAMES_TO_TRACE"] = "blocking"
    def switch_on():
        from opentelemetry.instrumentation.asyncio import AsyncioInstrumentor
        AsyncioInstrumentor().instrument()
    def blocking():
        with span("ours in a thread"):
            with other("theirs in a thread"):
                pass
    async def step():
        with span("ours in a step"):
            with other("theirs in a step"):
                await asyncio.sleep(0)
    async def fails():
        raise LookupError("nothing there")
    async def main():
        with span("ours"):
            await asyncio.gather(step(), step(), fails(), return_exceptions=True)
            async with asyncio.TaskGroup() as group:
                group.create_task(step())
            await asyncio.to_thread(blocking)
            task = asyncio.ensure_future(step())
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    def work():
        asyncio.run(main())
    """,
    "threading": """
    import threading
    from concurrent.futures import ThreadPoolExecutor
    def switch_on():
        from opentelemetry.instrumentation.threading import ThreadingInstrumentor
        ThreadingInstrumentor().instrument()
    def step(*_):
        with other("theirs in a thread"):
            with span("ours in a thread"):
                with other("theirs inside"):
                    pass
    def work():
        with span("ours"):
            with other("theirs"):
                thread = threading.Thread(target=step)
                thread.start()
                thread.join()
                timer = threading.Timer(0.01, step)
                timer.start()
                timer.join()
                with ThreadPoolExecutor(2) as pool:
                    list(pool.map(step, range(4)))
    """,
    "openai by openinference": """
    import asyncio, httpx2, openai
    def switch_on():
        from openinference.instrumentation.openai import OpenAIInstrumentor
        OpenAIInstrumentor().instrument()
    QUESTION = dict(model="gpt-6-mini", messages=[dict(role="user", content="Where is my money?")])
    def work():
        client = openai.OpenAI(base_url=ANY + "/v1", api_key="any", max_retries=0)
        with span("ours", kind="agent"):
            client.chat.completions.create(**QUESTION)
            for _ in client.chat.completions.create(**QUESTION, stream=True):
                pass
            with span("ours inside"):
                client.embeddings.create(model="text-embedding-4", input="money", encoding_format="float")
            try:
                client.chat.completions.create(**{**QUESTION, "model": "fails"})
            except openai.APIStatusError:
                pass
        async def one():
            client = openai.AsyncOpenAI(base_url=ANY + "/v1", api_key="any")
            with span("ours async", kind="agent"):
                await client.chat.completions.create(**QUESTION)
        asyncio.run(one())
    """,
    "langchain by openinference": LANGCHAIN
    + """
    def switch_on():
        from openinference.instrumentation.langchain import LangChainInstrumentor
        LangChainInstrumentor().instrument()
    """,
    "langchain's own": """
    import os
    os.environ.update(
        LANGSMITH_TRACING="true", LANGSMITH_API_KEY="any", LANGSMITH_ENDPOINT=ANY, LANGSMITH_TRACING_MODE="otel"
    )
    """
    + LANGCHAIN
    + """
    at_once = work
    def work():
        from langchain_core.tracers.langchain import wait_for_all_tracers
        at_once()
        wait_for_all_tracers()
    """,
    "mcp's own": """
    import asyncio
    from mcp.client import Client
    from mcp.server.mcpserver import MCPServer
    server = MCPServer("orders")
    @server.tool()
    def look_up(order: int) -> str:
        "Looks an order up."
        with span("ours in a tool", kind="tool"):
            with other("theirs in a tool"):
                return f"order {order} is on its way"
    @server.tool()
    def fails() -> str:
        "Always."
        raise LookupError("nothing there")
    async def main():
        with span("ours", kind="agent"):
            async with Client(server) as client:
                await client.list_tools()
                await client.call_tool("look_up", dict(order=88213))
                try:
                    await client.call_tool("fails", {})
                except Exception:
                    pass
    def work():
        asyncio.run(main())
    """,
}


def check(library: str, python: str, servers: str, outcome: Compared) -> int:
    """Runs the same program over the bare SDK, beside us, and over our provider; gives how many spans there are."""
    body = f"    {servers}\n{INSTRUMENTED[library]}\n"
    on = "    switch_on()\n" if "def switch_on" in body else ""
    bare = outcome(f"{body}\n    application()\n{on}    work()\n    done()\n", without=True, python=python)
    assert bare.exported
    joined = outcome(f"{body}\n    application()\n{on}    work()\n    done()\n", python=python)
    assert joined.theirs == bare.theirs
    joined.check_one_tree_in_both_places()
    joined.check_the_store_says_what_the_exporter_got()
    own = outcome(f"{body}\n    init(otel=True)\n{on}    work()\n    done()\n", python=python)
    assert own.stored_theirs == bare.stored_like
    hung = "    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(memory))\n"
    shared = outcome(f"{body}\n    init(otel=True)\n{hung}{on}    work()\n    done()\n", python=python)
    assert shared.theirs == bare.theirs
    shared.check_one_tree_in_both_places()
    return len(bare.exported)


@pytest.mark.proof
@pytest.mark.parametrize("library", INSTRUMENTED)
def test_the_same_spans_as_over_the_bare_sdk(
    library: str, foreign: str, servers: str, outcome: Compared, record_property: Any
) -> None:
    record_property("spans compared", check(library, foreign, servers, outcome))


def test_the_same_spans_as_over_the_bare_sdk_in_short(servers: str, outcome: Compared) -> None:
    check("anthropic by openinference", sys.executable, servers, outcome)


@pytest.mark.proof
def test_with_instrumentation_an_idle_program_records_nothing_of_ours(foreign: str, outcome: Compared) -> None:
    found = outcome(
        """
        import sqlite3, time
        from opentelemetry.instrumentation.logging import LoggingInstrumentor
        from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
        from opentelemetry.instrumentation.threading import ThreadingInstrumentor
        from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
        init(otel=True)
        for instrumentor in (LoggingInstrumentor, SQLite3Instrumentor, ThreadingInstrumentor, URLLib3Instrumentor):
            instrumentor().instrument()
        with span("busy", input="x" * 1000):
            connection = sqlite3.connect(":memory:")
            connection.cursor().execute("select 1")
            connection.close()
        time.sleep(10)
        done()
        """,
        python=foreign,
    )
    assert {one["name"] for one in found.stored} == {"busy", "select"}
