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

__all__ = ["DEPTH_SAFE", "plain", "simple"]

Redactor = Callable[[str], str]

#: As deep as the encoder goes where it is not called from deep within itself, and a depth that it always takes.
DEPTH_MAX, DEPTH_SAFE = 900, 200
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
    kind = type(value)  # looked at and not the value: a stand-in such as Mock has every attribute
    if hasattr(kind, "model_dump"):
        return value.model_dump(warnings=False)
    if hasattr(kind, "shape") and hasattr(kind, "dtype"):
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


def plain(value: object, redact: Redactor | None = None, depth_max: int = DEPTH_MAX) -> Any:
    """The whole of `value` as data that the encoder takes, cycles and all; without recursion.

    Args:
        value: anything.
        redact: called with every text in it, keys and bytes too.
        depth_max: what is nested deeper is replaced by a mark.

    Raises:
        Exception: whatever `redact` raises; nothing else.
    """
    top: list[Any] = [None]
    todo: list[tuple[Any, Any, Any, int]] = [(value, top, 0, 0)]
    above: set[int] = set()  # what the value at hand stands in
    while todo:
        item, place, at, depth = todo.pop()
        if depth < 0:  # all that stands in `item` is done
            above.discard(id(item))
            continue
        leaf = _leaf(item, redact)
        if leaf is not _NO_LEAF:
            place[at] = leaf
        elif id(item) in above:
            place[at] = f"<cycle: the {type(item).__name__} that this stands in>"
        elif depth >= depth_max:
            place[at] = f"<{type(item).__name__} nested deeper than {depth_max} levels>"
        else:
            above.add(id(item))
            todo.append((item, None, None, -1))
            parts = _parts(item)
            if isinstance(parts, dict):
                place[at] = made = {_key(key, redact): inner for key, inner in parts.items()}
                todo.extend((inner, made, key, depth + 1) for key, inner in made.items())
            elif isinstance(parts, list):
                place[at] = parts
                todo.extend((inner, parts, n, depth + 1) for n, inner in enumerate(parts))
            else:
                todo.append((parts, place, at, depth + 1))
    return top[0]


_NO_LEAF = object()


def _leaf(value: Any, redact: Redactor | None) -> Any:
    """`value` if nothing stands in it, else _NO_LEAF."""
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
    if isinstance(value, _NATIVE):
        if redact is None:
            return value
        return _text(redact(value.isoformat() if hasattr(value, "isoformat") else str(value)))
    return _NO_LEAF


def _parts(value: Any) -> object:
    """A new dict or list of what stands in `value`, or one step from it towards such."""
    try:
        if isinstance(value, msgspec.Raw):
            return _read(value)
        if isinstance(value, msgspec.msgpack.Ext):
            return {"extension": value.code, "data": bytes(value.data)}
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, (list, tuple, set, frozenset)):
            return list(value)
        fields = _fields(value)
        if fields is not None:
            return {name: getattr(value, name, None) for name in fields}
    except Exception as problem:  # noqa: BLE001 - code of the user's
        return f"<{type(value).__qualname__}: {type(problem).__name__} while it was read>"
    return simple(value)


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
