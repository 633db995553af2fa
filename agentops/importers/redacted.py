"""What an import brings is redacted as a recording is, where settings say so."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from agentops import safety
from agentops.conventions import IDENTIFIERS
from agentops.importers.spans import SpanLine
from agentops.recorder.screening import Screening
from agentops.settings import resolve

__all__ = ["Redacted"]


class Redacted:
    """Takes what is sensitive out of spans before anything else is done with them.

    Args:
        store: that they go into.

    Raises:
        UsageError: the redactor needs what is not installed.
        SettingError: a setting cannot be used.
    """

    def __init__(self, store: str) -> None:
        self._screening: Screening | None = None
        named = resolve()["redact"].value
        if named == "off":
            return
        from agentops.redaction.keys import key_of_folder
        from agentops.redaction.presidio import missing
        from agentops.redaction.redactor import redactor_named

        if named == "pii" and (problem := missing()):
            raise problem
        redactor = redactor_named(named)
        redactor.key = key_of_folder(os.path.dirname(os.path.abspath(store))) or redactor.key
        self._screening = Screening(redactor, safety.failed, lambda *_: None)

    def __call__(self, span: SpanLine) -> SpanLine:
        """`span` without what is sensitive; its ids and times stay what they are."""
        look = self._screening
        if look is None or not look.may(msgspec.msgpack.encode(span)):
            return span
        whose = span.session or span.trace_id

        def facts(given: dict[str, Any]) -> dict[str, Any]:
            apart = {key: value for key, value in given.items() if key in IDENTIFIERS}
            rest = look.value({key: value for key, value in given.items() if key not in apart}, whose)
            apart = {key: _identifier(look, value, whose) for key, value in apart.items()}
            return {**(rest if isinstance(rest, dict) else {}), **apart}

        def text(given: str | None) -> str | None:
            return None if given is None else look.text(given, whose)

        return msgspec.structs.replace(
            span,
            name=look.text(span.name, whose),
            input=look.value(span.input, whose),
            output=look.value(span.output, whose),
            attributes=facts(span.attributes),
            events=[
                msgspec.structs.replace(one, name=look.text(one.name, whose), attributes=facts(one.attributes))
                for one in span.events
            ],
            links=[msgspec.structs.replace(one, attributes=facts(one.attributes)) for one in span.links],
            session=_identifier(look, span.session, whose),
            user=_identifier(look, span.user, whose),
            tags=[look.identifier(tag, whose) for tag in span.tags],
            metadata=None if span.metadata is None else facts(span.metadata),
            exception=span.exception
            and msgspec.structs.replace(
                span.exception,
                type=look.text(span.exception.type, whose),
                message=look.text(span.exception.message, whose),
                stacktrace=look.text(span.exception.stacktrace, whose),
            ),
            library=span.library
            and msgspec.structs.replace(
                span.library, name=look.text(span.library.name, whose), version=text(span.library.version)
            ),
            scores=[
                msgspec.structs.replace(
                    one, name=look.text(one.name, whose), value=look.value(one.value, whose), comment=text(one.comment)
                )
                for one in span.scores
            ],
        )


def _identifier(look: Screening, value: Any, whose: str) -> Any:
    if isinstance(value, str):
        return look.identifier(value, whose)
    if isinstance(value, list):
        return [_identifier(look, item, whose) for item in value]
    return look.value(value, whose)
