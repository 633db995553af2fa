"""What a type checker says of decorated and carried functions."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = "tests/typing/decorated.py"


def test_mypy_reveals_the_types_that_functions_had_before() -> None:
    done = subprocess.run([sys.executable, "-m", "mypy", FILE], cwd=ROOT, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout
    said = {int(line): what for line, what in re.findall(r':(\d+): note: Revealed type is "(.*)"', done.stdout)}
    lines = (ROOT / FILE).read_text().splitlines()
    asked = {n: line.partition("  # ")[2] for n, line in enumerate(lines, 1) if line.startswith("reveal_type(")}
    assert said.keys() == asked.keys()
    same = [n for n, expected in asked.items() if expected == "the next is the same"]
    assert len(same) > 5
    assert {said[n]: said[n + 1] for n in same} == {said[n]: said[n] for n in same}
    for n, expected in asked.items():
        if expected and n not in same:
            assert said[n] == expected, lines[n - 1]
