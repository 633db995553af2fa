"""Where the store is, for the program that records and for whoever reads."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentops.errors import UsageError
from agentops.store.location import find_store, prepare


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without anything in it, and an environment that names no store."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("AGENTOPS_STORE", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    return home


@pytest.fixture
def unwritable(tmp_path: Path) -> Iterator[Path]:
    """A folder that this user cannot write; root, who can write everywhere, is somebody else meanwhile."""
    folder = tmp_path / "locked"
    folder.mkdir(0o500)
    root = os.getuid() == 0
    if root:
        os.setresuid(65534, 65534, 0)
    yield folder
    if root:
        os.setresuid(0, 0, 0)
    folder.chmod(0o700)


def test_a_file_that_the_variable_names_is_the_store(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOPS_STORE", str(home / "mine.db"))
    (home / ".agentops").mkdir()
    found = find_store(start=str(home))
    assert (found, found.reason) == (str(home / "mine.db"), "AGENTOPS_STORE")


def test_a_folder_that_the_variable_names_holds_the_store(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOPS_STORE", str(home))
    assert find_store() == str(home / "traces.db")
    monkeypatch.setenv("AGENTOPS_STORE", str(home / "later") + "/")
    assert find_store() == str(home / "later" / "traces.db")


def test_a_tilde_in_the_variable_is_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOPS_STORE", "~/mine.db")
    assert find_store() == str(home / "mine.db")


def test_what_is_given_comes_before_the_variable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOPS_STORE", str(home / "mine.db"))
    assert find_store(str(home / "given.db")) == str(home / "given.db")


def test_an_empty_path_is_refused_in_a_sentence(home: Path) -> None:
    with pytest.raises(UsageError, match="path is empty"):
        find_store("  ")


def test_the_nearest_agentops_folder_upwards_is_taken(home: Path) -> None:
    (home / ".agentops").mkdir()
    (home / "a" / ".agentops").mkdir(parents=True)
    deep = home / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / ".git").mkdir()
    assert find_store(start=str(deep)) == str(home / "a" / ".agentops" / "traces.db")


def test_an_agentops_folder_of_somebody_else_is_passed_over(home: Path) -> None:
    if os.getuid():
        pytest.skip("only root can give a folder away")
    (home / ".agentops").mkdir()
    near = home / "shared"
    (near / ".agentops").mkdir(parents=True)
    os.chown(near / ".agentops", 65534, -1)
    assert find_store(start=str(near)) == str(home / ".agentops" / "traces.db")


def test_a_plain_file_called_agentops_is_passed_over(home: Path) -> None:
    (home / ".agentops").write_text("")
    (home / ".git").mkdir()
    inside = home / "x"
    inside.mkdir()
    (inside / ".agentops").write_text("")
    (inside / ".git").mkdir()
    assert find_store(start=str(home / "x")).reason != "nearest .agentops/ upwards"


@pytest.mark.parametrize("mark", [".git", "pyproject.toml"])
def test_a_new_store_goes_beside_the_mark_of_the_project(home: Path, mark: str) -> None:
    deep = home / "project" / "src" / "package"
    deep.mkdir(parents=True)
    (home / "project" / mark).write_text("")
    assert find_store(start=str(deep)) == str(home / "project" / ".agentops" / "traces.db")


def test_a_mark_above_the_home_folder_is_not_looked_at(home: Path) -> None:
    (home.parent / ".git").mkdir()
    inside = home / "scratch"
    inside.mkdir()
    assert find_store(start=str(inside)) == str(inside / ".agentops" / "traces.db")


def test_a_mark_in_the_home_folder_itself_counts(home: Path) -> None:
    (home / "pyproject.toml").write_text("")
    inside = home / "scratch"
    inside.mkdir()
    assert find_store(start=str(inside)) == str(home / ".agentops" / "traces.db")


def test_without_any_mark_the_working_directory_takes_the_store(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    found = find_store()
    assert (found, found.reason) == (str(home / ".agentops" / "traces.db"), "working directory")


def test_the_root_folder_is_no_place_for_a_store(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_store(start="/") == str(home / ".local" / "state" / "agentops" / "traces.db")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    assert find_store(start="/") == str(home / "state" / "agentops" / "traces.db")


def test_where_nothing_can_be_written_the_store_goes_to_the_state_folder(
    home: Path, unwritable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    assert find_store(start=str(unwritable)) == str(home / "state" / "agentops" / "traces.db")


def test_a_working_directory_that_is_gone_is_no_error(home: Path) -> None:
    program = (
        "import os, sys, tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)\n"
        "from agentops.store.location import find_store; print(find_store())"
    )
    environment = {**os.environ, "XDG_STATE_HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str(home / "agentops" / "traces.db"), done.stderr


def test_looking_for_the_store_makes_nothing(home: Path) -> None:
    find_store(start=str(home))
    assert list(home.iterdir()) == []


def test_preparing_twice_leaves_a_changed_gitignore_alone(home: Path) -> None:
    store = find_store(start=str(home))
    prepare(store)
    ignore = home / ".agentops" / ".gitignore"
    assert ignore.read_text() == "*\n"
    ignore.write_text("# mine\n")
    prepare(store)
    assert ignore.read_text() == "# mine\n"


def test_what_a_program_records_is_for_its_user_alone_and_not_for_git(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTOPS_")}
    program = (
        "import os, agentops; os.umask(0)\n"
        "with agentops.span('a', input='x' * 5000): agentops.flush()\n"
        "agentops.shutdown()\n"
        "with agentops.span('b'): pass\n"
        "os._exit(0)"
    )
    (tmp_path / ".git").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**kept, "AGENTOPS_RAISE": "1"}, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = tmp_path / ".agentops"
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    assert {oct(mode) for path, mode in modes.items() if path.is_dir()} == {"0o700"}
    assert {oct(mode) for path, mode in modes.items() if path.is_file()} == {"0o600"}, modes
    assert {"traces.db", ".gitignore"} <= {path.name for path in modes}
    assert (folder / ".gitignore").read_text() == "*\n"
