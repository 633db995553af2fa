"""RESULTS.md: a table a family; what was not run keeps its table."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from benchmarks._rows import Row

__all__ = ["FILE", "machine", "now", "section", "write"]

FILE = Path(__file__).parent / "RESULTS.md"
_PACKAGES = ("opentelemetry-api", "opentelemetry-sdk", "msgspec", "xxhash", "zstandard")
_HEAD = """# Benchmarks

Written by `{command}` on {when}. Tables of what that call did not run are as
they were; each has its date.
Machine: {machine}.

Read ratios, not microseconds. A ratio is the median of the ratios of pairs measured one after the other in one
run; in brackets its quartiles (smallest and largest of fewer than eight). *Must* is the bar, *reach* the goal.
"""
_COLUMNS = "| figure | measured | must | reach | | against | absolute |\n|---|---|---|---|---|---|---|\n"


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def machine() -> str:
    """What the figures depend on, without names of hosts or paths."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()} {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {versions}"
    )


def section(name: str, title: str, rows: Iterable[Row], when: str, load: float) -> str:
    """A family's heading and table, with what tells whether it can be compared with the others.

    Args:
        name: of the family.
        title: what it measures.
        rows: its figures.
        when: it was measured.
        load: of the machine just before; it leaves out what else runs on a virtual machine's host.
    """
    lines = "".join(_line(row) + "\n" for row in rows)
    sdk = importlib.metadata.version("opentelemetry-sdk")
    on = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, OpenTelemetry {sdk}"
    measured = f"Measured {when}, load before it {load:.1f} on {os.cpu_count()} cores, {on}."
    return f"## {name}: {title}\n\n{measured}\n\n{_COLUMNS}{lines}"


def _read() -> dict[str, str]:
    """The sections of the file by their family's name."""
    if not FILE.exists():
        return {}
    found = re.split(r"^(?=## )", FILE.read_text(), flags=re.MULTILINE)[1:]
    return {part[3:].partition(":")[0]: part.strip() + "\n" for part in found}


def write(sections: dict[str, str], command: str) -> None:
    """Put sections in the place of the file's own of these names."""
    every = {**_read(), **sections}
    head = _HEAD.format(command=command, when=now(), machine=machine())
    FILE.write_text("\n".join([head, *(every[name] for name in sorted(every))]))


def _line(row: Row) -> str:
    sign = "&ge;" if row.at_least else "&le;"
    spread = "" if row.spread is None else f" [{_number(row.spread[0])}-{_number(row.spread[1])}]"
    bars = [f"{sign} {_number(bar)}{row.unit}" if bar is not None else "" for bar in (row.must, row.reach)]
    measured = f"**{_number(row.value)}**{row.unit}{spread}"
    return f"| {' | '.join([row.name, measured, *bars, row.verdict, row.against, row.note])} |"


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) < 0.1 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
