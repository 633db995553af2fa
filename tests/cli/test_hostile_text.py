"""What a model or a tool said does nothing to a terminal, a page or the command itself."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Agentops = Callable[..., Any]

NASTY = (
    "needle \x1b]0;owned\x07 \x1b[2J\x1b[31m \x9b31m \x85 \u202egnp.exe \u2066x \x00 \ud800 \u200b \u2028 \r\b\x7f "
    "[bold red]markup[/] <script>alert(1)</script>"
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, recording: Callable[[str, Path], Path]) -> Path:
    """A store in which every text is hostile; only to be read."""
    return recording(
        f"""
        NASTY = {NASTY!r}
        try:
            with span(NASTY, kind="agent", session=NASTY, user=NASTY, tags=[NASTY], metadata={{NASTY: NASTY}},
                      attributes={{NASTY: NASTY}}, input={{NASTY: [NASTY]}}) as s:
                s.output = NASTY + " and " + NASTY
                s.set_attribute("gen_ai.request.model", NASTY.replace("\\ud800", ""))
                s.add_event(NASTY, {{NASTY: NASTY}})
                score(NASTY, NASTY, comment=NASTY)
                raise ValueError(NASTY)
        except ValueError:
            pass
        """,
        tmp_path_factory.mktemp("hostile") / "traces.db",
    )


FORMS = [
    ["ls"],
    ["ls", "--spans"],
    ["show", "latest"],
    ["show", "latest", "--content"],
    ["show", "latest", "--content", "--plain"],
    ["show", "latest", "--content", "--md"],
    ["search", "needle"],
]


@pytest.mark.parametrize("words", FORMS)
def test_no_control_or_bidi_character_is_printed(agentops: Agentops, hostile: Path, words: list[str]) -> None:
    done = agentops(*words, store=hostile)
    assert (done.code, done.err) == (0, "")
    assert "needle" in done.out
    found = {c for c in done.out if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert found == set()


@pytest.mark.parametrize("words", FORMS)
def test_a_terminal_gets_no_such_character_either(executable: Agentops, hostile: Path, words: list[str]) -> None:
    done = executable(*words, store=hostile)
    assert (done.code, done.err) == (0, "")
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in done.out if c != "\n")


def test_a_model_with_half_a_character_in_its_name_does_not_lock_the_store(agentops: Agentops, record: Any) -> None:
    record("with span('a', kind='llm', attributes={'gen_ai.request.model': 'm\\ud800'}): pass")
    assert agentops("ls").code == 0


def test_what_was_hidden_is_made_visible(agentops: Agentops, hostile: Path) -> None:
    out = agentops("show", "latest", "--content", store=hostile).out
    assert all(shown in out for shown in ("\\x1b]0;owned\\x07", "\\x9b31m", "\\u202egnp.exe", "\\x00", "\\u2028"))


def test_markup_is_printed_as_it_was_written(agentops: Agentops, hostile: Path) -> None:
    assert "[bold red]markup[/] <script>" in agentops("show", "latest", "--content", store=hostile).out


@pytest.mark.parametrize("words", [["ls"], ["ls", "--spans"], ["show", "latest", "--content"], ["search", "needle"]])
def test_json_and_export_keep_it_exactly_and_are_ascii(agentops: Agentops, hostile: Path, words: list[str]) -> None:
    out = agentops(*words, "--json", store=hostile).out
    assert out.isascii()
    assert json.loads(out)
    (line,) = agentops("export", store=hostile).lines
    assert line.isascii()
    found = json.loads(line)
    assert found["input"] == {NASTY: [NASTY]}
    assert found["output"] == f"{NASTY} and {NASTY}"


def test_an_ascii_terminal_gets_through_all_of_it(executable: Agentops, hostile: Path) -> None:
    for words in FORMS:
        done = executable(*words, store=hostile, PYTHONIOENCODING="ascii")
        assert (done.code, done.err) == (0, "")


def test_an_error_shows_what_was_typed_without_its_escapes(agentops: Agentops, hostile: Path) -> None:
    for words in (["show", "\x1b[2J"], ["ls", "kind:\x1b[2J"], ["\x1b[2J"], ["schema", "\x1b[2J"]):
        done = agentops(*words, store=hostile)
        assert done.code == 2
        assert "\x1b" not in done.err


def test_a_wrong_option_is_shown_without_its_escapes(agentops: Agentops, hostile: Path) -> None:
    done = agentops("ls", "--\x1b[2J", store=hostile)
    assert done.code == 2
    assert "\x1b" not in done.err
