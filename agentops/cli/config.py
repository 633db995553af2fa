"""`agentops config`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentops.inert import line
from agentops.settings import SETTINGS, find_file, resolve
from agentops.store.location import find_store

if TYPE_CHECKING:
    import argparse

    from agentops.cli.output import Output

HELP = """Show each setting, its value and where it came from: init() in a program comes before environment
variables, those before agentops.toml, that before defaults.

  agentops config"""


def arguments(parser: argparse.ArgumentParser) -> None:
    del parser  # no options of its own


def run(given: argparse.Namespace, out: Output) -> int:
    del given
    values = resolve()
    store = find_store()
    if values["export"].value:
        from agentops.exporters.target import targets_of

        names = [target.known_as for target in targets_of(values["export"])]  # URLs may hold passwords
        values["export"] = values["export"]._replace(value=names if out.json else ", ".join(names))
    if out.json:
        settings = [
            {"name": s.name, "value": values[s.name].value, "origin": values[s.name].origin, "variable": s.variable}
            for s in SETTINGS
        ]
        out.object({"settings": settings, "file": find_file(), "store": str(store), "store_reason": store.reason})
        return 0
    for setting in SETTINGS:
        value, origin = values[setting.name]
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        if value is None or value == ():
            shown = "not set"
        out.line(f"{setting.name:8} {line(shown)}  ({line(origin)})")
        out.line(out.paint(f"         {setting.meaning}; {setting.variable}", "dim"))
    out.line(f"\nrecording goes to {line(store)} ({line(store.reason)})")
    return 0
