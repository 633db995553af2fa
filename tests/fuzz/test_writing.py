"""Stores from elsewhere are written to: it goes as far as it goes, or is refused; nothing else on the disk changes."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentops.errors import AgentopsError, NotFound
from agentops.journal.format import END, EVENT, SCORE, START, encode
from agentops.store.ingest import Ingester
from agentops.store.reader import Reader
from tests.fuzz.journals import CHANGES, changed, put, whole
from tests.fuzz.long import bounded, run_long
from tests.fuzz.looking import command, peak_megabytes
from tests.fuzz.stores import HELD, ROWS, put_rows
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


def check_rows(good: Path, changes: Any, steps: list[str]) -> None:  # noqa: F811
    """Write to `good` after `changes` to its rows."""
    with new_store() as store:
        shutil.copy(good, store)
        put_rows(store, changes)
        work(store, steps)


def check_bytes(good: Path, changes: Any, steps: list[str]) -> None:  # noqa: F811
    """Write to `good` after `changes` to its bytes."""
    with new_store() as store:
        shutil.copy(good, store)
        store.write_bytes(changed(store.read_bytes(), changes))
        work(store, steps)


QUIET = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@QUIET
@given(ROWS | HELD, STEP)
def test_a_store_with_anything_in_it_is_written_to_or_refused(
    good: Path,  # noqa: F811
    changes: Any,
    steps: list[str],
) -> None:
    with bounded(ROOM_BYTES):
        check_rows(good, changes, steps)


@QUIET
@given(CHANGES, STEP)
def test_a_garbled_store_is_written_to_or_refused(good: Path, changes: Any, steps: list[str]) -> None:  # noqa: F811
    with bounded(ROOM_BYTES):
        check_bytes(good, changes, steps)


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
            check_rows(good, rows if how < 5 else held, steps)

    with bounded(ROOM_BYTES):
        measured = run_long(one, st.tuples(ROWS, HELD, CHANGES, st.integers(0, 6), STEP))
    for name, value in {**measured, "peak MB": peak_megabytes()}.items():
        record_property(name, value)
