"""`make proof` keeps what its tests found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PROOFS = """
import pytest

@pytest.mark.proof
@pytest.mark.parametrize("a", ["x|y"])
def test_kills(record_property, a):
    record_property("spans lost", 0)

@pytest.mark.proof
def test_fails():
    raise ValueError

def test_of_another_tier():
    raise ValueError
"""


def prove(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "proof_table", "-m", "proof", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_run_adds_a_dated_table(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = proof: slow\n")
    (tmp_path / "test_p.py").write_text(PROOFS)
    done = prove(tmp_path)
    assert "1 failed, 1 passed, 1 deselected" in done.stdout
    (table,) = (tmp_path / "docs/proofs").iterdir()
    assert f"table: docs/proofs/{table.name}" in done.stdout
    text = table.read_text()
    assert text.startswith(f"# Proofs of {table.stem}\n\n## ")
    text = re.sub(r"\d+\.\d \|", "SECONDS |", text)
    assert "| test_p.py::test_kills[x\\|y] | passed | SECONDS | spans lost: 0 |\n" in text
    assert "| test_p.py::test_fails | failed | SECONDS |  |\n" in text

    prove(tmp_path, "-k", "kills")
    again = table.read_text()
    assert again.count("\n## ") == 2
    assert again.count("test_kills") == 2


def test_a_run_without_proofs_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = proof: slow\n")
    (tmp_path / "test_p.py").write_text("def test_of_another_tier(): ...\n")
    assert prove(tmp_path).returncode == 5
    assert not (tmp_path / "docs").exists()


def test_a_report_for_machines_has_what_a_proof_measured(tmp_path: Path) -> None:
    ours = Path(__file__).parents[2] / "pyproject.toml"
    (tmp_path / "test_p.py").write_text(PROOFS)
    prove(tmp_path, "-c", str(ours), "--rootdir", str(tmp_path), "--junit-xml=r.xml", "-k", "kills", "test_p.py")
    assert '<property name="spans lost" value="0" />' in (tmp_path / "r.xml").read_text()
