"""An answer of the Messages API from the bytes of its body: JSON, or server-sent events as far as they came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

import httpx2

from .body import Body
from .events import Stream

__all__ = ["Answer", "Pieces", "read"]


class Answer:
    """What came back of a call.

    Attributes:
        message: the message as the API's JSON has it, with the fields and blocks that came.
        complete: it came to its end.
        stream: what is kept of it so that the same stream can be made again, if it was one.
    """

    def __init__(self, message: dict[str, Any], complete: bool, stream: dict[str, Any] | None = None) -> None:
        self.message = message
        self.complete = complete
        self.stream = stream


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


def _events(lines: bytes) -> Iterator[dict[str, Any]]:
    for line in lines.splitlines():
        if line.startswith(b"data:"):
            try:
                event = json.loads(line[5:])
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event


def read(body: Body, began: int) -> Answer | None:
    """The answer in a body.

    Args:
        body: as it came over the wire, compressed where its headers say so.
        began: when the request was made, ns of the monotonic clock.

    Returns:
        None if there is no message in it.
    """
    data, chunks, times = body.data, body.chunks, body.times
    kind = str(body.headers.get("content-type", ""))
    if "content-encoding" in body.headers:
        kept = {name: body.headers[name] for name in ("content-encoding", "content-type") if name in body.headers}
        data = httpx2.Response(200, headers=kept, content=data).content
        chunks, times = [data], times[-1:]  # which events came together is not known
    if kind.startswith("application/vnd.amazon.eventstream"):
        from .amazon import events

        data = events(data)
        chunks, times = [data], times[-1:]
        kind = "text/event-stream"
    if not kind.startswith("text/event-stream"):
        message = json.loads(data)
        return Answer(message, True) if isinstance(message, dict) and message.get("type") == "message" else None
    stream = Stream(data)
    if stream.message is None:
        return None
    return Answer(stream.message, stream.complete, stream.kept(chunks, times, began))
