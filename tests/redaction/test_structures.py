"""What stays of a value, what stands instead of what was found (masks, hashes, pseudonyms), and how long it takes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import agentops
from agentops import span
from agentops.redaction.redactor import Redactor

TOKEN = "ghp_" + "k2w8y2e8r3y7x4n8v5z4r4y7q2l7x6q8z4h0"
OTHER = "ghp_" + "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r8"
LONG = "clean words " * 40


@pytest.fixture
def by_name(spans: Any) -> Any:
    return lambda: {one["name"]: one for one in spans()}


SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(allow_nan=False) | st.sampled_from(["a", TOKEN, LONG]),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["a", "b", "text", TOKEN, LONG]), inner)
    ),
    max_leaves=25,
)


def put(value: Any) -> Any:
    if isinstance(value, dict):
        return {put(key): put(item) for key, item in value.items()}
    if isinstance(value, list):
        return [put(item) for item in value]
    return value.replace(TOKEN, "<GITHUB_TOKEN>") if isinstance(value, str) else value


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(SHAPES, min_size=1, max_size=4))
def test_structures_stay_what_they_were(store: Path, read: Any, values: list[Any]) -> None:
    agentops.init(redact="secrets")
    said: list[Any] = []
    with span("run") as run:
        for n, value in enumerate(values):
            said.append(value)
            with span(f"step {n}", input=said, attributes={"v": value}) as s:
                s.output = value
    assert agentops.flush()
    found = {one["name"]: one for one in read(store) if one["trace_id"] == run.trace_id}
    for n, value in enumerate(values):
        step = found[f"step {n}"]
        assert step["input"] == put(values[: n + 1])
        assert step["output"] == put(value)
        assert step["attributes"] == {"v": put(value)}


def test_two_keys_that_become_the_same_keep_both_values(store: Path, by_name: Any) -> None:
    agentops.init(redact="secrets")
    with span("x", input={TOKEN: 1, OTHER: 2}) as s:
        s.set_attributes({TOKEN: 1, OTHER: 2})
    found = by_name()["x"]
    assert found["input"] == found["attributes"] == {"<GITHUB_TOKEN>": 1, "<GITHUB_TOKEN>'": 2}


def test_the_key_says_what_a_value_is_however_large_it_is(store: Path, by_name: Any) -> None:
    agentops.init(redact="secrets")
    passwords = [f"hunter{n}-Xq{n}z" for n in range(40)]
    with span("x", input={"passwords": passwords, "password": passwords[0], "messages": [LONG]}):
        pass
    assert by_name()["x"]["input"] == {
        "passwords": ["<PASSWORD>"] * 40,
        "password": "<PASSWORD>",
        "messages": [LONG],
    }


@pytest.mark.parametrize(
    ("value", "redacted"),
    [
        ({"passwords": ["hunter2-Xq9z"]}, {"passwords": ["<PASSWORD>"]}),
        ({"password": {"value": "hunter2-Xq9z", "hint": "dog"}}, {"password": {"value": "<PASSWORD>", "hint": "dog"}}),
        ({"passwd": {"old": "hunt2", "new": ["hunt3"]}}, {"passwd": {"old": "<PASSWORD>", "new": ["<PASSWORD>"]}}),
        ({"api_keys": ["", "none", "k3jH8sLq92mVxT0b"]}, {"api_keys": ["", "none", "<GENERIC_API_KEY>"]}),
        ({"api_key": {"value": "k3jH8sLq92mVxT0b"}}, {"api_key": {"value": "<GENERIC_API_KEY>"}}),
        ({"value": "hunter2-Xq9z", "token": {"type": "a1b2"}}, {"value": "hunter2-Xq9z", "token": {"type": "a1b2"}}),
    ],
)  # fmt: skip
def test_a_key_says_what_stands_in_the_lists_and_mappings_under_it(value: Any, redacted: Any) -> None:
    redactor = Redactor("secrets")
    assert redactor.value(value) == redacted
    if value != redacted:
        assert redactor.may_hold(msgspec.msgpack.encode(value))
        first = json.dumps(value).replace('"", "none", ', "")
        assert redactor.text(first) != first
        assert redactor.may_hold(first.encode())


@pytest.mark.parametrize(
    ("value", "redacted"),
    [
        ({"process.memory.peak_bytes": 2125550187, "at_ms": 1732549999123}, None),
        ({"ids": [219099999, 4930901820, 2**40], "tokens": 987654321, "cells": 2125550187}, None),
        ({"n": 4012888888881881}, {"n": "<CREDIT_CARD>"}),
        ([5105105105105100, 378282246310005], ["<CREDIT_CARD>", "<CREDIT_CARD>"]),
        ({"ssn": 219099999, "phone": {"value": 2125550187}}, {"ssn": "<US_SSN>", "phone": {"value": "<PHONE_NUMBER>"}}),
        ({"phone_numbers": [2125550187]}, {"phone_numbers": ["<PHONE_NUMBER>"]}),
        ({"version": "10.4.3.2", "sdk_version": "10.4.3.2"}, None),
        ({"host": "10.4.3.2"}, {"host": "<IP_ADDRESS>"}),
    ],
)
def test_a_whole_number_is_only_a_persons_if_it_is_a_card_or_its_key_says_so(value: Any, redacted: Any) -> None:
    pytest.importorskip("presidio_analyzer", reason="cards and phones are found with presidio: .[pii]")
    redactor = Redactor("pii")
    assert redactor.value(value) == (value if redacted is None else redacted)
    assert redactor.may_hold(msgspec.msgpack.encode(value)) or redacted is None


def test_bytes_that_were_counted_and_times_are_recorded_at_once() -> None:
    pytest.importorskip("presidio_analyzer", reason="cards and phones are found with presidio: .[pii]")
    counted = {"process.memory.peak_bytes": 2125550187, "at_ms": 1732549999123, "at_ns": 1732549999123456789}
    assert not Redactor("pii").may_hold(msgspec.msgpack.encode(counted))


def test_forty_thousand_whole_numbers_take_a_second() -> None:
    pytest.importorskip("presidio_analyzer", reason="cards and phones are found with presidio: .[pii]")
    redactor = Redactor("pii")
    redactor.warm()
    value = list(range(10**15, 10**15 + 40_000))
    began = time.process_time()
    assert redactor.value(value) == value
    assert time.process_time() - began < 2


class Words:
    """Finds SECRET and PRIVATE."""

    def may_hold(self, data: bytes) -> bool:
        return b"SECRET" in data or b"PRIVATE" in data

    def find(self, text: str) -> list[Any]:
        from agentops.redaction.findings import Finding

        return [Finding(m.start(), m.end(), m[1], 1.0) for m in re.finditer(r"(SECRET|PRIVATE)\d*", text)]


def test_each_kind_has_its_operator(store: Path, by_name: Any) -> None:
    how = {"SECRET": "mask", "*": lambda kind, text: f"[{kind.lower()}, {len(text)}]"}
    agentops.init(redact=Redactor(Words(), operator=how))
    with span("x", input="a SECRET1 and a PRIVATE22"):
        pass
    assert by_name()["x"]["input"] == "a ******* and a [private, 9]"


def test_a_mask_leaves_the_last_digits_of_a_card(store: Path, by_name: Any) -> None:
    pytest.importorskip("presidio_analyzer", reason="cards are found with presidio: .[pii]")
    agentops.init(redact=Redactor("pii", operator="mask"))
    with span("x", input="card 4012 8888 8888 1881"):
        pass
    assert by_name()["x"]["input"] == "card **** **** **** 1881"


PSEUDONYMS = """
import sys
import agentops
from agentops import span
from agentops.redaction.redactor import Redactor
agentops.init(redact=Redactor("secrets", operator=sys.argv[1]))
LONG, TOKEN, OTHER = "clean words " * 40, sys.argv[2], sys.argv[3]
def step(name, **more):
    text = f"{LONG} {TOKEN}"
    with span(name, input={"system": LONG, "messages": [{"role": "user", "content": text}]}, **more) as s:
        s.output = {"short": TOKEN}
        s.set_attribute("text", text)
        s.set_attribute(f"key {TOKEN}", 1)
        s.add_event("seen", {"what": [TOKEN, OTHER]})
