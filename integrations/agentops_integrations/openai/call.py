"""One call of the client as a span, from the request to the end of what is read of its answer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from time import monotonic_ns
from typing import Any

import msgspec

from agentops import conventions
from agentops.calls import Answer, Pieces, answer_of, asked_of
from agentops.conventions import Kind
from agentops.recorder.recorder import recorder
from agentops.safety import failed
from agentops.trace.client import ClientSpan

from . import served
from .body import watch

__all__ = ["Call", "begun"]

#: What is recorded, by the path that is asked: kind of the span, operation, and where in the body the question is.
_CALLS: dict[str, tuple[Kind, str, str]] = {
    "/chat/completions": ("llm", "chat", "messages"),
    "/responses": ("llm", "chat", "input"),
    "/completions": ("llm", "text_completion", "prompt"),
    "/embeddings": ("embedding", "embeddings", "input"),
}
_REQUEST = "openai.request."
_AGAIN = (conventions.TOOL_DEFINITIONS, conventions.SYSTEM_INSTRUCTIONS)
_SIZE_MAX = 64 << 20
#: What comes of a stream in one such time is put on record together.
_TELL_NS = 50_000_000


def begun(client: Any, given: tuple[Any, ...], options: dict[str, Any]) -> Call | None:
    """The call that a client is about to make, begun and current; None for what is no call of a model."""
    try:
        asked: Any = options.get("options", given[1] if len(given) > 1 else None)
        what = _CALLS.get(asked.url) if asked.method.lower() == "post" else None
        if what is None:
            return None
        kind, operation, question = what
        body = asked.json_data if isinstance(asked.json_data, Mapping) else {}
        if isinstance(asked.extra_json, Mapping):
            body = {**body, **asked.extra_json}
        model = body.get("model")
        call = Call(f"{operation} {model}" if isinstance(model, str) else operation, kind=kind)
        call.begin(client, operation, body, body.get(question))
    except Exception as problem:  # noqa: BLE001
        failed("starting the span of a client's call", problem)
        return None
    return call


class Call(ClientSpan):
    """A call, in whichever of its forms; of a stream it is open until that is read, closed, or thrown away.

    Attributes:
        client: that makes it.
        is_whole: the program has read the answer to its end.
    """

    client: Any = None
    is_whole = False
    _base_url = ""
    _began = 0
    _due = 0
    _first = 0
    _retries = 0
    _told = 0
    _response: Any = None
    _pieces: Pieces | None = None
    _came: list[bytes]
    _size = 0
    _rest = b""
    _broke: BaseException | None = None
    _left_open = False
    _closing = False

    def begin(self, client: Any, operation: str, body: Mapping[str, Any], question: Any) -> None:
        """Begin it, and make it current until `leave`."""
        self.client = client
        url = client.base_url
        self._base_url = str(url)
        facts: dict[str, Any] = {
            conventions.OPERATION_NAME: operation,
            conventions.PROVIDER_NAME: served.provider(client),
            "server.address": url.host,
            "server.port": url.port or (443 if url.scheme == "https" else 80),
        }
        asked = asked_of(body, _REQUEST)
        # The same in call after call, so it costs its bytes once.
        again = {key: asked.pop(key) for key in _AGAIN if key in asked}
        self.set_attributes({**facts, **asked})
        served.ask(client)
        self._input = question
        self._began = monotonic_ns()
        same = self.goes_in()
        if same is not None and same.input is not None:  # the program has said what it takes for the input
            again[conventions.INPUT_MESSAGES] = question
        if same is not None or again:
            self.was_given(question if same is not None and same.input is None else None, again)

    def tries_again(self, response: Any) -> None:
        """An attempt came to nothing, and there will be another one."""
        self._retries += 1
        raised = sys.exc_info()[1]
        facts: dict[str, Any] = {"attempt": self._retries + 1}
        if response is not None:
            facts["http.response.status_code"] = response.status_code
        elif raised is not None:
            facts[conventions.EXCEPTION_TYPE] = _name(raised)
        self.add_event("retry", facts)

    def answered(self, response: Any) -> None:
        """A response came that is no error; of a stream, its head."""
        self._response = response
        self._came = []
        if response.is_closed or response.is_stream_consumed:
            self._size = len(response.content)
            self.is_whole = True
            return
        self._left_open = True
        if _is_stream(response) and "content-encoding" not in response.headers:
            self._pieces = Pieces()
        watch(response, self)

    def came(self, chunk: bytes) -> None:
        """The program has read some bytes of the answer."""
        now = monotonic_ns()
        self._first = self._first or now
        self._size += len(chunk)
        if self._size > _SIZE_MAX:
            return
        self._came.append(chunk)
        if now >= self._due and self._pieces is not None:
            self._due = now + _TELL_NS
            self._read(tell=True)

    def _read(self, tell: bool) -> None:
        """Read the events that have come since it was done last, and put on record what they say."""
        pieces, came = self._pieces, self._came
        if pieces is None:
            return
        self._came = []
        try:
            whole, newline, rest = b"".join((self._rest, *came)).rpartition(b"\n")
            self._rest = rest
            told = [piece for event in _events(whole) for piece in pieces.add(event)] if newline else []
            # A redactor looks through whole texts: one may be found in two pieces that is in neither.
            if tell and told and not recorder.redacts:
                for piece in _joined(told):
                    self._told += 1
                    self.add_event(conventions.CHUNK, piece)
        except Exception as problem:  # noqa: BLE001
            self._pieces = None
            failed("recording a piece of an answer", problem)

    def broke(self, problem: BaseException) -> None:
        """Reading the answer failed."""
        self._broke = problem

    def closed(self) -> None:
        """Nothing more is read of the answer."""
        if not self._ended:
            raised = sys.exc_info()[1]
            self.end_by(raised if self._concerns(raised) else self._broke)

    def raised(self, problem: BaseException) -> None:
        """The client raises."""
        self.end_by(problem)

    def returned(self) -> None:
        """The client returns; what is not read yet goes on."""
        if not self._left_open:
            self.end_by(None)

    def _concerns(self, raised: BaseException | None) -> bool:
        """Whether an exception that passes is this call's, and not one of what the program does with its stream."""
        if raised is None:
            return False
        request = getattr(raised, "request", None) if type(raised).__module__.startswith("openai") else None
        of_reading = self._broke is not None and self._broke in (raised, raised.__cause__, raised.__context__)
        return (
            of_reading
            or (request is not None and request is getattr(self._response, "_request", None))
            or isinstance(raised, (asyncio.CancelledError, KeyboardInterrupt))
        )

    def end_by(self, problem: BaseException | None) -> None:
        """End it, by an exception or well."""
        if self._closing or self._ended:
            return
        self._closing = True
        now = self._now() if self._started else None
        try:
            self._finish(problem)
        except Exception as wrong:  # noqa: BLE001
            failed("recording an answer", wrong)
        self._response = self._pieces = self.client = None
        self.end(now)

    def _finish(self, problem: BaseException | None) -> None:
        answer, cut = None, False
        if self._response is not None:
            answer, cut = self._answer()
            request_id = self._response.headers.get("x-request-id")
            if request_id:
                self.set_attribute("openai.request.id", request_id)
        if self._retries:
            self.set_attribute("http.request.resend_count", self._retries)
        if self._first and self._pieces is not None:
            self.set_attribute("gen_ai.response.time_to_first_chunk", (self._first - self._began) / 1e9)
        if answer is not None:
            self.comes_out(answer.output)
            self.set_attributes(answer.facts)
            if self._told:
                self.set_attribute(conventions.CHUNKS, self._told)
        facts = served.facts(self._base_url, self._response, answer, self.attributes.get(conventions.REQUEST_MODEL))
        self.set_attributes(facts)
        if problem is not None:
            self._fail_by(problem)
        elif answer is not None and answer.error is not None:
            self._fail_as(str(answer.error.get("code") or answer.error.get("type") or "error"), answer.error)
        elif cut:
            self._fail_as("stream_cut_off", {"message": "the stream ended before its end"})

    def _answer(self) -> tuple[Answer | None, bool]:
        """What came, and whether it was read to an end that is not its own."""
        response = self._response
        if self._size > _SIZE_MAX:
            return None, False
        if self._pieces is not None:
            self._came.append(b"\n")
            self._read(tell=False)
            pieces = self._pieces
            if pieces is None or pieces.empty:
                return None, self.is_whole
            return pieces.answer(), self.is_whole and not pieces.complete
        if not self._left_open:
            body = response.content
        elif "content-encoding" in response.headers:
            kept = {name: response.headers[name] for name in ("content-encoding", "content-type")}
            body = type(response)(200, headers=kept, content=b"".join(self._came)).content
        else:
            body = b"".join(self._came)
        if _is_stream(response):
            pieces = Pieces()
            for event in _events(body):
                pieces.add(event)
            return pieces.answer(), self.is_whole and not pieces.complete
        if not self.is_whole or "json" not in response.headers.get("content-type", ""):
            return None, False
        value = msgspec.json.decode(body)
        return (answer_of(value) if isinstance(value, dict) else None), False

    def _fail_by(self, problem: BaseException) -> None:
        self.fail(problem)
        said = getattr(problem, "code", None) or getattr(problem, "type", None)
        self.set_attribute(conventions.ERROR_TYPE, said if isinstance(said, str) else _name(problem))
        status = getattr(problem, "status_code", None)
        if isinstance(status, int):
            self.set_attribute("http.response.status_code", status)
        body = getattr(problem, "body", None)
        if isinstance(body, dict):
            self.set_attribute("openai.error", body)

    def _fail_as(self, kind: str, said: Mapping[str, Any]) -> None:
        from opentelemetry.trace import StatusCode

        self.set_status(StatusCode.ERROR, str(said.get("message") or kind))
        self._error = (kind, str(said.get("message") or kind), "")
        self.set_attribute(conventions.ERROR_TYPE, kind)


def _is_stream(response: Any) -> bool:
    return str(response.headers.get("content-type", "")).startswith("text/event-stream")


def _events(lines: bytes) -> list[Any]:
    found = []
    for line in lines.splitlines():
        if line.startswith(b"data:"):
            try:
                found.append(msgspec.json.decode(line[5:].strip()))
            except msgspec.DecodeError:  # the stream ended in the middle of it, or this is its [DONE]
                continue
    return found


def _joined(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What one place of the answer got in a row as one piece."""
    made: list[dict[str, Any]] = []
    for piece in told:
        if made and (made[-1]["index"], made[-1]["type"]) == (piece["index"], piece["type"]):
            made[-1]["text"] += piece["text"]
        else:
            made.append(dict(piece))
    return made


def _name(problem: BaseException) -> str:
    kind = type(problem)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
