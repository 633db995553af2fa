"""Any value is recorded as it was at that moment, and comes back as JSON has it."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import uuid
from typing import Any

import attrs
import numpy
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import agentops
from agentops import span
from agentops.store.reader import Reader

TEXT = st.text(st.characters(), max_size=300)  # lone surrogates among them
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
KEY = TEXT | st.integers() | st.floats() | st.booleans() | st.none()
VALUE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEY, inner, max_size=5), max_leaves=30
)
many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def same(one: Any, other: Any) -> bool:
    """Equal, where nan equals nan and 1, 1.0 and True are three things."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (one == other and math.copysign(1, one) == math.copysign(1, other)) or (one != one and other != other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def newest(store: Any) -> Any:
    """The root of the newest trace."""
    from agentops.exporters.jsonl import record

    agentops.flush()
    with Reader(str(store)) as reader:
        return json.loads(json.dumps([record(detail) for detail in reader.details(reader.trace("latest"))]))


@many
@given(VALUE)
def test_what_comes_back_is_what_json_makes_of_a_value(store: Any, value: Any) -> None:
    with span("any", input=value, attributes={"a": value}) as s:
        s.output = value
        s.add_event("e", {"v": value})
    (record,) = newest(store)
    expected = json.loads(json.dumps(value))
    if value is not None:
        assert same(record["input"], expected)
    assert same(record["output"], expected)
    assert same(record["attributes"]["a"], expected)
    assert same(record["events"][0]["attributes"]["v"], expected)


MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "tool"]), "content": st.text(max_size=40).map(lambda text: text * 12)}
)


@many
@given(st.lists(st.tuples(MESSAGE, st.integers(0, 4)), min_size=1, max_size=12))
def test_a_conversation_that_grows_comes_back_whole_at_every_turn(store: Any, turns: Any) -> None:
    messages: list[Any] = []
    expected = []
    with span("run"):
        for message, compact in turns:
            if compact == 0:  # the agent begins anew with a summary
                messages = [{"role": "system", "content": "summary " * 40}, *messages[-2:]]
            messages.append(message)
            with span("tool") as tool:  # its answer then stands in a message
                tool.output = message["content"]
            request = {"model": "m", "system": "You are terse. " * 20, "messages": messages}
            with span("chat", input=messages) as chat:
                chat.output = request
            expected.append((message["content"], list(messages), {**request, "messages": list(messages)}))
    records = newest(store)
    tools = [r["output"] for r in records if r["name"] == "tool"]
    chats = [(r["input"], r["output"]) for r in records if r["name"] == "chat"]
    assert [(tool, *chat) for tool, chat in zip(tools, chats, strict=True)] == expected


def test_changing_a_value_afterwards_does_not_change_the_trace(spans: Any) -> None:
    messages = [{"role": "user", "content": "before " * 50}]
    small = {"n": [1]}
    with span("call", input=messages) as s:
        s.set_attribute("small", small)
        s.output = messages
        messages[0]["content"] = "after"
        small["n"].append(2)
    (record,) = spans()
    assert record["input"] == record["output"] == [{"role": "user", "content": "before " * 50}]
    assert record["attributes"]["small"] == {"n": [1]}


class Model(pydantic.BaseModel):
    name: str
    inner: dict[str, list[int]] = {}


@dataclasses.dataclass
class Data:
    x: int
    y: Any = None


@attrs.define
class Attrs:
    x: int


class Colour(enum.Enum):
    RED = "red"


class Text(str): ...


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Model(name="a", inner={"k": [1]}), {"name": "a", "inner": {"k": [1]}}),
        (Data(1, Data(2)), {"x": 1, "y": {"x": 2, "y": None}}),
        (Attrs(3), {"x": 3}),
        (Colour.RED, "red"),
        (Text("sub"), "sub"),
        ((1, (2,)), [1, [2]]),
        ({3}, [3]),
        (b"\x00\xff", "data:application/octet-stream;base64,AP8="),
        (datetime.datetime(2026, 11, 1, 12, tzinfo=datetime.UTC), "2026-11-01T12:00:00+00:00"),
        (datetime.date(2026, 11, 1), "2026-11-01"),
        (decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ValueError("wrong"), {"type": "ValueError", "message": "wrong"}),
        (numpy.zeros((40, 3), "float32"), {"type": "numpy.ndarray", "shape": [40, 3], "dtype": "float32"}),
        (numpy.float64(2.5), 2.5),
        (numpy.int32(7), 7),
        ({"m": Model(name="b"), 5: {None: True}}, {"m": {"name": "b", "inner": {}}, "5": {"null": True}}),
        ({(1, 2): "tuple key"}, {"(1, 2)": "tuple key"}),
        (range(3), [0, 1, 2]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_other_types_become_plain_data(spans: Any, value: Any, expected: Any) -> None:
    with span("x", input=value) as s:
        s.output = [value]
    (record,) = spans()
    assert record["input"] == expected
    assert record["output"] == [expected]


def test_an_object_without_a_repr_is_named(spans: Any) -> None:
    with span("x", input=Broken()) as s:
        s.output = {"deep": [Broken()]}
    (record,) = spans()
    assert "Broken" in record["input"] and "RuntimeError" in record["input"]
    assert "Broken" in record["output"]["deep"][0]


def test_a_generator_is_not_consumed(spans: Any) -> None:
    numbers = (n for n in range(3))
    with span("x", input=numbers):
        pass
    assert list(numbers) == [0, 1, 2]
    assert "generator" in spans()[0]["input"]


def test_cycles_and_great_depth_are_marked_and_harm_nobody(spans: Any) -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    with span("x", input={"loop": loop}) as s:
        s.output = deep
    record = spans()[0]
    assert record["input"]["loop"][0] == 1
    assert "cycle" in record["input"]["loop"][1]
    assert "nested deeper" in json.dumps(record["output"])


def test_a_deep_value_comes_back_and_does_not_end_the_export(spans: Any) -> None:
    with span("deep", input=json.loads("[" * 600 + "]" * 600)):
        pass
    with span("after"):
        pass
    found = {record["name"]: record for record in spans()}
    assert set(found) == {"deep", "after"}
    assert json.dumps(found["deep"]["input"]) == "[" * 600 + "]" * 600


def test_fifty_megabytes_come_back_whole(spans: Any) -> None:
    text = "0123456789" * 5_000_000
    with span("x", input=text) as s:
        s.output = text.encode()
    record = spans()[0]
    assert record["input"] == text
    assert len(record["output"]) > 66_000_000


def test_a_name_or_key_that_utf8_cannot_hold_is_escaped(spans: Any) -> None:
    with span("tool \ud800", session="s\udfff") as s:
        s.set_attribute("key \ud800", "v")
    (record,) = spans()
    assert record["name"] == "tool \\ud800"
    assert record["attributes"] == {"key \\ud800": "v"}
