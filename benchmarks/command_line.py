"""The command line as whole processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import _fresh, _stores
from benchmarks._rows import Row, middle, ratios

ROUNDS = 25


def rows() -> Iterator[Row]:
    agentops = [str(Path(sys.executable).parent / "agentops"), "ls"]
    floor = [sys.executable, "-c", "import sqlite3, argparse"]
    with _fresh.temporary_store() as store:
        _fresh.call(_stores.build, store, 330)
        if "agent" not in _fresh.whole(agentops, store).output:
            raise RuntimeError("`agentops ls` does not list what the store holds")
        _fresh.whole(floor)
        pairs = [(_fresh.whole(agentops, store), _fresh.whole(floor)) for _ in range(ROUNDS)]
    for clock, kind in (("cpu", "processor time"), ("wall", "wall time")):
        us, them = ([getattr(pair[side], clock) for pair in pairs] for side in (0, 1))
        value, spread = middle(ratios(us, them))
        note = f"{middle(us)[0] * 1e3:.0f} against {middle(them)[0] * 1e3:.0f} ms, {kind}, 30 traces, {ROUNDS} pairs"
        yield Row(f"`agentops ls`, {kind}", value, '`python -c "import sqlite3, argparse"`', note, spread, 3.0)
