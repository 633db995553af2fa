"""The bytes of a response as the program reads them: each is seen on its way, none is read for us."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns
from typing import Any

import httpx2

__all__ = ["Body"]


class Body:
    """What came of a response so far.

    Attributes:
        headers: of the response.
        chunks: as they came over the wire.
        times: when each came, ns of the monotonic clock.
        whole: it was read to its end.
        tell: called with what came since it was called last, once that is a while ago.
        begins: called once the program begins to read.
    """

    #: More of one answer is not kept.
    BYTES_MAX = 64 << 20
    #: What comes in one such time is told together.
    TELL_NS = 50_000_000

    def __init__(self, headers: httpx2.Headers) -> None:
        self.headers = headers
        self.chunks: list[bytes] = []
        self.times: list[int] = []
        self.whole = False
        self.tell: Callable[[bytes], None] | None = None
        self.begins: Callable[[], None] | None = None
        self.keeps = True
        self._told = 0  # chunks
        self._due = 0
        self._left = self.BYTES_MAX

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)

    def add(self, chunk: bytes) -> None:
        now = monotonic_ns()
        if self._left > 0:
            self._left -= len(chunk)
            self.chunks.append(chunk)
            self.times.append(now)
        if now >= self._due and self.tell is not None:
            self._due = now + self.TELL_NS
            self.tell(b"".join(self.chunks[self._told :]))
            if not self.keeps:
                self.chunks.clear()
                self.times.clear()
                self._left = self.BYTES_MAX
            self._told = len(self.chunks)

    def begun(self) -> None:
        begins, self.begins = self.begins, None
        if begins is not None:
            begins()

    def watched(self, stream: Any) -> Any:
        """`stream`, of the same kind, with each chunk seen on its way."""
        if not isinstance(stream, httpx2.SyncByteStream):
            return _AsyncWatched(stream, self)
        return _Both(stream, self) if isinstance(stream, httpx2.AsyncByteStream) else _Watched(stream, self)


class _Watched(httpx2.SyncByteStream):
    def __init__(self, stream: Any, body: Body) -> None:
        self._stream = stream
        self._body = body

    @property
    def elapsed(self) -> Any:
        return getattr(self._stream, "elapsed", None)

    def __iter__(self) -> Any:
        self._body.begun()
        add = self._body.add
        for chunk in self._stream:
            add(chunk)
            yield chunk
        self._body.whole = True

    def close(self) -> None:
        self._stream.close()


class _AsyncWatched(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, body: Body) -> None:
        self._stream = stream
        self._body = body

    @property
    def elapsed(self) -> Any:
        return getattr(self._stream, "elapsed", None)

    async def __aiter__(self) -> Any:
        self._body.begun()
        chunks = self._stream.__aiter__()
        add = self._body.add
        try:
            async for chunk in chunks:
                add(chunk)
                yield chunk
            self._body.whole = True
        finally:  # in the task that read it, not in one that the event loop makes later
            if hasattr(chunks, "aclose"):
                await chunks.aclose()

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Both(_Watched, _AsyncWatched):
    """For a body that can be read either way."""
