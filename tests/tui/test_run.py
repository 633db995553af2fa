"""One run: the tree, its keys, the waterfall, the detail."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from agentops_tui.app import Explorer
from agentops_tui.screens.trace import TraceScreen, ValueScreen
from agentops_tui.widgets.detail import Detail
from agentops_tui.widgets.span_tree import SpanTree
from tests.tui.seen import Record, colours, lacks, lines, run, screen, shows, until


def opened(store: Path) -> Explorer:
    return Explorer(str(store), trace="latest")


def under_cursor(app: Explorer) -> str:
    tree = app.screen.query_one(SpanTree)
    assert tree.outline is not None and tree.chosen is not None
    return tree.outline.lines[tree.chosen].span.name


def failed_run(shop: Path) -> Explorer:
    from agentops.store.filters import parse
    from agentops.store.reader import Reader

    with Reader(str(shop)) as reader:
        (trace,) = reader.traces(parse("status:error"))
    return Explorer(str(shop), trace=trace.trace_id)


def test_a_failed_run_opens_at_its_first_failure_with_the_reason(shop: Path) -> None:
    app = failed_run(shop)

    async def story(pilot: Any) -> None:
        await shows(app, "first of 3 errors")
        await shows(app, "this tool in this run")
        assert under_cursor(app) == "look_up"
        rows = lines(app)
        assert "turns › turn 1 › look_up" in rows[0] and "✗3" in rows[0]
        assert rows[1].startswith(" ✗ turn 1 › look_up  TimeoutError: no answer about OB-1")
        assert rows[1].endswith("e next")
        await shows(app, "at <string>:")  # where in the user's code; this program has no file
        at = next(n for n, line in enumerate(rows) if "T look_up" in line[:40])
        assert rows[at].startswith(" ✗ ")
        assert all(ground == app.palette.cursor for text, _, ground, _ in colours(app, at)[:4])

    run(story, app)


def test_e_steps_through_failures_and_around(shop: Path) -> None:
    app = failed_run(shop)

    async def story(pilot: Any) -> None:
        await shows(app, "first of 3 errors")
        await pilot.press("e")
        await shows(app, "error 2 of 3 errors")
        await pilot.press("e")
        await shows(app, "error 3 of 3 errors")
        assert under_cursor(app) == "pay"
        await pilot.press("e")
        await shows(app, "first of 3 errors")
        await pilot.press("E")
        await shows(app, "error 3 of 3 errors")

    run(story, app)


def test_a_failure_inside_of_a_folded_line_is_counted_on_it_and_e_unfolds_it(shop: Path) -> None:
    app = failed_run(shop)

    async def story(pilot: Any) -> None:
        await shows(app, "first of 3 errors")
        await pilot.press("minus")
        await lacks(app, "turn 2")
        row = next(line for line in lines(app) if "▸ O turns" in line)
        assert row.startswith(" ✗ ") and "+4 ✗2" in row
        await pilot.press("g", "e")
        await shows(app, "turn 1")
        assert under_cursor(app) == "look_up"

    run(story, app)


def test_keys_fold_and_unfold(shop: Path) -> None:
    app = failed_run(shop)

    async def story(pilot: Any) -> None:
        await shows(app, "first of 3 errors")
        await pilot.press("left")
        assert under_cursor(app) == "turn 1"  # a leaf: to the line above
        await pilot.press("h")
        assert under_cursor(app) == "turn 1" and "▸ C turn 1" in screen(app)
        await pilot.press("right")
        assert "▾ C turn 1" in screen(app)
        await pilot.press("l")
        assert under_cursor(app) == "look_up"
        await pilot.press("k", "space")
        assert "▸ C turn 1" in screen(app)
        await pilot.press("space")
        assert "▾ C turn 1" in screen(app)
        await pilot.press("minus")
        await lacks(app, "C turn 1")
        await pilot.press("equals_sign")
        await shows(app, "look_up")
        await pilot.press("g", "left")
        await lacks(app, "O turns")

    run(story, app)


def test_a_folded_line_says_what_was_asked_in_it(shop: Path) -> None:
    app = failed_run(shop)

    async def story(pilot: Any) -> None:
        await shows(app, "first of 3 errors")
        await pilot.press("left", "left")
        await shows(app, "question 1")

    run(story, app)


def test_bars_go_and_come_and_the_reason_stays(shop: Path) -> None:
    app = failed_run(shop)

    async def story(pilot: Any) -> None:
        await shows(app, "first of 3 errors")
        assert "█" in screen(app)
        await pilot.press("t")
        await lacks(app, "█")
        assert any("look_up" in line and "no answer about OB-2" in line for line in lines(app)[2:])
        await pilot.press("t")
        await shows(app, "█")

    run(story, app)


def test_the_detail_has_input_output_attributes_events_and_the_exception(shop: Path) -> None:
    app = failed_run(shop)

    async def story(pilot: Any) -> None:
        await shows(app, "OB-1")
        await pilot.press("tab", "right_square_bracket", "right_square_bracket", "right_square_bracket")
        await shows(app, "stack trace")
        assert "TimeoutError: no answer about OB-1" in screen(app)
        await pilot.press("tab")
        app.screen.query_one(SpanTree).move_to(2)
        assert under_cursor(app) == "chat haiku"
        await shows(app, "first token")
        await pilot.press("tab", "left_square_bracket")
        await shows(app, "gen_ai.usage")
        await pilot.press("left_square_bracket")
        await shows(app, "Let me look.")
        await pilot.press("left_square_bracket", "left_square_bracket")
        await shows(app, '"output": "Let me look."')

    run(story, app)


def test_y_in_the_detail_copies_the_value_and_in_the_tree_the_id(shop: Path) -> None:
    app = failed_run(shop)

    async def story(pilot: Any) -> None:
        await shows(app, "OB-1")
        await pilot.press("y")
        assert len(app.clipboard) == 16
        await pilot.press("tab", "y")
        await until(lambda: app.clipboard.startswith("{"), "the copy", app)
        assert json.loads(app.clipboard)["input"] == {"order": "OB-1", "deep": {"a": [1, {"b": 2}]}}

    run(story, app)


def test_below_100_columns_enter_opens_the_detail_on_a_screen_of_its_own(shop: Path) -> None:
    app = failed_run(shop)

    async def story(pilot: Any) -> None:
        await shows(app, "1/3")
        assert not app.screen.query_one(Detail).display
        assert all(len(line) <= 80 for line in lines(app))
        await pilot.press("enter")
        await shows(app, "this tool in this run")
        assert isinstance(app.screen, ValueScreen)
        await pilot.press("escape")
        await shows(app, "1/3")
        assert isinstance(app.screen, TraceScreen)
        await pilot.resize_terminal(120, 40)
        await shows(app, "this tool in this run")

    run(story, app, (80, 24))


def test_the_screen_never_has_a_border_and_always_its_width(shop: Path) -> None:
    for size in ((60, 12), (80, 24), (100, 30), (120, 40), (200, 50)):
        app = failed_run(shop)

        async def story(pilot: Any, app: Explorer = app, size: tuple[int, int] = size) -> None:
            await shows(app, "look_up")
            strips = app.screen._compositor.render_strips()
            assert [strip.cell_length for strip in strips] == [size[0]] * size[1]
            assert not set(screen(app)) & set("│┃║┌┐└┘╭╮╰╯")

        run(story, app, size)


def test_an_unknown_run_is_said_and_the_list_stays(shop: Path) -> None:
    app = Explorer(str(shop), trace="ffffffffff")

    async def story(pilot: Any) -> None:
        await shows(app, "there is no trace")
        await shows(app, "nightly")

    run(story, app)


def test_no_color_makes_failures_bold(shop: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = failed_run(shop)

    async def story(pilot: Any) -> None:
        await shows(app, "first of 3 errors")
        at = next(n for n, line in enumerate(lines(app)) if "T look_up" in line[:40])
        assert any(text == "look_up" and bold for text, _, _, bold in colours(app, at))
        assert not any(text == "L " and not bold for text, _, _, bold in colours(app, at))

    run(story, app)


def test_a_chain_5000_deep_can_be_walked(record: Record) -> None:
    store = record(
        """
        import contextlib
        with contextlib.ExitStack() as stack:
            for n in range(5000):
                stack.enter_context(span(f"level {n}"))
        """
    )
    app = opened(store)

    async def story(pilot: Any) -> None:
        await shows(app, "level 3 ")
        await pilot.press("equals_sign", "G")
        await shows(app, "level 4999")
        assert "4999›" in screen(app)
        await pilot.press("left", "minus", "equals_sign", "g", "G", "e")
        await shows(app, "level 4999")

    run(story, app, (100, 30))


def test_a_run_of_100000_spans_opens_and_moves_without_waiting(record: Record) -> None:
    store = record("with span('large'):\n    with span('first'): pass")
    with sqlite3.connect(store) as connection:
        (columns,) = connection.execute("SELECT count(*) FROM pragma_table_info('spans')").fetchone()
        trace, name, start = connection.execute("SELECT trace, name, start_ns FROM spans").fetchone()
        (root,) = connection.execute("SELECT root FROM traces").fetchone()
        rows = (
            (trace, n, root if n % 100 == 1 else n - n % 100 + 1, name, n % 9, 2 if n == 70_042 else 1, start + n,
             start + n + 50, *[None] * (columns - 8))
            for n in range(100, 100_100)
        )  # fmt: skip
        connection.executemany(f"INSERT INTO spans VALUES ({', '.join('?' * columns)})", rows)
    connection.close()
    app = opened(store)

    async def story(pilot: Any) -> None:
        await shows(app, "the only error")
        tree = app.screen.query_one(SpanTree)
        assert tree.outline is not None and tree.rows < 2_000  # what is well is folded
        assert tree.outline.lines[tree.chosen or 0].span.span_id == 70_042
        begun = time.perf_counter()
        for key in ("down", "up", "pagedown", "pageup", "equals_sign", "G", "g", "minus", "e", "left", "space", "t"):
            await pilot.press(key)
        assert time.perf_counter() - begun < 12 * 0.7
        await pilot.press("equals_sign")
        assert tree.rows == 100_002

    run(story, app)
