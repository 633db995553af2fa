"""What `agentops run` adds to the start of a program: until its first line runs, and until its libraries are there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from time import monotonic

from benchmarks import _fresh
from benchmarks._rows import Row, middle

STARTS = 20
MUST = 2.0
_SAY = "import time; print(time.monotonic())"
_PROGRAMS = {
    "nothing": ("", "import agentops"),
    "anthropic": ("import anthropic", "import agentops, anthropic"),
}


def rows() -> Iterator[Row]:
    """One row a program: what it adds over what importing ourselves and the library takes."""
    command = os.path.join(os.path.dirname(sys.executable), "agentops")
    for name, (program, imports) in _PROGRAMS.items():
        taken: dict[str, list[float]] = {"bare": [], "alone": [], "imports": [], "run": []}
        with _fresh.temporary_store() as store:
            for _ in range(STARTS):
                for what, code, before in (
                    ("bare", "", ()),
                    ("alone", program, ()),
                    ("imports", imports, ()),
                    ("run", program, (command, "run", "--")),
                ):
                    start = monotonic()
                    used = _fresh.whole([*before, sys.executable, "-c", f"{code}\n{_SAY}"], store)
                    taken[what].append(float(used.output) - start)
        added = [run - alone for run, alone in zip(taken["run"], taken["alone"], strict=True)]
        limit = [whole - bare for whole, bare in zip(taken["imports"], taken["bare"], strict=True)]
        value, spread = middle([a / b for a, b in zip(added, limit, strict=True)])
        note = f"{middle(added)[0] * 1e3:.0f} ms added, imports {middle(limit)[0] * 1e3:.0f} ms; wall clock"
        yield Row(f"run: start of a program that imports {name}", value, f"`{imports}`", note, spread, must=MUST)
