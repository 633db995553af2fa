"""A stream of the Messages API: its events from bytes, its message, and what is kept so that it can be made again.

On record a stream is its message and a few bytes an event: how long each piece was and when it came. No text stands
there twice, so what a redactor did to the message holds for the stream too.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import msgspec

__all__ = ["Stream", "again", "read"]

_DATA = re.compile(rb"^data:[ ]?(.*?)\r?$", re.MULTILINE)
#: What a delta is called and where its text stands, by the type of its block.
_MAIN = {"text": "text_delta", "thinking": "thinking_delta"}
_TEXT = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
#: How the JSON of a tool's input may have been written.
_STYLES: tuple[dict[str, Any], ...] = (
    {},
    {"separators": (",", ":")},
    {"ensure_ascii": False},
    {"separators": (",", ":"), "ensure_ascii": False},
)
#: Of the times between events, in ns.
_TICK = 10_000

#: In a kept stream, what an event is: a number is a piece of so many characters of the block at hand.
_BLOCK, _STOP, _PING, _END, _SIGNATURE, _CITATION, _ODD = "b", "e", "p", "z", "g", "c", "o"


class _Delta(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    index: int = -1
    delta: _Delta | None = None


_decode = msgspec.json.Decoder(list[_Event]).decode
_pack = msgspec.msgpack.encode


class Stream:
    """A stream that was read, as far as it came.

    Attributes:
        message: as the API's JSON has it, with the blocks and fields that came; None if it had not begun.
        complete: it came to its end.
        error: what an `error` event said, if one came.
    """

    def __init__(self, body: bytes) -> None:
        self.message: dict[str, Any] | None = None
        self.complete = False
        self.error: dict[str, Any] | None = None
        self._body = body
        self._kept: list[int | str] = []  # an event each
        self._odd: list[dict[str, Any]] = []
        self._starts: list[tuple[int, dict[str, Any]]] = []  # of blocks: where in `_kept`, and as they began
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[int, list[str]] = {}
        self._read()
        self._put_together()

    def _put_together(self) -> None:
        if self.message is not None:
            for index, pieces in self._pieces.items():
                _finish(self._blocks[index], "".join(pieces))
            self.message["content"] = [self._blocks[index] for index in sorted(self._blocks)]

    def _read(self) -> None:
        datas = _DATA.findall(self._body)
        try:
            events = _decode(b"[" + b",".join(datas) + b"]")
            if len(events) != len(datas):
                raise ValueError("no event a line")
        except (msgspec.MsgspecError, ValueError):
            datas, events = _carefully(datas)
        at, main, pieces = -1, "", []  # type: int, str, list[str]
        kept = self._kept
        for data, event in zip(datas, events, strict=True):
            if event.type == "content_block_delta":
                delta = event.delta
                if delta is not None and event.index == at and delta.type == main:
                    text = delta.text if main == "text_delta" else getattr(delta, _TEXT[main])
                    if text is not None:
                        pieces.append(text)
                        kept.append(len(text))
                        continue
                self._delta(json.loads(data), at)
            elif event.type == "content_block_start":
                found = json.loads(data)
                block = found.get("content_block")
                if type(block) is not dict or event.index < 0 or event.index in self._blocks:
                    self._keep(found)
                    continue
                at = event.index
                main = _MAIN.get(block.get("type", ""), "input_json_delta")
                pieces = self._pieces[at] = []
                self._starts.append((len(kept), found))
                kept.append(_BLOCK)
                self._blocks[at] = dict(block)
            elif event.type == "content_block_stop" and event.index == at:
                kept.append(_STOP)
            elif event.type == "ping":
                kept.append(_PING)
            elif event.type == "message_stop":
                self.complete = True
                kept.append(_END)
            else:
                self._other(event.type, json.loads(data))

    def _keep(self, event: dict[str, Any]) -> None:
        self._odd.append(event)
        self._kept.append(_ODD)

    def _delta(self, event: dict[str, Any], at: int) -> None:
        """A delta that is no piece of the main text of the block at hand."""
        delta, index = event.get("delta"), event.get("index")
        block = self._blocks.get(index) if type(index) is int else None
        if type(delta) is not dict or block is None:
            return self._keep(event)
        kind = delta.get("type")
        if kind == "signature_delta":
            first = not block.get("signature")
            block["signature"] = delta.get("signature")
            if index == at and first:
                self._kept.append(_SIGNATURE)
                return None
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]
            if index == at:
                self._kept.append(_CITATION)
                return None
        elif type(kind) is str and type(text := delta.get(_TEXT.get(kind, ""))) is str:
            self._pieces[event["index"]].append(text)
        return self._keep(event)

    def _other(self, kind: str, event: dict[str, Any]) -> None:
        self._keep(event)
        if kind == "message_start" and self.message is None and type(event.get("message")) is dict:
            self.message = dict(event["message"])
        elif kind == "message_delta" and self.message is not None:
            self.message |= {key: value for key, value in (event.get("delta") or {}).items() if value is not None}
            usage = {key: value for key, value in (event.get("usage") or {}).items() if value is not None}
            self.message["usage"] = {**(self.message.get("usage") or {}), **usage}  # cumulative, not to be added
            for key, value in event.items():
                if key not in ("type", "delta", "usage") and value is not None:
                    self.message[key] = value
        elif kind == "error" and type(event.get("error")) is dict:
            self.error = event["error"]

    def kept(self, chunks: Sequence[bytes], times: Sequence[int], began: int) -> dict[str, Any]:
        """What is kept so that `again` can make the same stream.

        Args:
            chunks: of the body, as they came.
            times: when, ns of one clock.
            began: when the request was made, on that clock.
        """
        written: dict[str, int | str] = {}
        for place, start in self._starts:
            index = start["index"]
            block, text = self._blocks[index], "".join(self._pieces[index])
            if _begun(block) != start["content_block"] or len(start) != 3:
                self._odd.insert(sum(1 for mark in self._kept[:place] if mark == _ODD), start)
                self._kept[place] = _ODD
            if "input" in block and not isinstance(block["input"], str):
                style = next((n for n, s in enumerate(_STYLES) if json.dumps(block["input"], **s) == text), None)
                if style != 0:
                    written[str(index)] = text if style is None else style
        kept: dict[str, Any] = {
            "odd": self._odd,
            "events": _pack(self._kept),
            "gaps": _pack(self._gaps(chunks, times, began)),
        }
        if written:
            kept["json"] = written
        return kept

    def _gaps(self, chunks: Sequence[bytes], times: Sequence[int], began: int) -> list[int]:
        """Ticks between each event and the one before; 0 where they came in one chunk."""
        counts = [chunk.count(b"\n\n") for chunk in chunks]
        if sum(counts) != len(self._kept):  # written otherwise, or cut in the middle of an end
            counts = self._counts(chunks)
        gaps: list[int] = []
        for count, time in zip(counts, times, strict=True):
            if count:
                gaps.append(max(1, (time - began) // _TICK))
                began = time
                if count > 1:
                    gaps += [0] * (count - 1)
        return gaps[: len(self._kept)]

    def _counts(self, chunks: Sequence[bytes]) -> list[int]:
        sizes = list(accumulate(map(len, chunks)))
        counts = [0] * len(sizes)
        for line in _DATA.finditer(self._body):
            counts[min(bisect_left(sizes, line.end()), len(sizes) - 1)] += 1
        return counts


def _carefully(datas: list[bytes]) -> tuple[list[bytes], list[_Event]]:
    """One line after the other, without those that are no events: the stream may have ended in the middle of one."""
    lines, events = [], []
    for data in datas:
        try:
            event = json.loads(data)
        except ValueError:
            continue
        if isinstance(event, dict):
            index, delta = event.get("index"), event.get("delta")
            texts = (
                {k: v for k, v in delta.items() if k in _Delta.__struct_fields__ and isinstance(v, str)}
                if isinstance(delta, dict)
                else {}
            )
            lines.append(data)
            events.append(
                _Event(
                    str(event.get("type", "")), index if type(index) is int else -1, _Delta(**texts) if texts else None
                )
            )
    return lines, events


def _finish(block: dict[str, Any], text: str) -> None:
    """Put the pieces of a block into it."""
    kind = block.get("type")
    if not text:
        return
    if kind in _MAIN:
        block[kind] = str(block.get(kind) or "") + text
    else:
        try:
            block["input"] = json.loads(text)
        except ValueError:  # cut off: what came of it, as text
            block["input"] = text


def _begun(block: dict[str, Any]) -> dict[str, Any]:
    """A block as it usually begins."""
    empty = {"text": "", "thinking": "", "signature": "", "input": {}, "citations": []}
    if block.get("type") not in ("text", "thinking", "tool_use", "server_tool_use", "mcp_tool_use"):
        return block
    return {key: empty[key] if key in empty and value else value for key, value in block.items()}


def read(kept: Any) -> tuple[list[int | str], list[int]] | None:
    """The marks of the events of a kept stream, and the ticks between them; None for what is none."""
    try:
        events, gaps = (msgspec.msgpack.decode(kept[name]) for name in ("events", "gaps"))
    except (msgspec.MsgspecError, TypeError, KeyError, ValueError):
        return None
    return (events, gaps) if isinstance(events, list) and isinstance(gaps, list) else None


def again(kept: dict[str, Any], content: list[dict[str, Any]]) -> list[tuple[float, dict[str, Any]]]:
    """The events of a kept stream, each with the seconds after the one before; 0 where they came together.

    Args:
        kept: as `Stream.kept` gave it.
        content: the blocks of its message.
    """
    found = read(kept)
    if found is None:
        return []
    marks, gaps = found
    gaps += [0] * (len(marks) - len(gaps))
    events = _events(marks, iter(kept.get("odd") or ()), content, kept.get("json") or {})
    return [(gap * _TICK / 1e9, event) for gap, event in zip(gaps, events, strict=False)]


def _events(
    marks: list[int | str], odd: Iterator[dict[str, Any]], content: list[dict[str, Any]], written: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    number, index = -1, -1  # of the block in the content, and in the stream
    block: dict[str, Any] = {}
    text, at, cited, kind = "", 0, 0, ""
    for place, mark in enumerate(marks):
        event = None
        if mark == _ODD:
            event = next(odd, None)
            if event is None:
                return
        if mark == _BLOCK or (event is not None and event.get("type") == "content_block_start"):
            number += 1
            block = content[number] if number < len(content) else {}
            index = number if event is None else event.get("index", number)
            kind = _MAIN.get(block.get("type", ""), "input_json_delta")
            text, at, cited = _text(block, written.get(str(index), 0)), 0, 0
            event = event or {"type": "content_block_start", "index": index, "content_block": _begun(block)}
        elif isinstance(mark, int):
            # What was redacted is longer or shorter now: the last piece has the rest.
            last = not any(isinstance(later, int) for later in _until_stop(marks, place + 1))
            piece, at = text[at:] if last else text[at : at + mark], at + mark
            event = {"type": "content_block_delta", "index": index, "delta": {"type": kind, _TEXT[kind]: piece}}
        elif mark == _SIGNATURE:
            delta: dict[str, Any] = {"type": "signature_delta", "signature": block.get("signature")}
            event = {"type": "content_block_delta", "index": index, "delta": delta}
        elif mark == _CITATION:
            citations = block.get("citations") or []
            citation = citations[cited] if cited < len(citations) else None
            cited += 1
            delta = {"type": "citations_delta", "citation": citation}
            event = {"type": "content_block_delta", "index": index, "delta": delta}
        elif mark == _STOP:
            event = {"type": "content_block_stop", "index": index}
        elif mark in (_PING, _END):
            event = {"type": "ping" if mark == _PING else "message_stop"}
        if event is not None:
            yield event


def _until_stop(marks: list[int | str], place: int) -> Iterator[int | str]:
    for mark in marks[place:]:
        if mark in (_STOP, _BLOCK):
            return
        yield mark


def _text(block: dict[str, Any], written: int | str) -> str:
    kind = block.get("type")
    if kind in _MAIN:
        return str(block.get(kind) or "")
    given = block.get("input")
    if isinstance(written, str):
        return written
    return given if isinstance(given, str) else json.dumps(given, **_STYLES[written if 0 <= written < 4 else 0])
