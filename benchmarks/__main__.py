"""`python -m benchmarks [NAME...]`: run benchmarks and rewrite their part of RESULTS.md."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
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
    failed = 0
    try:
        for name in wanted:
            failed += not _run(name, command)
    finally:
        _stores.delete()
    return 1 if failed else 0


def _run(name: str, command: str) -> bool:
    """Run one family; each is written when it is done, so a later failure takes nothing away."""
    module = importlib.import_module(f"benchmarks.{name}")
    start = time.monotonic()
    print(f"{name} ...", flush=True)
    rows = []
    try:
        for row in module.rows():
            rows.append(row)
            print(f"  {row.name}: {row.value:.3g}{row.unit} {row.verdict}", flush=True)
    except Exception as problem:  # noqa: BLE001 - the other families still have their turn
        print(f"  failed, its old rows stay: {problem}", file=sys.stderr)
        return False
    if rows:  # a family that cannot be measured here says why, and keeps its old rows
        title = (module.__doc__ or name).splitlines()[0].rstrip(".")
        sections = {**_results.read(), name: _results.section(name, title, rows, _results.now())}
        _results.write(sections, command)
    print(f"  {time.monotonic() - start:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
