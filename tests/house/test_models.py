"""The SQLModel classes and the plain SQL are one schema, and notebooks can read what was recorded."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlmodel import SQLModel, select

from agentops.errors import NotFound
from agentops.store import models, schema
from agentops.store.models import Event, Name, Score, Span, Trace, open_session

METADATA = models._Table.metadata


@pytest.fixture(scope="module")
def plain() -> Iterator[sqlite3.Connection]:
    """A database made from the plain SQL."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema.TABLES + schema.TABLES_2 + schema.TABLES_3 + schema.TABLES_4)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def modelled() -> Iterator[sqlite3.Connection]:
    """A database made from the classes."""
    connection = sqlite3.connect(":memory:")
    METADATA.create_all(create_engine("sqlite://", creator=lambda: connection))
    yield connection
    connection.close()


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def shape(connection: sqlite3.Connection, table: str) -> dict[str, object]:
    """All that SQLite knows about a table, in a form that can be compared."""
    indexes = {
        name: {
            "unique": unique,
            "origin": origin,
            "partial": partial,
            "columns": connection.execute(f"PRAGMA index_xinfo({name})").fetchall(),
            "where": _sql(connection, name).partition(" WHERE ")[2],
        }
        for _, name, unique, origin, partial in connection.execute(f"PRAGMA index_list({table})")
    }
    (kind,) = connection.execute("SELECT wr FROM pragma_table_list WHERE name = ?", (table,)).fetchone()
    columns = connection.execute(f"PRAGMA table_xinfo({table})").fetchall()
    return {"columns": columns, "indexes": indexes, "without rowid": kind}


def _sql(connection: sqlite3.Connection, name: str) -> str:
    """The statement that made an index; empty for one that SQLite made by itself."""
    row = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    return " ".join(row[0].split()) if row and row[0] else ""


def test_every_table_has_its_class(plain: sqlite3.Connection) -> None:
    assert set(METADATA.tables) == tables(plain)


@pytest.mark.parametrize("table", sorted(METADATA.tables))
def test_a_class_and_its_table_are_the_same(
    plain: sqlite3.Connection, modelled: sqlite3.Connection, table: str
) -> None:
    assert shape(modelled, table) == shape(plain, table)


@pytest.mark.parametrize(
    ("table", "statement"),
    [
        ("names", "ALTER TABLE names ADD COLUMN uses INTEGER"),
        ("events", "CREATE INDEX events_name ON events (name)"),
        ("traces", "DROP INDEX traces_errors; CREATE INDEX traces_errors ON traces (start_ns) WHERE errors > 1"),
        ("scores", "DROP INDEX scores_trace; CREATE INDEX scores_trace ON scores (trace_id DESC)"),
        ("meta", "DROP TABLE meta; CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL)"),
    ],
)
def test_a_difference_between_the_two_is_seen(plain: sqlite3.Connection, table: str, statement: str) -> None:
    changed = sqlite3.connect(":memory:")
    try:
        changed.executescript(schema.TABLES + schema.TABLES_2 + schema.TABLES_3 + schema.TABLES_4)
        assert shape(changed, table) == shape(plain, table)
        changed.executescript(statement)
        assert shape(changed, table) != shape(plain, table)
    finally:
        changed.close()


def test_our_tables_do_not_mix_with_those_of_a_users_program() -> None:
    assert not set(METADATA.tables) & set(SQLModel.metadata.tables)


def test_every_class_explains_its_columns() -> None:
    for name in models.__all__:
        value = getattr(models, name)
        if isinstance(value, type):
            assert value.__doc__, f"{name} has no docstring"


PROGRAM = """
import agentops
with agentops.span("answer", kind="agent", session="s-1", tags=["slow"], metadata={"run": 1}, input="hi") as run:
    with agentops.span("ask", kind="llm", input="x" * 5000) as ask:
        ask.set_attributes({"gen_ai.request.model": "m-1", "gen_ai.usage.input_tokens": 7})
        ask.add_event("first token")
    try:
        with agentops.span("look up", kind="tool"):
            raise KeyError("no such order")
    except KeyError:
        pass
agentops.score("helpful", True, trace=run.trace_id, comment="fine")
print(run.trace_id, run.span_id)
"""


@pytest.fixture
def recorded(run: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[str, str]:
    """Ids of a trace, and of its root, that a program recorded; what it recorded may still be in its journal."""
    monkeypatch.setenv("AGENTOPS_STORE", str(tmp_path / "traces.db"))
    trace_id, span_id = run(PROGRAM).split()
    return trace_id, span_id


def test_a_notebook_reads_what_a_program_recorded(recorded: tuple[str, str]) -> None:
    with open_session() as session:
        trace = session.exec(select(Trace)).one()
        assert (trace.hex_id, trace.name, trace.session, trace.tags) == (recorded[0], "answer", "s-1", '["slow"]')
        assert (trace.kind_name, trace.status_name) == ("agent", "ok")
        assert (trace.spans, trace.errors, trace.open, trace.llm_calls, trace.input_tokens) == (3, 1, 0, 1, 7)
        assert trace.duration_ns is not None
        assert trace.duration_ns > 0
        assert trace.metadata_

        spans = dict(session.exec(select(Name.text, Span).join(Span, Span.name == Name.id)).all())
        root, ask, failed = spans["answer"], spans["ask"], spans["look up"]
        assert (root.hex_id, root.parent_id, root.span_id) == (recorded[1], None, trace.root)
        assert ask.parent_id == failed.parent_id == root.span_id
        assert ask.input is not None
        assert session.exec(select(Name.text).where(Name.id == ask.model)).one() == "m-1"
        assert (failed.status_name, failed.error) == ("error", "KeyError: 'no such order'")
        assert session.exec(select(Event.name).where(Event.span_id == ask.span_id)).one() == "first token"
        score = session.exec(select(Score)).one()
        assert (score.trace_id, score.name, score.number, score.label, score.comment) == (
            trace.trace_id, "helpful", 1.0, None, "fine",
        )  # fmt: skip


def test_every_table_of_a_recorded_store_can_be_read(recorded: tuple[str, str]) -> None:
    with open_session() as session:
        for name in models.__all__:
            cls = getattr(models, name)
            if isinstance(cls, type):
                session.exec(select(cls)).all()


def test_a_notebook_cannot_change_the_store(recorded: tuple[str, str]) -> None:
    with open_session() as session:
        session.add(Name(text="mine"))
        with pytest.raises(OperationalError, match="readonly"):
            session.commit()


def test_a_session_on_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing was recorded"):
        open_session(str(tmp_path / "traces.db"))


def test_without_sqlmodel_the_error_says_what_to_install(run: Callable[..., str]) -> None:
    program = "import sys\nsys.modules['sqlmodel'] = None\ntry: import agentops.store.models\n"
    assert "agentops-recorder[schema]" in run(program + "except ModuleNotFoundError as problem: print(problem)")
