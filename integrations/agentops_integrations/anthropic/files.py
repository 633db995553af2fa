"""Images and documents in messages: in the messages their digest, type and size, and their bytes apart, once."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Mapping
from typing import Any

__all__ = ["BYTES", "with_bytes", "without_bytes"]

#: Ours, on a call: the bytes of a file in its messages, by their digest.
BYTES = "agentops.bytes."
_DIGEST = "sha256:"
#: Shorter ones stay where they are.
_LENGTH_MIN = 256


def without_bytes(messages: Any) -> tuple[Any, dict[str, bytes]]:
    """Messages with the digest in the place of base64, and the bytes by the name of their attribute.

    What has no file in it is the same object as before.
    """
    found: dict[str, bytes] = {}
    if type(messages) is not list:
        return messages, found
    changed: list[Any] | None = None
    for at, message in enumerate(messages):
        content = message.get("content") if type(message) is dict else None
        if type(content) is list and (blocks := _blocks(content, found)) is not content:
            if changed is None:
                changed = list(messages)
            changed[at] = {**message, "content": blocks}
    return messages if changed is None else changed, found


def _blocks(content: list[Any], found: dict[str, bytes]) -> list[Any]:
    changed: list[Any] | None = None
    for at, block in enumerate(content):
        if type(block) is not dict:
            continue
        new = block
        source, inner = block.get("source"), block.get("content")
        if type(source) is dict and source.get("type") == "base64":
            if (apart := _apart(source, found)) is not None:
                new = {**block, "source": apart}
        elif type(inner) is list and (blocks := _blocks(inner, found)) is not inner:
            new = {**block, "content": blocks}
        if new is not block:
            if changed is None:
                changed = list(content)
            changed[at] = new
    return content if changed is None else changed


def _apart(source: dict[str, Any], found: dict[str, bytes]) -> dict[str, Any] | None:
    text = source.get("data")
    if type(text) is not str or len(text) < _LENGTH_MIN:
        return None
    try:
        data = b64decode(text, validate=True)
    except (Error, ValueError):
        return None
    if b64encode(data).decode() != text:  # it could not be put together again
        return None
    digest = _DIGEST + hashlib.sha256(data).hexdigest()
    found[BYTES + digest] = data
    return {**source, "data": digest, "bytes": len(data)}


def with_bytes(value: Any, attributes: Mapping[str, Any]) -> Any:
    """Messages as they were sent, from what is on record of them and the call's attributes."""
    if isinstance(value, list):
        return [with_bytes(item, attributes) for item in value]
    if not isinstance(value, dict):
        return value
    digest = value.get("data")
    if value.get("type") == "base64" and isinstance(digest, str) and digest.startswith(_DIGEST):
        kept = attributes.get(BYTES + digest)
        if isinstance(kept, str):
            rest = {key: item for key, item in value.items() if key != "bytes"}
            return {**rest, "data": kept.partition(",")[2]}
    return {key: with_bytes(item, attributes) for key, item in value.items()}
