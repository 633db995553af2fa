"""Bars, rulers, wrapping and the list of keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from agentops_tui import keys
from agentops_tui.glances import ago
from agentops_tui.inks import Ink, cells, cut, fill, right, spread, strip, wrap
from agentops_tui.theme import DARK, LIGHT, MONO
from agentops_tui.values import preview, value_lines
from agentops_tui.waterfall import Scale, bar, beside, hairline, round_times

TEXTS = st.text(max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(1, 10**12), st.integers(14, 60), TEXTS)
def test_a_bar_with_its_note_fills_its_column(start: int, more: int, whole: int, width: int, note: str) -> None:
    scale = Scale(0, whole, width)
    for placed in (bar(scale, start, start + more, "llm", "bg"), hairline(scale, start, start + more)):
        assert placed[0] >= 0 and placed[2] >= 0 and cells(placed[1]) >= 1
        for mark in ("", "▸"):
            assert cells(beside(placed, note, "error", mark)) == width


def test_bars_have_eighths_at_both_ends_and_are_never_less_than_a_quarter() -> None:
    scale = Scale(0, 800, 10)  # ten a unit of eighths
    first, inks, after = bar(scale, 130, 290, "llm", "bg")
    assert (first, [ink.text for ink in inks], after) == (1, ["▋", "█", "▋"], 6)
    assert (inks[0].role, inks[0].ground) == ("bg", "llm")  # the empty part of the first cell, over the bar
    assert bar(scale, 0, 0, "llm", "bg")[1][0].text == "▎"
    assert bar(scale, 800, 800, "llm", "bg")[0] == 9


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (81, ["0", "30s", "1m"]),
        (0.022, ["0", "10ms"]),
        (12.4, ["0", "5s", "10s"]),
        (3_700, ["0", "20m", "40m"]),
        (86_400 * 9, ["0"]),
    ],
)
def test_a_ruler_has_round_times(seconds: float, labels: list[str]) -> None:
    found = round_times(Scale(0, int(seconds * 1e9), 30)).split()
    assert found[: len(labels)] == labels


@given(TEXTS, st.integers(2, 40))
def test_text_keeps_to_its_cells(text: str, width: int) -> None:
    assert cell_len(cut(text, width)) <= width
    assert cell_len(fill(text, width)) == cell_len(right(text, width)) == width
    assert cells(spread((Ink(text), Ink(text)), (Ink("end"),), width + 3)) == width + 3
    assert strip((Ink(text), Ink(text)), DARK, width).cell_length == width
    assert all(cell_len(line) <= width for line in wrap(text, width))


@given(TEXTS, st.integers(8, 40))
def test_wrapping_loses_nothing_but_spaces(text: str, width: int) -> None:
    from agentops import inert

    whole = inert.block(text).expandtabs(4)
    assert "".join("".join(wrap(text, width)).split()) == "".join(whole.split())


@given(JSON, st.integers(20, 100))
def test_any_value_can_be_shown(value: object, width: int) -> None:
    for line in value_lines(value, width):
        assert isinstance(strip(line, DARK, width).text, str)
    assert "\n" not in preview(value)


def test_a_preview_is_what_the_user_asked_first() -> None:
    talk = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "Hi\nyou"}]},
    ]
    assert preview(talk) == preview({"messages": talk}) == "Hi you"
    assert preview('{"question": "why?"}') == "why?"
    assert preview({"amount": 12, "note": "for you"}) == "for you"
    assert preview(None) == ""


def test_times_ago_fit_their_column() -> None:
    now = 1_790_000_000 * 10**9
    found = [ago(now - seconds * 10**9, now) for seconds in (-5, 0, 59, 61, 7_500, 90_000, 40 * 86_400)]
    assert found[:6] == ["now", "now", "59s", "1m", "2h05", "1d"]
    assert all(len(text) <= 6 for text in found)


def test_every_key_is_bound_once_where_it_counts_and_no_footer_has_more_than_nine() -> None:
    places = [("app", "rows", "list", "traces"), ("app", "rows", "tree", "trace"), ("app", "detail", "trace")]
    for together in places:
        bound = [name for key in keys.KEYS if key.place in together for name in key.keys.split(",")]
        assert len(bound) == len(set(bound)), together
    assert len({key.id for key in keys.KEYS}) == len(keys.KEYS)
    for footer in ("traces", "filter", "trace", "narrow", "detail", "value", "notice", "help"):
        assert 0 < len(keys.shown(footer)) <= 9
        assert all(label and word for label, word in keys.shown(footer))


def _contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [DARK, LIGHT, MONO])
def test_all_text_can_be_read_on_every_ground(palette: object) -> None:
    from agentops_tui.theme import Palette, style

    assert isinstance(palette, Palette)
    for ground in ("bg", "surface", "panel", "cursor", "alarm"):
        for role in ("text", "muted", "error", "verdict", "llm", "tool", "data"):
            colour = style(palette, role, ground).color
            assert colour is not None
            assert _contrast(colour.name, getattr(palette, ground)) >= 4.5, (role, ground)


def test_the_picture_of_the_readme_fetches_nothing() -> None:
    picture = (Path(__file__).parents[2] / "docs" / "pictures" / "explorer.svg").read_text()
    assert "issue_refund" in picture and "first of 3 errors" in picture
    assert picture.count("http") == picture.count("http://www.w3.org/2000/svg") == 1
    assert "@font-face" not in picture and "@import" not in picture and "<script" not in picture
