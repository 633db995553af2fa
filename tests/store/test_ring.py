"""The store keeps within its bounds by itself, and says what it keeps."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import agentops
from agentops import score, span
from agentops.store.filters import parse
from agentops.store.reader import Reader
from agentops.store.ring import Limits, settle
from agentops.store.schema import VERSION, connect
from agentops.store.upkeep import Store

Program = Callable[..., object]


def names(store: Path) -> list[str]:
    with Reader(str(store)) as reader:
        return [trace.name for trace in reader.traces(limit=None)]


def words() -> str:
    return " ".join(f"w{random.randrange(3000)}" for _ in range(3000))


def within(store: Path, max_bytes: int) -> list[str]:
    """What is left in the bounds, the newest first."""
    agentops.shutdown()
    with Store(str(store)) as opened:
        opened.keep_within(Limits(max_bytes, 0), True)
    return names(store)


def test_over_its_room_the_oldest_clean_runs_go_first_and_failed_and_scored_ones_stay(store: Path) -> None:
    for n in range(250):
        with contextlib.suppress(ValueError), span(f"run {n}", kind="agent", input=words()) as run:
            if n in (3, 4):
                raise ValueError("no")
        if n == 5:
            score("good", 1, trace=run)
    left = within(store, 1_000_000)
    assert os.path.getsize(store) < 1_100_000
    assert {"run 3", "run 4", "run 5", "run 249"} <= set(left)
    clean = [name for name in left if name not in ("run 3", "run 4", "run 5")]
    assert clean == [f"run {n}" for n in range(249, 249 - len(clean), -1)]
    assert 40 < len(clean) < 200


def test_a_store_full_of_failures_still_keeps_the_run_that_has_just_ended(store: Path) -> None:
    for n in range(200):
        with contextlib.suppress(ValueError), span(f"run {n}", kind="agent", input=words()):
            raise ValueError("no")
    with span("the last", kind="agent"):
        pass
    left = within(store, 1_000_000)
    assert left[0] == "the last"
    assert "run 0" not in left


def test_a_program_keeps_its_store_within_bounds_by_itself(program: Program, tmp_path: Path) -> None:
    program("""
        import random
        import agentops
        from agentops import span
        agentops.init(max_bytes="20MB")
        for n in range(5000):
            with span(f"run {n}", input=" ".join(f"w{random.randrange(3000)}" for _ in range(1500))):
                pass
        agentops.shutdown()
    """)  # fmt: skip
    store = tmp_path / "traces.db"
    assert os.path.getsize(store) < 25_000_000
    left = names(store)
    assert left == [f"run {n}" for n in range(4999, 4999 - len(left), -1)]
    assert 1000 < len(left) < 4000


def test_runs_over_their_age_go(store: Path) -> None:
    with span("old"):
        pass
    agentops.shutdown()
    agentops.init(max_age="0.000001h")
    with contextlib.suppress(ValueError), span("old and failed"):
        raise ValueError("no")
    agentops.shutdown()
    agentops.init(max_age=30)
    with span("new"):
        pass
    agentops.shutdown()
    assert names(store)[0] == "new"
    assert "old" not in names(store)


def test_bounds_that_a_program_has_set_hold_for_those_that_set_none(store: Path) -> None:
    agentops.init(max_bytes="30MB")
    with span("first"):
        pass
    agentops.shutdown()
    connection = connect(str(store))
    assert settle(connection, Limits(5 * 10**9, 0), False) == Limits(30_000_000, 0)
    connection.close()


def test_a_store_of_the_first_format_is_brought_up_to_date_and_can_be_pruned(store: Path) -> None:
    prompt = {"role": "system", "content": "You are a patient librarian. " * 20}
    for n in range(3):
        with span(f"run {n}", kind="llm", input=[prompt, {"role": "user", "content": f"word{n}word " * 40}]) as call:
            call.output = "the same answer " * 30
    agentops.shutdown()
    connection = sqlite3.connect(store, isolation_level=None)
    for (part,) in connection.execute("SELECT part FROM parts").fetchall():
        connection.execute(f"DROP TABLE words_{part}")
    for statement in (
        "DROP TABLE losses", "DROP TABLE keeps", "DROP TABLE orphans", "DROP TABLE parts", "DROP INDEX uses_trace",
        "DROP TABLE targets", "DROP TABLE outbox", "DROP TABLE exporting", "DROP TABLE calls", "DROP TABLE prices",
        "ALTER TABLE traces DROP COLUMN unpriced",
        "DELETE FROM meta WHERE name != 'content'",
        ("CREATE VIRTUAL TABLE words USING fts5 (text, content='', columnsize=0, detail=none, "
        "tokenize='unicode61 remove_diacritics 2')"),
        "PRAGMA user_version = 1",
    ):  # fmt: skip
        connection.execute(statement)
    connection.close()
    with Reader(str(store)) as reader:
        assert [trace.name for trace in reader.traces(parse("word1word"))] == ["run 1"]
        assert len(reader.traces(parse('"patient librarian"'))) >= 1
    connection = sqlite3.connect(store)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    connection.close()
    with Store(str(store)) as opened:
        assert opened.prune(parse("name:run")).traces == 3
    connection = sqlite3.connect(store)
    for table in ("contents", "fresh", "blocks", "uses", "keeps", "names"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    connection.close()