for session in ("one", "two"):
    for n in range(2):
        step(f"{session}-{n}", session=session)
with span("above"):
    for session in ("one", "two"):
        with span(f"{session}-inside", session=session):
            step(f"{session}-below")
step("none-0")
step("none-1")
"""


def tags_of(one: dict[str, Any]) -> list[str]:
    """What stands for TOKEN in a span's values, each once; and what stands for OTHER behind it."""
    found = re.findall(
        r"<GITHUB_TOKEN:([0-9a-f]+)>", json.dumps([one[part] for part in ("input", "output", "attributes")])
    )
    (event,) = one["events"]
    first, other = (text.removeprefix("<GITHUB_TOKEN:").rstrip(">") for text in event["attributes"]["what"])
    assert len(found) == 4, one
    assert {*found} == {first}
    assert other != first
    return [first, other]


def test_a_pseudonym_holds_within_a_session_and_in_no_other(program: Any, read: Any, tmp_path: Path) -> None:
    for _ in range(2):  # two processes: the key is the store's
        done = program(PSEUDONYMS, "pseudonym", TOKEN, OTHER)
        assert done.returncode == 0, done.stderr
    spans = [one for one in read(tmp_path / "traces.db") if one["events"]]
    assert TOKEN not in json.dumps(spans)
    of: dict[str, set[tuple[str, ...]]] = {}
    for one in spans:
        session = one["name"].partition("-")[0]
        of.setdefault(session if session != "none" else one["trace_id"], set()).add(tuple(tags_of(one)))
    assert len(spans) == 16
    assert len(of) == 6, "two sessions, and four traces that belong to none"
    assert all(len(found) == 1 for found in of.values())
    assert len({tag for found in of.values() for pair in found for tag in pair}) == 12


