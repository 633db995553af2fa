"""What a batch of records says about one span."""

from __future__ import annotations

from typing import Any

from agentops import conventions
from agentops.conventions import KIND_NUMBER, KINDS, cost_usd, token_count
from agentops.journal.format import ABSENT, ERROR, OK, End, Reference, Start, Update

__all__ = ["SpanChanges", "model_of", "sql_time"]

_INPUT_TOKENS = (conventions.INPUT_TOKENS, conventions.OI_INPUT_TOKENS)
_OUTPUT_TOKENS = (conventions.OUTPUT_TOKENS, conventions.OI_OUTPUT_TOKENS)
_INTEGER_MAX = 2**63 - 1


class SpanChanges:
    """What a batch says about one span; None where it says nothing."""

    __slots__ = (
        "attributes", "cost", "cost_usd", "end_ns", "error", "input", "input_tokens", "input_value", "kind", "links",
        "name", "nearest", "output", "output_tokens", "output_value", "parent_id", "scope", "start_ns", "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self.name: str | None = None
        self.kind = self.parent_id = self.start_ns = self.end_ns = self.status = None  # type: int | None
        self.input = self.output = ABSENT
        self.input_value = self.output_value = None  # type: Any
        self.attributes: dict[str, Any] | None = None
        self.scope: dict[str, Any] | None = None
        self.error: tuple[str, str, str] | None = None
        self.links: list[Any] | None = None
        self.nearest = 0
        self.input_tokens = self.output_tokens = None  # type: int | None
        self.cost: int | None = None
        self.cost_usd: float | None = None

    def set_attributes(self, attributes: dict[str, Any] | None) -> None:
        if attributes:
            if self.attributes is None:
                self.attributes = attributes
            else:
                self.attributes.update(attributes)

    def start(self, record: Start) -> None:
        self.name, self.start_ns = record.name, record.time_ns
        self.kind = record.kind if 0 <= record.kind < len(KINDS) else 0
        self.parent_id, self.nearest = record.parent_id, record.nearest
        if record.reference != ABSENT:
            self.input, self.input_value = record.reference, record.value
        self.set_attributes(record.attributes)
        self.scope, self.links = record.scope, record.links

    def end(self, record: End) -> None:
        self.end_ns = record.time_ns
        self.status = ERROR if record.status == ERROR else OK
        self.set_attributes(record.attributes)
        if record.reference != ABSENT:
            self.output, self.output_value = record.reference, record.value
        if record.error is not None:
            self.error = record.error
        if record.name is not None:
            self.name = record.name
        if record.scope:
            self.scope = {**(self.scope or {}), **record.scope}
        if record.links:
            self.links = record.links

    def update(self, record: Update) -> None:
        self.set_attributes(record.attributes)
        if record.reference != ABSENT:
            self.output, self.output_value = record.reference, record.value
        if record.input_reference != ABSENT:
            self.input, self.input_value = record.input_reference, record.input_value

    def settle(self, known: dict[str, Any] | None = None) -> None:
        """Kind, input and output of a span that another library made stand in its attributes."""
        attributes = self.attributes
        if not attributes or self.scope is None or "scope" not in self.scope:
            return
        self.kind = KIND_NUMBER[conventions.kind_of({**(known or {}), **attributes})]
        for keys, which in ((conventions.INPUT_KEYS, "input"), (conventions.OUTPUT_KEYS, "output")):
            if getattr(self, which) != ABSENT:
                continue
            for key in keys:
                if key in attributes:
                    value = attributes[key]
                    if type(value) is Reference:
                        setattr(self, which, value.number)
                    else:
                        setattr(self, which, 0)
                        setattr(self, which + "_value", value)
                    break

    def count_tokens(self, attributes: dict[str, Any]) -> None:
        """Read the token counts and the cost of a span that is no call of a model: of what it sums up, perhaps."""
        self.input_tokens = _integer(token_count(attributes, *_INPUT_TOKENS))
        self.output_tokens = _integer(token_count(attributes, *_OUTPUT_TOKENS))
        self.cost_usd = cost_usd(attributes)


def model_of(attributes: dict[str, Any] | None) -> str | None:
    """The model that answered, else the one that was asked; None where neither is said."""
    if not attributes:
        return None
    get = attributes.get
    model = get(conventions.RESPONSE_MODEL) or get(conventions.REQUEST_MODEL) or get(conventions.OI_MODEL)
    return model if isinstance(model, str) else None


def sql_time(time_ns: int | None) -> int | None:
    """A time as SQLite can hold it, whatever a journal from elsewhere says."""
    return None if time_ns is None else max(-(2**63), min(time_ns, 2**63 - 1))


def _integer(number: int | None) -> int | None:
    return None if number is None else max(0, min(number, _INTEGER_MAX))
