"""Caller's cost of a call of a model through Anthropic's client, over loopback."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import _fresh
from benchmarks._idle import keep_idle
from benchmarks._rows import Row, middle, ratios

RUNS = Path(__file__).parents[2] / "shared" / "data" / "tau_airline_runs.jsonl.gz"
CALLS = 300
STREAMS = 40
CHUNKS = 1000
#: What the server waits between two chunks of a stream whose chunks are timed.
PACE_S = 0.001
HISTORIES = 400


def _event(name: str, **data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


_USAGE = {"input_tokens": 900, "output_tokens": 60, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
_MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-5-5", "stop_reason": "end_turn",
    "stop_sequence": None, "usage": _USAGE, "content": [{"type": "text", "text": "Your refund is on its way. " * 8}],
}  # fmt: skip


def _chunks() -> Iterator[bytes]:
    yield _event("message_start", message={**_MESSAGE, "content": [], "stop_reason": None}) + _event(
        "content_block_start", index=0, content_block={"type": "text", "text": ""}
    )
    for number in range(CHUNKS):
        sent = f" word{number} {time.monotonic():.6f}"
        yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": sent})
    yield _event("content_block_stop", index=0)
    yield _event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=_USAGE)
    yield _event("message_stop")


def serve() -> None:
    """Answer requests on a port that is printed, until standard input ends; `max_tokens` of 2 asks for pauses."""
    answer = json.dumps(_MESSAGE).encode()
    whole = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

    def talk(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.makefile("rb") as requests:
            while requests.readline():
                length = 0
                while (line := requests.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line[15:])
                body = json.loads(requests.read(length))
                if not body.get("stream"):
                    connection.sendall(whole)
                    continue
                connection.sendall(head)
                for chunk in _chunks():
                    if body["max_tokens"] == 2:
                        time.sleep(PACE_S)
                    connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                connection.sendall(b"0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)

        def accept() -> None:
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        sys.stdin.read()
        os._exit(0)


class _Pair:
    """Two clients of one server, one of them recorded."""

    def __init__(self) -> None:
        import anthropic
        import httpx2

        import agentops

        keep_idle()
        source = "from benchmarks.client import serve; serve()"
        self._server = subprocess.Popen(
            [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._server.stdout is not None
        url = f"http://127.0.0.1:{int(self._server.stdout.readline())}"
        self.bare, other = (
            anthropic.Anthropic(base_url=url, api_key="x", http_client=httpx2.Client(trust_env=False)) for _ in "12"
        )
        self.recorded = agentops.wrap(other)

    def close(self) -> None:
        self._server.kill()
        self._server.communicate()

    def measure(self, work: Callable[[Any], object], rounds: int) -> list[tuple[float, float]]:
        """Seconds of thread time with and without us, of pairs one after the other."""
        import agentops

        found = []
        for round in range(rounds + 10):
            with_us, without = 0.0, 0.0
            for ours in (True, False) if round % 2 else (False, True):
                start = time.thread_time()
                work(self.recorded if ours else self.bare)
                spent = time.thread_time() - start
                with_us, without = (spent, without) if ours else (with_us, spent)
            if round % 20 == 0:
                agentops.flush()
            found.append((with_us, without))
        return found[10:]


ASK: dict[str, Any] = {
    "model": "claude-haiku-5-5",
    "max_tokens": 1,
    "messages": [{"role": "user", "content": "Where is my refund?"}],
}


def create(client: Any) -> None:
    client.messages.create(**ASK)


def stream(client: Any) -> None:
    for _ in client.messages.create(**ASK, stream=True):
        pass


def lateness(client: Any) -> list[float]:
    """Seconds from sending each chunk to the program's having it."""
    found = []
    for event in client.messages.create(**{**ASK, "max_tokens": 2}, stream=True):
        if event.type == "content_block_delta":
            found.append(time.monotonic() - float(event.delta.text.rpartition(" ")[2]))
    return found


def measure() -> dict[str, Any]:
    pair = _Pair()
    try:
        found: dict[str, Any] = {"create": pair.measure(create, CALLS), "stream": pair.measure(stream, STREAMS)}
        late: tuple[list[float], list[float]] = ([], [])
        for _ in range(6):
            late[0].extend(lateness(pair.recorded))
            late[1].extend(lateness(pair.bare))
        found["late"] = [sorted(part)[int(len(part) * 0.99)] for part in late]
        return found
    finally:
        pair.close()


def histories(source: str) -> list[tuple[float, float]]:
    """Of recorded runs: seconds of thread time that a history adds to a call's record, and a `json.dumps` of it."""
    from opentelemetry.context import get_current

    import agentops
    from agentops import span
    from agentops_integrations.anthropic.call import Request, make

    keep_idle()
    with gzip.open(source, "rt") as file:
        runs = [json.loads(line)["messages"] for line in file]
    found: list[tuple[float, float]] = []
    for messages in runs:
        with span("run", kind="agent"):
            for end, message in enumerate(messages):
                if message["role"] != "assistant":
                    continue
                spent = []
                for history in ({"messages": messages[:end]}, {}):
                    call = make("anthropic.messages.create", {"gen_ai.request.model": "m"})
                    assert isinstance(call, Request)
                    call._begin(get_current())
                    start = time.thread_time()
                    call.ask({"model": "m", "max_tokens": 1, "messages": [], **history})
                    spent.append(time.thread_time() - start)
                    call.end()
                start = time.thread_time()
                json.dumps(messages[:end])
                found.append((spent[0] - spent[1], time.thread_time() - start))
        agentops.flush()
    return found[20:]


def rows() -> Iterator[Row]:
    found = _fresh.call(measure)
    for name, what, must, reach in (
        ("create", "one `messages.create` over loopback", 0.25, 0.15),
        ("stream", f"a stream of {CHUNKS:,} chunks", 0.10, None),
    ):
        pairs = found[name]
        added, bare = [a - b for a, b in pairs], [b for _, b in pairs]
        value, spread = middle(ratios(added, bare))
        note = f"{middle(added)[0] * 1e6:.0f} against {middle(bare)[0] * 1e6:.0f} µs, thread time, n={len(pairs)}"
        yield Row(f"added to {what}", value, "the call without any tracing", note, spread, must, reach)
    ours, bare = found["late"]
    note = f"{ours * 1e3:.2f} against {bare * 1e3:.2f} ms from the server's send, 99th percentile, paced at 1 ms"
    yield Row(
        "chunks of a stream come later by", (ours - bare) * 1e3, "the same without us", note, None, 0.2, unit=" ms"
    )
    if RUNS.exists():
        pairs = _fresh.call(histories, str(RUNS))
        added, bare = [a for a, _ in pairs], [b for _, b in pairs]
        value, spread = middle(ratios(added, bare))
        note = f"{middle(added)[0] * 1e6:.0f} against {middle(bare)[0] * 1e6:.0f} µs, thread time, n={len(pairs)}"
        yield Row("history of the tau runs", value, "one `json.dumps` of it", note, spread, 0.30, 0.18)
