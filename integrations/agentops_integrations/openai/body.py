"""The bytes of a response as the program reads them: each is seen on its way, none is read for us."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .call import Call

__all__ = ["watch"]


def watch(response: Any, call: Call) -> None:
    """Have `call` see what is read of a response, and when that ends.

    Args:
        response: of httpx or of httpx2; the client takes either.
    """
    stream = response.stream
    http = sys.modules[type(response).__mro__[-2].__module__.partition(".")[0]]
    for kind, made in ((http.SyncByteStream, _sync(http.SyncByteStream)), (http.AsyncByteStream, _async(http))):
        if isinstance(stream, kind):
            response.stream = made(stream, call)
            return
    call.end()


@functools.cache
def _sync(base: Any) -> Any:
    class Watched(base):  # type: ignore[misc]
        def __init__(self, stream: Any, call: Call) -> None:
            self._stream = stream
            self._call = call

        def __iter__(self) -> Any:
            add = self._call.came
            try:
                for chunk in self._stream:
                    add(chunk)
                    yield chunk
            except Exception as problem:
                self._call.broke(problem)
                raise
            self._call.is_whole = True

        def close(self) -> None:
            try:
                self._stream.close()
            finally:
                self._call.closed()

        def __del__(self) -> None:
            self._call.closed()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._stream, name)

    return Watched


@functools.cache
def _async(http: Any) -> Any:
    class Watched(http.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, stream: Any, call: Call) -> None:
            self._stream = stream
            self._call = call

        async def __aiter__(self) -> Any:
            add = self._call.came
            chunks = self._stream.__aiter__()
            try:
                async for chunk in chunks:
                    add(chunk)
                    yield chunk
                self._call.is_whole = True
            except Exception as problem:
                self._call.broke(problem)
                raise
            finally:  # in the task that read it, not in one that the event loop makes later
                if hasattr(chunks, "aclose"):
                    await chunks.aclose()

        async def aclose(self) -> None:
            try:
                await self._stream.aclose()
            finally:
                self._call.closed()

        def __del__(self) -> None:
            self._call.closed()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._stream, name)

    return Watched
