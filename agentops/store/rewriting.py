"""A store that was recorded without a redactor is written anew through one.

In transactions of some hundred rows, each of which leaves a store that can be read; whoever is stopped begins again,
and finds nothing in what was done. The index and the file are made anew in the end, whatever was found: words of what
was taken out may stand there since long ago.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from agentops.conventions import IDENTIFIERS
from agentops.journal.format import BLOB, LIST, TEMPLATE, Text, encode
from agentops.store import words
from agentops.store.arrivals import key_of
from agentops.store.contents import Contents, pack
from agentops.store.packing import index_words
from agentops.store.pieces import decoded
from agentops.store.removal import make_anew, remove_names

__all__ = ["Rewriter", "Rewritten", "rewrite"]

_ROWS, _BLOCKS = 1_000, 16
_ERROR_CHARACTERS = 300
#: Recorded instead of what cannot be read back, and so not be redacted.
_UNREADABLE = "<withheld: this could not be read back to be redacted>"
_FORMS = (BLOB, TEMPLATE, LIST)
_Key = tuple[int, ...]
Transaction = Callable[..., Any]


class Rewriter(Protocol):
    """Takes out what is sensitive; see `agentops.redaction.looking.Look`."""

    def may_hold(self, data: bytes) -> bool:
        """False promises that nothing in `data` is changed by the others."""

    def text(self, text: str) -> str:
        """A text, redacted."""

    def identifier(self, value: Any) -> Any:
        """By what things are grouped, redacted."""

    def value(self, value: Any) -> Any:
        """Plain data, redacted; the same object if nothing is to be changed."""


class Rewritten(msgspec.Struct):
    """How much was changed."""

    contents: int = 0
    spans: int = 0
    others: int = 0


def rewrite(
    connection: sqlite3.Connection, contents: Contents, rewriter: Rewriter, transaction: Transaction
) -> Rewritten:
    """Write all contents, rows and words anew; the file still has to be.

    Args:
        connection: the store.
        contents: its contents.
        rewriter: what is done to them.
        transaction: calls a function with arguments in a transaction that writes.
    """
    work = _Rewriting(connection, contents, rewriter)
    index_words(connection)
    steps = (
        work.fresh, work.blocks, work.names, work.traces, work.spans, work.events, work.scores, work.losses,
        work.failures,
    )  # fmt: skip
    for step in steps:
        at: _Key | None = ()
        while at is not None:
            at = transaction(step, at)
    transaction(remove_names, connection)
    for part in words.parts(connection):
        transaction(make_anew, connection, contents, part)
    return work.done


class _Rewriting:
    def __init__(self, connection: sqlite3.Connection, contents: Contents, rewriter: Rewriter) -> None:
        self._sql = connection.execute
        self._contents = contents
        self._rewriter = rewriter
        self._other_names: dict[int, int] = {}
        self.done = Rewritten()

    # -- contents ------------------------------------------------------------------------------------

    def fresh(self, after: _Key) -> _Key | None:
        """Some of the contents that are in no block yet."""
        rows = self._some("fresh", ("id",), "form, data", after)
        for number, form, data in rows:
            new = self._content(number, form, data)
            if new is not None:
                self._sql("UPDATE fresh SET form = ?, data = ? WHERE id = ?", (*new, number))
        return _last(rows, 1)

    def blocks(self, after: _Key) -> _Key | None:
        """Some of the blocks."""
        rows = self._some("blocks", ("first",), "last", after, _BLOCKS)
        for first, _ in rows:
            changed = False
            items = []
            for number, (form, data) in self._contents.read(first).items():
                new = self._content(number, form, data)
                changed = changed or new is not None
                items.append((number, *(new or (form, data))))
            if changed:
                self._sql("UPDATE blocks SET data = ? WHERE first = ?", (pack(items), first))
        self._contents.forget()
        return _last(rows, 1, _BLOCKS)

    def _content(self, number: int, form: int, data: Any) -> tuple[int, bytes] | None:
        """A content's form and bytes, redacted; None if they stay. What finds it by its hash is changed with it."""
        if type(data) is not bytes or form not in _FORMS or not self._rewriter.may_hold(data):
            return None
        new_form = form
        value = decoded(data)
        if value is data:  # it cannot be read back
            if self._rewriter.value(data) is data:
                return None
            new_form, new = BLOB, encode(_UNREADABLE)
        elif form == LIST and type(value) is list and len(value) == 2:
            items = self._rewriter.value(value[1])
            if items is value[1]:
                return None
            new = _encode([value[0], items if type(items) is list else [items]])
        else:
            redacted = self._rewriter.value(value)
            if redacted is value:
                return None
            new = _encode(redacted)
        if self._sql("DELETE FROM contents WHERE key = ? AND id = ?", (key_of(form, data), number)).rowcount:
            self._sql("INSERT OR IGNORE INTO contents VALUES (?, ?)", (key_of(new_form, new), number))
        self.done.contents += 1
        return new_form, new

    # -- rows ----------------------------------------------------------------------------------------

    def names(self, _: _Key) -> None:
        """Names of spans and models. Two of them may have become one: spans get the other's number then."""
        for number, name in self._sql("SELECT id, text FROM names").fetchall():
            new = self._text(name)
            if new == name:
                continue
            self.done.others += 1
            row = self._sql("SELECT id FROM names WHERE text = ?", (new,)).fetchone()
            if row is None:
                self._sql("UPDATE names SET text = ? WHERE id = ?", (new, number))
            else:
                self._other_names[number] = row[0]

    def traces(self, after: _Key) -> _Key | None:
        """What lists show."""
        rows = self._some("traces", ("no",), "name, session, user, tags, metadata", after)
        for number, name, session, user, tags, metadata in rows:
            new = (
                self._text(name),
                *(self._identifier(text) for text in (session, user)),
                self._tags(tags),
                self._packed(metadata, self._rewriter.value),
            )
            if new != (name, session, user, tags, metadata):
                self.done.others += 1
                self._sql(
                    "UPDATE traces SET name = ?, session = ?, user = ?, tags = ?, metadata = ? WHERE no = ?",
                    (*new, number),
                )
        return _last(rows, 1)

    def spans(self, after: _Key) -> _Key | None:
        """What spans hold themselves."""
        rows = self._some("spans", ("trace", "span_id"), "name, model, error, body", after)
        for trace, span, name, model, error, body in rows:
            new_body = self._packed(body, self._body)
            new_error = error
            if new_body is not body or (error and self._text(error) != error):
                new_error = self._error(error, new_body)
            names = self._other_names.get(name, name), self._other_names.get(model, model)
            new = (*names, new_error, new_body)
            if new != (name, model, error, body):
                self.done.spans += 1
                self._sql(
                    "UPDATE spans SET name = ?, model = ?, error = ?, body = ? WHERE trace = ? AND span_id = ?",
                    (*new, trace, span),
                )
        return _last(rows, 2)

    def events(self, after: _Key) -> _Key | None:
        """What happened on spans."""
        key = ("trace", "span_id", "time_ns", "n")
        rows = self._some("events", key, "name, body", after)
        for *place, name, body in rows:
            new = self._text(name), self._packed(body, self._facts)
            if new != (name, body):
                self.done.others += 1
                self._sql(
                    "UPDATE events SET name = ?, body = ? WHERE trace = ? AND span_id = ? AND time_ns = ? AND n = ?",
                    (*new, *place),
                )
        return _last(rows, 4)

    def scores(self, after: _Key) -> _Key | None:
        """What was judged."""
        return self._texts("scores", ("name", "label", "comment"), after)

    def losses(self, after: _Key) -> _Key | None:
        """What could not be recorded."""
        return self._texts("losses", ("what",), after)

    def failures(self, after: _Key) -> _Key | None:
        """What export targets said."""
        return self._texts("targets", ("failure",), after)

    def _texts(self, table: str, columns: tuple[str, ...], after: _Key) -> _Key | None:
        rows = self._some(table, ("id",), ", ".join(columns), after)
        for number, *texts in rows:
            new = [self._text(text) for text in texts]
            if new != texts:
                self.done.others += 1
                changes = ", ".join(f"{column} = ?" for column in columns)
                self._sql(f"UPDATE {table} SET {changes} WHERE id = ?", (*new, number))
        return _last(rows, 1)

    def _some(self, table: str, key: tuple[str, ...], columns: str, after: _Key, most: int = _ROWS) -> list[Any]:
        keys = ", ".join(key)
        marks = ", ".join("?" * len(key))
        where = f"WHERE ({keys}) > ({marks})" if after else ""
        return self._sql(
            f"SELECT {keys}, {columns} FROM {table} {where} ORDER BY {keys} LIMIT ?", (*after, most)
        ).fetchall()

    # -- values --------------------------------------------------------------------------------------

    def _text(self, text: Any) -> Any:
        if type(text) is not str or not self._rewriter.may_hold(text.encode("utf-8", "surrogatepass")):
            return text
        return self._rewriter.text(text)

    def _identifier(self, text: Any) -> Any:
        if type(text) is not str or not self._rewriter.may_hold(text.encode("utf-8", "surrogatepass")):
            return text
        return self._rewriter.identifier(text)

    def _tags(self, tags: Any) -> Any:
        if type(tags) is not str or not self._rewriter.may_hold(tags.encode("utf-8", "surrogatepass")):
            return tags
        try:
            value = json.loads(tags)
        except (ValueError, RecursionError):
            return self._text(tags)
        new = self._rewriter.identifier(value)
        return tags if new == value else json.dumps(new)

    def _packed(self, data: Any, redact: Callable[[Any], Any]) -> Any:
        """A value in a column, redacted; the same object if nothing is to be changed."""
        if type(data) is not bytes or not self._rewriter.may_hold(data):
            return data
        value = decoded(data)
        if value is data:
            return data if self._rewriter.value(data) is data else _encode({})
        new = _encode(redact(value))
        return data if new == _encode(value) else new

    def _body(self, body: Any) -> Any:
        """What a span holds, each part as the recorder would have it redacted."""
        if type(body) is not dict:
            return self._rewriter.value(body)
        new: dict[Any, Any] = {}
        for key, value in body.items():
            if key == "a":
                new[key] = self._facts(value)
            elif key == "s" and type(value) is dict:
                new[key] = {
                    name: self._rewriter.identifier(item) if name in IDENTIFIERS else self._rewriter.value(item)
                    for name, item in value.items()
                }
            elif key == "l" and type(value) is list:  # ids are random, and look like anything
                new[key] = [
                    [*link[:2], *(self._rewriter.value(fact) for fact in link[2:])] if type(link) is list else link
                    for link in value
                ]
            else:
                new[key] = value if key == "n" else self._rewriter.value(value)
        return new

    def _facts(self, attributes: Any) -> Any:
        if type(attributes) is not dict:
            return self._rewriter.value(attributes)
        new: dict[Any, Any] = {}
        for key, value in attributes.items():
            if key in IDENTIFIERS:
                redacted = self._rewriter.identifier(value)
            elif type(key) is str:  # the key may say what the value is
                pair = self._rewriter.value({key: value})
                redacted = next(iter(pair.values())) if type(pair) is dict else pair
            else:
                redacted = self._rewriter.value(value)
            name = self._text(key) if type(key) is str else self._rewriter.value(key)
            while name in new:
                name = f"{name}'"
            new[name] = redacted
        return new

    def _error(self, error: Any, body: Any) -> Any:
        """The short form of an error: of the redacted one, since it may end in the middle of something."""
        if not error:
            return error
        value = decoded(body)
        whole = value.get("x") if type(value) is dict else None
        if type(whole) is list and whole:
            error = ": ".join(str(part) for part in whole[:2] if part)[:_ERROR_CHARACTERS]
        return self._text(error)


def _last(rows: list[Any], columns: int, most: int = _ROWS) -> _Key | None:
    """After which row the next step begins; None if these were the last."""
    return tuple(rows[-1][:columns]) if len(rows) == most else None


def _encode(value: Any) -> bytes:
    try:
        return encode(value)
    except UnicodeEncodeError:
        return encode(_with_texts(value))


def _with_texts(value: Any) -> Any:
    """Texts that UTF-8 cannot hold in the form in which they are written."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return Text(value)
        return value
    if type(value) is dict:
        return {_with_texts(key): _with_texts(item) for key, item in value.items()}
    if type(value) is list:
        return [_with_texts(item) for item in value]
    return value
