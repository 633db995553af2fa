"""Whatever a model or a tool said: it is shown, as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from agentops_tui.app import Explorer
from tests.tui.seen import Record, run, screen, shows

EVIL = [
    "\x1b]0;pwned\x07", "\x1b[2J\x1b[31mred", "\x9b31m", "\u202egnp.exe", "[link=file:///etc/passwd]x[/link]", "[/red]",
    "\x00nul", "[@click=app.bell]click[/]", "a\u200bb", "{curly}", "\\[x]", "$variable", "line\nbreak\ttab",
]  # fmt: skip
#: Never to a terminal as they are.
RAW = set("\x00\x07\x1b\x9b\u202e\u200b")


@pytest.fixture
def evil(record: Record) -> Path:
    return record(
        f"""
        evil = {EVIL!r}
        for e in evil:
            try:
                with span("answer " + e, kind="agent", input=evil, session=e, tags=[e]):
                    with span("tool " + e, kind="tool", input={{e: e, "in": {{e: [e]}}}}) as s:
                        s.set_attribute("k " + e, e)
                        s.add_event("event " + e, {{e: e}})
                        s.output = e * 3
                        raise ValueError(e)
            except ValueError:
                pass
        """
    )


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_hostile_text_is_inert_everywhere(evil: Path, size: tuple[int, int]) -> None:
    app = Explorer(str(evil))

    async def story(pilot: Any) -> None:
        await shows(app, "answer")
        written: list[str] = []
        driver = app._driver
        assert driver is not None
        driver.write = written.append  # type: ignore[method-assign,assignment]
        for row in range(size[0] // 100, len(EVIL), 3):
            await pilot.press("g", *["down"] * row, "enter")
            await shows(app, "tool ")
            if size[0] < 100:
                await pilot.press("enter")
            else:
                await pilot.press("tab")
            for _ in range(5):
                await pilot.press("right_square_bracket")
                await pilot.pause(0.03)
                assert not RAW & set(screen(app)), row
                assert all(strip.cell_length == size[0] for strip in app.screen._compositor.render_strips())
            await pilot.press("escape", "escape")
            await shows(app, "took")
        assert "[/red]" in screen(app) and "\\x1b[2J" in screen(app)
        assert not RAW - {"\x1b", "\x07"} & set("".join(written))

    run(story, app, size)


def test_a_name_as_long_as_a_book_and_a_value_as_deep_as_a_well(record: Record) -> None:
    store = record(
        """
        deep = "bottom"
        for _ in range(400):
            deep = {"down": [deep]}
        with span("long " + "name " * 40_000, kind="tool", input=deep) as s:
            s.output = "word " * 200_000
        """
    )
    app = Explorer(str(store), trace="latest")

    async def story(pilot: Any) -> None:
        await shows(app, "T long name")
        await pilot.press("tab", "right_square_bracket", "G")
        await shows(app, "more: y copies all")
        await pilot.press("y")
        await pilot.pause(0.2)
        await shows(app, "copied")
        assert json.loads(app.clipboard)["output"].startswith("word word")

    run(story, app)


def test_wide_characters_keep_their_columns(record: Record) -> None:
    store = record(
        """
        with span("旅行代理店エージェントによる変更", kind="agent", input="航空券を変更したいです。どうすれば。" * 4):
            with span("予約検索ツール🛫" * 6, kind="tool", input={"都市": "東京", "メモ": "長い文" * 30}):
                pass
        """
    )
    for size in ((80, 24), (121, 40)):
        app = Explorer(str(store))

        async def story(pilot: Any, app: Explorer = app, size: tuple[int, int] = size) -> None:
            await shows(app, "航空券")
            for key in ("enter", "down", "enter"):
                await pilot.press(key)
                await pilot.pause(0.2)
                for strip in app.screen._compositor.render_strips():
                    assert cell_len(strip.text) == size[0]

        run(story, app, size)
