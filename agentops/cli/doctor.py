"""`agentops doctor`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from agentops.inert import line
from agentops.store.health import Check, checks
from agentops.store.location import find_store

if TYPE_CHECKING:
    import argparse

    from agentops.cli.output import Output

HELP = """Check the store and the installation, and say what to do about what is wrong. Exits with 1 then.

  agentops doctor
  agentops doctor --production      also what a deployment needs: room, forking servers, horizon, redaction, export"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--production", action="store_true", help="also check what a deployment needs")
    parser.add_argument("--ascii", action="store_true", help="no glyphs beyond ASCII")


def run(given: argparse.Namespace, out: Output) -> int:
    store = find_store()
    found = [*checks(store), _installation()]
    if given.production:
        from agentops.cli.production import production

        found += production(store)
    if out.json:
        fields: list[dict[str, Any]] = [check._asdict() for check in found]
        out.object({"store": str(store), "store_reason": store.reason, "checks": fields})
    else:
        for check in found:
            out.line(out.paint(f"{out.mark('ok' if check.ok else 'error')} {check.name:12} {line(check.says)}",
                               "ok" if check.ok else "error"))  # fmt: skip
            if check.advice:
                out.line(f"    {line(check.advice)}")
    return 0 if all(check.ok for check in found) else 1


def _installation() -> Check:
    from importlib.metadata import packages_distributions, version

    owners = sorted(set(packages_distributions().get("agentops", ())))
    if "agentops" in owners:
        return Check(
            "package",
            False,
            "another project's distribution named `agentops` is installed in this environment",
            "both own the import name `agentops` and overwrite each other: `pip uninstall agentops`, then install "
            "agentops-recorder again",
        )
    python = ".".join(map(str, sys.version_info[:3]))
    return Check("package", True, f"agentops-recorder {version('agentops-recorder')}, Python {python}", None)
