"""Names of journals; apart from reading them, which takes a decoder that a listing does not need."""

from __future__ import annotations

import os
import re

__all__ = ["SUFFIX", "UNNAMED", "is_journal_name", "journal_name", "journals"]

SUFFIX = ".journal"
#: While a journal is being made: nobody may take it for one.
UNNAMED = ".journal.new"
#: Other files in the folder are not ours: they are neither read nor deleted.
_is_name = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}-[0-9]{6,18}(\.journal(?:\.new)?)").fullmatch


def journal_name(started_ns: int, process: int, sequence: int) -> str:
    """File name of a process's journal number `sequence`; names sort in the order of writing."""
    return f"{started_ns:016x}-{process:016x}-{sequence:06d}{SUFFIX}"


def is_journal_name(name: str) -> bool:
    """Whether a journal may be called so."""
    return _is_name(name) is not None


def journals(folder: str, process: int | None = None, suffix: str = SUFFIX) -> list[str]:
    """Names of the journals in `folder`, of one process or of all, in the order of writing."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    mark = "" if process is None else f"-{process:016x}-"
    return sorted(name for name in names if (is_ours := _is_name(name)) and is_ours[1] == suffix and mark in name)
