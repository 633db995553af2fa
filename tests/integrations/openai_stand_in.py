"""A server that speaks as much of OpenAI's API as the tests need: chat, completions, responses, embeddings, models."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Reply", "Server", "chat", "chunks", "refused", "serving", "streamed"]

MODEL = "gpt-6-mini"
USAGE = {
    "prompt_tokens": 180,
    "completion_tokens": 20,
    "total_tokens": 200,
    "prompt_tokens_details": {"cached_tokens": 30, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 8, "audio_tokens": 0},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "refund", "arguments": '{"order": 88213}'}}


@dataclass
class Reply:
    """What is sent back.

    Attributes:
        status: of HTTP.
        parts: of the body, each in a chunk of its own.
        headers: beside the content type, which is JSON's or, with several parts, that of a stream.
        breaks: the connection is cut after the parts.
        pause_s: before each part but the first.
    """

    status: int = 200
    parts: list[bytes] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    breaks: bool = False
    pause_s: float = 0


class Server:
    """Where it is, and what it was asked: path, body and headers of each request."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[tuple[str, Any, dict[str, str]]] = []

    @property
    def paths(self) -> list[str]:
        return [path for path, _, _ in self.asked]


def chat(**changed: Any) -> Reply:
    """A whole answer."""
    message = {"role": "assistant", "content": "Within five days.", "tool_calls": [CALL], "refusal": None}
    answer = {
        "id": "chatcmpl-7",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": MODEL,
        "system_fingerprint": "fp_17",
        "service_tier": "default",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message, "logprobs": None}],
        "usage": USAGE,
    }
    return Reply(parts=[json.dumps({**answer, **changed}).encode()])


def chunks(usage: bool = True) -> list[dict[str, Any]]:
    """The same answer in the events of a stream."""
    known = {
        "id": "chatcmpl-7",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": MODEL,
        "system_fingerprint": "fp_17",
    }
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        {"content": "Within "},
        {"content": "five days."},
        {"tool_calls": [{**CALL, "index": 0, "function": {"name": "refund", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"order": '}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "88213}"}}]},
    ]
    made = [{**known, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    made.append({**known, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    if usage:
        made.append({**known, "choices": [], "usage": USAGE})
    return made


def streamed(events: list[dict[str, Any]] | None = None, done: bool = True, **how: Any) -> Reply:
    """Events as they go over the wire."""
    parts = [f"data: {json.dumps(event)}\n\n".encode() for event in (chunks() if events is None else events)]
    if done:
        parts.append(b"data: [DONE]\n\n")
    return Reply(parts=parts, headers={"content-type": "text/event-stream"}, **how)


def refused(status: int, kind: str, code: str | None = None, **headers: str) -> Reply:
    """An error as the API has them."""
    said = {"error": {"message": f"no: {kind}", "type": kind, "code": code, "param": None}}
    return Reply(status, [json.dumps(said).encode()], headers)


@contextmanager
def serving(*replies: Reply, models: list[dict[str, Any]] | None = None, **headers: str) -> Iterator[Server]:
    """A server that gives the replies one after the other, the last one again and again.

    Args:
        replies: to what is posted.
        models: what it lists; None for a server that has no such list.
        headers: of every answer.
    """
    left: Iterator[Reply] = iter(replies)
    last = replies[-1]
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one write

        def do_GET(self) -> None:
            made.asked.append((self.path, None, dict(self.headers)))
            if models is None:
                self.answer(refused(404, "not_found"))
            else:
                self.answer(Reply(parts=[json.dumps({"object": "list", "data": models}).encode()]))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            made.asked.append((self.path, body, dict(self.headers)))
            with lock:
                reply = next(left, last)
            self.answer(reply)

        def answer(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **headers, **reply.headers}.items():
                if name != "server":  # that is there already
                    self.send_header(name, value)
            if len(reply.parts) == 1 and not reply.breaks:
                self.send_header("content-length", str(len(reply.parts[0])))
                self.end_headers()
                self.wfile.write(reply.parts[0])
                self.wfile.flush()
                return
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            try:
                for number, part in enumerate(reply.parts):
                    if number and reply.pause_s:
                        time.sleep(reply.pause_s)
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                    self.wfile.flush()
                if not reply.breaks:
                    self.wfile.write(b"0\r\n\r\n")
            except OSError:  # the client has heard enough
                self.close_connection = True
            if reply.breaks:
                self.close_connection = True

        def version_string(self) -> str:
            return headers.get("server", "stand-in")

        def log_message(self, *arguments: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:  # a client that closes early
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    made = Server(f"http://127.0.0.1:{server.server_port}/v1")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
