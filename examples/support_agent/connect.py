"""Which provider the demo talks to: the real one if there is a key, else a stand-in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from anthropic import Anthropic

from examples.stand_in import StandIn, paced, support_script

DEFAULT_MODEL = "claude-haiku-5-5"


@contextmanager
def connect() -> Iterator[tuple[Anthropic, str]]:
    """A client, and a line for people that says what is at its other end."""
    if os.environ.get("ANTHROPIC_API_KEY"):
        with Anthropic() as client:
            yield client, f"model: {model_name()} on {client.base_url}"
        return

    # Pauses like a real model's, only shorter, so that the trace has a shape.
    script = paced(support_script, delay_s=0.05, chunk_delay_s=0.005)
    with (
        StandIn(script) as server,
        Anthropic(
            base_url=server.url,
            api_key="stand-in",
            # Past any proxy in the environment: the server is on this machine. (The
            # SDK's own DefaultHttpxClient takes the proxy even if told not to.)
            http_client=httpx2.Client(trust_env=False),
        ) as client,
    ):
        where = f"model: the stand-in on {server.url} (no ANTHROPIC_API_KEY set)"
        yield client, where


def model_name() -> str:
    return os.environ.get("AGENTOPS_DEMO_MODEL") or DEFAULT_MODEL
