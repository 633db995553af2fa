"""Spans whole, and the texts in them: what needs the contents, not only the rows."""

from __future__ import annotations

import datetime
import itertools
import json
import sqlite3
from base64 import b64encode
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from agentops import conventions
from agentops.conventions import token_count
from agentops.errors import StoreDamaged
from agentops.journal.format import Reference
from agentops.store.arrivals import is_awaited
from agentops.store.contents import Contents, Missing, fields, numbers, references
from agentops.store.plain_text import Phrase, normal, strings
from agentops.store.rows import Event, Library, Link, ScoreRow, SpanDetail, SpanRow, TraceRow, checked

if TYPE_CHECKING:
    from agentops.store.outbox import Facts

__all__ = ["USAGE", "Texts", "details", "details_of", "facts_of", "jsonable", "named_events", "scores_of"]

#: How much a call used, and the attributes that may say so, ours first.
USAGE = {
    "input_tokens": (conventions.INPUT_TOKENS, conventions.OI_INPUT_TOKENS),
    "output_tokens": (conventions.OUTPUT_TOKENS, conventions.OI_OUTPUT_TOKENS),
    "cache_read_input_tokens": (conventions.CACHE_READ_TOKENS,),
    "cache_write_input_tokens": (conventions.CACHE_WRITE_TOKENS, conventions.CACHE_CREATION_TOKENS),
    "reasoning_output_tokens": (conventions.REASONING_TOKENS,),
}
_USAGE_KEYS = frozenset(key for keys in USAGE.values() for key in keys)
_SNIPPET = 30
_DEPTH_MAX = 64
_PLAIN, _TEXT = frozenset((str, int, float, bool, type(None))), frozenset((str,))
_SHAPES: dict[str, type] = {"a": dict, "s": dict, "x": list, "l": list}


def details(
    connection: sqlite3.Connection, contents: Contents, trace: TraceRow, where: str, parameters: tuple[Any, ...]
) -> Iterator[SpanDetail]:
    """Spans of `trace`, whole, in the order of starting."""
    rows = connection.execute(
        f"SELECT {_OF_SPAN} WHERE trace = ? {where}",
        (trace.no, *parameters),
    ).fetchall()
    checked("spans", rows).sort(key=lambda row: (row[5], row[0]))
    events: dict[int, list[Event]] = {}
    for span_id, time_ns, name, body in connection.execute(
        f"SELECT span_id, time_ns, name, body FROM events WHERE trace = ? {where} ORDER BY time_ns, n",
        (trace.no, *parameters),
    ):
        checked("events", [(span_id, time_ns, name)])
        facts = jsonable(contents.resolve(fields(body)))
        events.setdefault(span_id, []).append(Event(time_ns, name, facts))
    scopes = _Scopes(connection, trace, every=not where)
    for row in rows:
        yield _detail(row, contents, trace, events.get(row[0], []), scopes)


_OF_SPAN = (
    "span_id, parent_id, names.text, kind, status, start_ns, end_ns, models.text, input_tokens, output_tokens, "
    "cost_usd, error, input, output, body FROM spans JOIN names ON names.id = spans.name "
    "LEFT JOIN names AS models ON models.id = spans.model"
)
_OF_TRACE = (
    "no, lower(hex(trace_id)), traces.name, kind, status, start_ns, end_ns, spans, errors, open, llm_calls, "
    "input_tokens, output_tokens, cost_usd, session, user, tags, unpriced, root FROM traces"
)


class _Known(NamedTuple):
    """A trace that spans are read of; `root`: the id of its root."""

    trace: TraceRow
    root: int | None
    scopes: _Scopes
    scores: list[ScoreRow]
    has_events: bool


