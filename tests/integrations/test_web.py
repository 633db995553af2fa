"""Requests over real HTTP: what calls and what answers are one tree, by `traceparent`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BACK = """
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server
from agentops import span
from agentops_integrations.web import wsgi

class Quiet(WSGIRequestHandler):
    def log_message(self, *_): pass

def app(environ, start_response):
    with span("look up", kind="retrieval"):
        start_response("200 OK", [])
        return [b"five days"]

server = make_server("127.0.0.1", 0, wsgi(app), handler_class=Quiet)
print(server.server_port, flush=True)
server.serve_forever()
"""
FRONT = """
import sys, socket, urllib.request
import uvicorn
from agentops import carry, span, traceparent
from agentops_integrations.web import asgi

BACK = sys.argv[1]
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def ask():
    with span("ask the back", kind="tool"):
        request = urllib.request.Request(BACK, headers={"traceparent": traceparent()})
        with direct.open(request, timeout=10) as answer:
            return answer.read()

async def app(scope, receive, send):
    import asyncio
    if scope["path"] == "/bare":
        body = traceparent().encode()
    else:
        with span("answer", kind="agent"):
            body = await asyncio.get_running_loop().run_in_executor(None, carry(ask))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})

listening = socket.socket()
listening.bind(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(asgi(app), lifespan="off", log_level="critical")).run(sockets=[listening])
"""
CLIENT = """
import sys, urllib.request
from agentops import span, traceparent

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with span("client"):
    request = urllib.request.Request(sys.argv[1], headers={"traceparent": traceparent()})
    with direct.open(request, timeout=10) as answer:
        print(answer.read().decode())
"""


@contextmanager
def serving(source: str, *arguments: str, env: dict[str, str]) -> Iterator[str]:
    """A server in a process of its own; gives its address."""
    command = [sys.executable, "-c", source, *arguments]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.terminate()


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db"), "AGENTOPS_RAISE": "1"}


def test_a_client_and_two_servers_are_one_tree(env: dict[str, str], tmp_path: Path, read: Any) -> None:
    with serving(BACK, env=env) as back, serving(FRONT, back, env=env) as front:
        said = subprocess.check_output(
            [sys.executable, "-c", CLIENT, front + "/ticket"], env=env, text=True, timeout=60
        )
        bare = subprocess.check_output([sys.executable, "-c", CLIENT, front + "/bare"], env=env, text=True, timeout=60)
    assert said == "five days\n"
    found = read(tmp_path / "traces.db")
    names = {record["span_id"]: record["name"] for record in found}
    tickets = [record for record in found if record["trace_id"] != bare[3:35]]
    assert {record["name"]: names.get(record["parent_span_id"]) for record in tickets} == {
        "client": None, "GET /ticket": "client", "answer": "GET /ticket", "ask the back": "answer",
        "GET /": "ask the back", "look up": "GET /",
    }  # fmt: skip
    assert len({record["trace_id"] for record in tickets}) == 1
    assert {record["status"] for record in found} == {"ok"}
    # Where the application has no span open, what it calls hangs below the request that it answers.
    assert names[bare[36:52]] == "GET /bare"
