"""A call of a model that an instrumentation, the client, our integration and the program report counts once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

Outcome = Callable[..., Any]

REPORTERS = {
    "nobody else": "",
    "openinference": "from openinference.instrumentation.anthropic import AnthropicInstrumentor as Other",
    "opentelemetry": "from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor as Other",
    "traceloop": "from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor as Other",
}
PROVIDERS = {"none": "", "ours": "init(otel=True)", "the application's": "application()"}
CALLS = """
import anthropic, httpx2
QUESTION = dict(model="claude-haiku-5-5", max_tokens=64, messages=[dict(role="user", content="Where is my money?")])
def client():
    return anthropic.Anthropic(base_url=MESSAGES, api_key="any", http_client=httpx2.Client(trust_env=False))
def ask(name, client, own=False):
    with span(name, kind="agent") as agent:
        if own:
            with span("own", kind="llm"):
                client.messages.create(**QUESTION)
        else:
            with client.messages.stream(**QUESTION) as events:
                events.until_done()
        agent.set_attribute("gen_ai.usage.input_tokens", 180)     # as frameworks do for what is below
ask("alone", client())
ask("own", client(), own=True)
ask("wrapped", agentops.wrap(client()))
ask("wrapped and own", agentops.wrap(client()), own=True)
instrument()
ask("instrumented", client())
ask("instrumented and own", client(), own=True)
done()
"""
KNOWN = {"wrapped", "wrapped and own", "instrumented", "instrumented and own"}


def check(reporter: str, provider: str, python: str, servers: str, outcome: Outcome) -> None:
    on = f"{REPORTERS[reporter]}\nOther().instrument()" if REPORTERS[reporter] else ""
    found = outcome(f"{servers}\n{PROVIDERS[provider]}\n{on}\n{CALLS}", python=python)
    traces = {trace.name: trace for trace in found.traces}
    assert set(traces) == {"alone", "own"} | KNOWN
    for name, trace in traces.items():
        seen = provider != "none" or name in KNOWN
        tokens = (trace.input_tokens, trace.output_tokens)
        assert (name, trace.llm_calls, tokens) == (name, int(seen or name == "own"), (180, 20) if seen else (0, 0))
        assert (trace.cost_usd is not None) == seen  # whoever recorded it
    assert found.stats.calls == sum(trace.llm_calls for trace in traces.values())
    assert found.stats.input_tokens == sum(trace.input_tokens for trace in traces.values())


def test_each_call_counts_once_in_short(servers: str, outcome: Outcome) -> None:
    check("openinference", "the application's", sys.executable, servers, outcome)


@pytest.mark.proof
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("reporter", REPORTERS)
def test_each_call_counts_once(reporter: str, provider: str, foreign: str, servers: str, outcome: Outcome) -> None:
    check(reporter, provider, foreign, servers, outcome)