def details_of(
    connection: sqlite3.Connection, contents: Contents, keys: Iterable[tuple[int, int]]
) -> list[tuple[SpanDetail, list[ScoreRow], int, bool] | None]:
    """Spans whole, by number of the trace and id; None for those that are not there or cannot be read.

    With each span its scores (the trace's are its root's), how many bytes were read for it, and whether a content in it
    is yet to come.
    """
    found: list[tuple[SpanDetail, list[ScoreRow], int, bool] | None] = []
    traces: dict[int, _Known | None] = {}
    for no, group in itertools.groupby(keys, key=itemgetter(0)):
        ids = [span_id for _, span_id in group]
        if no not in traces:
            traces[no] = _known(connection, no)
        known = traces[no]
        if known is None:
            found += [None] * len(ids)
            continue
        rows = {
            row[0]: row
            for row in connection.execute(
                f"SELECT {_OF_SPAN} WHERE trace = ? AND span_id IN (SELECT value FROM json_each(?))",
                (no, json.dumps(ids)),
            )
        }
        for row in rows.values():
            known.scopes.know(row[0], row[1], row[14])
        try:
            checked("spans", list(rows.values()))
        except StoreDamaged:  # what is wrong with one of them is its own
            rows = {span_id: row for span_id, row in rows.items() if _is_sound(row)}
        made: dict[int, tuple[SpanDetail, list[ScoreRow], int, bool] | None] = {}
        # In the order of their contents: those of a block are read while it is open.
        for span_id in sorted(rows, key=lambda span_id: _content(rows[span_id])):
            try:
                made[span_id] = _whole(connection, contents, known, rows[span_id])
            except (LookupError, ValueError, TypeError, StoreDamaged):  # not what ingest writes
                made[span_id] = None
        found += [made.get(span_id) for span_id in ids]
    return found


def _content(row: tuple[Any, ...]) -> int:
    """The content that is read for a span, where it has one."""
    return next((number for number in row[12:14] if type(number) is int), 0)


def _is_sound(row: tuple[Any, ...]) -> bool:
    try:
        checked("spans", [row])
    except StoreDamaged:
        return False
    return True


def _known(connection: sqlite3.Connection, no: int) -> _Known | None:
    try:
        ((*row, root),) = checked("traces", connection.execute(f"SELECT {_OF_TRACE} WHERE no = ?", (no,)).fetchall())
        trace = TraceRow._make(row)
        events = connection.execute("SELECT 1 FROM events WHERE trace = ? LIMIT 1", (no,)).fetchone() is not None
        return _Known(trace, root, _Scopes(connection, trace, every=False), scores_of(connection, trace), events)
    except (ValueError, StoreDamaged):
        return None


def _whole(
    connection: sqlite3.Connection, contents: Contents, known: _Known, row: tuple[Any, ...]
) -> tuple[SpanDetail, list[ScoreRow], int, bool]:
    contents.withheld.clear()
    before = contents.read_bytes
    size = len(row[14] or b"")
    events = []
    for time_ns, name, body in (
        connection.execute(
            "SELECT time_ns, name, body FROM events WHERE trace = ? AND span_id = ? ORDER BY time_ns, n",
            (known.trace.no, row[0]),
        ).fetchall()
        if known.has_events
        else ()
    ):
        checked("events", [(row[0], time_ns, name)])
        size += len(body or b"")
        events.append(Event(time_ns, name, jsonable(contents.resolve(fields(body)))))
    detail = _detail(row, contents, known.trace, events, known.scopes)
    own = [
        score
        for score in known.scores
        if score.span_id == detail.row.hex_id or (score.span_id is None and known.root == row[0])
    ]
    awaited = any(is_awaited(connection, number) for number in contents.withheld)
    return detail, own, size + contents.read_bytes - before, awaited


def facts_of(connection: sqlite3.Connection, keys: Iterable[tuple[int, int]]) -> list[Facts]:
    """What is counted of spans, by number of the trace and id; those that are not there are left out."""
    from agentops.store.outbox import Facts

    found: list[Facts] = []
    for key in keys:
        rows = connection.execute(f"SELECT {_OF_SPAN} WHERE trace = ? AND span_id = ?", key).fetchall()
        for row in checked("spans", rows):
            span, body = SpanRow._make(row[:12]), _body(row[14])
            provider = (body.get("a") or {}).get(conventions.PROVIDER_NAME)
            error = str(body["x"][0]) if body.get("x") else None
            failed = span.status in ("error", "interrupted")
            tokens = span.input_tokens, span.output_tokens, span.cost_usd
            provider = provider if isinstance(provider, str) else None
            found.append(
                Facts(span.kind, span.name, failed, error, span.model, provider, span.start_ns, span.end_ns, *tokens)
            )
    return found


