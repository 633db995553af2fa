"""Runs that failed like another: the same error, in the same place, with the same message but for ids."""

from __future__ import annotations

from typing import NamedTuple

from agentops.analysis.normal import message, without_ids
from agentops.analysis.run import Run
from agentops.errors import NotFound
from agentops.journal.format import ERROR, INTERRUPTED
from agentops.store.filters import Filter
from agentops.store.reader import Reader
from agentops.store.rows import SpanRow, TraceRow

__all__ = ["Signature", "alike", "signature"]


class Signature(NamedTuple):
    """What a failure is known by: the error's type and message, and the names on the way to it, without ids."""

    error: str
    path: tuple[str, ...]


def signature(reader: Reader, trace: TraceRow) -> Signature | None:
    """How a run failed, or what failed first in one that went on; None if nothing failed."""
    run = Run(reader, trace, skeleton_only=True)
    failed = _failed(run)
    return None if failed is None else Signature(_error(failed), tuple(without_ids(s.name) for s in run.path(failed)))


def alike(reader: Reader, trace: TraceRow, filter: Filter | None = None, limit: int | None = None) -> list[TraceRow]:
    """The runs that failed as `trace` did, newest first, itself among them.

    Two runs are alike if they ended in the same way (failed, went on, were cut off), and if the type of the
    error, its message without ids, numbers and quoted texts, and the names of the spans above it are the same.

    Args:
        reader: the store.
        trace: a run in which something failed.
        filter: selects among the runs that are alike.
        limit: at most this many; None for all of them.

    Raises:
        NotFound: nothing failed in it.
    """
    run = Run(reader, trace, skeleton_only=True)
    failed = _failed(run)
    if failed is None:
        raise NotFound(f"nothing failed in {trace.trace_id[:8]}, so no run can have failed like it")
    wanted = Signature(_error(failed), tuple(without_ids(s.name) for s in run.path(failed)))
    messages: dict[str | None, str] = {}
    names: dict[str, str] = {}
    numbers: set[int] = set()
    candidates: dict[int, list[tuple[int, int | None, str | None]]] = {}
    for number, span_id, parent_id, error in reader.failures(trace.status, failed.status_number, _type(failed)):
        candidates.setdefault(number, []).append((span_id, parent_id, error))
    for number, spans in candidates.items():
        came_up = {(parent_id, error) for _, parent_id, error in spans}
        for span_id, _, error in spans:
            if error not in messages:
                messages[error] = message(error or "") if failed.status_number == ERROR else "interrupted"
            if messages[error] != wanted.error or (span_id, error) in came_up:
                continue
            path = reader.path_names(number, span_id)
            if len(path) != len(wanted.path):
                continue
            for part in path:
                if part not in names:
                    names[part] = without_ids(part)
            if tuple(names[part] for part in path) == wanted.path:
                numbers.add(number)
                break
    found: list[TraceRow] = []
    for row in reader.iter_traces(filter):
        if row.no in numbers:
            found.append(row)
            if len(found) == limit:
                break
    return found


def _failed(run: Run) -> SpanRow | None:
    """The span that the run failed with, the first that failed in one that went on, or the first that was cut off."""
    root = run.root
    if root is not None and root.status_number == ERROR:
        return run.origin(root)
    failed = run.failed()
    if failed and (root is None or root.status_number != INTERRUPTED):
        return min((run.origin(span) for span in failed), key=lambda span: (span.end_ns or 0, span.start_ns))
    cut_off = [span for span in run.open() if span.status_number == INTERRUPTED]
    return cut_off[0] if cut_off else None


def _error(span: SpanRow) -> str:
    return message(span.error or "") if span.status_number == ERROR else "interrupted"


def _type(span: SpanRow) -> str:
    """What the error's text begins with, as far as it is the same in all that are alike."""
    kind, colon, _ = (span.error or "").partition(":")
    return kind if colon and message(kind) == kind else ""
