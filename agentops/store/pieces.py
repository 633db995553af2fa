"""All that a store holds, piece by piece, each with the place where a user would find it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from agentops.conventions import IDENTIFIERS
from agentops.journal.format import LIST, decode_value, encode
from agentops.store import words
from agentops.store.contents import Contents, numbers, references
from agentops.store.plain_text import query
from agentops.store.schema import connect, translate

__all__ = ["Part", "Piece", "Pieces", "decoded", "encoded", "facts", "own", "scope"]

_DEPTH_MAX = 64
_FIELDS = {"i": "input", "o": "output", "x": "error"}


class Part(NamedTuple):
    """A value and its place; `key` is that under which it stands, if that may say what it is."""

    place: str
    value: Any
    key: str | None = None


class Piece(NamedTuple):
    """A row or a content.

    data: all of its text, as UTF-8 or MessagePack: most pieces need no more than a look at this.
    parts: gives what stands in it, value by value.
    """

    data: bytes
    parts: Callable[[], Iterator[Part]]


class Pieces:
    """Goes through one store.

    Args:
        path: of the database file.
        shown: makes a name one that may be shown in a place.

    Raises:
        StoreError: it cannot be read.
    """

    def __init__(self, path: str, shown: Callable[[str], str]) -> None:
        self.path = path
        self._shown = shown
        self._connection = connect(path)
        self._contents = Contents(self._connection)
        self._connection.text_factory = bytes  # a store from elsewhere may have texts that are none
        self._owners = _Owners(self._connection, self._contents, self._span)
        #: Blocks of contents that cannot be opened: nobody can tell what is in them.
        self.closed = 0

    def close(self) -> None:
        self._connection.close()

    def __iter__(self) -> Iterator[Piece]:
        """Every piece, at one moment."""
        try:
            self._connection.execute("BEGIN")
            yield from self._traces()
            yield from self._spans()
            yield from self._events()
            yield from self._others()
            yield from self._all_contents()
            self._connection.execute("COMMIT")
        except sqlite3.Error as problem:
            raise translate(problem, self.path) from problem

    def indexed(self, text: str) -> int:
        """How many documents of the index of words have all words of `text`; also of what is not there any more."""
        wanted = query(text)
        if wanted is None:
            return 0
        try:
            return sum(
                self._connection.execute(
                    f"SELECT count(*) FROM words_{part} WHERE words_{part} MATCH ?", (wanted,)
                ).fetchone()[0]
                for part in words.parts(self._connection)
            )
        except sqlite3.Error as problem:
            raise translate(problem, self.path) from problem

    # -- rows ----------------------------------------------------------------------------------------

    def _traces(self) -> Iterator[Piece]:
        for trace_id, name, session, user, tags, metadata in self._connection.execute(
            "SELECT trace_id, name, session, user, tags, metadata FROM traces"
        ):
            place = f"trace {_hex(trace_id)}"
            texts = {"name": name, "session": session, "user": user, "tags": tags}

            def parts(place: str = place, texts: dict[str, Any] = texts, metadata: Any = metadata) -> Iterator[Part]:
                for where, text in texts.items():
                    value = _tags(text) if where == "tags" else _text(text)
                    yield Part(f"{place}: {where}", value)
                yield Part(f"{place}: metadata", decoded(metadata))

            yield Piece(_data(*texts.values(), metadata), parts)

    def _spans(self) -> Iterator[Piece]:
        told: set[Any] = set()
        for trace_id, names_id, name, model_id, model, error, body in self._connection.execute(
            "SELECT trace_id, names.id, names.text, models.id, models.text, error, body FROM spans "
            "LEFT JOIN traces ON no = trace LEFT JOIN names ON names.id = spans.name "
            "LEFT JOIN names AS models ON models.id = spans.model"
        ):
            for number, text, where in ((names_id, name, "name"), (model_id, model, "model")):
                if number is not None and number not in told:
                    told.add(number)
                    yield _single(f"{self._span(name, trace_id)}: {where}", text)
            if error is None and not body:
                continue

            def parts(
                name: Any = name, trace_id: Any = trace_id, error: Any = error, body: Any = body
            ) -> Iterator[Part]:
                place = self._span(name, trace_id)
                yield Part(f"{place}: error", _text(error))
                for where, value, key in _in_body(decoded(body)):
                    yield Part(f"{place}: {self._shown(where)}", value, key)

            yield Piece(_data(error, body), parts)
        for number, text in self._connection.execute("SELECT id, text FROM names"):
            if number not in told:
                yield _single("a name that no span has", text)

    def _events(self) -> Iterator[Piece]:
        for trace_id, span, name, body in self._connection.execute(
            "SELECT trace_id, names.text, events.name, events.body FROM events LEFT JOIN traces ON no = trace "
            "LEFT JOIN spans USING (trace, span_id) LEFT JOIN names ON names.id = spans.name"
        ):

            def parts(span: Any = span, trace_id: Any = trace_id, name: Any = name, body: Any = body) -> Iterator[Part]:
                place = f"{self._span(span, trace_id)}: event"
                yield Part(place, _text(name))
                for value, key in facts(decoded(body)):
                    yield Part(place, value, key)

            yield Piece(_data(name, body), parts)

    def _others(self) -> Iterator[Piece]:
        for trace_id, *texts in self._connection.execute("SELECT trace_id, name, label, comment FROM scores"):
            yield _several(f"a score of trace {_hex(trace_id)}", texts)
        for (what,) in self._connection.execute("SELECT what FROM losses"):
            yield _single("a note of what was lost", what)
        for (failure,) in self._connection.execute("SELECT failure FROM targets WHERE failure IS NOT NULL"):
            yield _single("what an export target said", failure)
        for (text,) in self._connection.execute("SELECT text FROM fresh_text"):
            yield _single("words that wait for the index of the search", text)

    def _span(self, name: Any, trace_id: Any) -> str:
        return f'span "{self._shown(_text(name))}" of trace {_hex(trace_id)}'

    # -- contents ------------------------------------------------------------------------------------

    def _all_contents(self) -> Iterator[Piece]:
        for number, form, data in self._connection.execute("SELECT id, form, data FROM fresh"):
            yield self._content(number, form, data)
        for first, data in self._connection.execute("SELECT first, data FROM blocks ORDER BY first"):
            block = self._contents.read(first)
            if not block and data:
                self.closed += 1
            for number, (form, content) in block.items():
                yield self._content(number, form, content)

    def _content(self, number: int, form: int, data: Any) -> Piece:
        def parts() -> Iterator[Part]:
            yield Part(self._owners.place(number), own(form, data))

        return Piece(_data(data), parts)


def own(form: int, data: Any) -> Any:
    """What stands in a content itself."""
    value = decoded(data)
    return value[1] if form == LIST and type(value) is list and len(value) == 2 else value


def decoded(data: Any) -> Any:
    """A value of ours; the bytes as they are where they are none."""
    if type(data) is not bytes:
        return data
    try:
        return decode_value(data) if data else None
    except (msgspec.MsgspecError, ValueError, TypeError, LookupError, RecursionError):
        return data


def encoded(value: Any) -> bytes:
    """`value` as bytes for a look at all of its text."""
    try:
        return encode(value)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return repr(value).encode("utf-8", "replace")


def facts(attributes: Any) -> Iterator[tuple[Any, str | None]]:
    """Attributes one by one: what a key says of a value is looked at, but for those that things are grouped by."""
    if type(attributes) is not dict:
        yield attributes, None
        return
    for key, value in attributes.items():
        yield key, None
        yield value, None if key in IDENTIFIERS or type(key) is not str else key


def scope(given: Any) -> Iterator[tuple[str, Any]]:
    """Session, user, tags and the rest, one by one."""
    if type(given) is not dict:
        yield "session", given
        return
    for key, value in given.items():
        yield str(key), value


def _in_body(body: Any) -> Iterator[tuple[str, Any, str | None]]:
    if type(body) is not dict:
        yield "what it holds", body, None
        return
    for name, value in body.items():
        if name == "a":
            for fact, key in facts(value):
                yield "attributes", fact, key
        elif name == "s":
            for where, item in scope(value):
                yield where, item, None
        elif name == "l":
            yield "links", [link[2:] if type(link) is list else link for link in value or ()], None
        elif name != "n":
            yield _FIELDS.get(name, "what it holds"), value, None


class _Owners:
    """Which span a content stands in: the first that has it, of the first trace that has it."""

    def __init__(self, connection: sqlite3.Connection, contents: Contents, span: Callable[[Any, Any], str]) -> None:
        self._sql = connection.execute
        self._contents = contents
        self._span = span
        self._trace: int | None = None
        self._known: dict[int, str] = {}

    def place(self, content: int) -> str:
        row = self._sql(
            "SELECT trace FROM uses WHERE content = ?1 UNION ALL SELECT trace FROM keeps WHERE content = ?1 LIMIT 1",
            (content,),
        ).fetchone()
        if row is None:
            return "a content that no trace needs"
        if row[0] != self._trace:
            self._trace = row[0]
            self._known = self._of(row[0])
        return self._known.get(content) or f"trace {_hex(self._id(row[0]))}"

    def _id(self, trace: int) -> Any:
        row = self._sql("SELECT trace_id FROM traces WHERE no = ?", (trace,)).fetchone()
        return row[0] if row else None

    def _of(self, trace: int) -> dict[int, str]:
        found: dict[int, str] = {}
        trace_id = self._id(trace)
        for name, given, output, body in self._sql(
            "SELECT names.text, input, output, body FROM spans JOIN names ON names.id = spans.name WHERE trace = ? "
            "ORDER BY start_ns",
            (trace,),
        ).fetchall():
            whole = decoded(body)
            here = f"{self._span(name, trace_id)}: "
            refers = [("input", given), ("output", output)]
            refers += [(where, number) for where, value, _ in _in_body(whole) for number in numbers(value)]
            for where, number in refers:
                self._reach(number, here + where, found)
        for name, body in self._sql(
            "SELECT names.text, events.body FROM events JOIN spans USING (trace, span_id) "
            "JOIN names ON names.id = spans.name WHERE trace = ?",
            (trace,),
        ).fetchall():
            for number in numbers(decoded(body)):
                self._reach(number, f"{self._span(name, trace_id)}: event", found)
        return found

    def _reach(self, number: Any, place: str, found: dict[int, str]) -> None:
        todo = [number]
        while todo:
            number = todo.pop()
            if type(number) is not int or number <= 0 or number in found:
                continue
            found[number] = place
            content = self._contents.load(number)
            if content is not None:
                previous, children = references(*content)
                todo += [previous, *children]


def _single(place: str, text: Any) -> Piece:
    return _several(place, [text])


def _several(place: str, texts: list[Any]) -> Piece:
    return Piece(_data(*texts), lambda: (Part(place, _text(text)) for text in texts))


def _data(*fields: Any) -> bytes:
    return b"\n".join(
        field if type(field) is bytes else str(field).encode("utf-8", "replace")
        for field in fields
        if field is not None
    )


def _text(text: Any) -> str:
    """A column that should have a text."""
    return text.decode("utf-8", "replace") if type(text) is bytes else "" if text is None else str(text)


def _tags(text: Any) -> Any:
    try:
        return msgspec.json.decode(text) if text else None
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return _text(text)


def _hex(trace_id: Any) -> str:
    return trace_id.hex()[:8] if type(trace_id) is bytes else "?"
