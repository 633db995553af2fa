"""The commands with their options, and the schemas of what they print as JSON: not changed unawares."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

AGENTOPS = Path(sys.executable).parent / "agentops"
#: A command in a list of commands, or in a usage line: `{ls,show} ...`.
_LISTED = re.compile(r"^ {2,6}([a-z][\w-]*)(?: {2,}\S|$)")
_BRACED = re.compile(r"\{([\w,-]+)\} \.\.\.")
_OPTION = re.compile(r"^ {2,}(-.+?)(?: {2,}|$)")
_NAME = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")
_HEADER = re.compile(r"^\S.*:$")


@pytest.fixture
def agentops(tmp_path: Path, environment: dict[str, str]) -> Callable[..., str]:
    """Runs `agentops` as users do and gives what it prints."""

    def agentops(*words: str) -> str:
        done = subprocess.run(
            [str(AGENTOPS), *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"agentops {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    return agentops


def usage(text: str) -> str:
    """The usage of a help text on one line."""
    return " ".join(re.split(r"\n[ \t]*\n", text, maxsplit=1)[0].split()).removeprefix("usage: ")


def commands(text: str) -> list[str]:
    """The commands that a help text lists."""
    braced = _BRACED.search(usage(text))
    if braced:
        return braced[1].split(",")
    found: list[str] = []
    header = ""
    for line in text.splitlines():
        if _HEADER.match(line):
            header = line.lower()
        elif header.endswith("commands:") and (listed := _LISTED.match(line)):
            found.append(listed[1])
    return found


def options(text: str) -> list[str]:
    """The names of the options that a help text explains; what they take stands in the usage."""
    lines = filter(None, map(_OPTION.match, text.splitlines()))
    return sorted(" ".join(_NAME.findall(line[1])) for line in lines)


def tree(agentops: Callable[..., str], *words: str) -> Iterator[str]:
    text = agentops(*words, "--help")
    yield usage(text)
    yield from (f"    {option}" for option in options(text))
    for command in commands(text):
        yield from tree(agentops, *words, command)


def test_the_commands_are_those_that_users_know(
    agentops: Callable[..., str], golden: Callable[[str, str], None]
) -> None:
    found = list(tree(agentops))
    assert len(found) > 1, "no commands were found in `agentops --help`"
    golden("commands.txt", "\n".join(found) + "\n")


def test_what_is_printed_as_json_has_the_schema_that_users_know(
    agentops: Callable[..., str], golden: Callable[[str, str], None]
) -> None:
    schemas = json.loads(agentops("schema", "--json"))
    golden("schemas.json", json.dumps(schemas, indent=2, sort_keys=True) + "\n")


def test_commands_and_options_are_found_in_a_help_text() -> None:
    text = (
        "usage: agentops [-h] [--version]\n                COMMAND ...\n\ntraces of agents\n\ncommands:\n"
        "  ls      lists traces\n  show    one trace\n\noptions:\n"
        "  -h, --help     this\n  -o FILE, --out FILE  where to\n"
        "  --to {a,b-c}\n                 the form\n"
    )
    assert usage(text) == "agentops [-h] [--version] COMMAND ..."
    assert commands(text) == ["ls", "show"]
    assert options(text) == ["--to", "-h --help", "-o --out"]
    assert commands("usage: agentops [-h] {ls,show} ...\n") == ["ls", "show"]
    assert commands("usage: agentops export [--to {jsonl,otlp}] [WORD ...]\n") == []
