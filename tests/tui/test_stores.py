"""Stores that cannot be read, and what the explorer says instead of ending in a traceback."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from agentops_tui.app import Explorer
from tests.tui.seen import Record, lacks, run, screen, shows


def test_a_file_that_is_no_store_is_said_and_q_ends_with_the_code_for_it(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    path.write_bytes(b"a letter and no database " * 400)
    app = Explorer(str(path))

    async def story(pilot: Any) -> None:
        await shows(app, "file is not a database")
        assert "The store is damaged" in screen(app) and "agentops doctor" in screen(app)
        await pilot.press("down", "enter", "e", "y", "G", "question_mark", "escape", "q")

    run(story, app)
    assert app.return_code == 3


def test_a_newer_store_is_left_alone(tmp_path: Path, record: Record) -> None:
    store = record("with span('one'): pass")
    with sqlite3.connect(store) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    app = Explorer(str(store))

    async def story(pilot: Any) -> None:
        await shows(app, "written by a newer agentops")
        assert "format 99" in " ".join(screen(app).split())
        await pilot.press("q")

    run(story, app)
    assert app.return_code == 3


def test_a_store_that_becomes_good_again_is_shown(tmp_path: Path, record: Record) -> None:
    store = record("with span('the run'): pass")
    aside = store.rename(tmp_path / "aside.db")
    store.write_bytes(b"a letter and no database " * 400)
    app = Explorer(str(store))

    async def story(pilot: Any) -> None:
        await shows(app, "damaged")
        store.unlink()
        aside.rename(store)
        await shows(app, "the run")
        await lacks(app, "damaged")
        await pilot.press("q")

    run(story, app)
    assert not app.return_code


def test_a_store_that_breaks_while_it_is_open_is_said_and_the_explorer_stays(record: Record) -> None:
    app = Explorer(str(record("with span('run'):\n    with span('step', input='x'): pass")), trace="latest")

    async def story(pilot: Any) -> None:
        await shows(app, "neither input nor output was recorded")
        with sqlite3.connect(app.store) as connection:
            connection.execute("DROP TABLE events")
        connection.close()
        await pilot.press("down")
        await shows(app, "no such table: events")
        await pilot.press("minus", "equals_sign", "t", "escape")
        await shows(app, "1 run")

    run(story, app)


def test_a_store_that_was_cut_in_half_is_damaged(record: Record) -> None:
    store = record("for n in range(400):\n    with span(f'run {n}', input=str(n) * 500): pass")
    whole = store.read_bytes()
    store.write_bytes(whole[: len(whole) // 2])
    app = Explorer(str(store))

    async def story(pilot: Any) -> None:
        await shows(app, "malformed")
        assert "damaged" in screen(app)
        await pilot.press("enter", "e", "q")

    run(story, app)
    assert app.return_code == 3
