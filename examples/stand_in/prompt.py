"""A request as the model reads it: blocks in the order of tools, system, messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

Json = dict[str, Any]

_CHARS_PER_TOKEN = 4
_CHARS_PER_IMAGE = 6_000
_FIVE_MINUTES = "5m"
#: Values that the caller wrote, in the order in which he wrote their keys: that is part of what the model reads.
_WRITTEN = ("input", "input_schema", "data")
_UNMARKABLE = ("thinking", "redacted_thinking")


class PromptBlock(NamedTuple):
    """One block.

    Args:
        section: `tools`, `system` or `messages`.
        content: All that the model is told by it, as a text.
        characters: How much that is; of an image, a number that all images have.
        ttl: `5m` or `1h` if a breakpoint of the prompt cache stands behind it.
    """

    section: str
    content: str
    characters: int
    ttl: str | None


def tokens(characters: int) -> int:
    return max(1, round(characters / _CHARS_PER_TOKEN))


def blocks(request: Json) -> list[PromptBlock]:
    """The blocks of a request, with the breakpoint that `cache_control` for the whole of it stands for."""
    found = list(_blocks(request))
    whole = request.get("cache_control")
    if isinstance(whole, dict):
        for at in range(len(found) - 1, -1, -1):
            if _is_markable(found[at]):
                if found[at].ttl is None:
                    found[at] = found[at]._replace(ttl=whole.get("ttl") or _FIVE_MINUTES)
                break
    return found


def parameters(request: Json) -> dict[str, str]:
    """What a section and those behind it depend on besides its blocks.

    The provider's table of what invalidates the cache: the speed from the system
    prompt on; the choice of tools, thinking, the format of the output, and whether
    there is any image from the messages on.
    """
    images = any('"type": "image"' in block.content for block in blocks({**request, "cache_control": None}))
    of_messages = [request.get(name) for name in ("tool_choice", "thinking", "output_config")]
    return {"tools": "", "system": str(request.get("speed") or "standard"), "messages": _text([*of_messages, images])}


def _blocks(request: Json) -> Iterator[PromptBlock]:
    for tool in request.get("tools") or ():
        yield _block("tools", tool, "")
    system = request.get("system") or ()
    for block in [{"type": "text", "text": system}] if isinstance(system, str) else system:
        yield _block("system", block, "")
    for message in request.get("messages") or ():
        content = message["content"]
        # A text alone and a list of one text are the same to the model.
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            yield _block("messages", block, str(message["role"]))


def _block(section: str, block: Json, role: str) -> PromptBlock:
    mark = block.get("cache_control")
    content = role + _text(_plain(block))
    ttl = (mark.get("ttl") or _FIVE_MINUTES) if isinstance(mark, dict) else None
    return PromptBlock(section, content, len(content) - _image_characters(block), ttl)


def _plain(value: Any, *, is_written: bool = False) -> Any:
    """Without marks, and with keys in one order where the API and not the caller gives them."""
    if isinstance(value, list):
        return [_plain(item, is_written=is_written) for item in value]
    if not isinstance(value, dict) or is_written:
        return value
    kept = sorted(key for key in value if key != "cache_control")
    return {key: _plain(value[key], is_written=key in _WRITTEN) for key in kept}


def _image_characters(block: Json) -> int:
    """How much longer the bytes in a block are than what is counted for them."""
    source = block.get("source")
    data = source.get("data") if isinstance(source, dict) and source.get("type") == "base64" else None
    return len(data) - _CHARS_PER_IMAGE if isinstance(data, str) else 0


def _is_markable(block: PromptBlock) -> bool:
    return not any(f'"type": "{kind}"' in block.content for kind in _UNMARKABLE)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
