"""Calls of Anthropic's client made again from the store alone, with nothing at the other end of the network."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from opentelemetry import trace as otel

import agentops
from agentops import span
from agentops.store.reader import Reader
from agentops_integrations.anthropic.again import Again, RecordedCall, calls
from examples.stand_in import Reply, StandIn, Text, ToolUse, support_script
from examples.support_agent.agent import SYSTEM, answer_ticket
from examples.support_agent.model import Model
from examples.support_agent.tools import TOOLS

RUNS = Path(__file__).parents[3] / "shared" / "data" / "tau_airline_runs.jsonl.gz"
MODEL = "claude-haiku-5-5"
#: Nobody listens there, and the client is to find out at once.
NOWHERE: dict[str, Any] = {"base_url": "http://127.0.0.1:9", "api_key": "any", "max_retries": 0}


@pytest.fixture(autouse=True)
def _no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "_TRACER_PROVIDER", None)


def http() -> httpx2.Client:
    return httpx2.Client(trust_env=False)


@contextmanager
def offline(recorded: list[RecordedCall]) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(http_client=http(), **NOWHERE) as client:
        yield client.with_middleware(Again(recorded, client))


def on_record(store: Path) -> list[RecordedCall]:
    """All recorded calls, the oldest trace first."""
    assert agentops.flush()
    with Reader(str(store)) as reader:
        return [call for trace in reversed(reader.traces(limit=None)) for call in calls(reader, trace)]


def answers(client: anthropic.Anthropic, asked: list[dict[str, Any]]) -> list[Any]:
    """What a program gets of calls: typed messages, and typed events in their order."""
    found: list[Any] = []
    for ask in asked:
        if ask.get("stream"):
            found.append([(type(event), event.to_dict(mode="json")) for event in client.messages.create(**ask)])
        else:
            message = client.messages.create(**ask)
            found.append((type(message), message.to_dict(mode="json"), message._request_id))
    return found


def test_the_demos_run_is_served_from_its_record(store: Path) -> None:
    def run(client: anthropic.Anthropic) -> tuple[str, bool]:
        written: list[str] = []
        outcome = answer_ticket(
            Model(client, MODEL, SYSTEM, TOOLS), "My kettle HH-2041 is cracked.", write=written.append
        )
        return "".join(written), outcome.resolved

    with StandIn(support_script) as server:
        with anthropic.Anthropic(base_url=server.url, api_key="any", http_client=http()) as client:
            first = run(agentops.wrap(client))
        sent = [request.body for request in server.requests]
    recorded = on_record(store)
    assert [call.request for call in recorded] == sent, "each request is on record as it was sent"
    with offline(recorded) as client:
        assert run(client) == first


@pytest.mark.skipif(not RUNS.exists(), reason="the recorded runs are not here")
def test_twenty_recorded_runs_are_served_as_the_same_messages_and_streams(store: Path) -> None:
    with gzip.open(RUNS, "rt") as file:
        runs = [requests_of(json.loads(line)["messages"]) for _, line in zip(range(20), file, strict=False)]
    asked = [ask for run in runs for ask, _ in run]
    replies = iter([reply for run in runs for _, reply in run])
    first = []
    with StandIn(lambda _: next(replies)) as server:
        with anthropic.Anthropic(base_url=server.url, api_key="any", http_client=http()) as client:
            wrapped = agentops.wrap(client)
            for run in runs:
                with span("airline", kind="agent"):
                    first += answers(wrapped, [ask for ask, _ in run])
    recorded = on_record(store)
    assert [call.request for call in recorded] == asked
    with offline(recorded) as client:
        assert answers(client, asked) == first


def requests_of(messages: list[dict[str, Any]]) -> list[tuple[dict[str, Any], Reply]]:
    """A recorded run as requests of the Messages API and their answers; every second one streams."""
    system, history, found = "", [], []  # type: str, list[Any], list[tuple[dict[str, Any], Reply]]
    for message in messages:
        if message["role"] == "system":
            system = message["content"]
        elif message["role"] == "user":
            history.append({"role": "user", "content": message["content"]})
        elif message["role"] == "tool":
            result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": message["content"]}
            history.append({"role": "user", "content": [result]})
        else:
            asked = [(call["id"], call["function"]) for call in message.get("tool_calls") or ()]
            uses = [(key, call["name"], json.loads(call["arguments"])) for key, call in asked]
            said = [message["content"]] if message["content"] else []
            ask = {"model": MODEL, "max_tokens": 64, "system": system, "messages": list(history)}
            reply = Reply((*map(Text, said), *(ToolUse(name, given) for _, name, given in uses)))
            found.append(({**ask, "stream": True} if len(found) % 2 else ask, reply))
            blocks: list[Any] = [{"type": "text", "text": text} for text in said]
            blocks += [{"type": "tool_use", "id": key, "name": name, "input": given} for key, name, given in uses]
            history.append({"role": "assistant", "content": blocks})
    return found
