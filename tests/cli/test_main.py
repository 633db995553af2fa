"""What holds for all commands: exit codes, errors, help, and the small commands."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import agentops as package
from agentops.cli.main import COMMANDS
from agentops.cli.schemas import SCHEMAS

Agentops = Callable[..., Any]
READING = [["ls"], ["show", "latest"], ["search", "word"], ["export"]]


# -- exit codes and errors ---------------------------------------------------------------------------


@pytest.mark.parametrize("words", READING)
def test_without_a_store_a_reading_command_ends_with_4(agentops: Agentops, words: list[str], tmp_path: Path) -> None:
    done = agentops(*words)
    assert (done.code, done.out) == (4, "")
    assert done.err.startswith(f"agentops: there is no store at {tmp_path}/traces.db: nothing was recorded here yet.")
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", READING)
def test_a_damaged_store_ends_with_3(agentops: Agentops, damaged: Path, words: list[str]) -> None:
    done = agentops(*words, store=damaged)
    assert (done.code, done.out) == (3, "")
    assert re.fullmatch(r"agentops: .*damaged\.db: file is not a database\. Move it aside; .*\n", done.err)


@pytest.mark.parametrize("words", READING)
def test_a_store_of_a_newer_version_ends_with_3(agentops: Agentops, record: Any, words: list[str]) -> None:
    connection = sqlite3.connect(record("with span('word'): pass"))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    done = agentops(*words)
    assert (done.code, done.out) == (3, "")
    assert "written by a newer agentops" in done.err and done.err.count("\n") == 1


def test_a_trace_that_is_not_there_ends_with_4(agentops: Agentops, shop: Path) -> None:
    done = agentops("show", "0" * 32, store=shop)
    assert (done.code, done.out) == (4, "")
    assert done.err.count("\n") == 1 and "`agentops ls` lists them" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["ls", "--colour"],
        ["ls", "-x"],
        ["ls", "--limit", "many"],
        ["ls", "kind:nothing"],
        ["show", "no-id"],
        ["search"],
        ["export", "--to", "csv"],
        ["schema", "nothing"],
        ["ls", "--spans", "spans>3"],
        ["config", "extra"],
        ["ls", "--lim", "3"],
    ],
)
def test_what_is_called_wrongly_ends_with_2_and_prints_nothing(
    agentops: Agentops, shop: Path, words: list[str]
) -> None:
    done = agentops(*words, store=shop)
    assert (done.code, done.out) == (2, "")
    assert done.err


def test_a_wrong_word_of_a_filter_is_underlined(agentops: Agentops, shop: Path) -> None:
    done = agentops("ls", "status:ok", "kind:toll", store=shop)
    assert done.code == 2
    first, line, marks = done.err.splitlines()
    assert first.startswith("agentops: there is no kind 'toll'; there are ")
    assert line == "  status:ok kind:toll"
    assert marks == "            ^^^^^^^^^"


def test_the_underline_stands_below_the_word_after_characters_that_are_shown_as_escapes(
    agentops: Agentops, shop: Path
) -> None:
    done = agentops("ls", "a\x1bb", "kind:toll", store=shop)
    _, line, marks = done.err.splitlines()
    assert line[marks.index("^") :] == "kind:toll"


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        (["ls", "status:ok", "kind:toll", "--json"], "FilterError", 2),
        (["show", "0" * 32, "--json"], "NotFound", 4),
        (["show", "x y", "--json"], "UsageError", 2),
        (["lst", "--json"], "UsageError", 2),
    ],
)
def test_with_json_an_error_is_json_on_standard_error(
    agentops: Agentops, shop: Path, words: list[str], kind: str, code: int
) -> None:
    done = agentops(*words, store=shop)
    assert (done.code, done.out) == (code, "")
    found = json.loads(done.err)
    SCHEMAS["error"].model_validate(found, strict=True)
    assert found["error"]["type"] == kind
    if kind == "FilterError":
        error = found["error"]
        assert error["line"][error["start"] : error["end"]] == "kind:toll"


@pytest.mark.parametrize(
    "words", [["ls", "--colour", "--json"], ["show", "a", "b", "--json"], ["ls", "--limit", "x", "--json"]]
)
def test_with_json_a_wrong_option_is_json_too(agentops: Agentops, shop: Path, words: list[str]) -> None:
    done = agentops(*words, store=shop)
    assert (done.code, done.out) == (2, "")
    SCHEMAS["error"].model_validate(json.loads(done.err), strict=True)


def test_a_damaged_store_as_json_names_the_error(agentops: Agentops, damaged: Path) -> None:
    found = json.loads(agentops("ls", "--json", store=damaged).err)
    SCHEMAS["error"].model_validate(found, strict=True)
    assert found["error"]["type"] == "StoreDamaged"


@pytest.mark.parametrize("words", [["ls"], ["config"], ["doctor"]])
def test_a_setting_that_cannot_be_used_is_said_in_a_sentence(
    agentops: Agentops, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "agentops.toml").write_text("quite = true\n")
    done = agentops(*words)
    assert (done.code, done.out) == (2, "")
    assert (
        "there is no setting 'quite'; there are enabled, export, max_age, max_bytes, max_journal_bytes, prices, quiet"
        in done.err
    )


# -- help --------------------------------------------------------------------------------------------


def test_help_lists_every_command_the_filter_and_the_exit_codes(agentops: Agentops) -> None:
    done = agentops("--help")
    assert (done.code, done.err) == (0, "")
    assert all(re.search(rf"^  {name} ", done.out, re.M) for name in COMMANDS)
    assert "Exit codes: 0 well, 1 problems found, 2 called wrongly, 3" in done.out
    assert agentops("-h").out == agentops("help").out == done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(agentops: Agentops, command: str) -> None:
    done = agentops(command, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"  agentops {command}" in done.out
    assert ("--json" in done.out) == (command != "run"), "a program's output is its own"


def test_the_version_is_the_packages(agentops: Agentops) -> None:
    assert agentops("--version").out == agentops("-V").out == f"agentops {package.__version__}\n"


def test_alone_and_without_a_terminal_it_prints_help_and_ends_with_2(executable: Agentops) -> None:
    done = executable()
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("usage: agentops COMMAND")


# -- config, doctor, schema --------------------------------------------------------------------------


def test_config_says_each_value_and_where_it_came_from(
    agentops: Agentops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agentops.toml").write_text("quiet = true\n")
    monkeypatch.setenv("AGENTOPS_ENABLED", "off")
    done = agentops("config")
    assert done.code == 0
    assert f"store    {tmp_path}/traces.db  (AGENTOPS_STORE)" in done.lines
    assert "enabled  false  (AGENTOPS_ENABLED)" in done.lines
    assert f"quiet    true  ({tmp_path}/agentops.toml)" in done.lines
    assert done.lines[-1].startswith(f"recording goes to {tmp_path}/traces.db")


def test_config_as_json_is_what_the_schema_says(agentops: Agentops, tmp_path: Path) -> None:
    (tmp_path / "agentops.toml").write_text("quiet = true\n")
    found = agentops("config", "--json").object
    SCHEMAS["config"].model_validate(found, strict=True)
    assert found["file"] == str(tmp_path / "agentops.toml")
    assert {setting["name"]: setting["value"] for setting in found["settings"]}["quiet"] is True


def test_a_store_that_the_file_names_is_recorded_into_and_read(executable: Agentops, tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "agentops.toml").write_text('store = "data/runs.db"\n')
    program = "from agentops import span\nwith span('kept'): pass"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=60,
                   env={**os.environ, "AGENTOPS_STORE": ""})  # fmt: skip
    assert (tmp_path / "data" / "runs.db").exists()
    done = executable("ls", AGENTOPS_STORE="")
    assert (done.code, done.err) == (0, "")
    assert "kept" in done.out


def test_config_says_that_the_variable_named_the_store(agentops: Agentops, tmp_path: Path) -> None:
    assert agentops("config", "--json").object["store_reason"] == "AGENTOPS_STORE"


def test_doctor_finds_nothing_wrong_with_a_good_store(agentops: Agentops, shop: Path) -> None:
    done = agentops("doctor", store=shop)
    assert (done.code, done.err) == (0, "")
    assert "✗" not in done.out
    assert re.search(r"traces +4 traces, 9 spans", done.out)


def test_doctor_finds_nothing_wrong_where_nothing_was_recorded_and_makes_nothing(
    agentops: Agentops, tmp_path: Path
) -> None:
    done = agentops("doctor")
    assert (done.code, list(tmp_path.iterdir())) == (0, [])
    assert "no store yet" in done.out


def test_doctor_names_what_is_wrong_and_ends_with_1(agentops: Agentops, damaged: Path) -> None:
    done = agentops("doctor", store=damaged)
    assert (done.code, done.err) == (1, "")
    assert re.search(r"^✗ format .*not a database", done.out, re.M)
    assert re.search(r"^x format ", agentops("doctor", "--ascii", store=damaged).out, re.M)


def test_doctor_as_json_is_what_the_schema_says(agentops: Agentops, shop: Path, damaged: Path) -> None:
    for store, good in ((shop, True), (damaged, False)):
        done = agentops("doctor", "--json", store=store)
        SCHEMAS["doctor"].model_validate(done.object, strict=True)
        assert all(check["ok"] for check in done.object["checks"]) == good == (done.code == 0)


def test_doctor_brings_in_what_waits_in_journals_as_others_do_who_read(
    agentops: Agentops, record: Any, tmp_path: Path
) -> None:
    record("import os\nwith span('a'): pass\nos._exit(0)")
    assert "1 traces, 1 spans" in agentops("doctor").out
    assert not list((tmp_path / "traces.journal").glob("*.journal"))


def test_schema_prints_those_of_all_commands_or_of_one(agentops: Agentops) -> None:
    every = agentops("schema").object
    assert set(every) == set(SCHEMAS)
    assert agentops("schema", "ls").object == every["ls"] == SCHEMAS["ls"].model_json_schema()


# -- as users start it -------------------------------------------------------------------------------


def test_the_executable_gives_exit_codes_and_errors_as_documented(executable: Agentops, shop: Path) -> None:
    assert executable("ls", store=shop).code == 0
    done = executable("ls")
    assert (done.code, done.out) == (4, "") and done.err.startswith("agentops: there is no store at ")
    assert executable("ls", "kind:x", store=shop).code == 2


def test_piped_there_are_no_escapes(executable: Agentops, shop: Path) -> None:
    for words in (["ls"], ["show", "latest", "--content"], ["search", "declined"], ["doctor"], ["config"]):
        assert "\x1b" not in executable(*words, store=shop).out


def on_a_terminal(words: list[str], store: Path, **environment: str) -> str:
    """What a command prints where standard output is a terminal."""
    import pty
    import subprocess
    import sys

    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "agentops"), *words],
            stdout=theirs,
            env={
                **{name: value for name, value in os.environ.items() if name != "NO_COLOR"},
                "TERM": "xterm",
                "AGENTOPS_STORE": str(store),
                **environment,
            },
        )
        os.close(theirs)
        read = b""
        try:
            while part := os.read(ours, 65536):
                read += part
        except OSError:  # how Linux ends it
            pass
        assert process.wait(60) == 0
    finally:
        os.close(ours)
    return read.decode()


def test_a_terminal_has_colours_unless_no_color_says_otherwise(shop: Path) -> None:
    words = ["ls", "--spans", "kind:tool"]
    assert "\x1b[31m" in on_a_terminal(words, shop)
    assert "\x1b" not in on_a_terminal(words, shop, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(words, shop, TERM="dumb")


def test_an_encoding_without_glyphs_gets_ascii(executable: Agentops, shop: Path, refund: str) -> None:
    for words in (["ls"], ["show", refund, "--content"], ["show", refund, "--plain"], ["show", refund, "--md"],
                  ["search", "declined"], ["doctor"], ["config"], ["export"]):  # fmt: skip
        done = executable(*words, store=shop, PYTHONIOENCODING="ascii")
        assert (done.code, done.err) == (0, ""), words
        assert done.out.isascii()