def scores_of(connection: sqlite3.Connection, trace: TraceRow) -> list[ScoreRow]:
    """Scores of a trace and of its spans, in the order of being given."""
    rows = connection.execute(
        "SELECT hex(trace_id), span_id, name, coalesce(number, label), comment, time_ns FROM scores "
        "WHERE trace_id = ? ORDER BY id",
        (bytes.fromhex(trace.trace_id),),
    ).fetchall()
    return [
        ScoreRow(row[0].lower(), None if row[1] is None else format(row[1] & (2**64 - 1), "016x"), *row[2:])
        for row in checked("scores", rows)
    ]


def named_events(
    connection: sqlite3.Connection, contents: Contents, trace: TraceRow, names: tuple[str, ...]
) -> list[tuple[int, Event]]:
    """Span and event, of a trace's events that have one of `names`, in the order of time."""
    rows = connection.execute(
        f"SELECT span_id, time_ns, name, body FROM events WHERE trace = ? AND name IN ({', '.join('?' * len(names))}) "
        "ORDER BY time_ns, n",
        (trace.no, *names),
    )
    return [(row[0], Event(row[1], row[2], jsonable(contents.resolve(fields(row[3]))))) for row in rows]


def _detail(
    row: tuple[Any, ...], contents: Contents, trace: TraceRow, events: list[Event], scopes: _Scopes
) -> SpanDetail:
    body = _body(row[14])
    raw_attributes = body.get("a") or {}
    attributes = jsonable(contents.resolve(raw_attributes))
    error = body.get("x")
    session, user, tags, metadata = scopes.of(row[0])
    usage: dict[str, int] = {}
    if said := _USAGE_KEYS.intersection(attributes):
        for name, keys in USAGE.items():
            if not said.isdisjoint(keys) and (count := token_count(attributes, *keys)) is not None:
                usage[name] = count
    return SpanDetail(
        row=SpanRow._make(row[:12]),
        trace_id=trace.trace_id,
        parent_span_id=None if row[1] is None else format(row[1] & (2**64 - 1), "016x"),
        has_input=row[12] is not None or "i" in body,
        has_output=row[13] is not None or "o" in body,
        input=jsonable(contents.value(row[12]) if row[12] is not None else contents.resolve(body.get("i"))),
        output=jsonable(contents.value(row[13]) if row[13] is not None else contents.resolve(body.get("o"))),
        attributes=attributes,
        events=events,
        links=[
            Link(trace_id.hex(), format(span_id & (2**64 - 1), "016x"), jsonable(facts))
            for trace_id, span_id, facts in filter(_is_link, body.get("l") or ())
        ],
        exception=dict(zip(("type", "message", "stacktrace"), map(str, error), strict=False)) if error else None,
        session=session,
        user=user,
        tags=tags,
        metadata=metadata,
        usage=usage or None,
        library=_library(body.get("s") or {}),
    )


def _library(scope: dict[str, Any]) -> Library | None:
    name, version, kind = scope.get("scope"), scope.get("version"), scope.get("span_kind")
    if not isinstance(name, str):
        return None
    version = version if isinstance(version, str) else None
    return Library(name, version, kind if isinstance(kind, str) else "INTERNAL", scope.get("set_ok") is True)


