"""An answer of the Messages API from the bytes of its body: JSON, or server-sent events as far as they came."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from .body import Body
from .events import Stream

__all__ = ["Answer", "read"]


class Answer:
    """What came back of a call.

    Attributes:
        message: the message as the API's JSON has it, with the fields and blocks that came.
        complete: it came to its end.
        stream: what is kept of it so that the same stream can be made again, if it was one.
        first_s: seconds from the request to the first piece of content, if it was a stream.
    """

    def __init__(
        self,
        message: dict[str, Any],
        complete: bool,
        stream: dict[str, Any] | None = None,
        first_s: float | None = None,
    ) -> None:
        self.message = message
        self.complete = complete
        self.stream = stream
        self.first_s = first_s


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
    return Answer(stream.message, stream.complete, stream.kept(chunks, times, began), stream.first_s)
