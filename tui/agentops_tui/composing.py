"""The lines of a span's detail, tab by tab; made beside the screen, as values may be large."""

from __future__ import annotations

import json
from typing import Any

from agentops import formats
from agentops.analysis.raised import place
from agentops.messages import is_kept
from agentops.store.reader import Reader
from agentops.store.rows import SpanDetail
from agentops_tui.glances import reason, took
from agentops_tui.inks import Ink, Line, cut, right, spread, wrap
from agentops_tui.outline import Outline
from agentops_tui.theme import KIND_LETTER, KIND_ROLE
from agentops_tui.values import TEXT_MAX, preview, value_lines

__all__ = ["TABS", "compose", "shown_value"]

TABS = ("Detail", "I/O", "Attrs", "Events", "Raw")
_ALIKE_MAX = 40
_NOTHING = "neither input nor output was recorded"
_NEXT = 4  # lines of what came next
_BRIEF = 40  # lines of a value in the first tab
_VERDICT = {"error": ("✗ error", "error"), "ok": ("ok", "muted"), "running": ("● runs", "tool"),
            "interrupted": ("○ cut off", "text")}  # fmt: skip


def compose(reader: Reader, outline: Outline, place: int, tab: str, width: int) -> tuple[list[Line], list[Line]]:
    """What stands above the tabs, and in tab `tab`, about the span of line `place`, in `width` cells."""
    detail = reader.span(outline.trace, outline.lines[place].span.span_id)
    if tab == "Detail":
        lines = [*_detail(detail, width), *_around(reader, outline, place, width)]
    else:
        lines = {"I/O": _in_out, "Attrs": _attributes, "Events": _events, "Raw": _raw}[tab](detail, width)
    return _facts(outline, place, detail, width), lines


def shown_value(detail: SpanDetail, tab: str) -> Any:
    """What `y` copies in a tab."""
    if tab == "Attrs":
        return detail.attributes
    if tab == "Events":
        return [event._asdict() for event in detail.events]
    if tab == "Raw":
        return _whole(detail)
    return {"input": detail.input, "output": detail.output}


def _facts(outline: Outline, place: int, detail: SpanDetail, width: int) -> list[Line]:
    span = detail.row
    verdict, role = _VERDICT[span.status]
    failed = span.status == "error"
    name = (
        Ink(KIND_LETTER[span.kind] + " ", KIND_ROLE.get(span.kind, "muted"), bold=True),
        Ink(cut(span.name, width), bold=True),
    )
    facts = [
        f"{took(span.start_ns, span.end_ns, span.status)} at {_after(span.start_ns - outline.start_ns)}",
        f"#{place + 1} of {len(outline.lines)}",
    ]
    usage = detail.usage or {}
    if usage.get("input_tokens") or usage.get("output_tokens"):
        facts.append(f"{formats.count(usage.get('input_tokens'))} in")
        facts.append(f"{formats.count(usage.get('output_tokens')) or 0} out")
    if span.cost_usd is not None:
        facts.append(formats.cost(span.cost_usd))
    lines = [spread(name, (Ink("  "), Ink(verdict, role, bold=failed)), width)]
    lines += [(Ink(text, "muted"),) for text in _joined(facts, width)]
    if span.model and span.model not in span.name:
        lines.append((Ink(cut(span.model, width), "muted"),))
    return [*lines, ()]


def _after(ns: int) -> str:
    return formats.duration(ns) if ns > 0 else "0"


def _joined(facts: list[str], width: int) -> list[str]:
    """Facts in lines, not broken within one."""
    lines = [""]
    for fact in facts:
        longer = f"{lines[-1]} · {fact}" if lines[-1] else fact
        if len(longer) > width and lines[-1]:
            lines.append(fact)
        else:
            lines[-1] = longer
    return lines


def _section(title: str, note: str, lines: list[Line], width: int, role: str = "muted") -> list[Line]:
    head = spread((Ink(title, role, bold=True),), (Ink(note, "muted"),), width)
    return [head, *((Ink("  "), *line) for line in lines), ()]


def _detail(detail: SpanDetail, width: int) -> list[Line]:
    error = detail.row.error or ""
    lines = _failure(detail, width, stack=False)
    if detail.has_input:
        lines += _section("input", _size(detail.input), _brief(detail.input, width, error), width)
    if detail.has_output:
        lines += _section("output", _size(detail.output), _brief(detail.output, width, ""), width)
    return lines or [(Ink(_NOTHING, "muted"),), ()]


def _brief(value: Any, width: int, names: str) -> list[Line]:
    lines = value_lines(value, width - 2, names, brief=True)
    while lines and not lines[-1]:
        lines.pop()
    more = len(lines) - _BRIEF
    return lines if more <= 3 else [*lines[:_BRIEF], (Ink(f"… {more} more lines in I/O", "muted"),)]


def _in_out(detail: SpanDetail, width: int) -> list[Line]:
    lines: list[Line] = []
    for title, there, value in (
        ("input", detail.has_input, detail.input),
        ("output", detail.has_output, detail.output),
    ):
        if there:
            lines += _section(title, _size(value), value_lines(value, width - 2), width)
    return lines or [(Ink(_NOTHING, "muted"),)]


