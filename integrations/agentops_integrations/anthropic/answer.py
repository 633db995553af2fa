"""An answer of the Messages API from the bytes of its body: JSON, or server-sent events as far as they came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

import httpx2

__all__ = ["Answer", "Pieces", "read"]


class Answer:
    """What came back of a call.

    Attributes:
        message: the message as the API's JSON has it, with the fields and blocks that came.
        complete: it came to its end.
    """

    def __init__(self, message: dict[str, Any], complete: bool) -> None:
        self.message = message
        self.complete = complete


#: What a part of a stream adds to one block of the answer: `index` of the block, `type` of the API's deltas, `text`.
Piece = dict[str, Any]
_TEXTS = {"text_delta": "text", "input_json_delta": "partial_json", "thinking_delta": "thinking"}


class Pieces:
    """Reads a stream of events while it comes, a part at a time."""

    #: Of a line that is longer nothing is told.
    _LINE_MAX = 1 << 20

    def __init__(self) -> None:
        self._rest = b""

    def add(self, part: bytes) -> list[Piece]:
        """What the lines say that end in this part; what one block got is one piece."""
        whole, newline, rest = part.rpartition(b"\n")
        if not newline:
            self._rest = (self._rest + part)[-self._LINE_MAX :]
            return []
        lines, self._rest = self._rest + whole, rest[-self._LINE_MAX :]
        if b"_delta" not in lines:
            return []
        told = [piece for event in _events(lines) if (piece := _piece(event)) is not None]
        return [
            {"index": index, "type": kind, "text": "".join(piece["text"] for piece in pieces)}
            for (index, kind), pieces in groupby(told, itemgetter("index", "type"))
        ]


def _piece(event: dict[str, Any]) -> Piece | None:
    delta, index = event.get("delta"), event.get("index")
    if event.get("type") != "content_block_delta" or not isinstance(delta, dict) or type(index) is not int:
        return None
    kind = delta.get("type")
    text = delta.get(_TEXTS.get(kind, "")) if isinstance(kind, str) else None
    return {"index": index, "type": kind, "text": text} if isinstance(text, str) and text else None


def read(body: bytes, headers: httpx2.Headers) -> Answer | None:
    """The answer in a body.

    Args:
        body: as it came over the wire, compressed where the headers say so.
        headers: of the response.

    Returns:
        None if there is no message in it.
    """
    if "content-encoding" in headers:
        kept = {name: headers[name] for name in ("content-encoding", "content-type") if name in headers}
        body = httpx2.Response(200, headers=kept, content=body).content
    if headers.get("content-type", "").startswith("text/event-stream"):
        return _of_events(body)
    message = json.loads(body)
    return Answer(message, True) if isinstance(message, dict) and message.get("type") == "message" else None


def _of_events(body: bytes) -> Answer | None:
    # The deltas are those of https://docs.anthropic.com/en/docs/build-with-claude/streaming.
    message: dict[str, Any] | None = None
    blocks: dict[int, dict[str, Any]] = {}
    pieces: dict[int, list[str]] = {}  # of a tool's input, JSON in parts
    complete = False
    for event in _events(body):
        kind = event.get("type")
        if kind == "message_start":
            message = dict(event["message"])
        elif message is None:
            continue
        elif kind == "content_block_start":
            blocks[event["index"]] = dict(event["content_block"])
        elif kind == "content_block_delta":
            _add(blocks.setdefault(event["index"], {}), pieces.setdefault(event["index"], []), event["delta"])
        elif kind == "message_delta":
            message |= {key: value for key, value in event.get("delta", {}).items() if value is not None}
            usage = {key: value for key, value in (event.get("usage") or {}).items() if value is not None}
            message["usage"] = {**(message.get("usage") or {}), **usage}  # cumulative, not to be added
        elif kind == "message_stop":
            complete = True
    if message is None:
        return None
    for index, parts in pieces.items():
        if parts:
            blocks[index]["input"] = _json("".join(parts))
    message["content"] = [blocks[index] for index in sorted(blocks)]
    return Answer(message, complete)


def _add(block: dict[str, Any], pieces: list[str], delta: dict[str, Any]) -> None:
    kind = delta.get("type")
    if kind == "text_delta":
        block["text"] = block.get("text", "") + delta["text"]
    elif kind == "input_json_delta":
        pieces.append(delta["partial_json"])
    elif kind == "thinking_delta":
        block["thinking"] = block.get("thinking", "") + delta["thinking"]
    elif kind == "signature_delta":
        block["signature"] = delta["signature"]
    elif kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or ()), delta["citation"]]


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    for line in body.splitlines():
        if line.startswith(b"data:"):
            try:
                event = json.loads(line[5:])
            except ValueError:  # the stream ended in the middle of it
                continue
            if isinstance(event, dict):
                yield event


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # cut off: what came of it, as text
        return text
