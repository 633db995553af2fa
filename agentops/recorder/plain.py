"""Any Python value as plain data that can be encoded, and read back the same.

Two roads. `simple` is called by the encoder for the types that it does not know, one value at a time.
`plain` walks a whole value; it is taken where the encoder gave up (cycles, lone surrogates, whole numbers
of more than 64 bits, odd keys) and where every text has to pass a redactor.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import msgspec

from agentops.journal.format import EXT_INTEGER, EXT_TEXT, Reference, reference

__all__ = ["plain", "simple"]

Redactor = Callable[[str], str]

_DEPTH_MAX = 200
_NATIVE = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID)


def simple(value: object) -> object:
    """One step from a value of a type that the encoder does not know towards plain data.

    Subclasses of str, int and float become what they are based on; pydantic models, mappings, sequences
    and sets their contents; exceptions their type and message; arrays (anything with `shape` and `dtype`)
    a summary; everything else its repr. Iterators are not consumed.
    """
    if isinstance(value, Reference):
        return reference(value.number)
    try:
        return _simple(value)
    except Exception as problem:  # noqa: BLE001 - code of the user's: __repr__, model_dump, __len__ ...
        return f"<{type(value).__module__}.{type(value).__qualname__}: {type(problem).__name__} while it was read>"


def _simple(value: Any) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, BaseException):
        return {"type": _type_name(value), "message": str(value)}
    if isinstance(value, type):
        return f"<class {value.__module__}.{value.__qualname__}>"
    if hasattr(value, "model_dump"):
        return value.model_dump(warnings=False)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _array(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (Sequence, Set)) or type(value).__name__ in ("deque", "dict_values", "dict_keys"):
        return list(value)
    return repr(value)


def _array(value: Any) -> object:
    shape = [int(n) for n in value.shape]
    if not shape and hasattr(value, "item"):
        return value.item()
    summary: dict[str, object] = {"type": _type_name(value), "shape": shape, "dtype": str(value.dtype)}
    if 0 < getattr(value, "size", 0) <= 16 and hasattr(value, "tolist"):
        summary["values"] = value.tolist()
    return summary


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def plain(value: object, redact: Redactor | None = None) -> Any:
    """The whole of `value` as data that the encoder takes, cycles and all.

    Args:
        value: anything.
        redact: called with every text in it, keys and bytes too.

    Raises:
        Exception: whatever `redact` raises; nothing else.
    """
    return _walk(value, redact, set(), 0)


def _walk(value: Any, redact: Redactor | None, above: set[int], depth: int) -> Any:
    if value is None or value is True or value is False or type(value) is float:
        return value
    if type(value) is str:
        return _text(redact(value) if redact else value)
    if type(value) is int:
        if -(2**63) <= value < 2**64:
            return value
        return msgspec.msgpack.Ext(EXT_INTEGER, format(value, "x").encode())
    if type(value) in (bytes, bytearray):
        return _bytes(bytes(value), redact)
    if isinstance(value, msgspec.Raw):
        return _walk(_read(value), redact, above, depth + 1)
    if isinstance(value, msgspec.msgpack.Ext):
        return {"extension": value.code, "data": _bytes(bytes(value.data), redact)}
    if isinstance(value, _NATIVE):
        if redact is None:
            return value
        text = value.isoformat() if hasattr(value, "isoformat") else str(value)
        return _text(redact(text))
    if id(value) in above:
        return f"<cycle: the {type(value).__name__} that this stands in>"
    if depth > _DEPTH_MAX:
        return f"<{type(value).__name__} nested deeper than {_DEPTH_MAX} levels>"
    above.add(id(value))
    try:
        if isinstance(value, Mapping):
            return {_key(key, redact): _walk(item, redact, above, depth + 1) for key, item in list(value.items())}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [_walk(item, redact, above, depth + 1) for item in list(value)]
        fields = _fields(value)
        if fields is not None:
            return {_key(name, redact): _walk(getattr(value, name, None), redact, above, depth + 1) for name in fields}
        return _walk(simple(value), redact, above, depth + 1)
    finally:
        above.discard(id(value))


def _read(raw: msgspec.Raw) -> object:
    """What the program had encoded already, if it can be read."""
    try:
        return msgspec.msgpack.decode(raw)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return bytes(raw)


def _text(text: str) -> object:
    try:
        text.encode()
    except UnicodeEncodeError:
        return msgspec.msgpack.Ext(EXT_TEXT, text.encode("utf-8", "surrogatepass"))
    return text


def _bytes(data: bytes, redact: Redactor | None) -> bytes:
    if redact is None:
        return data
    try:
        text, encoding = data.decode(), "utf-8"
    except UnicodeDecodeError:
        text, encoding = data.decode("latin-1"), "latin-1"
    redacted = redact(text)
    return data if redacted == text else redacted.encode(encoding, "replace")


def _key(key: Any, redact: Redactor | None) -> Any:
    if key is None or isinstance(key, (bool, float)) or (type(key) is bytes and redact is None):
        return key
    if type(key) is int and -(2**63) <= key < 2**64:
        return key
    if not isinstance(key, str):
        try:
            key = repr(key) if not isinstance(key, (int, *_NATIVE)) else str(key)
        except Exception:  # noqa: BLE001 - a __repr__ of the user's
            key = f"<{type(key).__qualname__}>"
    text = str.__str__(redact(str(key)) if redact else key)
    try:
        text.encode()
    except UnicodeEncodeError:  # an extension type cannot be a key; bytes can, and are read back as text
        return text.encode("utf-8", "surrogatepass")
    return text


def _fields(value: Any) -> list[str] | None:
    """Field names of a dataclass, attrs class or msgspec Struct; None for anything else."""
    if isinstance(value, type):
        return None
    for holder in ("__dataclass_fields__", "__struct_fields__"):
        names = getattr(type(value), holder, None)
        if names is not None:
            return list(names)
    attributes = getattr(type(value), "__attrs_attrs__", None)
    return None if attributes is None else [attribute.name for attribute in attributes]
