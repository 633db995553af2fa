"""`instrument` and `wrap`: integrations with client libraries, found by entry point and loaded with the library.

An entry of the group `agentops.integrations` is called like the module it waits for and leads to a module with
`instrument(module)` and, where clients can be wrapped singly, `wrap(client)`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeVar

from agentops.errors import UsageError
from agentops.safety import failed

__all__ = ["instrument", "wrap"]

GROUP = "agentops.integrations"

C = TypeVar("C")


def instrument(*names: str) -> None:
    """Record what client libraries do, whoever makes the clients: those imported already, and those that will be.

    A library that is not imported is not loaded. Calling it again changes nothing. From then on, what threads,
    executors, processes and programs record that are started inside of a span hangs below it.

    Args:
        names: of libraries, such as `anthropic` or `threading`; all that there is an integration for if none is given.

    Raises:
        UsageError: there is no integration for a name.
    """
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    for name in names:
        if name not in found:
            raise UsageError(f"there is no integration for {name!r}; there are {', '.join(sorted(found))}")
    for name in names or found:
        module = sys.modules.get(name)
        if module is None:
            waiting.add(found[name])
        else:
            _switch_on(found[name], module)


def wrap(client: C) -> C:
    """One client whose calls are recorded, where not all of them are to be.

    Args:
        client: of a library that there is an integration for; it is not changed.

    Returns:
        A client like it, sharing its connections.

    Raises:
        UsageError: there is no integration for it.
    """
    for cls in type(client).__mro__:
        library = cls.__module__.partition(".")[0]
        for entry in entry_points(group=GROUP, name=library):
            wrapped = getattr(entry.load(), "wrap", None)
            if wrapped is not None:
                made: C = wrapped(client)
                return made
    raise UsageError(f"there is no integration for a client of type {type(client).__module__}.{type(client).__name__}")


def _switch_on(entry: EntryPoint, module: ModuleType) -> None:
    try:
        entry.load().instrument(module)
    except Exception as problem:  # noqa: BLE001 - the program goes on without
        failed(f"instrumenting {entry.name}", problem, lost=0)


class _Waiting(MetaPathFinder):
    """Finds modules as if it were not there, and switches on their integration when they have been imported."""

    def __init__(self) -> None:
        self._entries: dict[str, EntryPoint] = {}
        self._looking: set[str] = set()

    def add(self, entry: EntryPoint) -> None:
        self._entries[entry.name] = entry
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        entry = self._entries.get(fullname)
        if entry is None or fullname in self._looking:
            return None
        self._looking.add(fullname)
        try:
            spec = find_spec(fullname)
        finally:
            self._looking.discard(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, lambda module: _switch_on(entry, module))
        return spec


class _Loader(Loader):
    """Another loader, and a function that is told when the module is there."""

    def __init__(self, loader: Any, then: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._then = then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader  # who asks the module finds what was there without us
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then(module)


waiting = _Waiting()
