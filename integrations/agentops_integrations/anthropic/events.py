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

__all__ = ["Pieces", "Stream", "again", "read"]

_DATA = re.compile(rb"^data:(.*)", re.MULTILINE)  # white space around JSON is part of it
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
_BEGIN, _STOP, _PING, _END, _SIGNATURE, _CITATION, _ODD = "b", "e", "p", "z", "g", "c", "o"


class _Text(msgspec.Struct, tag="text_delta", gc=False):
    text: str


class _Thinking(msgspec.Struct, tag="thinking_delta", gc=False):
    text: str = msgspec.field(name="thinking")


class _Json(msgspec.Struct, tag="input_json_delta", gc=False):
    text: str = msgspec.field(name="partial_json")


class _Signature(msgspec.Struct, tag="signature_delta", gc=False):
    pass


class _Citation(msgspec.Struct, tag="citations_delta", gc=False):
    pass


class _Delta(msgspec.Struct, tag="content_block_delta", gc=False):
    index: int
    delta: _Text | _Thinking | _Json | _Signature | _Citation


class _Block(msgspec.Struct, tag="content_block_start", gc=False):
    index: int


class _Stopped(msgspec.Struct, tag="content_block_stop", gc=False):
    index: int


class _Pinged(msgspec.Struct, tag="ping", gc=False):
    pass


class _Whole(msgspec.Struct, tag="message_stop", gc=False):
    pass


class _Start(msgspec.Struct, tag="message_start", gc=False):
    pass


class _Change(msgspec.Struct, tag="message_delta", gc=False):
    pass


class _Error(msgspec.Struct, tag="error", gc=False):
    pass


_Event = _Delta | _Block | _Stopped | _Pinged | _Whole | _Start | _Change | _Error
_decode = msgspec.json.Decoder(list[_Event]).decode
_decode_one = msgspec.json.Decoder(_Event).decode
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
        self.first_s: float | None = None  # from the request to the first piece; known once it is kept
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
        datas, events = _decoded(self._body)
        at, main, pieces, since = -1, None, [], 0  # type: int, Any, list[str], int
        kept = self._kept
        for data, event in zip(datas, events, strict=True):
            kind = type(event)
            if kind is _Delta:
                delta = event.delta
                if type(delta) is main and event.index == at:
                    pieces.append(delta.text)
                    continue
            if len(pieces) > since:
                kept += map(len, pieces[since:])
            since = len(pieces)
            if kind is _Delta:
                self._delta(json.loads(data), at)
                since = len(pieces)
            elif kind is _Block:
                found = json.loads(data)
                block, index = found.get("content_block"), found["index"]
                if type(block) is not dict or index < 0 or index in self._blocks:
                    self._keep(found)
                    continue
                at, main = index, _CLASSES.get(block.get("type", ""), _Json)
                pieces, since = self._pieces.setdefault(at, []), 0
                self._starts.append((len(kept), found))
                kept.append(_BEGIN)
                self._blocks[at] = dict(block)
            elif kind is _Stopped and event.index == at:
                kept.append(_STOP)
            elif kind is _Pinged:
                kept.append(_PING)
            elif kind is _Whole:
                self.complete = True
                kept.append(_END)
            else:
                found = json.loads(data)
                self._other(str(found.get("type")), found)
        kept += map(len, pieces[since:])

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
            self.message["usage"] = _newer(self.message.get("usage") or {}, event.get("usage") or {})
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
        gaps = self._gaps(chunks, times, began)
        first = next((n for n, mark in enumerate(self._kept) if isinstance(mark, int)), len(gaps))
        if first < len(gaps):
            self.first_s = sum(gaps[: first + 1]) * _TICK / 1e9
        kept: dict[str, Any] = {
            "odd": self._odd,
            "events": _pack(self._kept),
            "gaps": _pack(gaps),
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


_CLASSES: dict[str, Any] = {"text": _Text, "thinking": _Thinking}


def _newer(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The usage after an event: counts are of all so far, not to be added. Some proxies send 0 for what they omit."""
    usage = dict(before)
    for key, value in now.items():
        known = before.get(key)
        if value is None or (key != "output_tokens" and value == 0 and type(known) is int):
            continue
        usage[key] = value
    return usage


def _decoded(body: bytes) -> tuple[list[bytes], list[Any]]:
    """The data of events, and what they say that counts; None for one that says something else."""
    datas = _DATA.findall(body)
    try:
        events: list[Any] = _decode(b"[" + b",".join(datas) + b"]")
    except (msgspec.MsgspecError, ValueError):
        return _carefully(datas)
    return (datas, events) if len(events) == len(datas) else _carefully(datas)


class Pieces:
    """Reads a stream of events while it comes, a part at a time."""

    #: Of a line that is longer nothing is told.
    _LINE_MAX = 1 << 20

    def __init__(self) -> None:
        self._rest = b""

    def add(self, part: bytes) -> list[dict[str, Any]]:
        """What the lines say that end in this part; what one block got is one piece: `index`, `type`, `text`."""
        whole, newline, rest = part.rpartition(b"\n")
        if not newline:
            self._rest = (self._rest + part)[-self._LINE_MAX :]
            return []
        lines, self._rest = self._rest + whole, rest[-self._LINE_MAX :]
        if b"_delta" not in lines:
            return []
        told: list[tuple[int, str, list[str]]] = []
        for event in _decoded(lines)[1]:
            if type(event) is not _Delta or not (text := getattr(event.delta, "text", "")):
                continue
            kind = str(event.delta.__struct_config__.tag)
            if not told or told[-1][:2] != (event.index, kind):
                told.append((event.index, kind, []))
            told[-1][2].append(text)
        return [{"index": index, "type": kind, "text": "".join(texts)} for index, kind, texts in told]


def _carefully(datas: list[bytes]) -> tuple[list[bytes], list[Any]]:
    """One line after the other, without those that are no events: the stream may have ended in the middle of one."""
    lines: list[bytes] = []
    events: list[Any] = []
    for data in datas:
        try:
            events.append(_decode_one(data))
        except (msgspec.MsgspecError, ValueError):
            try:
                if not isinstance(json.loads(data), dict):
                    continue
            except ValueError:
                continue
            events.append(None)
        lines.append(data)
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
        if mark == _BEGIN or (event is not None and event.get("type") == "content_block_start"):
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
        if mark in (_STOP, _BEGIN):
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
