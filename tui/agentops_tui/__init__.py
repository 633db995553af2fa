"""The terminal explorer of agentops: `main` is what the entry point `agentops.ui` names."""

from __future__ import annotations

__all__ = ["main"]


def main(trace: str | None = None) -> int:
    """Open the explorer over the nearest store, until the reader leaves it; the caller saw to a terminal.

    Args:
        trace: id of a run to open at once, the beginning of one, or `latest`; the list of runs if None.

    Returns:
        The exit code: that of the store's trouble if it could not be read, else 0.

    Raises:
        UsageError: Textual is not installed, or a setting cannot be used.
    """
    from agentops.errors import UsageError
    from agentops.store.location import find_store

    store = find_store()
    try:
        from agentops_tui.app import Explorer
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        raise UsageError(
            'the explorer needs Textual, which is not installed: pip install "agentops-recorder[tui]"'
        ) from missing
    import gc

    gc.set_threshold(100_000, 20, 20)  # rows of a large run live long: the usual one makes loading twice as slow
    explorer = Explorer(store, store.reason, trace)
    explorer.run()
    return explorer.return_code or 0