def _failure(detail: SpanDetail, width: int, stack: bool) -> list[Line]:
    known = detail.exception or {}
    text = detail.row.error or known.get("message") or ""
    if detail.row.status != "error" and not known:
        return []
    if known.get("type") and not text.startswith(known["type"]):
        text = f"{known['type']}: {known.get('message') or text}"
    lines: list[Line] = [(Ink(line),) for line in wrap((text or "failed")[:TEXT_MAX], width - 2)]
    raised_at = place(known.get("stacktrace", "")[-TEXT_MAX:], known.get("message", ""), None)
    if raised_at is not None:
        lines += [(Ink(line, "muted"),) for line in wrap(f"at {raised_at}", width - 2)]
    found = _section("error", "", lines, width, "error")
    if stack and known.get("stacktrace"):
        traceback: list[Line] = [(Ink(line, "muted"),) for line in wrap(known["stacktrace"][:TEXT_MAX], width - 2)]
        found += _section("stack trace", "", traceback, width)
    return found


def _attributes(detail: SpanDetail, width: int) -> list[Line]:
    about = {
        "kind": detail.row.kind, "span_id": detail.row.hex_id, "parent_id": detail.parent_span_id,
        "trace_id": detail.trace_id, "session": detail.session, "user": detail.user,
        "tags": detail.tags or None, "metadata": detail.metadata, "usage": detail.usage,
    }  # fmt: skip
    known = {key: value for key, value in about.items() if value is not None}
    lines = _section("span", formats.iso(detail.row.start_ns) or "", value_lines(known, width - 2, talk=False), width)
    facts = {key: value for key, value in detail.attributes.items() if not is_kept(key)}
    if facts:
        lines += _section("attributes", "", value_lines(facts, width - 2, talk=False), width)
    return lines


def _events(detail: SpanDetail, width: int) -> list[Line]:
    lines = _failure(detail, width, stack=True)
    for event in detail.events:
        when = _after(event.time_ns - detail.row.start_ns)
        inner = value_lines(event.attributes, width - 2, talk=False) if event.attributes else []
        lines += _section(cut(event.name, width - 12), f"+{when}", inner, width, "text")
    for link in detail.links:
        about = {"trace_id": link.trace_id, "span_id": link.span_id, **link.attributes}
        lines += _section("link", "", value_lines(about, width - 2, talk=False), width)
    return lines or [(Ink("no events, no exception, no links", "muted"),)]


def _whole(detail: SpanDetail) -> dict[str, Any]:
    return {
        "trace_id": detail.trace_id, "span_id": detail.row.hex_id, "parent_span_id": detail.parent_span_id,
        "name": detail.row.name, "kind": detail.row.kind, "status": detail.row.status,
        "start_time_unix_nano": detail.row.start_ns, "end_time_unix_nano": detail.row.end_ns,
        "input": detail.input, "output": detail.output, "attributes": detail.attributes,
        "events": [event._asdict() for event in detail.events], "links": [link._asdict() for link in detail.links],
        "exception": detail.exception, "session": detail.session, "user": detail.user, "tags": detail.tags,
        "metadata": detail.metadata,
    }  # fmt: skip


def _raw(detail: SpanDetail, width: int) -> list[Line]:
    try:
        text = json.dumps(_whole(detail), indent=2, ensure_ascii=False)
    except RecursionError:
        return [(Ink("too deep to be written as JSON", "muted"),)]
    lines: list[Line] = [(Ink(line),) for line in wrap(text[:TEXT_MAX], width)]
    if len(text) > TEXT_MAX:
        lines.append((Ink(f"… {len(text) - TEXT_MAX:,} more: y copies all", "muted"),))
    return lines


def _around(reader: Reader, outline: Outline, place: int, width: int) -> list[Line]:
    """What came next, and how the same tool did elsewhere in the run."""
    line, lines = outline.lines[place], []
    after = place + line.below + 1
    if not line.last and after < len(outline.lines):
        span = outline.lines[after].span
        took_ = took(span.start_ns, span.end_ns, span.status)
        said = preview(reader.span(outline.trace, span.span_id).output)
        letter = Ink(KIND_LETTER[span.kind] + " ", KIND_ROLE.get(span.kind, "muted"), bold=True)
        inner: list[Line] = [spread((letter, Ink(cut(span.name, width))), (Ink("  " + took_, "muted"),), width - 2)]
        answer = wrap(said, width - 4) if said else []
        if len(answer) > _NEXT:
            answer[_NEXT - 1] = cut(answer[_NEXT - 1], width - 6) + " …"
        inner += [(Ink("  "), Ink(text, "muted")) for text in answer[:_NEXT]]
        lines += _section("next", "", inner, width)
    alike = outline.alike(place, _ALIKE_MAX + 1) if line.span.kind in ("tool", "llm", "retrieval") else []
    if len(alike) > 1 and line.span.kind != "llm":
        rows: list[Line] = []
        for other in alike[:_ALIKE_MAX]:
            span = outline.lines[other].span
            mark, role = {"error": ("✗", "error"), "ok": (" ", "text")}.get(span.status, ("○", "text"))
            at = _after(span.start_ns - outline.start_ns)
            words = reason(span.error or "") or took(span.start_ns, span.end_ns, span.status)
            here = other == place
            rows.append(
                (Ink(mark + " ", role), Ink(right(at, 6) + "  ", "text" if here else "muted", bold=here),
                 Ink(cut(words, width - 12), "text" if span.error else "muted"))
            )  # fmt: skip
        if len(alike) > _ALIKE_MAX:
            rows.append((Ink("…", "muted"),))
        lines += _section(f"this {line.span.kind} in this run", "", rows, width)
    return lines


def _size(value: Any) -> str:
    if isinstance(value, str):
        count = len(value.encode("utf-8", "replace"))
        return f"{count:,} bytes" if count != 1 else "1 byte"
    if isinstance(value, (dict, list)):
        noun = "field" if isinstance(value, dict) else "message" if _talk(value) else "item"
        return f"{len(value)} {noun}{'s' * (len(value) != 1)}"
    return ""


def _talk(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(item, dict) and "role" in item for item in value)
