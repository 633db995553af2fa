"""README.md does what it shows: its Python and console blocks are run, section by section.

How to write a block that can be run stands in CONTRIBUTING.md. The first half of this module is what runs
them, the second half tests that.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from examples.stand_in import Reply, Request, StandIn, Text, Usage

README = Path(__file__).parents[2] / "README.md"
SECONDS_MAX = 120
WILDCARD = "…"

_FENCE = re.compile(r"^( {0,3})(`{3,}|~{3,})[ \t]*([\w+-]*)")
_HEADING = re.compile(r"^#{1,2}[ \t]+(.+?)[ \t#]*$")
_COMMENT = re.compile(r"^<!--[ \t]*(file|not run):[ \t]*(.+?)[ \t]*-->[ \t]*$")


@dataclass(slots=True)
class Block:
    """One fenced block: its language, its text, the line it begins at, and what a comment above it says."""

    language: str
    text: str
    line: int
    file: str | None = None
    not_run: str | None = None


@dataclass(slots=True)
class Section:
    """What stands between two headings of the first or second level; it has one folder."""

    title: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def to_run(self) -> list[Block]:
        return [b for b in self.blocks if b.not_run is None and b.language in ("python", "console")]


def sections(markdown: str) -> list[Section]:
    """The sections of a text that have something to run."""
    found = [Section("top")]
    said: dict[str, str] = {}
    lines = iter(enumerate(markdown.splitlines(), 1))
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence:
            text = "".join(f"{inner}\n" for inner in _until_closed(lines, fence))
            block = Block(fence[3], text, number, said.get("file"), said.get("not run"))
            found[-1].blocks.append(block)
            said = {}
        elif comment := _COMMENT.match(line):
            said[comment[1]] = comment[2]
        elif line.strip():
            said = {}
            if heading := _HEADING.match(line):
                found.append(Section(heading[1]))
    return [section for section in found if section.to_run]


def _until_closed(lines: object, fence: re.Match[str]) -> list[str]:
    indent, mark = len(fence[1]), fence[2]
    inner: list[str] = []
    for _, line in lines:  # type: ignore[attr-defined]
        if re.match(rf"^ {{0,3}}{re.escape(mark)}{re.escape(mark[0])}*[ \t]*$", line):
            break
        inner.append(line[indent:] if not line[:indent].strip() else line)
    return inner


def _model(request: Request) -> Reply:
    # Where the prompt cache is asked for, it decides what is counted.
    usage = None if "cache_control" in request.body else Usage(14, 7)
    return Reply((Text("Five working days."),), usage=usage)


def run_section(section: Section, folder: Path) -> None:
    """Run a section's blocks in their order; fails with the line of README where something else happened.

    The provider that its programs find is a stand-in that speaks the Messages API over HTTP.
    """
    with StandIn(_model) as provider:
        _run_blocks(section, folder, {"ANTHROPIC_BASE_URL": provider.url, "ANTHROPIC_API_KEY": "any"})


def _run_blocks(section: Section, folder: Path, more: dict[str, str]) -> None:
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("AGENTOPS_", "ANTHROPIC_", "OTEL_"))},
        "AGENTOPS_STORE": str(folder / ".agentops" / "traces.db"),
        "COLUMNS": "100",
        "HOME": str(folder),
        "NO_COLOR": "1",
        "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"],
        "NO_PROXY": "127.0.0.1",
        "PYTHONUNBUFFERED": "1",  # what goes to both outputs comes in its order
        **more,
    }
    commands = "\n".join(block.text for block in section.to_run if block.language == "console")
    for block in section.to_run:
        if block.language == "python":
            path = folder / (block.file or f"block_{block.line}.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
            if not (block.file and block.file in commands):
                _run([sys.executable, path.name], path.parent, environment, block.line)
        else:
            for line, command, expected in session(block):
                given = _run(["bash", "-c", command], folder, environment, line, command)
                if expected and not matches(expected, given):
                    pytest.fail(f"README.md:{line}: {command}\ngave\n{given}\nand not\n{expected}", pytrace=False)


def session(block: Block) -> list[tuple[int, str, str]]:
    """The commands of a console block: its line, the command, and the output that follows it there."""
    found: list[tuple[int, str, str]] = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            found.append((number, line[2:], ""))
        elif found:
            at, command, output = found[-1]
            if line.startswith("> ") and not output:
                found[-1] = (at, f"{command}\n{line[2:]}", output)
            else:
                found[-1] = (at, command, f"{output}{line}\n")
        elif line.strip():
            pytest.fail(f"README.md:{number}: output before the first command (`$ ...`)", pytrace=False)
    return found


def matches(expected: str, given: str) -> bool:
    """Whether an output is as expected.

    `…` stands for any characters of a line, and alone on a line for any lines, or none. How many blanks
    there are makes no difference, nor do empty lines at both ends.
    """
    pattern = ""
    for line in _lines(expected):
        if line == WILDCARD:
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += r"[^\n]*?".join(map(re.escape, line.split(WILDCARD))) + r"\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(given))) is not None


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.strip("\n").splitlines()]


def _run(command: list[str], folder: Path, environment: dict[str, str], line: int, shown: str = "") -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_MAX,
    )
    if done.returncode:
        pytest.fail(
            f"README.md:{line}: {shown or 'the block'} ended with {done.returncode}\n{done.stdout}", pytrace=False
        )
    return done.stdout


# -- README.md ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("section", [pytest.param(s, id=s.title) for s in sections(README.read_text())])
def test_what_the_readme_shows_happens(section: Section, tmp_path: Path) -> None:
    run_section(section, tmp_path)


# -- what runs it ------------------------------------------------------------------------------------------


def test_blocks_of_one_section_share_a_folder_and_a_store(tmp_path: Path) -> None:
    (section,) = sections(
        "## Begin\n"
        "<!-- file: agent.py -->\n\n"
        "```python\nfrom agentops import span\nwith span('greet'): print('hi', end='!')\nprint()\n```\n"
        "Run it:\n"
        "```console\n$ python agent.py\nhi!\n$ ls -A\n.agentops\nagent.py\n$ test -e \\\n> .agentops/traces.db\n```\n"
    )
    run_section(section, tmp_path)


def test_a_named_block_is_run_at_once_unless_a_command_names_it(tmp_path: Path) -> None:
    (section,) = sections("<!-- file: lib/made.py -->\n```python\nopen('made', 'w').close()\n```\n")
    run_section(section, tmp_path)
    assert (tmp_path / "lib/made").exists()


def test_sections_begin_at_headings_and_only_what_can_be_run_counts() -> None:
    found = sections(
        "# a\n```python\n# not a heading\n```\n### still a\n```console\n$ true\n```\n## b\n```toml\nx = 1\n```\n"
        "## c\n<!-- not run: needs a key -->\n```python\nboom\n```\n## d\n   ~~~python\n   1\n   ~~~\n"
    )
    assert [(section.title, [block.text for block in section.to_run]) for section in found] == [
        ("a", ["# not a heading\n", "$ true\n"]),
        ("d", ["1\n"]),
    ]


@pytest.mark.parametrize(
    ("markdown", "line"),
    [
        ("```python\nraise SystemExit(3)\n```\n", 1),
        ("text\n```console\n$ true\n$ false\n```\n", 4),
        ("```console\n$ echo one\ntwo\n```\n", 2),
        ("```console\nlost\n$ true\n```\n", 2),
    ],
)
def test_the_line_where_something_else_happened_is_named(tmp_path: Path, markdown: str, line: int) -> None:
    (section,) = sections(markdown)
    with pytest.raises(pytest.fail.Exception, match=rf"README\.md:{line}:"):
        run_section(section, tmp_path)


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        ("trace 1b… 0.2 s", "trace 1b5f77 0.2 s"),
        ("a   b", "a b   \n\n"),
        ("first\n…\nlast", "first\nlast"),
        ("first\n…\nlast", "first\n1\n\n2\nlast"),
        ("ok … s\nend", "ok 1.25 s\nend"),
    ],
)
def test_what_may_differ_is_written_with_a_wildcard(expected: str, given: str) -> None:
    assert matches(expected, given)


@pytest.mark.parametrize(
    ("expected", "given"),
    [("a…c", "a\nc"), ("a", "a\nb"), ("a.c", "abc"), ("a b", "ab"), ("first\n…\nlast", "first\n1")],
)
def test_all_the_rest_must_be_the_same(expected: str, given: str) -> None:
    assert not matches(expected, given)
