"""Calls counted and added up by model, name or day.

One pass over the spans that are asked for, in the order in which they lie: SQLite selects, and what it gives is
added up here, since its own `sum` fails where a hostile store's token counts exceed 64 bits.
"""

from __future__ import annotations

import sqlite3
from array import array
from typing import Any, Literal, NamedTuple, get_args

from agentops.conventions import KIND_NUMBER, KINDS
from agentops.store.rows import STATUS, checked

__all__ = ["BY", "By", "Stats", "StatsRow", "nearest_rank", "stats"]

By = Literal["model", "name", "day"]
BY: tuple[By, ...] = get_args(By)

#: Spans that call a model. An agent's span may sum up the usage of the calls below it, so it is none.
_CALLS = tuple(KIND_NUMBER[kind] for kind in ("llm", "embedding", "rerank"))
#: What is counted together, and what is counted.
_GROUP = {
    "model": ("model", f"kind IN {_CALLS}"),
    "name": ("name", "1"),
    "day": ("date(start_ns / 1000000000, 'unixepoch', 'localtime')", f"kind IN {_CALLS}"),
}
_ERROR = STATUS.index("error")
_DURATION_MAX = 2**63 - 1


class StatsRow(NamedTuple):
    """One line of the table. Durations in ns; None where no span has ended.

    key: the model, the name or the day (`2026-11-25`, local time); None where it is not known.
    kind: of the spans by `name`; None else, and in the total.
    calls, errors: how many spans there are, how many of them failed.
    runs: in how many traces they stand.
    cost_usd: of those whose cost is known; None if it is of none.
    unpriced: model calls whose cost is not known.
    """

    key: str | None
    kind: str | None
    calls: int
    errors: int
    runs: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    unpriced: int
    p50_ns: int | None
    p95_ns: int | None


class Stats(NamedTuple):
    """The lines, and what they come to together."""

    rows: list[StatsRow]
    total: StatsRow


def nearest_rank(ordered: list[int], percent: int) -> int | None:
    """The percentile of values in ascending order: the one at place ceil(percent / 100 * n), counted from 1.

    So it is always one of the values: definition 1 of Hyndman and Fan, Sample Quantiles in Statistical
    Packages, The American Statistician 50 (1996), 361-365. None if there are no values.
    """
    return ordered[max(1, -(-percent * len(ordered) // 100)) - 1] if ordered else None


class _Group:
    __slots__ = ("calls", "cost", "durations", "errors", "input", "last", "output", "priced", "runs", "unpriced")

    def __init__(self) -> None:
        self.calls = self.errors = self.runs = self.input = self.output = self.priced = self.unpriced = 0
        self.last = -1
        self.cost = 0.0
        self.durations = array("q")

    def row(self, key: str | None, kind: str | None) -> StatsRow:
        ordered = sorted(self.durations)
        return StatsRow(
            key, kind, self.calls, self.errors, self.runs, self.input, self.output,
            self.cost if self.priced else None, self.unpriced, nearest_rank(ordered, 50), nearest_rank(ordered, 95),
        )  # fmt: skip


def stats(connection: sqlite3.Connection, by: By, where: str, parameters: list[Any]) -> Stats:
    """Count the spans that `where` selects.

    Args:
        connection: the store.
        by: what is counted together: `model` and `day` count model calls, `name` all spans.
        where: a condition on the table of spans.
        parameters: its values.
    """
    group, counted = _GROUP[by]
    groups: dict[tuple[Any, int], _Group] = {}
    by_name = by == "name"
    runs, last = 0, -1
    for key, kind, status, took, given, output, cost, trace in connection.execute(
        # A store from elsewhere may hold anything in these columns.
        f"SELECT {group}, CAST(kind AS INTEGER), status, CAST(end_ns - start_ns AS INTEGER), "
        "CAST(input_tokens AS INTEGER), CAST(output_tokens AS INTEGER), CAST(cost_usd AS REAL), trace FROM spans "
        f"WHERE {counted} AND {where} ORDER BY trace",
        parameters,
    ):
        name = (key, kind if by_name else -1)
        found = groups.get(name)
        if found is None:
            found = groups[name] = _Group()
        found.calls += 1
        if trace != found.last:
            found.runs += 1
            found.last = trace
            if trace != last:
                runs += 1
                last = trace
        if status == _ERROR:
            found.errors += 1
        if took is not None:
            found.durations.append(max(0, min(int(took), _DURATION_MAX)))
        if given is not None:
            found.input += given
        if output is not None:
            found.output += output
        if cost is not None:
            found.priced += 1
            found.cost += cost
        elif kind in _CALLS:
            found.unpriced += 1
    total = _Group()
    total.runs = runs
    for one in groups.values():
        for field in ("calls", "errors", "input", "output", "priced", "unpriced", "cost"):
            setattr(total, field, getattr(total, field) + getattr(one, field))
        total.durations.extend(one.durations)
    names = {} if by == "day" else dict(checked("names", connection.execute("SELECT id, text FROM names").fetchall()))
    rows = [
        found.row(names.get(key) if by != "day" else key, _kind(kind) if by_name else None)
        for (key, kind), found in groups.items()
    ]
    if by == "day":
        rows.sort(key=lambda row: row.key or "", reverse=True)
    else:
        rows.sort(key=lambda row: (-row.calls, row.key or "", row.kind or ""))
    return Stats(rows, total.row(None, None))


def _kind(number: int) -> str:
    return KINDS[number] if 0 <= number < len(KINDS) else "chain"
