"""The key of hashes and pseudonyms: whoever has it can try out values, so it stands in no store and no journal."""

from __future__ import annotations

import contextlib
import hashlib
import os

__all__ = ["VARIABLE", "key_from", "key_of_folder"]

VARIABLE = "AGENTOPS_REDACT_KEY"
FILE = "redaction.key"
_BYTES = 32


def key_from(given: str | bytes) -> bytes:
    """32 bytes of whatever length the user's key has; what stands in a store's file is that file's key."""
    if isinstance(given, str) and len(given.strip()) == 2 * _BYTES:
        with contextlib.suppress(ValueError):
            return bytes.fromhex(given)
    return hashlib.blake2b(given.encode() if isinstance(given, str) else given, digest_size=_BYTES).digest()


def key_of_folder(folder: str, create: bool = True) -> bytes | None:
    """The key: AGENTOPS_REDACT_KEY, else that of the store's folder, made if need be; None if it cannot be had.

    Args:
        folder: the store's.
        create: whether one may be made.
    """
    if given := os.environ.get(VARIABLE):
        return key_from(given)
    path = os.path.join(folder, FILE)
    for _ in range(2):  # another process may be making it
        with contextlib.suppress(OSError, ValueError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                key = bytes.fromhex(file.read(1_000).decode("ascii"))
            if len(key) == _BYTES:
                return key
        if not create:
            return None
        _make(path)
    return None


def _make(path: str) -> None:
    """Whole from the moment that it has its name: two programs may begin at once."""
    unnamed = f"{path}.{os.getpid()}"
    with contextlib.suppress(OSError):
        descriptor = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, os.urandom(_BYTES).hex().encode())
        finally:
            os.close(descriptor)
        try:
            os.link(unnamed, path)
        finally:
            os.unlink(unnamed)
