"""The results of a batch: each is a call of its own, on record as the program reads it."""

from __future__ import annotations

import json
from typing import Any

import httpx2
from opentelemetry.context import Context
from opentelemetry.trace.propagation import _SPAN_KEY

from agentops import conventions
from agentops.safety import failed
from agentops.trace.span import OUR_KEY

from .answer import Answer
from .body import Body
from .call import Call, Request

__all__ = ["Results"]

_BATCH_ID, _CUSTOM_ID = "anthropic.message.batch.id", "anthropic.message.batch.custom_id"
_TIER = "anthropic.response.service_tier"
#: Batches and requests whose results are on record: a program may read them again. So many are remembered.
_known: set[tuple[str, str]] = set()
_KNOWN_MAX = 100_000


class Results(Request):
    """The span under which a batch's results are read."""

    _body: Body | None = None
    _rest = b""

    def answered(self, response: httpx2.Response) -> None:
        """A response came: its lines are looked at while the program reads them."""
        try:
            if not response.is_success:
                return
            self._body = body = Body(response.headers)
            body.keeps = "content-encoding" in response.headers
            body.TELL_NS = 0  # a result is on record before the program has it
            if response.is_closed:
                body.keeps = False
                self._came(response.content)
            else:
                if not body.keeps:
                    body.tell = self._came
                response.stream = body.watched(response.stream)
        except Exception as problem:  # noqa: BLE001
            failed("recording the results of a batch", problem)

    def _came(self, part: bytes) -> None:
        try:
            *lines, self._rest = (self._rest + part).split(b"\n")
            for line in lines:
                self._result(line)
        except Exception as problem:  # noqa: BLE001
            failed("recording the results of a batch", problem)

    def end(self, end_time: int | None = None) -> None:
        """End it, with the last result."""
        body, self._body = self._body, None
        if body is not None:
            body.tell = None
            if body.keeps:
                kept = {"content-encoding": body.headers["content-encoding"]}
                try:
                    self._came(httpx2.Response(200, headers=kept, content=body.data).content)
                except httpx2.DecodingError:  # it was not read to its end
                    pass
            rest, self._rest = self._rest, b""
            self._came(rest + b"\n")
        super().end(end_time)

    def _result(self, line: bytes) -> None:
        try:
            found = json.loads(line)
        except ValueError:  # an empty line, or one that was not read to its end
            return
        result = found.get("result") if isinstance(found, dict) else None
        if not isinstance(result, dict):
            return
        batch, custom = str(self.attributes.get(_BATCH_ID)), str(found.get("custom_id"))
        if (batch, custom) in _known:
            return
        if len(_known) >= _KNOWN_MAX:
            _known.clear()
        _known.add((batch, custom))
        message = result.get("message")
        model = message.get("model") if isinstance(message, dict) else None
        call = Call(f"chat {model}" if isinstance(model, str) else "chat", kind="llm")
        facts = {
            conventions.OPERATION_NAME: "chat",
            conventions.PROVIDER_NAME: self.attributes.get(conventions.PROVIDER_NAME, "anthropic"),
            _BATCH_ID: batch,
            _CUSTOM_ID: custom,
            _TIER: "batch",
        }
        for key, value in facts.items():
            call.keep(key, value)
        call._begin(Context({_SPAN_KEY: self, OUR_KEY: self}))
        if isinstance(message, dict):
            usage: dict[str, Any] = {**(message.get("usage") or {}), "service_tier": "batch"}
            call.keep(conventions.REQUEST_MODEL, model)
            call._answer = Answer({**message, "usage": usage}, True)
        else:
            call.did_not(str(result.get("type")), result.get("error"))
        call.end()
