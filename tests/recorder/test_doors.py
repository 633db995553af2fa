"""Every door that a text can come in by, each with a text of its own: none lets it past the redactor."""

from __future__ import annotations

import collections
import dataclasses
import enum
import pathlib
import re
import sqlite3
import types
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import attrs
import msgspec
import numpy
import pydantic
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.trace import Link, Status, StatusCode

import agentops
from agentops import score, span

SECRET = "canary40128888"
SECRETS = re.compile(r"canary\d{8}")
FILLER = "clean words " * 40


class Text(str): ...


@dataclasses.dataclass(frozen=True)
class Data:
    text: str


class Model(pydantic.BaseModel):
    text: str


@attrs.define
class Attrs:
    text: str


class Struct(msgspec.Struct):
    text: str


@dataclasses.dataclass(frozen=True, repr=False)
class Shown:
    text: str
    __dataclass_fields__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return self.text


class Unreadable:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        raise ValueError(self.text)


def word(text: str) -> enum.StrEnum:
    return enum.StrEnum("Word", {"MEMBER": text}).MEMBER  # type: ignore[attr-defined,no-any-return]


def noted(text: str) -> Exception:
    exception = ValueError("x")
    exception.add_note(text)
    return exception


def cyclic(text: str) -> list[Any]:
    loop: list[Any] = [text]
    loop.append(loop)
    return loop


def deep(text: str) -> Any:
    value: Any = text
    for _ in range(300):
        value = [value]
    return value


VALUES: dict[str, Callable[[str], Any]] = {
    "text": lambda text: text,
    "long text": lambda text: FILLER + text,
    "subclass of text": Text,
    "bytes": str.encode,
    "bytes that are no text": lambda text: b"\xff" + text.encode(),
    "bytearray": lambda text: bytearray(text.encode()),
    "memoryview": lambda text: memoryview(text.encode()),
    "enum": word,
    "name of a class": lambda text: enum.Enum(text, "MEMBER")["MEMBER"],
    "class": lambda text: type(text, (), {}),
    "dataclass": Data,
    "pydantic model": lambda text: Model(text=text),
    "attrs class": Attrs,
    "Struct": Struct,
    "object": Shown,
    "object without a repr": Unreadable,
    "exception": ValueError,
    "exception with a note": noted,
    "group of exceptions": lambda text: ExceptionGroup(text, [ValueError(text)]),
    "path": lambda text: pathlib.Path("/") / text,
    "pattern": re.compile,
    "set": lambda text: {text},
    "deque": lambda text: collections.deque([text]),
    "counter": lambda text: collections.Counter([text]),
    "named tuple": lambda text: collections.namedtuple("Named", "text")(text),
    "view": lambda text: {text: text}.items(),
    "proxy": lambda text: types.MappingProxyType({text: text}),
    "namespace": lambda text: types.SimpleNamespace(text=text),
    "array of texts": lambda text: numpy.array([text]),
    "array of objects": lambda text: numpy.array([text, 1], dtype=object),
    "array's names": lambda text: numpy.zeros(2, dtype=[(text, "i4")]),
    "numpy's bytes": lambda text: numpy.bytes_(text.encode()),
    "half a character beside it": lambda text: text + "\ud800",
    "key with half a character": lambda text: {text + "\ud800": 1},
    "key of bytes": lambda text: {text.encode(): 1},
    "key of a tuple": lambda text: {(text, 1): 1},
    "key of a set": lambda text: {frozenset({text}): 1},
    "key of an object": lambda text: {Shown(text): 1},
    "key of a dataclass": lambda text: {Data(text): 1},
    "cycle": cyclic,
    "great depth": deep,
    "large number beside it": lambda text: [2**70, text],
    "encoded already": lambda text: msgspec.Raw(msgspec.msgpack.encode(text)),
    "extension": lambda text: msgspec.msgpack.Ext(77, text.encode()),
    "chat": lambda text: [{"role": "user", "content": FILLER + text}, {"role": "tool", "content": [{"text": text}]}],
    "request": lambda text: {"system": FILLER + text, "messages": [{"content": text}], text: {text: [text]}},
}


