"""A pytest plugin of `make proof`: what the proofs found becomes a dated table in docs/proofs/.

A row is a test, how it ended, how long it took, and what it has measured: a proof says that with pytest's
own `record_property("spans lost", 0)`. A file is a day, and every run of that day adds a table to it.
"""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class _Table:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or (report.when == "setup" and not report.passed):
            self.reports.append(report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.reports:
            return
        now = datetime.datetime.now(datetime.UTC)
        path = self.folder / f"{now:%Y-%m-%d}.md"
        self.folder.mkdir(parents=True, exist_ok=True)
        begun = path.exists()
        with path.open("a") as file:
            file.write("\n" if begun else f"# Proofs of {now:%Y-%m-%d}\n\n")
            file.write("\n".join(self.lines(now)) + "\n")
        terminalreporter.write_line(f"table: docs/proofs/{path.name}")

    def lines(self, now: datetime.datetime) -> Iterator[str]:
        yield f"## {now:%H:%M} UTC, {_commit(self.folder)}"
        yield ""
        python = f"{platform.python_implementation()} {platform.python_version()}"
        yield f"{python}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
        yield ""
        yield "| proof | ended | seconds | measured |"
        yield "| --- | --- | ---: | --- |"
        for report in self.reports:
            measured = ", ".join(f"{name}: {value}" for name, value in report.user_properties)
            cells = (report.nodeid, report.outcome, f"{report.duration:.1f}", measured)
            yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Table(config.rootpath / "docs" / "proofs"), "proof table")


def _commit(folder: Path) -> str:
    """Which code this was, as git calls it."""
    command = ["git", "describe", "--always", "--dirty= with changes on top", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except OSError:
        return "commit unknown"
    return f"commit {done.stdout.strip()}" if done.returncode == 0 else "commit unknown"
