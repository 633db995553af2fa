"""A span with every text in it passed through a redactor, or a function of the user's."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from agentops.redaction.keys import key_of_folder
from agentops.redaction.redactor import Redactor, redactor_named
from agentops.store.rows import Event, Link, ScoreRow, SpanDetail

__all__ = ["Redact", "redacted", "redacted_scores", "redacting"]

#: A redactor, or a function of text.
Redact = Redactor | Callable[[str], str]

_BYTES = "data:application/octet-stream;base64,"


def redacting(given: str | Redact | None, store: str = "") -> Redact | None:
    """What a target's `redact` means.

    Args:
        given: a name, a redactor, a function, or None.
        store: path of a store; its key is that of hashes and pseudonyms, if none was given.
    """
    redactor = redactor_named(given) if isinstance(given, str) else given
    if isinstance(redactor, Redactor) and not redactor.key_is_given and store:
        redactor.key = key_of_folder(os.path.dirname(store)) or redactor.key
    return redactor


def redacted(span: SpanDetail, redact: Redact) -> SpanDetail:
    """`span` with every text in it as `redact` gives it: values, keys, names and messages; ids stay.

    Raises:
        Exception: what `redact` raises.
        TypeError: it gives something that is no text.
    """

    if isinstance(redact, Redactor):
        session = span.session or span.trace_id if redact.by_session else ""
        return _passed(
            span,
            text=lambda given: redact.text(given, session),
            walk=lambda value: redact.value(value, session),
            name=lambda given: given and redact.identifier(given, session),
        )
    function = redact

    def text(given: str) -> str:
        result: object = function(given)
        if not isinstance(result, str):
            raise TypeError(f"the function gave {type(result).__name__} instead of a text")
        return str(result)

    def walk(value: Any) -> Any:
        top: list[Any] = [None]
        todo: list[tuple[Any, Any, Any]] = [(value, top, 0)]
        while todo:  # without recursion: a value may be as deep as the encoder took it
            item, place, at = todo.pop()
            if isinstance(item, str):
                place[at] = _of_bytes(item, text) if item.startswith(_BYTES) else text(item)
            elif isinstance(item, dict):
                place[at] = made = {text(key): inner for key, inner in item.items()}
                todo.extend((inner, made, key) for key, inner in made.items())
            elif isinstance(item, list):
                place[at] = items = [None] * len(item)
                todo.extend((inner, items, n) for n, inner in enumerate(item))
            else:
                place[at] = item
        return top[0]

    return _passed(span, text, walk, walk)


def _passed(
    span: SpanDetail, text: Callable[[str], str], walk: Callable[[Any], Any], name: Callable[[Any], Any]
) -> SpanDetail:
    """Args: what texts pass, what values pass, and what names by which things are grouped pass."""
    row = span.row
    return span._replace(
        row=row._replace(name=text(row.name), model=walk(row.model), error=walk(row.error)),
        input=walk(span.input),
        output=walk(span.output),
        attributes=walk(span.attributes),
        events=[Event(event.time_ns, text(event.name), walk(event.attributes)) for event in span.events],
        links=[Link(link.trace_id, link.span_id, walk(link.attributes)) for link in span.links],
        exception=None if span.exception is None else {key: walk(value) for key, value in span.exception.items()},
        session=name(span.session),
        user=name(span.user),
        tags=[name(tag) for tag in span.tags],
        metadata=walk(span.metadata),
    )


def redacted_scores(scores: list[ScoreRow], redact: Redact) -> list[ScoreRow]:
    """The same of scores."""
    text = redact.text if isinstance(redact, Redactor) else redact
    return [
        score._replace(
            name=text(score.name),
            value=text(score.value) if isinstance(score.value, str) else score.value,
            comment=None if score.comment is None else text(score.comment),
        )
        for score in scores
    ]


def _of_bytes(uri: str, redact: Callable[[str], str]) -> str:
    """Bytes are data URIs by now, in which no function would find anything."""
    try:
        data = b64decode(uri.removeprefix(_BYTES), validate=True)
    except ValueError:
        return redact(uri)
    try:
        text, encoding = data.decode(), "utf-8"
    except UnicodeDecodeError:
        text, encoding = data.decode("latin-1"), "latin-1"
    return _BYTES + b64encode(redact(text).encode(encoding, "replace")).decode()