def everywhere(value: Any) -> None:
    with span("one", input=value, attributes={"a": value}, metadata={"m": value}) as s:
        s.set_attribute("b", [value])
        s.add_event("e", {"v": value})
        s.checkpoint()
        s.input = value
        s.output = {"deep": [value], "text": "x" * 300}
    with span("two", input=[value, {"k": value, "text": "x" * 300}]) as s:
        s.add_link(s.get_span_context(), {"why": value})
        s.output = value


def raising(problem: Callable[[], Exception]) -> None:
    with suppress(Exception), span("x"):
        raise problem()


def caused(text: str) -> None:
    with suppress(ValueError), span("x"):
        try:
            raise KeyError(text)
        except KeyError as cause:
            raise ValueError("no") from cause


def doing(use: Callable[[agentops.Span, str], object]) -> Callable[[str], None]:
    def run(text: str) -> None:
        with span("x") as s:
            use(s, text)

    return run


def made(make: Callable[[str], agentops.Span]) -> Callable[[str], None]:
    def run(text: str) -> None:
        with make(text):
            pass

    return run


def decorated(text: str) -> None:
    @span("x")
    def call(first: str, *more: str, **named: str) -> list[str]:
        return [first, *more, *named.values()]

    call(text, text, **{text: text})


DOORS: dict[str, Callable[[str], object]] = {
    "name": made(span),
    "name of an enum": made(lambda text: span(word(text))),
    "new name": doing(lambda s, text: s.update_name(f"a {text}")),
    "new name of an enum": doing(lambda s, text: s.update_name(word(text))),
    "session": made(lambda text: span("x", session=text)),
    "user": made(lambda text: span("x", user=text)),
    "tags": made(lambda text: span("x", tags=[text])),
    "metadata": made(lambda text: span("x", metadata={text: [text]})),
    "an attribute's key": doing(lambda s, text: s.set_attributes({text: 1, "a" + text: FILLER + text})),
    "an event": doing(lambda s, text: s.add_event(text, {text: [text], "long": FILLER + text})),
    "a link": doing(lambda s, text: s.add_link(s.get_span_context(), {text: text})),
    "links": made(lambda text: span("x", links=[Link(span("y").get_span_context(), {text: text})])),
    "status": doing(lambda s, text: s.set_status(StatusCode.ERROR, text)),
    "status object": doing(lambda s, text: s.set_status(Status(StatusCode.ERROR, text))),
    "status of an enum": doing(lambda s, text: s.set_status(StatusCode.ERROR, word(text))),
    "recorded exception": doing(lambda s, text: s.record_exception(ValueError(text), {text: text})),
    "exception": lambda text: raising(lambda: ValueError(text)),
    "cause": caused,
    "exception's class": lambda text: raising(type(text, (Exception,), {})),
    "failure": doing(lambda s, text: s.fail(ValueError(text))),
    "score's name": doing(lambda s, text: score(text, 1)),
    "score's value": doing(lambda s, text: score("x", text)),
    "score's comment": doing(lambda s, text: score("x", 1, comment=text)),
    "score of enums": doing(lambda s, text: score(word(text), word(text), comment=word(text))),
    "decorated function": decorated,
}


def on_disk(store: Path) -> bytes:
    """All bytes of the store and the journals; blocks opened."""
    found = []
    with closing(sqlite3.Connection(store)) as connection:
        connection.execute("SELECT data FROM blocks").fetchone()  # open: whoever closes it last deletes files of it
        for path in (*store.parent.glob("traces.journal/*"), *store.parent.glob("traces.db*")):
            with suppress(FileNotFoundError):  # a journal that went into the store, which is read after it
                found.append(path.read_bytes())
        blocks = connection.execute("SELECT data FROM blocks").fetchall()
    return b"".join([*found, *(zstandard.ZstdDecompressor().decompress(block) for (block,) in blocks)])


def leaks(store: Path) -> set[str]:
    """The secrets that are on disk: in the journal, in the store as it came, or packed."""
    agentops.flush()
    raw = on_disk(store)
    agentops.shutdown()
    raw += on_disk(store)
    text = raw.decode("latin-1")
    return {*SECRETS.findall(text), *SECRETS.findall(text.replace("\0", ""))}


