"""The HTTP server: it reads requests, asks the script, and writes the answers."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import logging
import socket
import socketserver
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from . import validation, wire
from .batches import Batches
from .prefix_cache import Charge, PrefixCache
from .reply import Break, Fault, Reply, Request, Script, Thinking, Usage

_logger = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_BODY_BYTES_MAX = 32 * 1024 * 1024
_REQUESTS_KEPT_MAX = 1_000


class StandIn:
    """A provider on a loopback port that speaks the Messages API.

        with StandIn(script) as server:
            client = Anthropic(base_url=server.url, api_key="any")

    Args:
        script: Called with each sound request, on the thread of its connection.
        port: 0 takes a free one.
        cache: What it keeps of prompts; None for one of its own, with the clock of the machine.
    """

    def __init__(self, script: Script, *, port: int = 0, cache: PrefixCache | None = None) -> None:
        self.requests: deque[Request] = deque(maxlen=_REQUESTS_KEPT_MAX)
        """What came in, oldest first; the refused ones too."""
        self._server = _Server(script, port, self.requests, cache or PrefixCache())
        self._thread = threading.Thread(
            # The poll interval is how long shutdown() may have to wait.
            target=lambda: self._server.serve_forever(poll_interval=0.02),
            name="stand-in",
            daemon=True,
        )

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    # The default backlog of 5 refuses connections when many threads start at once.
    request_queue_size = 128

    def __init__(self, script: Script, port: int, requests: deque[Request], cache: PrefixCache) -> None:
        self.script = script
        self.requests = requests
        self.cache = cache
        self.batches = Batches()
        self._open: set[socket.socket] = set()
        super().__init__((_HOST, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer would ask the resolver for the host's name, which can take
        # seconds where there is no network.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = _HOST, self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        # Kept-alive connections would outlive the server, and still be answered.
        for connection in self._open.copy():
            with contextlib.suppress(OSError):  # the other end was faster
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that has heard enough of a stream just goes; that is no error.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def answer(self, request: Request) -> Reply | Fault:
        try:
            return self.script(request)
        except Exception as error:
            # The script is the caller's code: show where it broke, and do not let
            # the client try again, which would only hide it for a while.
            _logger.exception("the script of the stand-in raised")
            reason = f"the script raised {type(error).__name__}: {error}"
            return Fault(500, "api_error", reason, {"x-should-retry": "false"})


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"  # keep-alive
    timeout = 60.0  # for a connection on which nothing comes any more
    # Headers and body in one write, and no waiting for more to send: either alone
    # would do against the 40 ms of Nagle's algorithm and delayed acknowledgements.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        raw = self._read_body()
        if raw is None:
            return
        body = _parse(raw)
        path = urlsplit(self.path).path
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(path, headers, body if isinstance(body, dict) else {})
        self.server.requests.append(request)

        fault = validation.check(path, headers, body)
        if fault is not None:
            self._send_fault(fault)
        elif path == validation.COUNT_TOKENS:
            self._send_json(200, {"input_tokens": wire.input_tokens(request.body)})
        elif path == validation.BATCHES:
            url = f"http://{_HOST}:{self.server.server_port}"
            run = functools.partial(self._run_of_batch, headers)
            self._send_json(200, self.server.batches.create(request.body["requests"], run, url))
        else:
            self._send_answer(request)

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        batches = self.server.batches
        number, _, rest = path.removeprefix(validation.BATCHES).removeprefix("/").partition("/")
        if not path.startswith(validation.BATCHES):
            self._send_fault(Fault(404, "not_found_error", f"no such page: {self.path}"))
        elif not validation.has_key({name.lower(): value for name, value in self.headers.items()}):
            self._send_fault(Fault(401, "authentication_error", "x-api-key or authorization is required"))
        elif not number:
            self._send_json(200, batches.listed())
        elif (batch := batches.find(number)) is None or rest not in ("", "results"):
            self._send_fault(Fault(404, "not_found_error", f"no such batch: {path}"))
        elif rest:
            self._send(200, "application/x-jsonl", batches.results(number) or b"")
        else:
            self._send_json(200, batch)

    def _run_of_batch(self, headers: dict[str, str], body: wire.Json) -> tuple[str, wire.Json]:
        request = Request(validation.MESSAGES, headers, body)
        fault = validation.check(request.path, headers, body)
        answer = fault or self.server.answer(request)
        if isinstance(answer, Fault):
            return "errored", wire.error(answer, wire.new_id("req"))
        charge = self.server.cache.charge(body)
        self.server.cache.keep(charge)
        return "succeeded", wire.message(answer, body, _usage(answer, body, charge, "batch"))

    def log_message(self, format: str, *args: Any) -> None:
        pass  # standard error belongs to the program that uses the stand-in

    def _read_body(self) -> bytes | None:
        # Read even what will be refused: on a kept-alive connection the rest of
        # this body would be taken for the next request.
        length = int(self.headers.get("content-length") or 0)
        if length > _BODY_BYTES_MAX:
            self.close_connection = True
            self._send_fault(Fault(413, "request_too_large", "more than 32 MiB"))
            return None
        return self.rfile.read(length)

    def _send_answer(self, request: Request) -> None:
        answer = self.server.answer(request)
        if isinstance(answer, Fault):
            self._send_fault(answer)
            return
        charge = self.server.cache.charge(request.body)
        time.sleep(answer.delay_s)
        self.server.cache.keep(charge)
        whole = wire.message(answer, request.body, _usage(answer, request.body, charge, "standard"))
        if request.body.get("stream"):
            self._send_stream(whole, answer.chunk_delay_s, answer.breaks)
        elif answer.breaks is not None:
            self.close_connection = True
        else:
            self._send_json(200, whole)

    def _send_stream(self, whole: wire.Json, chunk_delay_s: float, breaks: Break | None) -> None:
        self._start(200, "text/event-stream", {"transfer-encoding": "chunked"})
        events = wire.events(whole)
        for event in events if breaks is None else itertools.islice(events, breaks.after):
            if event[0] == "content_block_delta":
                time.sleep(chunk_delay_s)
            self._send_event(event)
        if breaks is not None and breaks.fault is not None:
            self._send_event(("error", wire.error(breaks.fault, wire.new_id("req"))))
        if breaks is not None and breaks.drop:
            self.wfile.flush()
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _send_event(self, event: wire.Event) -> None:
        data = wire.encode(event)
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def _send_fault(self, fault: Fault) -> None:
        request_id = wire.new_id("req")
        headers = {**fault.headers, "request-id": request_id}
        self._send_json(fault.status, wire.error(fault, request_id), headers)

    def _send_json(self, status: int, payload: wire.Json, headers: dict[str, str] | None = None) -> None:
        self._send(status, "application/json", json.dumps(payload).encode(), headers)

    def _send(self, status: int, content_type: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        length = {"content-length": str(len(data))}
        self._start(status, content_type, {**length, **(headers or {})})
        self.wfile.write(data)

    def _start(self, status: int, content_type: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        everywhere = {"content-type": content_type, "request-id": wire.new_id("req")}
        for name, value in {**everywhere, **headers}.items():
            self.send_header(name, value)
        self.end_headers()


def _usage(reply: Reply, request: wire.Json, charge: Charge, service_tier: str) -> Usage:
    """What the script says, or what the tokens come to."""
    thinking = tuple(part for part in reply.content if isinstance(part, Thinking))
    return reply.usage or Usage(
        input_tokens=charge.fresh,
        output_tokens=wire.output_tokens(reply.content),
        cache_read_input_tokens=charge.read,
        cache_creation_input_tokens=charge.written_5m + charge.written_1h,
        cache_creation_1h_input_tokens=charge.written_1h,
        thinking_tokens=wire.output_tokens(thinking),
        service_tier=service_tier,
        speed=request.get("speed"),
    )


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None
