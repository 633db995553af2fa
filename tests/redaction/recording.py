"""A program that lets texts in by every door, each in a span of its own: `recording.py EXAMPLES.json`.

Beside the store it keeps what its log says and what an exporter of its own gets of our spans.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pydantic

import agentops
from agentops import score, span

LONG = " ".join(f"clean words {n}" for n in range(150))


@dataclasses.dataclass
class Data:
    text: str


class Model(pydantic.BaseModel):
    text: str


class Shown:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"<shown {self.text}>"


def base64_of(text: str) -> str:
    return base64.b64encode(f"pay with {text} today, please".encode()).decode()


#: Where in a value it stands.
PLACES: dict[str, Callable[[str], Any]] = {
    "alone": lambda text: text,
    "in a sentence": lambda text: f"charge {text} now",
    "in a long text": lambda text: f"{LONG} {text} {LONG}",
    "key": lambda text: {text: 1},
    "nested": lambda text: {"a": [{"b": [1, [f"to {text}."]]}]},
    "bytes": lambda text: f"pay {text} now".encode(),
    "bytes that are no text": lambda text: b"\xff\xfe\x00" + f" pay {text} now".encode(),
    "base64": base64_of,
    "base64 in a text": lambda text: f"it said data:text/plain;base64,{base64_of(text)} and went on",
    "JSON in a text": lambda text: json.dumps({"note": f"a\n{text}\nb"}),
    "JSON in JSON": lambda text: json.dumps({"arguments": json.dumps({"to": [text], "n": "\u00e9"})}),
    "JSON in a sentence": lambda text: f"the tool said {json.dumps({'note': f'a {text}', 'b': 1})} and no more",
    "escapes in a sentence": lambda text: "the tool said " + json.dumps(f"to:\n{text}\tfor it"),
    "repr in a sentence": lambda text: "called with " + repr({"to": f"\n{text}"}),
    "dataclass": Data,
    "pydantic model": lambda text: Model(text=text),
    "object": Shown,
    "exception": lambda text: ValueError(f"no such {text}"),
    "half a character beside it": lambda text: f"{text} \ud800",
    "tuple": lambda text: (text, 1),
    "set": lambda text: {text},
    "many": lambda text: [f"row {n}: {text}" for n in range(30)],
    "messages": lambda text: [
        {"role": "system", "content": LONG},
        {"role": "user", "content": [{"type": "text", "text": f"{LONG} {text}"}]},
        {"role": "tool", "content": f"mail: {text}"},
    ],
    "request": lambda text: {"system": LONG, "messages": [{"role": "user", "content": text}], "model": "m"},
    "after a zero": lambda text: f"a\0{text}\0b",
}

#: The doors for any value, and those for texts alone.
VALUES = ("input", "input set", "output", "attribute", "metadata", "event", "link", "checkpoint", "call", "others")
TEXTS = (
    "name", "new name", "session", "user", "tag", "attribute's key", "event's name", "exception", "cause", "status",
    "score's name", "score's value", "score's comment", "recorded exception", "path", "others' name", "others' status",
)  # fmt: skip


def record(door: str, value: Any, other: Any) -> None:
    text = value if isinstance(value, str) else repr(value)
    if door in ("input", "metadata", "name", "session", "user", "tag"):
        given: dict[str, Any] = {
            "input": {"input": value},
            "metadata": {"metadata": {"m": value}},
            "session": {"session": text},
            "user": {"user": text},
            "tag": {"tags": ["plain", text]},
        }.get(door, {})
        with span(text if door == "name" else "x", **given):
            return
    if door == "call":
        span("x")(lambda *given, **named: (given, named))(value, named=value)
        return
    if door == "path":
        asyncio.run(serve(text))
        return
    if door in ("exception", "cause"):
        with suppress(RuntimeError, ValueError), span("x"):
            try:
                raise ValueError(text)
            except ValueError as problem:
                if door == "exception":
                    raise
                raise RuntimeError("it went wrong") from problem
        return
    if door.startswith("others"):
        with other.start_as_current_span(text if door == "others' name" else "other") as theirs:
            theirs.set_attribute("body", text)
            theirs.set_attribute("list", [text, "b"])
            theirs.add_event("log", {"message": text})
            theirs.set_status(agentops_status(text))
        return
    with span("x") as s:
        match door:
            case "input set":
                s.input = value
            case "output":
                s.output = value
            case "attribute":
                s.set_attribute("note", value)
            case "event":
                s.add_event("seen", {"what": value, "list": [text]})
            case "link":
                s.add_link(s.get_span_context(), {"why": text})
            case "checkpoint":
                s.set_attribute("note", value)
                s.output = value
                s.checkpoint()
            case "new name":
                s.update_name(text)
            case "attribute's key":
                s.set_attributes({text: "value", f"a {text}": LONG})
            case "event's name":
                s.add_event(text)
            case "status":
                s.set_status(agentops_status(text))
            case "recorded exception":
                s.record_exception(ValueError(text), {text: text})
            case "score's name":
                score(text, 1)
            case "score's value":
                score("x", text)
            case "score's comment":
                score("x", 1, comment=text)
            case _:
                raise AssertionError(door)


def agentops_status(text: str) -> Any:
    from opentelemetry.trace import Status, StatusCode

    return Status(StatusCode.ERROR, text)


async def serve(path: str) -> None:
    from agentops_integrations.web import asgi

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError(f"no such path: {scope['path']}")

    with suppress(ValueError):
        await asgi(app)({"type": "http", "method": "GET", "path": f"/{path}"}, None, None)  # type: ignore[arg-type]


def export_beside(folder: Path) -> None:
    """The application has a provider, and exports; what is its own is not written here."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

    class ToFile(SpanExporter):
        def export(self, spans: Any) -> Any:
            with open(folder / "exported", "a", errors="backslashreplace") as file:
                for one in spans:
                    if one.instrumentation_scope.name == "agentops":
                        file.write(
                            f"{one.to_json()}\n{one.name!r} {dict(one.attributes)!r} {one.status.description!r}\n"
                        )
                        file.write(f"{[(e.name, dict(e.attributes)) for e in one.events]!r}\n")
                        file.write(f"{[dict(link.attributes or {}) for link in one.links]!r}\n")
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ToFile()))
    trace.set_tracer_provider(provider)


def main(path: str) -> None:
    from opentelemetry import trace

    said = json.loads(Path(path).read_text())
    folder = Path(os.environ["AGENTOPS_STORE"]).parent
    logging.basicConfig(filename=folder / "log", level=logging.DEBUG)
    if said["beside"]:
        export_beside(folder)
    else:
        agentops.init(otel=True)
    other = trace.get_tracer("third.party")

    @agentops.on_span_end
    def hook(ended: Any) -> None:
        raise ValueError(f"cannot use {ended.name} {ended.input!r}")

    for n, (door, place, text) in enumerate(said["examples"]):
        with span(f"example-{n}"):
            record(door, int(text) if place == "number" else PLACES[place](text), other)
        if n == said["dies_after"]:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
