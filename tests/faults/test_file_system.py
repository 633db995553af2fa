"""File systems that are not made for it: one without locks is refused by name, a network one is advised against."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SERVER = Path(__file__).with_name("file_system.py")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """A folder on a file system of a process of ours; a skip where nobody may mount one."""
    servers: list[tuple[subprocess.Popen[str], Path]] = []

    def serve(kind: str, *words: str) -> Path:
        place = tmp_path / "place"
        place.mkdir()
        server = subprocess.Popen(
            [sys.executable, str(SERVER), str(place), kind, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        servers.append((server, place))
        assert server.stdout is not None
        if server.stdout.readline() != "mounted\n":
            _, complaint = server.communicate()
            pytest.skip(f"no file system can be mounted here: {complaint.strip().splitlines()[-1]}")
        return place

    yield serve
    for server, place in servers:
        subprocess.run(["umount", "-l", str(place)], capture_output=True)
        server.kill()
        server.communicate()


def test_a_file_system_without_locks_is_refused_by_name(served: Any, watched: Any, doctor: Any) -> None:
    place = served("fuse", "no-locks")
    done = watched("with span('x'): pass\nprint('ran', agentops.flush())\nsys.exit(3)", place / "traces.db")
    assert done.code == 3 and done.out.startswith("ran")
    (warning,) = done.warnings
    assert f"{place}/traces.journal is on a file system without locks (fuse)" in warning
    assert "set AGENTOPS_STORE to a path on a local disk" in warning
    ok, says, advice = doctor(place / "traces.db")["disk"]
    assert not ok and "without locks (fuse)" in says and "set AGENTOPS_STORE to a path on a local disk" in advice


def test_a_network_file_system_with_locks_is_advised_against(served: Any, doctor: Any) -> None:
    place = served("fuse.sshfs")
    ok, says, advice = doctor(place / "traces.db")["disk"]
    assert not ok and "network file system (fuse.sshfs)" in says and "local disk" in advice
