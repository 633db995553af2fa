"""Images and documents in messages: in the messages their digest, type and size, and their bytes apart, once."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from binascii import Error
from operator import itemgetter
from typing import Any

from agentops.messages import BYTES, DIGEST

__all__ = ["without_bytes"]

#: Shorter ones stay where they are.
_LENGTH_MIN = 256
_content = itemgetter("content")


def without_bytes(messages: Any) -> tuple[Any, dict[str, bytes]]:
    """Messages with the digest in the place of base64, and the bytes by the name of their attribute.

    What has no file in it is the same object as before.
    """
    found: dict[str, bytes] = {}
    try:
        if type(messages) is not list or list not in map(type, map(_content, messages)):
            return messages, found  # words alone, told at the speed of C
    except (KeyError, TypeError):  # no messages: the API will say so
        return messages, found
    changed: list[Any] | None = None
    for at, message in enumerate(messages):
        if type(message) is not dict or type(content := message.get("content")) is not list:
            continue
        if (blocks := _blocks(content, found)) is not content:
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
    digest = DIGEST + hashlib.sha256(data).hexdigest()
    found[BYTES + digest] = data
    return {**source, "data": digest, "bytes": len(data)}
