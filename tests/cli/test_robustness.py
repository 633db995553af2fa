"""What must not happen: a traceback, half a file, an option taken for a word or a word for an option."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentops import formats

Agentops = Callable[..., Any]
COMMAND = [sys.executable, "-m", "agentops.cli.main"]


def reported(words: list[str], store: Path, **how: Any) -> subprocess.CompletedProcess[str]:
    """The command as users start it: what goes wrong is said, not raised."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTOPS_")}
    return subprocess.run(
        [*COMMAND, *words],
        env={**kept, "AGENTOPS_STORE": str(store)},
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        **how,
    )


def test_after_two_minus_all_is_words(agentops: Agentops, shop: Path) -> None:
    done = agentops("ls", "--", "--json", "-kind:zz", store=shop)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("agentops: there is no kind 'zz'")


@pytest.mark.parametrize("words", [["show", "-abc"], ["ls", "--limit", "-5x"], ["schema", "-abc"]])
def test_a_wrong_word_is_repeated_as_it_was_typed(agentops: Agentops, shop: Path, words: list[str]) -> None:
    done = agentops(*words, store=shop)
    assert done.code == 2
    assert words[-1] in done.err and "x00" not in done.err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_a_sentence(shop: Path) -> None:
    with open("/dev/full", "w") as full:
        done = reported(["ls"], shop, stdout=full)
    assert (done.returncode, done.stderr) == (1, "agentops: the output cannot be written: No space left on device\n")


def test_a_closed_standard_output_is_no_error(shop: Path) -> None:
    done = reported(["ls"], shop, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")


def test_help_for_a_reader_that_is_gone_ends_quietly(shop: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = reported(["--help"], shop, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE traces SET start_ns = 'x'",
        "UPDATE traces SET status = 99",
        "UPDATE traces SET tags = '{'",
        "UPDATE traces SET session = x'1b5b'",
        "UPDATE spans SET error = x'1b5b'",
        "UPDATE spans SET body = x'81a16105'",
        "DROP TABLE spans",
    ],
)
def test_a_store_that_no_agentops_wrote_is_no_traceback(shop: Path, tmp_path: Path, sql: str) -> None:
    store = tmp_path / "odd.db"
    shutil.copy(shop, store)
    with sqlite3.connect(store) as connection:
        connection.execute(sql)
    connection.close()
    for words in (["ls"], ["ls", "--json"], ["ls", "--spans"], ["show", "latest", "--content"], ["export"]):
        done = reported(words, store, stdout=subprocess.DEVNULL)
        assert "Traceback" not in done.stderr
        assert done.returncode in (0, 1, 3, 4)
        assert done.stderr.startswith(("agentops: ", '{"version": 1, "error"')) == (done.returncode != 0)


def test_numbers_that_json_does_not_have_are_texts(agentops: Agentops, record: Any) -> None:
    record("with span('a', input=[float('nan'), float('inf'), -float('inf'), 1.5, '\\x7f']): pass")
    done = agentops("show", "latest", "--json", "--content")

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    (span,) = json.loads(done.out, parse_constant=refuse)["spans"]
    assert span["content"]["input"] == ["NaN", "Infinity", "-Infinity", 1.5, "\x7f"]
    assert "\x7f" not in done.out


def test_times_as_json_are_in_nanoseconds_and_iso_8601(agentops: Agentops, shop: Path) -> None:
    (trace,) = agentops("ls", "--json", "--limit", "1", store=shop).object["traces"]
    assert trace["start_time"] == formats.iso(trace["start_time_unix_nano"])
    assert formats.iso(1_795_565_127_000_000_042) == "2026-11-25T00:05:27.000000042Z"
    assert formats.iso(None) is None


def test_an_export_that_is_broken_off_leaves_the_file_as_it_was(record: Any, tmp_path: Path) -> None:
    store = record("with span('a'):\n    for n in range(8_000):\n        with span('b', input='x' * 100): pass")
    target = tmp_path / "out.jsonl"
    target.write_text("before")
    environment = {**os.environ, "AGENTOPS_STORE": str(store)}
    process = subprocess.Popen([*COMMAND, "export", "-o", str(target)], env=environment)
    while not (tmp_path / "out.jsonl.part").exists():
        assert process.poll() is None, "it ended before it could be broken off"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert target.read_text() == "before"
    assert not (tmp_path / "out.jsonl.part").exists()


def test_an_exported_file_is_for_its_owner_alone(agentops: Agentops, shop: Path, tmp_path: Path) -> None:
    assert agentops("export", "-o", "out.jsonl", store=shop).code == 0
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600


def test_ascii_means_ascii(agentops: Agentops, record: Any) -> None:
    record("with span('n' * 90): pass")
    assert agentops("ls", "--ascii").out.isascii()
    assert formats.duration(20_000) == "0.02ms"


def test_a_deep_run_as_markdown_does_not_grow_with_the_square_of_its_depth(agentops: Agentops, record: Any) -> None:
    record("o = [span('l').__enter__() for n in range(2000)]\nfor one in reversed(o): one.__exit__(None, None, None)")
    assert len(agentops("show", "latest", "--md").out) < 2000 * 150
