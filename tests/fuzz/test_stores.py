"""Stores from elsewhere: whatever they hold, what is asked of them is answered, or refused with an error of ours."""

from __future__ import annotations

import contextlib
import io
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentops.cli.ls import span_fields
from agentops.cli.tail import Edges
from agentops.errors import AgentopsError
from agentops.exporters.delivery import Delivery, name_of
from agentops.exporters.target import Target
from agentops.journal.format import encode
from agentops.store.contents import pack
from agentops.store.destinations import export_from
from agentops.store.filters import parse
from agentops.store.ingest import Ingester
from agentops.store.reader import Reader
from tests.fuzz.journals import CHANGES, changed, put, put_witness
from tests.fuzz.long import bounded, run_long
from tests.fuzz.looking import ask, command, peak_megabytes, use
from tests.fuzz.stores import BOMB, HELD, ROWS, doubled, put_rows, squeezed
from tests.fuzz.test_journals import new_store, real  # noqa: F401

TARGET = Target("console", rate=0.5, errors=True)
#: Of memory, for whatever reads a store of a few KB.
ROOM_BYTES = 3 << 29


@pytest.fixture(scope="session")
def good(real: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A store in which a killed program's journal was brought in; a part of it is packed."""
    store = tmp_path_factory.mktemp("good") / "traces.db"
    put(store, real)
    put_witness(store)
    ingester = Ingester(str(store))
    ingester.run(everything=True)
    ingester.close()
    connection = sqlite3.connect(store, isolation_level=None)
    items = connection.execute("SELECT id, form, data FROM fresh ORDER BY id LIMIT 12").fetchall()
    connection.execute("INSERT INTO blocks VALUES (?, ?, ?)", (items[0][0], items[-1][0], pack(items)))
    connection.execute("DELETE FROM fresh WHERE id <= ?", (items[-1][0],))
    export_from(connection, "a journal", [(name_of(TARGET), "")])
    connection.execute(
        "INSERT INTO outbox (target, trace, span_id, under_way) SELECT id, trace, span_id, 0 FROM spans, targets"
    )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    return store


def look(store: Path) -> None:
    ask(store)
    use(store)
    command(["prune", "--dry-run", "since:2000-01-01"], store)
    with contextlib.suppress(AgentopsError), Reader(str(store)) as reader:  # `tail`, which does not end by itself
        for edge in [*Edges(reader, parse([])).so_far(10), *Edges(reader, parse([]), new=True).news()]:
            span_fields(edge.trace, edge.span)
    command(["doctor"], store)
    with contextlib.redirect_stderr(io.StringIO()):
        delivery = Delivery(str(store), TARGET)
        delivery.run(lambda: 512)
        delivery.close()


def check_rows(good: Path, changes: Any) -> None:
    """Read `good` after `changes` to its rows."""
    with new_store() as store:
        shutil.copy(good, store)
        put_rows(store, changes)
        look(store)


def check_bytes(good: Path, changes: Any, log: bool) -> None:
    """Read `good` after `changes` to its bytes, or to those of its write-ahead log."""
    with new_store() as store:
        shutil.copy(good, store)
        if log:
            connection = sqlite3.connect(store, isolation_level=None)
            connection.execute("UPDATE spans SET start_ns = start_ns + 1")
            wal = Path(f"{store}-wal").read_bytes()
            connection.close()
            Path(f"{store}-wal").write_bytes(changed(wal, changes))
        else:
            store.write_bytes(changed(store.read_bytes(), changes))
        look(store)


QUIET = settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@QUIET
@given(ROWS)
def test_whatever_stands_in_a_column_is_shown_or_refused(good: Path, changes: Any) -> None:
    with bounded(ROOM_BYTES):
        check_rows(good, changes)


@QUIET
@given(HELD)
def test_whatever_a_span_or_a_content_holds_is_shown_or_refused(good: Path, changes: Any) -> None:
    with bounded(ROOM_BYTES):
        check_rows(good, changes)


@QUIET
@given(CHANGES, st.booleans())
def test_a_garbled_store_is_read_or_refused(good: Path, changes: Any, log: bool) -> None:
    with bounded(ROOM_BYTES):
        check_bytes(good, changes, log)


def test_contents_that_refer_twice_to_each_other_end(good: Path) -> None:
    with new_store() as store, bounded(ROOM_BYTES):
        shutil.copy(good, store)
        connection = sqlite3.connect(store, isolation_level=None)
        connection.execute("DELETE FROM fresh")
        connection.execute("UPDATE blocks SET first = 1, last = 59, data = ?", (squeezed(encode(doubled(60))),))
        connection.execute("UPDATE spans SET input = NULL, output = NULL")
        connection.execute("UPDATE spans SET input = 59 WHERE span_id IN (SELECT span_id FROM spans LIMIT 4)")
        connection.close()
        begun = time.process_time()
        code, out, _ = command(["export"], store)
        assert code == 0
        assert time.process_time() - begun < 8
        assert "not in the store" in out


def test_a_block_that_unpacks_to_more_than_memory_is_as_if_it_were_not_there(good: Path) -> None:
    with new_store() as store, bounded(ROOM_BYTES):
        shutil.copy(good, store)
        connection = sqlite3.connect(store, isolation_level=None)
        connection.execute("UPDATE blocks SET data = ?", (BOMB,))
        connection.close()
        code, out, _ = command(["export"], store)
        assert code == 0
        assert "not in the store" in out


def test_tags_and_a_status_that_nobody_wrote_are_none(good: Path) -> None:
    with new_store() as store:
        shutil.copy(good, store)
        connection = sqlite3.connect(store, isolation_level=None)
        connection.execute("UPDATE traces SET tags = '[', status = 99, kind = -5")
        connection.close()
        with Reader(str(store)) as reader:
            assert {(trace.status, trace.kind, *trace.tags) for trace in reader.traces()} == {("interrupted", "chain")}


def test_text_in_a_column_of_numbers_is_damage(good: Path) -> None:
    with new_store() as store:
        shutil.copy(good, store)
        connection = sqlite3.connect(store, isolation_level=None)
        connection.execute("UPDATE traces SET start_ns = 'yesterday'")
        connection.close()
        code, _, err = command(["ls"], store)
        assert code == 3
        assert "no agentops wrote" in err


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is set as Linux counts it")
def test_stores_from_elsewhere_for_half_an_hour(good: Path, record_property: Callable[[str, object], None]) -> None:
    def one(input: tuple[Any, Any, Any, int]) -> None:
        rows, held, changes, how = input
        if how < 2:
            check_bytes(good, changes, how == 1)
        else:
            check_rows(good, rows if how < 4 else held)

    with bounded(ROOM_BYTES):
        measured = run_long(one, st.tuples(ROWS, HELD, CHANGES, st.integers(0, 6)))
    for name, value in {**measured, "peak MB": peak_megabytes()}.items():
        record_property(name, value)