class _Scopes:
    """Session, user, tags and metadata of spans: their own, else those of the nearest span above.

    Args:
        connection: the store.
        trace: whose spans.
        every: all spans are asked for: they are read at once. Else a span's are, and then those above it.
    """

    def __init__(self, connection: sqlite3.Connection, trace: TraceRow, every: bool) -> None:
        self._connection = connection
        self._trace = trace
        self._known: dict[int, tuple[int | None, dict[str, Any]]] = {}
        self._whole: dict[int, dict[str, Any]] = {}  # with what is inherited
        self._every = every
        if every:
            self._read("")

    def know(self, span_id: int, parent: int | None, body: bytes | None) -> None:
        """What was read of a span already."""
        scope = fields(body).get("s") if body and b"\xa1s" in body else None  # its key, as msgpack
        self._known[span_id] = parent, scope if isinstance(scope, dict) else {}

    def _read(self, where: str, *parameters: int) -> None:
        for span_id, parent, body in self._connection.execute(
            f"SELECT span_id, parent_id, body FROM spans WHERE trace = ? {where}", (self._trace.no, *parameters)
        ):
            self.know(span_id, parent, body)

    def _of_trace(self) -> dict[str, Any]:
        trace = self._trace
        return {"session": trace.session, "user": trace.user, "tags": trace.tags}

    def of(self, span_id: int) -> tuple[str | None, str | None, list[str], dict[str, Any] | None]:
        path: list[int] = []
        at: int | None = span_id
        while at is not None and at not in self._whole:
            self._whole[at] = {}  # parents may run in a circle
            path.append(at)
            if not self._every and at not in self._known:
                self._read("AND span_id = ?", at)
            if at not in self._known:  # its parent is not here: the trace's own is the best that is known
                self._whole[at] = self._of_trace()
            at, _ = self._known.get(at, (None, {}))
        found = {} if at is None else self._whole[at]
        for at in reversed(path):
            _, own = self._known.get(at, (None, {}))
            found = self._whole[at] = {**(self._whole[at] or found), **own} if own else self._whole[at] or found
        session, user, tags = found.get("session"), found.get("user"), found.get("tags")
        return (
            None if session is None else str(session),
            None if user is None else str(user),
            [str(tag) for tag in tags] if isinstance(tags, list) else [],
            jsonable(found["metadata"]) if isinstance(found.get("metadata"), dict) else None,
        )


def _body(encoded: bytes | None) -> dict[str, Any]:
    """What a span holds; without what is not as ingest writes it."""
    body = fields(encoded)
    return {key: value for key, value in body.items() if isinstance(value, _SHAPES.get(key, object))}


def _is_link(link: Any) -> bool:
    return (
        isinstance(link, list)
        and [type(part) for part in link[:2]] == [bytes, int]
        and len(link) == 3
        and (link[2] is None or isinstance(link[2], dict))
    )


def jsonable(value: Any) -> Any:
    """What was recorded, as JSON would have it: keys are texts, bytes a data URI, times ISO 8601.

    Without recursion: a value may be as deep as the encoder takes it.
    """
    if value is None or type(value) is str:  # as most
        return value
    if type(value) is dict and _PLAIN.issuperset(map(type, value.values())) and _TEXT.issuperset(map(type, value)):
        return dict(value)  # as attributes are
    top: list[Any] = [None]
    todo: list[tuple[Any, Any, Any]] = [(value, top, 0)]
    while todo:
        item, place, at = todo.pop()
        kind = type(item)
        if kind is str or kind is int or kind is float or kind is bool or item is None:
            place[at] = item
        elif kind is dict:
            place[at] = made = {_key(key): inner for key, inner in item.items()}  # of two that are one, the last
            todo.extend((inner, made, key) for key, inner in made.items())
        elif kind is list or kind is tuple:
            place[at] = items = [None] * len(item)
            todo.extend((inner, items, n) for n, inner in enumerate(item))
        else:
            place[at] = _leaf(item)
    return top[0]


def _leaf(value: Any) -> Any:
    if type(value) is bytes:
        return "data:application/octet-stream;base64," + b64encode(value).decode()
    if isinstance(value, int):
        return int(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, (Reference, Missing)):
        return repr(Missing())
    return str(value)


def _key(key: Any) -> str:
    if type(key) is str:
        return key
    if key is True or key is False:
        return "true" if key else "false"
    if key is None:
        return "null"
    if isinstance(key, float):
        return json.dumps(key)
    if isinstance(key, bytes):
        try:
            return key.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return repr(key)
    return str(key)


