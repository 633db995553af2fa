"""Stand-ins for the model providers, in the test's own process: programs talk to them over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from examples.stand_in import Fault, Reply, Request, StandIn, Text, ToolUse, Usage

__all__ = ["serving"]

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_790_000_000,
    "model": "gpt-6-mini",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Within five days."}}
    ],
    "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
}
EMBEDDING = {
    "object": "list",
    "model": "text-embedding-4",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}


class Anything(BaseHTTPRequestHandler):
    """Greets, fails, and answers as OpenAI's API does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(500 if self.path == "/fails" else 200, b"hello", "text/plain")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["model"] == "fails":
            self.answer(400, json.dumps({"error": {"message": "no", "type": "invalid"}}).encode(), "application/json")
        elif "embeddings" in self.path:
            self.answer(200, json.dumps(EMBEDDING).encode(), "application/json")
        elif asked.get("stream"):
            said = {"index": 0, "delta": {"role": "assistant", "content": "Within five days."}, "finish_reason": None}
            ended = {"index": 0, "delta": {}, "finish_reason": "stop"}
            chunks = [{**CHAT, "object": "chat.completion.chunk", "choices": [one]} for one in (said, ended)]
            del chunks[0]["usage"]
            lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
            self.answer(200, ("".join(lines) + "data: [DONE]\n\n").encode(), "text/event-stream")
        else:
            self.answer(200, json.dumps(CHAT).encode(), "application/json")

    def answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    """A server that speaks the Messages API, and one that answers anything; gives the line that says where they are."""
    answer = Reply(
        (Text("Within five days."), ToolUse("refund", {"order": 88213})),
        usage=Usage(100, 20, cache_read_input_tokens=30, cache_creation_input_tokens=50),
    )

    def script(request: Request) -> Reply | Fault:
        fails = request.body["messages"][0]["content"] == "fail"
        return Fault(400, "invalid_request_error", "no") if fails else answer

    with StandIn(script) as messages:
        anything = ThreadingHTTPServer(("127.0.0.1", 0), Anything)
        threading.Thread(target=anything.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f'MESSAGES = "{messages.url}"; ANY = "http://127.0.0.1:{anything.server_port}"'
        finally:
            anything.shutdown()
            anything.server_close()
