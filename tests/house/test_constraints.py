"""constraints.txt holds a version of everything that is installed, so that two machines install the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

OURS = "agentops-recorder"
#: The house's own tools beside the extras: [dependency-groups] of pyproject.toml, which no metadata holds.
GROUP = "dev"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> Iterator[str]:
    """The distributions that `name` needs on this machine, and what those need."""
    if (name, extras) in seen:
        return
    seen.add((name, extras))
    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonical(requirement.name)
            yield from needed(canonical(requirement.name), frozenset(requirement.extras), seen)


def test_everything_that_is_installed_has_its_version_there(root: Path) -> None:
    import tomllib

    group = tomllib.loads((root / "pyproject.toml").read_text())["dependency-groups"][GROUP]
    seen: set[tuple[str, frozenset[str]]] = set()
    names: set[str] = set()
    for requirement in map(Requirement, group):
        names.add(canonical(requirement.name))
        names.update(needed(canonical(requirement.name), frozenset(requirement.extras), seen))
    lines = (root / "constraints.txt").read_text().splitlines()
    known = {canonical(line.partition("==")[0]) for line in lines}
    assert sorted(names - known - {OURS}) == []


@pytest.mark.parametrize("extra", ["all", "anthropic", "otel", "pii", "schema", "tui"])
def test_an_extra_can_be_asked_for(extra: str) -> None:
    assert extra in (metadata.metadata(OURS).get_all("Provides-Extra") or ())
