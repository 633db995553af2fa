"""uvicorn: each request that it serves is a trace."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from .web import asgi

__all__ = ["instrument"]


def instrument(module: ModuleType) -> None:
    """Record what uvicorn serves, in its workers too.

    Args:
        module: the imported `uvicorn`.
    """
    from uvicorn.config import Config

    load: Any = Config.load
    if hasattr(load, "__wrapped__"):
        return

    @functools.wraps(load)
    def loaded(self: Any) -> None:
        load(self)
        self.loaded_app = asgi(self.loaded_app)

    Config.load = loaded  # type: ignore[method-assign]