def test_a_hash_is_the_same_in_all_sessions_and_processes(program: Any, read: Any, tmp_path: Path) -> None:
    for _ in range(2):
        assert program(PSEUDONYMS, "hash", TOKEN, OTHER).returncode == 0
    spans = [one for one in read(tmp_path / "traces.db") if one["events"]]
    assert len({tuple(tags_of(one)) for one in spans}) == 1


def test_another_key_gives_other_hashes(program: Any, read: Any, tmp_path: Path) -> None:
    for key in ("one", "two"):
        assert program(PSEUDONYMS, "hash", TOKEN, OTHER, AGENTOPS_REDACT_KEY=key).returncode == 0
    spans = [one for one in read(tmp_path / "traces.db") if one["events"]]
    assert len({tuple(tags_of(one)) for one in spans}) == 2


def test_what_tells_users_apart_still_does(store: Path, by_name: Any) -> None:
    agentops.init(redact="secrets")
    for n, who in enumerate((TOKEN, OTHER, TOKEN)):
        with span(f"{n}", session=who, user=who, tags=[who]):
            pass
    found = by_name()
    for part in ("session", "user", "tags"):
        assert found["0"][part] == found["2"][part] != found["1"][part]
    assert TOKEN not in json.dumps(found)


#: By megabytes.
HARD: dict[str, Callable[[int], Any]] = {
    "prose": lambda mb: f"{TOKEN} " + "words, and numbers such as 12 or 345; " * (25_000 * mb) + TOKEN,
    "no blank": lambda mb: "a1" * (500_000 * mb) + f" {TOKEN}",
    "digits": lambda mb: "1234567890" * (100_000 * mb) + f" {TOKEN}",
    "base64": lambda mb: "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo" * (30_000 * mb) + f" {TOKEN}",
    "JSON": lambda mb: json.dumps([{"n": n, "text": f"line\n{n} \u00e9"} for n in range(25_000 * mb)] + [TOKEN]),
    "many": lambda mb: [f"{TOKEN} {n}" for n in range(4_000 * mb)],
    "NUL": lambda mb: f"\0{TOKEN}\0" * (500 * mb),
    "surrogates": lambda mb: f"\ud800{TOKEN} \udfff" * (500 * mb),
    "JSON 5,000 deep": lambda mb: '{"a":[' * 2_500 + json.dumps(f"\n{TOKEN}\n") + "]}" * 2_500,
    "JSON in JSON, 12 times": lambda mb: nested(12),
    "a value 5,000 deep": lambda mb: deep(5_000),
    "escapes": lambda mb: "\\n\\\\" * (100_000 * mb) + f" {TOKEN}",
    "numbers": lambda mb: list(range(10**15, 10**15 + 4_000 * mb)),
}


def nested(times: int) -> str:
    text = TOKEN
    for _ in range(times):
        text = json.dumps({"text": text})
    return text


def deep(levels: int) -> Any:
    value: Any = TOKEN
    for n in range(levels):
        value = {"a": value} if n % 2 else [value]
    return value


def take(read: Any, value: Any) -> None:
    with span("x", input=value) as s:
        s.output = value
        s.set_attribute("a", value)
    assert agentops.flush()
    (found,) = read()
    assert TOKEN not in json.dumps(found)
    assert found["status"] == "ok"


@pytest.mark.parametrize("name", HARD)
def test_hard_values_take_bounded_time_and_raise_nothing(store: Path, spans: Any, name: str) -> None:
    agentops.init(redact="secrets")
    value = HARD[name](1)
    began = time.process_time()
    take(spans, value)
    assert time.process_time() - began < 5


@pytest.mark.proof
@pytest.mark.parametrize("name", HARD)
def test_ten_megabytes_of_hard_values_take_ten_times_as_long(store: Path, spans: Any, name: str) -> None:
    pytest.importorskip("presidio_analyzer", reason="personal data is found with presidio: .[pii]")
    agentops.init(redact="pii")
    value = HARD[name](10)
    began = time.process_time()
    take(spans, value)
    assert time.process_time() - began < 50
