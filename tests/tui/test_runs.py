"""The list of runs: keys, pages, the filter, what it says about each run."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from agentops_tui.app import Explorer
from agentops_tui.screens.trace import TraceScreen
from agentops_tui.widgets.trace_list import TraceList
from tests.tui.seen import Record, colours, lacks, lines, run, screen, shows, until


def cursor_of(app: Explorer) -> int:
    return app.screen.query_one(TraceList).cursor


def test_the_newest_run_is_first_and_each_says_what_was_asked_or_what_failed(shop: Path) -> None:
    app = Explorer(str(shop))

    async def story(pilot: Any) -> None:
        await shows(app, "card was declined")
        await shows(app, "hello there")
        rows = lines(app)
        assert [line[9:24].strip() for line in rows[2:5]] == ["nightly", "support agent", "greet"]
        assert rows[3].startswith(" ✗ ")
        assert "pay: ValueError: card was declined" in rows[3]  # what ended the run, not what it got over before
        assert "1.1k" in rows[3] and rows[3].endswith("6")
        assert "3 runs" in rows[0] and "live" in rows[0]

    run(story, app)


def test_only_what_failed_is_red(shop: Path) -> None:
    app = Explorer(str(shop))

    async def story(pilot: Any) -> None:
        await shows(app, "card was declined")
        red = [
            (n, text.strip())
            for n in range(40)
            for text, colour, _, _ in colours(app, n)
            if colour == app.palette.error
        ]
        assert red == [(3, "✗"), (3, "pay"), (3, ":"), (3, "6")]

    run(story, app)


def test_at_80_columns_spans_and_tokens_go_and_the_failure_keeps_its_reason(shop: Path) -> None:
    app = Explorer(str(shop))

    async def story(pilot: Any) -> None:
        await shows(app, "card was declined")
        assert "spans" not in lines(app)[1]
        assert all(len(line) <= 80 for line in lines(app))

    run(story, app, (80, 24))


def test_keys_move_the_cursor(record: Record) -> None:
    app = Explorer(str(record("for n in range(100):\n    with span(f'run {n}'): pass")))

    async def story(pilot: Any) -> None:
        await shows(app, "run 99")
        moves = [
            ("down", 1), ("j", 2), ("k", 1), ("up", 0), ("up", 0), ("pagedown", 20), ("ctrl+d", 30), ("ctrl+u", 20),
            ("pageup", 0), ("G", 99), ("g", 0), ("end", 99), ("home", 0),
        ]  # fmt: skip
        for key, row in moves:
            await pilot.press(key)
            assert (key, cursor_of(app)) == (key, row)
            assert f"run {99 - row} " in screen(app)

    run(story, app, (80, 24))


def test_the_list_goes_to_the_end_of_a_long_store_and_comes_back(record: Record) -> None:
    app = Explorer(str(record("for n in range(1500):\n    with span(f'run {n}.'): pass")))

    async def story(pilot: Any) -> None:
        await shows(app, "1,500 runs")
        await pilot.press("G")
        await shows(app, "run 0.")
        assert "run 14." in screen(app)
        for _ in range(20):
            await pilot.press("pageup")
        chosen = 1499 - cursor_of(app)
        await shows(app, f"run {chosen}.")
        await pilot.press("g")
        await shows(app, "run 1499.")
        seen = app.screen.query_one(TraceList)
        seen.move_to(700)  # a page between two that were never looked at
        await shows(app, "run 799.")

    run(story, app, (80, 24))


def test_e_goes_to_the_next_run_that_failed(shop: Path) -> None:
    app = Explorer(str(shop))

    async def story(pilot: Any) -> None:
        await shows(app, "greet")
        await pilot.press("e")
        assert cursor_of(app) == 1
        await pilot.press("e")
        assert cursor_of(app) == 1
        await shows(app, "no further run with an error in sight: / errors>0 lists them all")
        await pilot.press("G", "E")
        assert cursor_of(app) == 1

    run(story, app)


def test_enter_opens_a_run_and_escape_comes_back_to_its_row(shop: Path) -> None:
    app = Explorer(str(shop))

    async def story(pilot: Any) -> None:
        await shows(app, "greet")
        await pilot.press("down", "enter")
        await shows(app, "turn 2")
        assert isinstance(app.screen, TraceScreen)
        await pilot.press("escape")
        await shows(app, "nightly")
        assert cursor_of(app) == 1

    run(story, app)


def test_a_click_chooses_and_a_second_one_opens(shop: Path) -> None:
    app = Explorer(str(shop))

    async def story(pilot: Any) -> None:
        await shows(app, "greet")
        await pilot.click(TraceList, offset=(20, 3))
        assert cursor_of(app) == 2
        await pilot.click(TraceList, offset=(20, 3))
        await until(lambda: isinstance(app.screen, TraceScreen), "opening", app)

    run(story, app)


def test_a_filter_lists_what_it_selects_and_escape_lists_all(shop: Path) -> None:
    app = Explorer(str(shop))

    async def story(pilot: Any) -> None:
        await shows(app, "greet")
        await pilot.press("slash", *"status:error", "enter")
        await lacks(app, "greet")
        assert "support agent" in screen(app)
        assert "1 matching run" in lines(app)[0]
        await pilot.press("escape")
        await shows(app, "greet")

    run(story, app)


def test_a_wrong_filter_says_in_its_place_what_would_be_right(shop: Path) -> None:
    app = Explorer(str(shop))

    async def story(pilot: Any) -> None:
        await shows(app, "greet")
        await pilot.press("slash", *"kind:tool status:bad", "enter")
        await shows(app, "there is no status 'bad'")
        typed, mark = lines(app)[-4:-2]
        assert [typed[at] for at, c in enumerate(mark) if c == "^"] == list("status:bad")
        await pilot.press(*["backspace"] * 3, *"ok")
        await lacks(app, "there is no status")
        await pilot.press("escape")
        await shows(app, "greet")
        assert "3 runs" in lines(app)[0]

    run(story, app)


def test_a_filter_that_finds_nothing_says_so_and_can_be_left(shop: Path) -> None:
    app = Explorer(str(shop))

    async def story(pilot: Any) -> None:
        await shows(app, "greet")
        await pilot.press("slash", *"name:unheard", "enter")
        await shows(app, "0 matching runs")
        await pilot.press("enter", "down", "G", "e", "y", "escape")
        await shows(app, "greet")

    run(story, app)


def test_y_copies_the_id_for_a_terminal_over_ssh(shop: Path) -> None:
    app = Explorer(str(shop))

    async def story(pilot: Any) -> None:
        await shows(app, "greet")
        written: list[str] = []
        app._driver.write = written.append  # type: ignore[union-attr,method-assign,assignment]
        await pilot.press("y")
        trace = app.screen.query_one(TraceList).chosen
        assert trace is not None
        coded = base64.b64encode(trace.trace_id.encode()).decode()
        await until(lambda: f"\x1b]52;c;{coded}\a" in "".join(written), "OSC 52", app)

    run(story, app)


def test_help_lists_every_key_and_goes_away(shop: Path) -> None:
    app = Explorer(str(shop))

    async def story(pilot: Any) -> None:
        await shows(app, "greet")
        await pilot.press("question_mark")
        await shows(app, "next error")
        assert "unfold all" in screen(app)
        await pilot.press("q")
        await shows(app, "greet")

    run(story, app, (100, 60))


def test_the_theme_turns_light_and_back(shop: Path) -> None:
    app = Explorer(str(shop))

    async def story(pilot: Any) -> None:
        await shows(app, "greet")
        assert colours(app, 4)[0][2] == "#12151b"
        await pilot.press("T")
        await until(lambda: colours(app, 4)[0][2] == "#fcfcfa", "light", app)
        await pilot.press("T")
        await until(lambda: colours(app, 4)[0][2] == "#12151b", "dark", app)

    run(story, app)