@pytest.mark.parametrize(
    ("doors", "use"),
    [(VALUES, lambda make, text: everywhere(make(text))), (DOORS, lambda door, text: door(text))],
    ids=["kinds of values", "places of a text"],
)
def test_nothing_gets_past_the_redactor(
    store: Path, monkeypatch: pytest.MonkeyPatch, doors: dict[str, Any], use: Callable[[Any, str], None]
) -> None:
    monkeypatch.setenv("AGENTOPS_RAISE", "0")
    agentops.init(redact=lambda text: SECRETS.sub("<gone>", text))
    secrets = {f"canary{n:08}": name for n, name in enumerate(doors)}
    for secret, name in secrets.items():
        use(doors[name], secret)
    assert {secrets[secret] for secret in leaks(store)} == set()
    assert b"<gone>" in on_disk(store)


def test_spans_through_the_applications_provider_pass_it_too(program: Any, tmp_path: Path) -> None:
    done = program(
        f"""
        import agentops
        from agentops import span
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        secret = "{SECRET}"
        agentops.init(redact=lambda text: text.replace(secret, "<gone>"))
        trace.set_tracer_provider(TracerProvider())
        try:
            with span(secret, input=secret, attributes={{secret: secret}}, session=secret) as s:
                current = trace.get_current_span()
                current.set_attribute(secret, [secret])
                current.add_event(secret, {{secret: secret}})
                current.add_link(current.get_span_context(), {{secret: secret}})
                current.update_name(secret)
                current.record_exception(KeyError(secret))
                current.set_status(trace.Status(trace.StatusCode.ERROR, secret))
                s.output = "long " * 100 + secret
                with trace.get_tracer(secret).start_as_current_span(secret, attributes={{secret: secret}}):
                    pass
                raise ValueError(secret)
        except ValueError:
            pass
        agentops.flush()
        """
    )
    assert done.returncode == 0, done.stderr
    assert SECRET.encode() not in on_disk(tmp_path / "traces.db")


SHAPES = st.recursive(
    st.just(SECRET) | st.text(max_size=200) | st.integers() | st.none() | st.just(FILLER + SECRET),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.just(SECRET), inner),
    max_leaves=12,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(SHAPES, min_size=1, max_size=4))
def test_no_shape_of_values_that_repeat_and_grow_lets_it_past(store: Path, values: list[Any]) -> None:
    agentops.init(redact=lambda text: text.replace(SECRET, "<gone>"))
    history: list[Any] = []
    with span("run"):
        for value in values:
            history.append(value)
            with span("step", input=history, attributes={"v": value}) as s:
                s.output = value
    agentops.shutdown()
    assert SECRET.encode() not in on_disk(store)


def test_a_text_passes_the_redactor_once(store: Path, spans: Any) -> None:
    agentops.init(redact=lambda text: f"<{text}>")
    with span("x", input=["a"]) as s:
        s.output = ["a"]
        s.set_attribute("list", ["a"])
        s.checkpoint()
    (record,) = spans()
    assert (record["input"], record["output"], record["attributes"]) == (["<a>"], ["<a>"], {"<list>": ["<a>"]})


@pytest.mark.parametrize("answer", [None, 5, b"x"])
def test_what_a_redactor_gives_that_is_no_text_is_withheld(
    store: Path, spans: Any, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setenv("AGENTOPS_RAISE", "0")
    agentops.init(redact=lambda text: answer if SECRET in text else text)
    with span("x", input={"card": SECRET}) as s:
        s.output = SECRET
    (record,) = spans()
    assert "withheld" in record["input"] and "withheld" in record["output"]
    assert not leaks(store)


def test_a_redactor_that_fails_at_every_text_leaves_the_tree(
    store: Path, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTOPS_RAISE", "0")

    def broken(text: str) -> str:
        raise RuntimeError("out of order")

    agentops.init(redact=broken)
    with span("a", session="s", metadata={"m": 1}, input="i") as a:
        a.set_attribute("k", "v")
        a.add_event("e", {"k": "v"})
        with pytest.raises(ValueError), span("b"):
            raise ValueError(SECRET)
    one, other = sorted(spans(), key=lambda record: record["start_time_unix_nano"])
    assert other["parent_span_id"] == one["span_id"]
    assert (one["status"], other["status"]) == ("ok", "error")
    assert "withheld" in one["name"] and "withheld" in one["input"]
    assert not leaks(store)
