"""The names that users import: complete, documented, and not changed unawares."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import agentops

#: Methods with special names that are part of how a class is used.
SPECIAL = ("__init__", "__call__", "__enter__", "__exit__", "__aenter__", "__aexit__")


def members(cls: type) -> dict[str, object]:
    """What our classes in `cls`'s line of descent define for users; what others define is theirs to promise."""
    found: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] == "agentops":
            found.update({n: v for n, v in vars(base).items() if not n.startswith("_") or n in SPECIAL})
    return found


def face() -> Iterator[str]:
    for name in agentops.__all__:
        value = getattr(agentops, name)
        if inspect.isclass(value):
            yield from class_lines(name, value)
        elif callable(value):
            yield f"{name}{inspect.signature(value)}"
        else:
            yield f"{name}: {type(value).__name__}"


def class_lines(name: str, cls: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in cls.__bases__)
    if name != cls.__name__:
        yield f"{name} = {cls.__name__}"
        return
    yield f"class {name}({bases})"
    for member, value in sorted(members(cls).items()):
        if isinstance(value, property):
            settable = "" if value.fset is None else ", can be set"
            yield f"    {member}: {inspect.signature(value.fget).return_annotation}{settable}"  # type: ignore[arg-type]
        elif isinstance(value, (classmethod, staticmethod)):
            yield f"    {type(value).__name__} {member}{inspect.signature(value.__func__)}"
        elif callable(value):
            yield f"    {member}{inspect.signature(value)}"
        elif inspect.ismemberdescriptor(value):
            yield f"    {member}"
        else:
            yield f"    {member} = {value!r}"


def test_the_public_face_is_the_one_that_users_know(golden: Callable[[str, str], None]) -> None:
    golden("public.txt", "\n".join(face()) + "\n")


def test_the_list_of_public_names_is_sorted_and_each_is_there() -> None:
    assert agentops.__all__ == sorted(set(agentops.__all__))
    assert [name for name in agentops.__all__ if not hasattr(agentops, name)] == []
    assert set(agentops.__all__) <= set(dir(agentops))


def test_what_editors_see_is_what_there_is(root: Path) -> None:
    """Names are resolved on first use, so the imports for type checkers stand apart and may be forgotten."""
    tree = ast.parse((root / "agentops/__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {
        alias.asname or alias.name
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == set(agentops.__all__)


def test_nothing_public_is_left_out_of_the_list() -> None:
    for name in agentops.__all__:
        getattr(agentops, name)
    seen = {name for name, value in vars(agentops).items() if name[0] != "_" and not inspect.ismodule(value)}
    assert seen - {"TYPE_CHECKING", "annotations"} == set(agentops.__all__)


def test_no_module_has_the_name_of_a_public_function() -> None:
    """Importing such a module would put it in the function's place."""
    modules = {module.name for module in pkgutil.iter_modules(agentops.__path__)}
    assert modules & set(agentops.__all__) == set()


@pytest.mark.parametrize("name", agentops.__all__)
def test_every_public_name_says_what_it_is_for(name: str) -> None:
    value = getattr(agentops, name)
    assert inspect.getdoc(value), f"agentops.{name} has no docstring"
    if inspect.isclass(value):
        silent = [
            member
            for member, what in members(value).items()
            if member not in SPECIAL and (isinstance(what, property) or callable(what)) and not inspect.getdoc(what)
        ]
        assert silent == [], f"members of agentops.{name} without a docstring"
