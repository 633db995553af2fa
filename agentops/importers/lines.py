"""Lines of a file that may be of any size and make, one at a time."""

from __future__ import annotations

import gzip
import os
import sys
import time
import zlib
from collections.abc import Iterator
from typing import IO, cast

from agentops.errors import UsageError

__all__ = ["LINE_BYTES_MAX", "Source", "Unusable"]

LINE_BYTES_MAX = 64 << 20
_STEP_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"


class Unusable(Exception):
    """Why a line cannot be taken, in words for a user."""


class Source:
    """A file that is read line by line.

    Args:
        path: of the file, compressed by gzip or not; `-` for standard input.

    Raises:
        UsageError: it cannot be opened; nothing has been opened yet if it can.
    """

    def __init__(self, path: str) -> None:
        self.name = "standard input" if path == "-" else path
        self._path = path
        #: When it was written last, ns since 1970.
        self.written_ns = time.time_ns()
        if path == "-":
            return
        try:
            self.written_ns = os.stat(path).st_mtime_ns
        except (OSError, ValueError) as problem:
            raise UsageError(f"{path} cannot be read: {getattr(problem, 'strerror', problem)}") from None
        if os.path.isdir(path):
            raise UsageError(f"{path} is a folder: name the files in it")
        if not os.access(path, os.R_OK):
            raise UsageError(f"{path} cannot be read: you may not")

    def lines(self) -> Iterator[tuple[int, bytes | Unusable]]:
        """Each line with its number, counted from 1, without its end; what cannot be read is said in its place.

        Of a line that is too long no more than LINE_BYTES_MAX is ever held in memory.
        """
        number = 0
        try:
            with cast("IO[bytes]", sys.stdin.buffer if self._path == "-" else open(self._path, "rb")) as raw:
                file = raw
                if raw.peek(2)[:2] == _GZIP:  # type: ignore[attr-defined]
                    file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
                while line := file.readline(LINE_BYTES_MAX + 1):
                    number += 1
                    if len(line) > LINE_BYTES_MAX and not line.endswith(b"\n"):
                        line = b""
                        while (rest := file.readline(_STEP_BYTES)) and not rest.endswith(b"\n"):
                            pass
                        yield number, Unusable(f"longer than {LINE_BYTES_MAX >> 20} MB")
                    else:
                        yield number, line.rstrip(b"\r\n")
        except (EOFError, zlib.error, OSError) as problem:
            yield number + 1, Unusable(f"cannot be read, and nothing after it: {problem}")
