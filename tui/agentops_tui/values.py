"""What a span took in and gave back, as lines: objects as tables, messages as talk, text wrapped.

Without recursion, as a value may be as deep as the encoder takes it.
"""

from __future__ import annotations

import json
from typing import Any

from agentops import inert
from agentops_tui.inks import Ink, Line, cells, cut, fill, wrap

__all__ = ["preview", "value_lines"]

#: Of one text, so much is shown; the rest is said to be there and can be copied.
TEXT_MAX = 64 * 1024
_LINES_MAX = 4_000
_KEY_CELLS = 20
_ROLES = {"assistant": "llm", "model": "llm", "tool": "tool", "user": "text", "human": "text"}
_ASKING = ("messages", "question", "query", "prompt", "input", "text", "content", "message", "ticket")


def value_lines(value: Any, width: int, names: str = "", talk: bool = True, brief: bool = False) -> list[Line]:
    """`value` in lines of `width` cells.

    Args:
        value: as JSON has it.
        width: cells.
        names: a text, such as an error's message; values that stand in it are painted as failed.
        brief: small objects within lists stand in one line, without their keys.
        talk: show messages as turns of a talk; False within one.
    """
    found: list[Line] = []
    todo: list[tuple[int, str | None, Any]] = [(0, None, _opened(value))]
    while todo:
        if len(found) >= _LINES_MAX:
            found.append((Ink("… and more: y copies all", "muted"),))
            break
        pad, key, item = todo.pop()
        if pad > width // 3 and isinstance(item, (dict, list)):
            item = _flat(item)
        if talk and _is_message(item):
            found += _message(item, pad, width)
            continue
        compact = _compact(item, width - pad) if key is not None and brief else None
        if isinstance(item, dict) and item and compact is None:
            if key is not None:
                found.append(_pair(key, _count(item, "field") if key else "·", pad, "muted"))
                pad += 2
            wide = min(_KEY_CELLS, max(cells((Ink(cut(name, _KEY_CELLS)),)) for name in list(item)[:200]))
            todo += [(pad, fill(name, wide), inner) for name, inner in reversed(item.items())]
        elif isinstance(item, list) and item and compact is None:
            if key is not None:
                found.append(_pair(key, _count(item, "item") if key else "·", pad, "muted"))
                pad += 2
            todo += [(pad, "", _opened(inner)) for inner in reversed(item)]
        else:
            text = compact if compact is not None else _scalar(item)
            found += _texts(key, text, pad, width, _named(text, names))
    return found or [(Ink("(empty)", "muted"),)]


def preview(value: Any) -> str:
    """What was asked in one line: the first words of a user in `value`, as far as they can be found."""
    for _ in range(6):
        value = _opened(value)
        if isinstance(value, list):
            asked = [item for item in value if isinstance(item, dict) and item.get("role") in ("user", "human")]
            value = (asked or value or [""])[0]
        elif isinstance(value, dict):
            inner = next((value[key] for key in _ASKING if value.get(key)), None)
            value = inner if inner is not None else next((v for v in value.values() if isinstance(v, str)), "")
        else:
            break
    text = value if isinstance(value, str) else "" if value is None else _scalar(value)
    return " ".join(text[:600].split())


def _opened(value: Any) -> Any:
    """A text that is JSON, as what it says: arguments of tools come so."""
    if isinstance(value, str) and value[:1] in "{[" and len(value) < TEXT_MAX:
        try:
            inner = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return inner if isinstance(inner, (dict, list)) else value
    return value


def _is_message(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("role"), str) and ("content" in item or "parts" in item)


def _message(message: dict[str, Any], pad: int, width: int) -> list[Line]:
    """One turn of a talk, with a half-cell bar in the role's hue."""
    role = str(message["role"])
    hue = _ROLES.get(role, "muted")
    name = message.get("name") or ""
    inner: list[Line] = [(Ink(role, hue, bold=True), Ink(f"  {name}" if name else "", "muted"))]
    content = message.get("content", message.get("parts"))
    for part in content if isinstance(content, list) else [content]:
        inner += _part(part, width - pad - 2)
    for call in message.get("tool_calls") or ():
        inner += _call(call, width - pad - 2)
    bar = (Ink(" " * pad), Ink("▌", hue if hue != "text" else "muted"), Ink(" "))
    return [*((*bar, *line) for line in inner), ()]


def _part(part: Any, width: int) -> list[Line]:
    if part is None or part == "":
        return []
    if isinstance(part, dict):
        kind = part.get("type")
        if kind in ("tool_use", "tool_call"):
            return _call(part, width)
        for key in ("text", "content", "result", "response"):
            if isinstance(part.get(key), str):
                part = part[key]
                break
    part = _opened(part)
    if isinstance(part, str):
        return [(Ink(text),) for text in _wrapped(part, width)]
    return value_lines(part, width, talk=False)


def _call(call: Any, width: int) -> list[Line]:
    if not isinstance(call, dict):
        return value_lines(call, width, talk=False)
    inner = call.get("function")
    function: dict[str, Any] = inner if isinstance(inner, dict) else call
    given = function.get("arguments", function.get("input"))
    lines: list[Line] = [(Ink("→ ", "muted"), Ink(str(function.get("name", "?")), bold=True))]
    if given not in (None, "", {}):
        lines += [(Ink("  "), *line) for line in value_lines(given, width - 2, talk=False)]
    return lines


def _compact(item: Any, width: int) -> str | None:
    """A small object in one line, without its keys: `HAT078  2024-05-27`."""
    if not isinstance(item, dict) or not 0 < len(item) <= 4:
        return None
    inner = list(item.values())
    if any(isinstance(value, (dict, list)) for value in inner):
        return None
    text = "  ".join(_scalar(value) for value in inner)
    return text if len(text) <= width and "\n" not in text else None


def _count(item: Any, noun: str) -> str:
    return f"{len(item)} {noun}{'s' * (len(item) != 1)}"


def _flat(item: Any) -> str:
    """What is too deep for a table, in one line of JSON."""
    try:
        return json.dumps(item, ensure_ascii=False)
    except RecursionError:
        return "… deeper than can be shown"


def _pair(key: str, text: str, pad: int, role: str) -> Line:
    return (Ink(" " * pad), Ink(key, "muted"), Ink("  " if key else ""), Ink(text, role))


def _texts(key: str | None, text: str, pad: int, width: int, failed: bool) -> list[Line]:
    role = "error" if failed else "text"
    beside = "  " if key else ""
    wide = pad + cells((Ink(key or ""),)) + len(beside)
    lines = _wrapped(text, width - wide)
    if len(lines) > 1 and width - wide < 24 and key:  # too narrow a column to read in
        lines = _wrapped(text, width - pad - 2)
        return [
            (Ink(" " * pad), Ink(key, "muted")),
            *((Ink(" " * (pad + 2)), Ink(line, role)) for line in lines),
        ]
    first = (Ink(" " * pad), Ink(key or "", "muted"), Ink(beside), Ink(lines[0], role, bold=failed))
    return [first, *((Ink(" " * wide), Ink(line, role)) for line in lines[1:])]


def _wrapped(text: str, width: int) -> list[str]:
    lines = wrap(text[:TEXT_MAX], width)
    if len(text) > TEXT_MAX:
        lines.append(f"… {len(text) - TEXT_MAX:,} more: y copies all")
    return lines


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list)):
        return "{}" if isinstance(value, dict) else "[]"
    return json.dumps(value)


def _named(text: str, names: str) -> bool:
    return 4 <= len(text) <= 200 and inert.line(text).split("  ")[0] in names if names else False
