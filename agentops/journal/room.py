"""How much room journals take that wait for the store."""

from __future__ import annotations

import os

from agentops.errors import AgentopsError
from agentops.journal.names import SUFFIX

__all__ = ["check_room", "waiting_bytes"]


def check_room(folder: str, limit: int) -> None:
    """Journals that nothing brings into the store must not fill the disk.

    Args:
        folder: of journals.
        limit: in bytes, the setting `max_journal_bytes`.

    Raises:
        AgentopsError: there are too many.
    """
    if waiting_bytes(folder, limit) > limit:
        raise AgentopsError(
            f"the journals in {folder} hold more than max_journal_bytes ({limit / 1e6:.1f} MB) that could not be "
            "brought into the store"
        )


def waiting_bytes(folder: str, limit: int = 0) -> int:
    """Bytes of the journals in `folder` that nobody writes any more; those of living programs are small and stay.

    Args:
        folder: of journals.
        limit: up to this nobody has to know it exactly, and journals of living programs may be counted in.
    """
    sizes: dict[str, int] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX):
                    try:
                        sizes[entry.path] = entry.stat(follow_symlinks=False).st_size
                    except FileNotFoundError:
                        continue
    except (FileNotFoundError, NotADirectoryError):
        return 0
    total = sum(sizes.values())
    if total <= limit:
        return total
    from agentops.journal.reading import open_journal, writer_is_alive  # with it comes the decoder

    for path, size in sizes.items():
        try:
            descriptor = open_journal(path)
        except OSError:
            continue
        if descriptor is None:
            continue
        try:
            if writer_is_alive(descriptor):
                total -= size
        finally:
            os.close(descriptor)
    return total
