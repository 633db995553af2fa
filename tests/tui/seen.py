"""What a test of the explorer sees: the screen as text and colours, and waiting for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from agentops_tui.app import Explorer

DEADLINE_S = 20.0
Record = Callable[[str], Path]


def lines(app: Explorer) -> list[str]:
    """What is on the screen, line by line."""
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


def screen(app: Explorer) -> str:
    return "\n".join(lines(app))


def colours(app: Explorer, line: int) -> list[tuple[str, str, str, bool]]:
    """The pieces of one line: text, colour, ground, bold."""
    found = []
    for segment in app.screen._compositor.render_strips()[line]:
        style = segment.style
        assert style is not None and style.color is not None and style.bgcolor is not None
        found.append((segment.text, style.color.name, style.bgcolor.name, bool(style.bold)))
    return found


async def until(true: Callable[[], object], what: str, app: Explorer | None = None) -> None:
    """Wait for a condition, which must come true before a deadline."""
    end = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < end, f"{what} did not happen\n{screen(app) if app else ''}"
        await asyncio.sleep(0.01)


async def shows(app: Explorer, text: str) -> None:
    """Wait until `text` is on the screen."""
    await until(lambda: text in screen(app), f"{text!r} on the screen", app)


async def lacks(app: Explorer, text: str) -> None:
    """Wait until `text` is no longer on the screen."""
    await until(lambda: text not in screen(app), f"{text!r} leaving the screen", app)


def run(story: Callable[[Any], Coroutine[Any, Any, None]], app: Explorer, size: tuple[int, int] = (120, 40)) -> None:
    """Start the app, without a terminal, and tell it a story."""

    async def told() -> None:
        async with app.run_test(size=size) as pilot:
            await story(pilot)

    asyncio.run(told())
