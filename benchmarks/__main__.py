"""`python -m benchmarks [NAME...]`: run benchmarks and rewrite their part of RESULTS.md."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import signal
import sys
import time

import benchmarks
from benchmarks import _results, _stores


def main() -> int:
    names = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name[0] != "_")
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"one of {', '.join(names)}; all of them if none is given")
    wanted = parser.parse_args().name or names
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(names)}")
    command = " ".join(["python -m benchmarks", *(name for name in wanted if wanted != names)])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the stores are deleted then too
    measured: dict[str, str] = {}
    failed = False
    try:
        for name in wanted:
            try:
                measured.update(_run(name))
            except Exception as problem:  # noqa: BLE001 - the other families still have their turn
                failed = True
                print(f"  failed, its old rows stay: {problem}", file=sys.stderr)
            else:
                _results.write(measured, command)  # each at once, so a later failure takes nothing away
    finally:
        _stores.delete()
    return int(failed)


def _run(name: str) -> dict[str, str]:
    """Run one family; its section by its name, or nothing if it cannot be measured here and said why."""
    module = importlib.import_module(f"benchmarks.{name}")
    load, start = os.getloadavg()[0], time.monotonic()
    print(f"{name} ...", flush=True)
    rows = []
    for row in module.rows():
        rows.append(row)
        print(f"  {row.name}: {row.value:.3g}{row.unit} {row.verdict}", flush=True)
    print(f"  {time.monotonic() - start:.0f} s", flush=True)
    title = (module.__doc__ or name).splitlines()[0].rstrip(".")
    return {name: _results.section(name, title, rows, _results.now(), load)} if rows else {}


if __name__ == "__main__":
    sys.exit(main())
