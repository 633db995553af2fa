"""Conversations in which something breaks the provider's prompt cache, and where; and the same without it.

Both are sent by the real client to the stand-in provider, whose prompt cache bills by the rules. What the break costs
is what the one bill is higher than the other.
"""

from __future__ import annotations

import copy
import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MODELS = ("claude-sonnet-5", "claude-opus-5", "claude-haiku-5-5", "claude-opus-5-5")
_SAID = """order parcel harbour kettle refund policy customer warehouse delivery lamp — Ålesund überaus 荷物 café signed
crate invoice damaged return window label driver evening reply kindly never always before after unless because"""
WORDS = _SAID.split()
SHORT: Any = {"type": "ephemeral"}
LONG: Any = {"type": "ephemeral", "ttl": "1h"}
Json = dict[str, Any]


@dataclass
class Turn:
    """One call: what is sent, and how long after the call before."""

    request: Json
    pause_s: float = 20.0


@dataclass
class Plan:
    """A conversation with a break, the same without, and what an audit has to say of it.

    Args:
        expected: fields of the finding.
    """

    kind: str
    model: str
    turns: list[Turn]
    well: list[Turn]
    expected: Json = field(default_factory=dict)


class Writer:
    """Texts of one plan."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self, words: int) -> str:
        return " ".join(self.random.choices(WORDS, k=words))

    def paragraphs(self, number: int, words: int) -> str:
        return "\n\n".join(f"{self.text(words).capitalize()}." for _ in range(number))

    def stamp(self) -> str:
        n = self.random
        minute, second, day = n.randrange(60), n.randrange(60), n.randrange(10, 29)
        return {
            "iso": f"2026-11-{day}T{n.randrange(10, 24)}:{minute:02d}:{second:02d}Z",
            "space": f"2026-11-{day} 18:{minute:02d}:{second:02d}",
            "long": f"{day} Nov 2026 09:{minute:02d}",
            "epoch": str(1_790_000_000 + n.randrange(9_999_999)),
            "day": f"2026-11-{day}",
        }[self.format]

    format = "iso"


def conversation(writer: Writer, model: str, turns: int) -> list[Turn]:
    """Calls that each send what came before, and one more turn; without breakpoints."""
    n = writer.random
    names = [f"{writer.random.choice(('look', 'find', 'send'))}_{word}" for word in "abcd"[: n.randrange(2, 5)]]
    tools = [
        {
            "name": name,
            "description": writer.text(40),
            "input_schema": {
                "type": "object",
                "properties": {
                    "order": {"type": "string", "description": writer.text(12)},
                    "reason": {"type": "string", "description": writer.text(12)},
                },
                "required": ["order"],
            },
        }
        for name in names
    ]
    system: Any = [{"type": "text", "text": writer.paragraphs(4, 120)}, {"type": "text", "text": writer.text(80)}]
    if n.random() < 0.4:
        system = writer.paragraphs(5, 120)
    messages: list[Json] = [{"role": "user", "content": f"Ticket {n.random()}: {writer.text(60)}"}]
    made = []
    for turn in range(turns):
        body = {"model": model, "max_tokens": 64, "system": system, "tools": tools, "messages": messages}
        made.append(Turn(copy.deepcopy(body)))
        if turn % 2:
            messages = [*messages, {"role": "assistant", "content": writer.text(30)}]
            messages = [*messages, {"role": "user", "content": [{"type": "text", "text": writer.text(50)}]}]
        else:
            call = {"type": "tool_use", "id": f"toolu_{turn}", "name": names[0]}
            call["input"] = {"order": writer.text(2), "reason": writer.text(6)}  # type: ignore[assignment]
            result = {"type": "tool_result", "tool_use_id": f"toolu_{turn}", "content": writer.text(90)}
            said = {"type": "text", "text": writer.text(10)}
            messages = [
                *messages,
                {"role": "assistant", "content": [said, call]},
                {"role": "user", "content": [result]},
            ]
    return made


def marked(turns: list[Turn], way: str, mark: Any = SHORT) -> list[Turn]:
    """With breakpoints: `whole` request, or one behind the `ends` of tools, system prompt and messages."""
    made = copy.deepcopy(turns)
    for turn in made:
        body = turn.request
        if way == "whole":
            body["cache_control"] = mark
            continue
        body["tools"][-1]["cache_control"] = mark
        if isinstance(body["system"], str):
            body["system"] = [{"type": "text", "text": body["system"]}]
        body["system"][-1]["cache_control"] = mark
        last = body["messages"][-1]
        if isinstance(last["content"], str):
            last["content"] = [{"type": "text", "text": last["content"]}]
        last["content"][-1]["cache_control"] = mark
    return made


def first_difference(one: str, other: str) -> int:
    """In bytes."""
    pairs = zip(one.encode(), other.encode(), strict=False)
    at = next(n for n, (a, b) in enumerate(pairs) if a != b)
    return len(one.encode()[:at].decode("utf-8", "ignore").encode())  # of the letter that differs


def reworded(writer: Writer, text: str, at: int, length: int) -> str:
    """Other words of the same length."""
    part = text[at : at + length]
    return text[:at] + part.swapcase()[::-1] + text[at + length :]


# -- what breaks it: each changes `turns` in place and says what is to be found ----------------------------------


def in_system(writer: Writer, turns: list[Turn], values: list[str], what: str) -> Json:
    """A value in the system prompt, another one in each call."""
    block = 0
    system = turns[0].request["system"]
    if isinstance(system, list):
        block = writer.random.randrange(len(system))
    expected: Json = {}
    for turn, value in zip(turns, values, strict=True):
        system = turn.request["system"]
        text = system if isinstance(system, str) else system[block]["text"]
        at = text.find(" ", len(text) // 3)
        new = f"{text[:at]}\n\nNow: {value} ({text[at + 1 :]}"
        if isinstance(system, str):
            turn.request["system"] = new
        else:
            system[block]["text"] = new
        start = new.index(value)
        expected = {"byte": len(new[:start].encode()), "paragraph": new[:start].count("\n\n") + 1}
    return {"kind": "break", "section": "system", "position": block, "what": what, "path": "", **expected}


def timestamp(writer: Writer, turns: list[Turn], at: int) -> Json:
    writer.format = writer.random.choice(("iso", "space", "long", "epoch", "day"))
    values: list[str] = []
    while len(values) < len(turns):
        value = writer.stamp()
        if value not in values:
            values.append(value)
    return in_system(writer, turns, values, "a timestamp")


def identifier(writer: Writer, turns: list[Turn], at: int) -> Json:
    make = writer.random.choice(("uuid", "hex", "request"))
    values = [uuid.UUID(int=writer.random.getrandbits(128), version=4) for _ in turns]
    texts = {"uuid": str, "hex": lambda v: "a1" + v.hex, "request": lambda v: "req_7" + v.hex[:18]}
    return in_system(writer, turns, [texts[make](value) for value in values], "an id")


def number(writer: Writer, turns: list[Turn], at: int) -> Json:
    start = writer.random.randrange(100, 900)
    return in_system(writer, turns, [str(start + n) for n in range(len(turns))], "a number")


def order_of_tools(writer: Writer, turns: list[Turn], at: int) -> Json:
    tools = turns[0].request["tools"]
    first = writer.random.randrange(len(tools) - 1)
    for turn in turns[at:]:
        mine = turn.request["tools"]
        mine[first], mine[first + 1] = mine[first + 1], mine[first]
    return {"kind": "break", "section": "tools", "position": first, "what": "the order of tools", "byte": 0}


def description(writer: Writer, turns: list[Turn], at: int) -> Json:
    place = writer.random.randrange(len(turns[0].request["tools"]))
    deep = writer.random.random() < 0.5
    path = ".input_schema.properties.order.description" if deep else ".description"
    old = new = ""
    for turn in turns[at:]:
        tool = turn.request["tools"][place]
        holder = tool["input_schema"]["properties"]["order"] if deep else tool
        old = holder["description"]
        new = holder["description"] = reworded(writer, old, len(old) // 2, 12)
    byte = first_difference(old, new)
    return {"kind": "break", "section": "tools", "position": place, "path": path, "byte": byte, "what": "text"}


def keys_of_tool(writer: Writer, turns: list[Turn], at: int) -> Json:
    place = writer.random.randrange(len(turns[0].request["tools"]))
    tool = turns[0].request["tools"][place]
    old = {key: copy.deepcopy(tool[key]) for key in sorted(tool)}
    for turn in turns[at:]:
        schema = turn.request["tools"][place]["input_schema"]
        schema["properties"] = dict(reversed(schema["properties"].items()))
        new = {key: turn.request["tools"][place][key] for key in sorted(tool)}
    texts = [json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in (old, new)]
    byte, path = first_difference(*texts), ".input_schema.properties"
    what = "the order of keys"
    return {"kind": "break", "section": "tools", "position": place, "byte": byte, "path": path, "what": what}


def another_tool(writer: Writer, turns: list[Turn], at: int) -> Json:
    place = len(turns[0].request["tools"]) - 1
    for turn in turns[at:]:
        turn.request["tools"][place]["name"] = turn.request["tools"][place]["name"][:-1] + "z"
    return {"kind": "break", "section": "tools", "position": place, "what": "another tool"}


def history(writer: Writer, turns: list[Turn], at: int) -> Json:
    place = writer.random.randrange(len(turns[at - 1].request["messages"]))
    old = new = path = ""
    for turn in turns[at:]:
        message = turn.request["messages"][place]
        content = message["content"]
        if isinstance(content, str):
            old, path = content, ""
            new = message["content"] = reworded(writer, content, len(content) // 2, 14)
            continue
        block, name = content[0], "content" if content[0]["type"] == "tool_result" else "text"
        old, path = block[name], "" if name == "text" else ".content"
        new = block[name] = reworded(writer, old, len(old) // 2, 14)
    byte = first_difference(old, new)
    return {"kind": "break", "section": "messages", "position": place, "path": path, "byte": byte, "what": "text"}


def arguments(writer: Writer, turns: list[Turn], at: int) -> Json:
    for turn in turns[at:]:
        call = turn.request["messages"][1]["content"][1]
        old = {key: copy.deepcopy(call[key]) for key in sorted(call)}
        call["input"] = dict(reversed(call["input"].items()))
        new = {key: call[key] for key in sorted(call)}
    texts = [json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in (old, new)]
    where = {"section": "messages", "position": 1, "path": "[1].input", "byte": first_difference(*texts)}
    return {"kind": "break", **where, "what": "the order of keys"}


def paragraph(writer: Writer, turns: list[Turn], at: int) -> Json:
    for turn in turns[at:]:
        system = turn.request["system"]
        old = system if isinstance(system, str) else system[0]["text"]
        new = reworded(writer, old, old.rindex("\n\n") + 20, 16)
        if isinstance(system, str):
            turn.request["system"] = new
        else:
            system[0]["text"] = new
    where = {"position": 0, "path": "", "byte": first_difference(old, new), "paragraph": old.count("\n\n") + 1}
    return {"kind": "break", "section": "system", **where, "what": "text"}


def put_in(writer: Writer, turns: list[Turn], at: int) -> Json:
    last = len(turns[at - 1].request["messages"])
    place = writer.random.choice([0, 3] if last > 6 else [0])  # not between a tool's call and its result
    for turn in turns[at:]:
        turn.request["messages"].insert(place, {"role": "user", "content": "Be brief."})
    return {"kind": "break", "section": "messages", "position": place, "what": "added messages"}


def parameter(writer: Writer, turns: list[Turn], at: int) -> Json:
    for turn in turns[at:]:
        turn.request["tool_choice"] = {"type": "any"}
    return {"kind": "break", "section": "tool_choice", "position": None, "what": "a parameter"}


def pause(writer: Writer, turns: list[Turn], at: int) -> Json:
    turns[at].pause_s = writer.random.randrange(310, 3_000)
    place = len(turns[at - 1].request["messages"]) - 1
    return {"kind": "expired", "section": "messages", "position": place}


Break = Callable[[Writer, list[Turn], int], Json]
CHANGES: dict[str, Break] = {
    each.__name__: each
    for each in (
        timestamp,
        identifier,
        number,
        order_of_tools,
        description,
        keys_of_tool,
        another_tool,
        history,
        arguments,
        paragraph,
        put_in,
        parameter,
        pause,
    )
}
OTHERS = ("lookback", "uncovered", "unread", "long")
KINDS = (*CHANGES, *OTHERS)


def plan(seed: int) -> Plan:
    """The break of this number; kinds take turns."""
    kind = KINDS[seed % len(KINDS)]
    writer = Writer(seed)
    model = writer.random.choice(MODELS)
    way = writer.random.choice(("whole", "ends"))
    turns = conversation(writer, model, 1 if kind == "unread" else writer.random.randrange(4, 8))
    at = writer.random.randrange(2, len(turns)) if len(turns) > 2 else 0
    if kind in CHANGES:
        broken = copy.deepcopy(turns)
        expected = CHANGES[kind](writer, broken, at)
        if kind in ("timestamp", "identifier", "number"):  # without the break it is there too, and stays
            for turn in turns:
                turn.request["system"] = copy.deepcopy(broken[0].request["system"])
        if kind == "put_in":  # likewise from the beginning
            for turn in turns:
                if len(turn.request["messages"]) >= expected["position"]:
                    turn.request["messages"].insert(expected["position"], {"role": "user", "content": "Be brief."})
        return Plan(kind, model, marked(broken, way), marked(turns, way), expected)
    if kind == "lookback":
        blocks = writer.random.randrange(22, 40)
        for turn in turns[at:]:
            message = turn.request["messages"][len(turns[at].request["messages"]) - 1]
            more = [{"type": "text", "text": f"{n}: {writer.text(5)}"} for n in range(blocks)]
            if turn is turns[at]:
                kept = more
            content = message["content"]
            content = [{"type": "text", "text": content}] if isinstance(content, str) else content
            message["content"] = [*content, *copy.deepcopy(kept)]
        place = len(turns[at].request["messages"]) - 1
        broken, well = marked(turns, "whole"), marked(turns, "whole")
        well[at].request["messages"][place]["content"][8]["cache_control"] = SHORT
        return Plan(kind, model, broken, well, {"kind": "lookback", "section": "messages", "position": place})
    if kind == "uncovered":
        return Plan(
            kind, model, turns, marked(turns, "whole"), {"kind": "uncovered", "section": "tools", "position": 0}
        )
    if kind == "unread":
        where = {"section": "messages", "position": 0}
        return Plan(kind, model, marked(turns, way), turns, {"kind": "unread", **where})
    where = {"section": "messages", "position": 0}
    return Plan(kind, model, marked(turns, way, LONG), marked(turns, way), {"kind": "long", **where})
