"""What is in the repository holds nothing of the machine that it was written on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
from pathlib import Path

import pytest


def checkout(root: Path) -> str:
    """The checkout's path as git says it; skips where there is none."""
    done = subprocess.run(["git", "rev-parse", "--show-toplevel"], cwd=root, capture_output=True, text=True)
    if done.returncode or not os.path.samefile(done.stdout.strip(), root):
        pytest.skip("not a git checkout")
    return done.stdout.strip()


def paths_of_this_machine(root: Path) -> set[str]:
    """Of the checkout and what it lies in, the home folder, and where this machine's pip finds packages."""
    top = checkout(root)
    above = os.path.dirname(top)
    found = {top, os.path.expanduser("~"), *(word for word in pip_settings() if word.startswith("/"))}
    if above not in (os.path.sep, os.path.realpath(tempfile.gettempdir())):  # every program may name these
        found.add(above)
    return {path.rstrip("/") for path in found} - {""}


def index_hosts() -> set[str]:
    """Hosts that pip asks for packages: those that are set here, and those that it knows by itself."""
    known = "from pip._internal.models.index import PyPI\nprint(PyPI.netloc, PyPI.file_storage_domain)"
    built_in = subprocess.run([sys.executable, "-c", known], capture_output=True, text=True).stdout.split()
    return {host for host in (*built_in, *(urllib.parse.urlsplit(word).hostname for word in pip_settings())) if host}


def pip_settings() -> list[str]:
    listing = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    values = [line.partition("=")[2].strip("'\" ") for line in listing.splitlines()]
    words = [word for value in values for word in value.replace("\\n", " ").split()]
    return [word.removeprefix("file://") for word in words]


def places(root: Path, pattern: str) -> list[str]:
    """Lines of tracked files in which `pattern` is found."""
    command = ["git", "grep", "-InP", "-e", pattern]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()


def test_no_file_holds_a_path_of_this_machine(root: Path) -> None:
    paths = sorted(map(re.escape, paths_of_this_machine(root)))
    assert places(root, rf"(?<![\w.~-])({'|'.join(paths)})(?![\w.-])") == []


def test_no_file_names_the_host_of_a_package_index(root: Path) -> None:
    checkout(root)
    hosts = sorted(map(re.escape, index_hosts()))
    assert hosts, "pip should know at least one"
    assert places(root, rf"(?<![\w.-])({'|'.join(hosts)})(?![\w.-])") == []


def test_constraints_are_names_and_versions_only(root: Path) -> None:
    lines = (root / "constraints.txt").read_text().splitlines()
    wrong = [line for line in lines if line[:1] != "#" and not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)]
    assert wrong == []
