"""docs/promises.toml says what users are promised; what shows that a promise is kept must exist."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest


def problems(row: Mapping[str, object], root: Path) -> Iterator[str]:
    """What is wrong with one row."""
    wrong = {key for key in ("sentence", "shown_by", "state") if not isinstance(row.get(key), str)}
    if wrong or len(row) > 3:
        yield f"a row has sentence, shown_by and state, each a text, and nothing else: {sorted(row)}"
        return
    sentence, shown_by, state = str(row["sentence"]), str(row["shown_by"]), str(row["state"])
    if not sentence.strip():
        yield "the sentence is empty"
    if state not in ("open", "shown"):
        yield f"the state is open or shown, not {state!r}"
    if state == "shown":
        missing = why_missing(shown_by, root)
        if missing:
            yield missing


def why_missing(shown_by: str, root: Path) -> str | None:
    """Why what a row names does not exist; None if it does."""
    path, _, place = shown_by.partition("::" if "::" in shown_by else "#")
    file = root / path
    if not path or not file.is_file():
        return f"there is no file {path!r}"
    if "::" in shown_by:
        if not path.startswith("tests/"):
            return f"{path} is not in tests/"
        return None if place.partition("[")[0] in names_of_tests(file) else f"{path} has no test {place!r}"
    if path == "benchmarks/RESULTS.md":
        found = place and any(place in line for line in file.read_text().splitlines())
        return None if found else f"{path} has no row {place!r}"
    if path.startswith("docs/pictures/"):
        return None
    return f"{shown_by!r} is none of a test, a row of benchmarks/RESULTS.md and a picture"


def names_of_tests(file: Path) -> set[str]:
    """Names of tests as pytest says them: `test_x`, or `TestClass::test_x`."""
    tree = ast.parse(file.read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = {node.name for node in tree.body if isinstance(node, functions)}
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        found |= {f"{cls.name}::{node.name}" for node in cls.body if isinstance(node, functions)}
    return {name for name in found if name.rpartition("::")[2].startswith("test")}


def test_every_promise_that_is_shown_is_shown_by_something_that_exists(root: Path) -> None:
    promises = tomllib.loads((root / "docs/promises.toml").read_text())
    assert set(promises) == {"promise"}
    wrong = [f"{row.get('sentence')}: {problem}" for row in promises["promise"] for problem in problems(row, root)]
    assert wrong == []


def test_no_promise_is_made_twice(root: Path) -> None:
    sentences = [row["sentence"] for row in tomllib.loads((root / "docs/promises.toml").read_text())["promise"]]
    assert [sentence for sentence in sentences if sentences.count(sentence) > 1] == []


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with one test, one table of results and one picture."""
    for name, text in {
        "tests/test_a.py": "def test_one(): ...\nclass TestB:\n    def test_two(self): ...\n",
        "benchmarks/RESULTS.md": "| caller's thread | 0.41 |\n",
        "docs/pictures/tree.svg": "<svg/>",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "shown_by",
    [
        "tests/test_a.py::test_one",
        "tests/test_a.py::test_one[x-1]",
        "tests/test_a.py::TestB::test_two",
        "benchmarks/RESULTS.md#caller's thread",
        "docs/pictures/tree.svg",
    ],
)
def test_a_test_a_row_of_results_or_a_picture_shows_a_promise(project: Path, shown_by: str) -> None:
    assert list(problems({"sentence": "It works.", "shown_by": shown_by, "state": "shown"}, project)) == []


@pytest.mark.parametrize(
    "row",
    [
        {"sentence": "It works.", "state": "open"},
        {"sentence": " ", "shown_by": "", "state": "open"},
        {"sentence": "It works.", "shown_by": "", "state": "done"},
        {"sentence": "It works.", "shown_by": "", "state": "open", "by": "me"},
        {"sentence": "It works.", "shown_by": "", "state": "shown"},
        {"sentence": "It works.", "shown_by": "tests/test_a.py", "state": "shown"},
        {"sentence": "It works.", "shown_by": "tests/test_a.py::test_two", "state": "shown"},
        {"sentence": "It works.", "shown_by": "tests/test_b.py::test_one", "state": "shown"},
        {"sentence": "It works.", "shown_by": "benchmarks/RESULTS.md#bytes", "state": "shown"},
        {"sentence": "It works.", "shown_by": "benchmarks/RESULTS.md", "state": "shown"},
        {"sentence": "It works.", "shown_by": "docs/pictures/list.svg", "state": "shown"},
    ],
)
def test_a_row_that_says_too_little_or_names_nothing_is_found(project: Path, row: dict[str, object]) -> None:
    assert list(problems(row, project))
