"""Stores from elsewhere are written to: it goes as far as it goes, or is refused; nothing else on the disk changes."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agentops.errors import AgentopsError, NotFound
from agentops.journal.format import END, EVENT, SCORE, START, encode
from agentops.store.contents import pack
from agentops.store.ingest import Ingester
from agentops.store.reader import Reader
from tests.fuzz import test_stores as reading
from tests.fuzz.journals import CHANGES, changed, put, whole
from tests.fuzz.long import bounded, run_long
from tests.fuzz.looking import command, peak_megabytes
from tests.fuzz.stores import COLUMNS, HELD, ROWS, make_old, put_rows
from tests.fuzz.test_journals import new_store, real  # noqa: F401
from tests.fuzz.test_stores import ROOM_BYTES, good  # noqa: F401

NEW = b"n" * 16
LONG = encode({"role": "user", "content": "new needle " * 40})
#: What a program records beside such a store.
RECORDS = (
    (START, 1, NEW, 0, 10**18, "new", 3, 1, None, [(1, 0, LONG)], {"gen_ai.request.model": "a-model"}, {"user": "ada"}),
    (EVENT, 1, NEW, 10**18 + 1, "chunk", {"n": 1}),
    (SCORE, NEW, 1, "helpful", 0.5, None, 10**18 + 2),
    (END, 1, NEW, 10**18 + 3, 1, {"gen_ai.usage.input_tokens": 7}, 1),
)


def _ingest(store: Path) -> None:
    put(store, whole(*RECORDS, number=9), 9)
    with contextlib.suppress(AgentopsError):
        ingester = Ingester(str(store))
        try:
            ingester.run(everything=True)
        finally:
            ingester.close()
    if list(store.with_name("traces.journal").glob("*.journal")):
        return  # it waits, and `doctor` shows it
    with contextlib.suppress(AgentopsError), Reader(str(store)) as reader:
        try:
            reader.trace(NEW.hex())
        except NotFound:
            raise AssertionError("what was recorded is gone") from None


def _keep_within(store: Path, *bounds: int) -> None:
    with contextlib.suppress(AgentopsError):
        ingester = Ingester(str(store))
        try:
            ingester.run()
            ingester.keep_within(bounds, True)
        finally:
            ingester.close(tidy=True)


STEPS: dict[str, Callable[[Path], object]] = {
    "ingest": _ingest,
    "bound in bytes": lambda store: _keep_within(store, 40_000, 0),
    "bound in age": lambda store: _keep_within(store, 0, 1),
    "prune": lambda store: command(["prune", "--yes", "needle"], store),
    "prune by status": lambda store: command(["prune", "--yes", "-status:error"], store),
    "prune to bounds": lambda store: command(["prune"], store),
    "forget a user": lambda store: command(["forget", "--yes", "--user", "ada"], store),
    "forget a session": lambda store: command(["forget", "--yes", "--session", "s", "--json"], store),
    "forget a match": lambda store: command(["forget", "--yes", "--match", "name:answer"], store),
    "search": lambda store: command(["search", "needle"], store),
    "backup": lambda store: command(["backup", str(store.with_name("copy.db"))], store),
}
STEP = st.lists(st.sampled_from(list(STEPS)), min_size=1, max_size=5)


def work(store: Path, steps: list[str]) -> None:
    """Write to `store`; nothing beside it changes."""
    beside = store.with_name("precious.txt")
    beside.write_text("years of work")
    for step in steps:
        done = STEPS[step](store)
        if isinstance(done, tuple):
            assert done[0] in (0, 1, 2, 3, 4), (step, done)
    assert beside.read_text() == "years of work"
    others = {path.name for path in store.parent.iterdir()} - {"precious.txt", "traces.journal", "copy.db"}
    assert all(name.startswith("traces.db") for name in others), others


def check_rows(good: Path, changes: Any, steps: list[str], old: bool = False) -> None:  # noqa: F811
    """Write to `good` after `changes` to its rows, or to what it would have been in the first format."""
    with new_store() as store:
        shutil.copy(good, store)
        put_rows(store, changes)
        if old:
            make_old(store)
        work(store, steps)


def check_bytes(good: Path, changes: Any, steps: list[str]) -> None:  # noqa: F811
    """Write to `good` after `changes` to its bytes."""
    with new_store() as store:
        shutil.copy(good, store)
        store.write_bytes(changed(store.read_bytes(), changes))
        work(store, steps)


QUIET = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@QUIET
@given(ROWS | HELD, STEP, st.booleans())
@example([(("fresh", "data"), None, 37)], ["forget a user"], False)
@example([(("fresh", "data"), None, 144)], ["search", "ingest"], False)
@example([(("fresh", "data"), None, "x")], ["bound in bytes"], False)
@example([(("parts", "documents"), None, "")], ["bound in bytes"], False)
@example([(("meta", "value"), None, "m")], ["prune", "ingest"], False)
def test_a_store_with_anything_in_it_is_written_to_or_refused(
    good: Path,  # noqa: F811
    changes: Any,
    steps: list[str],
    old: bool,
) -> None:
    with bounded(ROOM_BYTES):
        check_rows(good, changes, steps, old)


@QUIET
@given(CHANGES, STEP)
def test_a_garbled_store_is_written_to_or_refused(good: Path, changes: Any, steps: list[str]) -> None:  # noqa: F811
    with bounded(ROOM_BYTES):
        check_bytes(good, changes, steps)


def test_an_old_store_that_counts_to_the_moon_is_brought_up_to_date_at_once(good: Path) -> None:  # noqa: F811
    with new_store() as store:
        shutil.copy(good, store)
        put_rows(store, [(("meta", "value"), None, 2**62)])
        make_old(store)
        begun = time.monotonic()
        code, out, _ = command(["search", "needle"], store)
        assert code == 0 and "answer" in out
        assert time.monotonic() - begun < 20


def test_an_index_is_made_anew_in_a_bounded_memory(good: Path) -> None:  # noqa: F811
    with new_store() as store:
        shutil.copy(good, store)
        connection = sqlite3.connect(store, isolation_level=None)
        text = encode("many words " * (8 << 20 >> 3))
        for number in range(1_000, 1_014):  # a few KB each, as blocks
            connection.execute("INSERT INTO blocks VALUES (?, ?, ?)", (number, number, pack([(number, 0, text)])))
            connection.execute("INSERT INTO uses VALUES (?, 1)", (number,))
        connection.close()
        with bounded(160 << 20):
            code, _, err = command(["forget", "--yes", "--match", "name:witness"], store)
            assert code == 0, err
            code, out, _ = command(["prune", "--yes", "name:answer"], store)
            assert code == 0 and "taken out" in out


#: What stands in a column for a row of its own kind, and does not fit.
MISFITS = (-5, 2**63 - 1, 1.5, 1e300, "", "x", b"\x80", 0)
ORDERS = (
    ["search", "prune", "ingest", "bound in bytes", "backup", "forget a user", "ingest", "bound in age"],
    ["forget a match", "ingest", "forget a session", "prune by status", "prune to bounds", "search"],
)


@pytest.mark.proof
def test_every_column_with_every_misfit_is_read_and_written(
    good: Path,  # noqa: F811
    record_property: Callable[[str, object], None],
) -> None:
    places = [(table, column) for table, columns in COLUMNS.items() for column in columns.split()]
    for place, misfit in itertools.product(places, MISFITS):
        changes = [(place, None, misfit)]
        reading.check_rows(good, changes)
        for steps in ORDERS:
            check_rows(good, changes, steps)
    record_property("columns", len(places))
    record_property("stores", len(places) * len(MISFITS) * 3)


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is set as Linux counts it")
def test_stores_from_elsewhere_written_to_for_half_an_hour(
    good: Path,  # noqa: F811
    record_property: Callable[[str, object], None],
) -> None:
    def one(input: tuple[Any, Any, Any, int, list[str]]) -> None:
        rows, held, changes, how, steps = input
        if how < 2:
            check_bytes(good, changes, steps)
        else:
            check_rows(good, rows if how < 5 else held, steps, how in (4, 6))

    with bounded(ROOM_BYTES):
        measured = run_long(one, st.tuples(ROWS, HELD, CHANGES, st.integers(0, 6), STEP))
    for name, value in {**measured, "peak MB": peak_megabytes()}.items():
        record_property(name, value)