class Texts:
    """Where in one trace a text stands."""

    def __init__(self, connection: sqlite3.Connection, contents: Contents, trace: TraceRow) -> None:
        self._contents = contents
        self._own: dict[int, list[tuple[str, str]]] = {}
        self._refers: dict[int, list[tuple[str, int]]] = {}
        self._below: dict[int, frozenset[int]] = {}
        self._normal: dict[int, str] = {}
        for span_id, name, given, output, body in connection.execute(
            "SELECT span_id, names.text, input, output, body FROM spans JOIN names ON names.id = spans.name "
            "WHERE trace = ?",
            (trace.no,),
        ):
            self._add(span_id, name, given, output, _body(body))
        for span_id, name, body in connection.execute(
            "SELECT span_id, name, body FROM events WHERE trace = ?", (trace.no,)
        ):
            own = self._own.setdefault(span_id, [])
            own.append(("event", str(name)))
            self._collect(span_id, "event", fields(body))

    def _add(self, span_id: int, name: str, given: int | None, output: int | None, body: dict[str, Any]) -> None:
        self._own.setdefault(span_id, []).append(("name", str(name)))
        refers = self._refers.setdefault(span_id, [])
        if isinstance(given, int):
            refers.append(("input", given))
        if isinstance(output, int):
            refers.append(("output", output))
        for key, where in (("i", "input"), ("o", "output"), ("a", "attributes"), ("s", "session")):
            if key in body:
                self._collect(span_id, where, body[key])
        if body.get("x"):
            self._own[span_id] += [("error", ": ".join(str(part) for part in body["x"][:2]))]

    def _collect(self, span_id: int, where: str, value: Any) -> None:
        own, refers = self._own.setdefault(span_id, []), self._refers.setdefault(span_id, [])
        own += [(where, text) for text in strings(value)]
        refers += [(where, number) for number in numbers(value)]

    def has(self, span_id: int, phrase: Phrase) -> bool:
        """Whether `phrase` stands in anything of the span."""
        if any(phrase.stands_in(normal(own)) for _, own in self._own.get(span_id, ())):
            return True
        return any(
            phrase.stands_in(self._words(part))
            for _, number in self._refers.get(span_id, ())
            for part in self._reachable(number)
        )

    def find(self, phrase: Phrase, spans: list[int]) -> Iterator[tuple[int, str, str]]:
        """The spans of `spans` (in the order of starting) in which `phrase` stands, each content once."""
        told: set[int] = set()
        for span_id in spans:
            for where, own in self._own.get(span_id, ()):
                if phrase.stands_in(normal(own)):
                    yield span_id, where, _snippet(own, phrase)
                    break
            else:
                for where, number in self._refers.get(span_id, ()):
                    parts = [
                        p for p in sorted(self._reachable(number)) if p not in told and phrase.stands_in(self._words(p))
                    ]
                    if parts:
                        told.update(parts)
                        whole = "\n".join(self._contents.text(parts[-1]))
                        yield span_id, where, _snippet(whole, phrase)
                        break

    def _words(self, number: int) -> str:
        words = self._normal.get(number)
        if words is None:
            words = self._normal[number] = normal("\n".join(self._contents.text(number)))
        return words

    def _reachable(self, number: int, depth: int = 0) -> frozenset[int]:
        """Content `number` and all that it refers to, lists followed back to their beginning."""
        if depth > _DEPTH_MAX:
            return frozenset()
        chain: list[tuple[int, list[int]]] = []
        below: frozenset[int] = frozenset()
        at = number
        while at > 0:
            known = self._below.get(at)
            if known is not None:
                below = known
                break
            previous, children = self._children(at)
            chain.append((at, children))
            at = previous if previous < at else 0  # else it is a store from elsewhere that goes in a circle
        for at, children in reversed(chain):
            below = below.union((at,), *(self._reachable(child, depth + 1) for child in children if child < at))
            self._below[at] = below
        return below

    def _children(self, number: int) -> tuple[int, list[int]]:
        found = self._contents.load(number)
        return (0, []) if found is None else references(*found)


def _snippet(whole: str, phrase: Phrase) -> str:
    lower = whole.lower()
    at = lower.find(phrase.text.lower())
    if at < 0 and phrase.words:
        at = lower.find(phrase.words[0])
    at = max(at, 0)
    start, end = max(0, at - _SNIPPET), at + len(phrase.text) + 2 * _SNIPPET
    return ("…" if start else "") + whole[start:end] + ("…" if end < len(whole) else "")
