"""`init`, `flush` and `shutdown` in a program that records already."""

from __future__ import annotations

import os
import pty
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import agentops
from agentops import span
from agentops.errors import SettingError


def names(records: list[dict[str, Any]]) -> list[str]:
    return sorted(record["name"] for record in records)


def test_a_redactor_given_after_the_first_span_holds_from_then_on(spans: Any) -> None:
    with span("before"):
        pass
    agentops.init(redact=lambda text: text.replace("secret", "*"))
    with span("after", input="a secret"):
        pass
    assert {record["name"]: record["input"] for record in spans()} == {"before": None, "after": "a *"}


def test_a_redactor_given_inside_of_a_span_holds_for_the_rest_of_it(spans: Any) -> None:
    with span("outer") as outer:
        agentops.init(redact=lambda text: text.replace("secret", "*"))
        outer.output = "a secret"
        with span("inner", input=["a secret"]):
            pass
    found = {record["name"]: record for record in spans()}
    assert (found["outer"]["output"], found["inner"]["input"]) == ("a *", ["a *"])


def test_a_store_given_after_the_first_span_takes_what_comes_then(store: Path, read: Any) -> None:
    with span("before"):
        pass
    other = store.parent / "other" / "traces.db"
    agentops.init(store=str(other))
    with span("after"):
        pass
    assert agentops.flush()
    assert (names(read(store)), names(read(other))) == (["before"], ["after"])


def test_recording_switched_off_after_the_first_span_is_off(spans: Any) -> None:
    with span("before"):
        pass
    agentops.init(enabled=False)
    with span("while off"):
        pass
    agentops.init(enabled=True)
    with span("after"):
        pass
    assert names(spans()) == ["after", "before"]


def test_flush_after_init_still_brings_in_what_was_recorded_before_it(store: Path) -> None:
    with span("before"):
        pass
    agentops.init(quiet=True)
    assert agentops.flush()
    with closing(sqlite3.Connection(store)) as connection:  # a reader would bring it in itself
        assert connection.execute("SELECT count(*) FROM spans").fetchone() == (1,)


def test_wrong_values_are_said_at_once_and_change_nothing(store: Path, spans: Any) -> None:
    with pytest.raises(SettingError):
        agentops.init(store="  ")
    with span("goes on"):
        pass
    assert names(spans()) == ["goes on"]


def test_spans_after_shutdown_are_recorded_too(spans: Any) -> None:
    with span("first"):
        pass
    assert agentops.shutdown()
    with span("second"):
        pass
    assert names(spans()) == ["first", "second"]


def test_a_span_that_is_open_over_a_shutdown_ends_as_it_should(spans: Any) -> None:
    with span("open") as s:
        s.set_attribute("early", 1)
        agentops.shutdown()
        s.output = "done"
    (record,) = spans()
    assert (record["status"], record["output"], record["attributes"]) == ("ok", "done", {"early": 1})


def test_what_is_recorded_while_the_program_ends_is_recorded(program: Any, read: Any, tmp_path: Path) -> None:
    done = program(
        """
        import atexit
        def last():
            with span("last"): pass
        atexit.register(last)        # before the recorder's own, so it runs after it
        from agentops import span
        with span("first"): pass
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert names(read(tmp_path / "traces.db")) == ["first", "last"]


def test_a_broken_settings_file_does_not_stop_the_program(program: Any, tmp_path: Path) -> None:
    (tmp_path / "agentops.toml").write_text("enabled = perhaps\n")
    done = program("from agentops import span\nwith span('x') as s: s.output = 1\nprint('ran')", AGENTOPS_RAISE="0")
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "agentops.toml cannot be read" in done.stderr


def test_a_change_of_folder_does_not_change_where_is_recorded(tmp_path: Path) -> None:
    source = """
import os, agentops
from agentops import span
with span("first"): pass
os.chdir("elsewhere")
for _ in range(50):                                          # more than one journal holds
    with span("big", input=os.urandom(60_000).hex()): pass
agentops.shutdown()
"""
    project = tmp_path / "project"
    (project / "elsewhere").mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AGENTOPS_")}
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=project,
        env={**environment, "AGENTOPS_STORE": "runs/traces.db", "AGENTOPS_RAISE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list((project / "elsewhere").iterdir()) == []
    assert (project / "runs" / "traces.db").exists()


def test_on_a_terminal_the_first_span_says_once_where_is_recorded(tmp_path: Path) -> None:
    source = "from agentops import span\nfor _ in range(2):\n    with span('x'): pass"
    store = tmp_path / "traces.db"
    controller, terminal = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", source], env={"AGENTOPS_STORE": str(store)}, stderr=terminal, stdout=subprocess.PIPE
    )
    os.close(terminal)
    said = os.read(controller, 4096).decode()
    os.close(controller)
    assert said.split() == ["agentops:", "recording", "to", str(store)]


def test_off_a_terminal_nothing_is_said(program: Any) -> None:
    done = program("from agentops import span\nwith span('x'): pass")
    assert (done.stdout, done.stderr) == ("", "")
