"""Values as OpenTelemetry takes them: scalars, lists of scalars of one type, and JSON for everything else."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["attribute", "json_text", "text", "verbatim"]

_encode = msgspec.json.Encoder().encode
_INT_MAX = 2**63
#: How deep JSON goes; below stands a mark. Encoders and the backends' decoders give up somewhere above it.
_DEPTH_MAX = 200
_TOO_DEEP = "<nested too deeply for JSON>"
#: How deep a value of another library's stays a map on the wire; the exporter's encoder recurses.
_MAPS_MAX = 20
Scalar = str | bool | int | float


def text(value: str) -> str:
    """`value` as UTF-8 can hold it; half a surrogate pair becomes a question mark."""
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace").decode()
    return value


def json_text(value: Any) -> str:
    """`value`, which is as JSON has it, as JSON; NaN and the infinities are null there."""
    try:
        return _encode(value).decode()
    except (UnicodeEncodeError, RecursionError, OverflowError, ValueError, TypeError):
        return _encode(_tame(value, 0)).decode()


def attribute(value: Any) -> Any:
    """`value` as the value of an attribute; None if there is none."""
    kind = type(value)
    if kind is str:
        return text(value)
    if kind is bool or kind is float or value is None:
        return value
    if kind is int:
        return value if -_INT_MAX <= value < _INT_MAX else _digits(value)
    if kind is list:
        kinds = set(map(type, value))
        if not kinds or kinds == {bool} or kinds == {float}:
            return value
        if kinds == {str}:
            return list(map(text, value))
        if kinds == {int} and min(value) >= -_INT_MAX and max(value) < _INT_MAX:
            return value
    return json_text(value)


def verbatim(value: Any, depth: int = 0) -> Any:
    """`value` of another library's attribute, maps and mixed lists as they are."""
    kind = type(value)
    if kind is dict or kind is list:
        if depth >= _MAPS_MAX:
            return json_text(value)
        if kind is dict:
            return {text(key): verbatim(inner, depth + 1) for key, inner in value.items()}
        return [verbatim(inner, depth + 1) for inner in value]
    return attribute(value)


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # longer than what Python turns into decimal digits
        return hex(value)


def _tame(value: Any, depth: int) -> Any:
    """`value` without what an encoder of JSON refuses."""
    kind = type(value)
    if kind is str:
        return text(value)
    if kind is int and not -_INT_MAX <= value < 2 * _INT_MAX:
        return _digits(value)
    if kind is dict or kind is list:
        if depth >= _DEPTH_MAX:
            return _TOO_DEEP
        if kind is dict:
            return {text(str(key)): _tame(inner, depth + 1) for key, inner in value.items()}
        return [_tame(inner, depth + 1) for inner in value]
    return value
