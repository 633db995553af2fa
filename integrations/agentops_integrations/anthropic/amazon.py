"""Streams of Amazon Bedrock: server-sent events inside of its own framing.

The framing: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html. A frame is its length, that
of its headers and a checksum (4 bytes each), headers, payload and a checksum.
"""

from __future__ import annotations

import base64
import json
import struct

__all__ = ["events"]


def events(body: bytes) -> bytes:
    """The events of a body as server-sent events, as far as whole frames came."""
    found = []
    at = 0
    while at + 16 <= len(body):
        length, headers = struct.unpack_from(">II", body, at)
        if length < 16 + headers or at + length > len(body):
            break
        payload = body[at + 12 + headers : at + length - 4]
        at += length
        try:
            data = base64.b64decode(json.loads(payload)["bytes"])
        except (ValueError, TypeError, LookupError):  # an exception of the service's
            continue
        found.append(b"data: " + data.replace(b"\n", b" ") + b"\n\n")
    return b"".join(found)
