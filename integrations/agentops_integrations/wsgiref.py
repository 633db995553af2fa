"""wsgiref, the server of the standard library: each request that it serves is a trace."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any
from wsgiref.handlers import BaseHandler

from .web import wsgi

__all__ = ["instrument"]


def instrument(module: ModuleType) -> None:
    """Record what handlers of wsgiref serve.

    Args:
        module: the imported `wsgiref.handlers`.
    """
    run: Any = BaseHandler.run
    if hasattr(run, "__wrapped__"):
        return

    @functools.wraps(run)
    def recorded(self: Any, application: Any) -> None:
        run(self, wsgi(application))

    BaseHandler.run = recorded  # type: ignore[method-assign]
