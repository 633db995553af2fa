"""Settings: where a value comes from, and what is said about one that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentops.errors import SettingError
from agentops.settings import SETTINGS, find_file, resolve


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project to stand in, with no setting in the environment."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return project


def test_without_anything_defaults_hold() -> None:
    found = resolve()
    assert {name: value.value for name, value in found.items()} == {
        "store": None, "enabled": True, "quiet": False, "max_bytes": 5_000_000_000, "max_age": 0, "export": (),
        "max_journal_bytes": 10**9, "watch_after": 30.0, "watch_memory": True, "redact": "off", "prices": None,
    }  # fmt: skip
    assert {value.origin for value in found.values()} == {"default"}


def test_the_file_comes_before_defaults(project: Path) -> None:
    (project / "agentops.toml").write_text("quiet = true\n")
    assert resolve()["quiet"] == (True, str(project / "agentops.toml"))


def test_the_environment_comes_before_the_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "agentops.toml").write_text("quiet = true\n")
    monkeypatch.setenv("AGENTOPS_QUIET", "no")
    assert resolve()["quiet"] == (False, "AGENTOPS_QUIET")


def test_init_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOPS_ENABLED", "false")
    assert resolve({"enabled": True})["enabled"] == (True, "init()")
    assert resolve({"enabled": None})["enabled"] == (False, "AGENTOPS_ENABLED")


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOPS_QUIET", "")
    assert resolve()["quiet"].origin == "default"


@pytest.mark.parametrize("word", ["1", "true", "ON", "Yes"])
def test_a_switch_is_on_in_the_words_that_people_use(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOPS_QUIET", word)
    assert resolve()["quiet"].value is True


@pytest.mark.parametrize(
    ("word", "size"),
    [("500MB", 500_000_000), ("1.5 gb", 1_500_000_000), ("64k", 64_000), ("2MiB", 2 << 20), ("4096", 4096)],
)
def test_a_size_is_said_as_people_say_it(word: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOPS_MAX_JOURNAL_BYTES", word)
    assert resolve()["max_journal_bytes"].value == size
    assert resolve({"max_journal_bytes": size})["max_journal_bytes"].value == size


@pytest.mark.parametrize("word", ["much", "-5MB", "0", "5 XB", "5iB", "MB"])
def test_what_is_no_size_is_said(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOPS_MAX_JOURNAL_BYTES", word)
    with pytest.raises(SettingError, match=r"from AGENTOPS_MAX_JOURNAL_BYTES\) cannot be used: give a size"):
        resolve()


def test_a_store_in_the_file_is_meant_from_the_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "agentops.toml").write_text('store = "data/runs.db"\n')
    inside = project / "src"
    inside.mkdir()
    monkeypatch.chdir(inside)
    assert resolve()["store"].value == str(project / "data" / "runs.db")


def test_the_nearest_file_is_read_and_none_above_the_home_folder(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agentops.toml").write_text("")
    assert find_file() == str(tmp_path / "agentops.toml")
    (project / "agentops.toml").write_text("")
    assert find_file() == str(project / "agentops.toml")
    (project / "agentops.toml").unlink()
    monkeypatch.setenv("HOME", str(project))
    assert find_file() is None


def test_a_bad_value_is_named_with_its_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOPS_QUIET", "perhaps")
    with pytest.raises(SettingError, match=r"quiet = 'perhaps' \(from AGENTOPS_QUIET\) .* true or false"):
        resolve()


def test_a_bad_value_in_the_file_names_the_file(project: Path) -> None:
    (project / "agentops.toml").write_text("store = 3\n")
    with pytest.raises(SettingError, match=r"store = 3 \(from .*agentops\.toml\).*a path"):
        resolve()


def test_an_unknown_name_says_which_there_are(project: Path) -> None:
    (project / "agentops.toml").write_text("quite = true\n")
    with pytest.raises(SettingError, match=r"no setting 'quite'; there are enabled, export, max_age, max_bytes"):
        resolve()


@pytest.mark.parametrize("text", [b"quiet = \n", b"= 3", b"quiet = true\nquiet = true\n"])
def test_what_is_no_toml_is_a_setting_error_that_names_the_file(project: Path, text: bytes) -> None:
    (project / "agentops.toml").write_bytes(text)
    with pytest.raises(SettingError, match=r"agentops\.toml cannot be read"):
        resolve()


def test_a_file_that_is_not_utf8_is_a_setting_error_too(project: Path) -> None:
    (project / "agentops.toml").write_bytes(b'store = "\xff"\n')
    with pytest.raises(SettingError, match=r"agentops\.toml cannot be read"):
        resolve()
