"""Calls counted and added up by model, name or day.

One pass over the spans that are asked for, in the order in which they lie: SQLite selects, and what it gives is
added up here, since its own `sum` fails where a hostile store's token counts exceed 64 bits.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal, NamedTuple, get_args

from agentops.conventions import KIND_NUMBER, KINDS
from agentops.store.counting import COST, PICO, UNPRICED
from agentops.store.repeats import Call, repeated, said_of
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
    calls, errors: how many spans there are, how many of them failed. Where several report one call to a model, they
        are one by `model` and `day`, and one has the tokens and the cost by `name`: see `agentops.store.repeats`.
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
        self.cost = 0  # in pico-dollars
        self.last = -1
        self.durations = array("q")

    def row(self, key: str | None, kind: str | None) -> StatsRow:
        ordered = sorted(self.durations)
        return StatsRow(
            key, kind, self.calls, self.errors, self.runs, self.input, self.output,
            self.cost / PICO if self.priced else None, self.unpriced, nearest_rank(ordered, 50),
            nearest_rank(ordered, 95),
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
    cursor = connection.execute(
        # A store from elsewhere may hold anything in these columns.
        f"SELECT {group}, status, trace, CAST(span_id AS INTEGER), parent_id, CAST(kind AS INTEGER), "
        "CAST(start_ns AS INTEGER), CAST(end_ns AS INTEGER), CAST(input_tokens AS INTEGER), "
        f"CAST(output_tokens AS INTEGER), {COST}, {UNPRICED} FROM spans WHERE {counted} AND {where} ORDER BY trace",
        parameters,
    )
    for key, status, trace, call, repeats in _marked(connection, cursor):
        if repeats and not by_name:
            continue
        _, _, kind, start, end, given, output, cost, unpriced = call
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
        if end is not None:
            found.durations.append(max(0, min(end - start, _DURATION_MAX)))
        if repeats:
            continue
        if given is not None:
            found.input += given
        if output is not None:
            found.output += output
        if cost is not None:
            found.priced += 1
            found.cost += cost
        elif unpriced and kind in _CALLS:
            found.unpriced += 1
    total = _Group()
    total.runs = runs
    for (_, kind), one in groups.items():
        fields = ["calls", "errors", "unpriced"]
        if not by_name or kind in _CALLS:
            fields += ["input", "output", "priced", "cost"]
        for field in fields:
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


def _marked(
    connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]
) -> Iterator[tuple[Any, Any, int, Call, bool]]:
    """The rows, each with whether it repeats what another of them reports of the same call."""
    for trace, of_trace in groupby(rows, itemgetter(2)):
        spans = [(row[0], row[1], Call._make(row[3:])) for row in of_trace]
        calls = [call for _, _, call in spans if call.kind in _CALLS]
        repeats = repeated(calls, partial(said_of, connection, trace)) if len(calls) > 1 else ()
        for key, status, call in spans:
            yield key, status, trace, call, call.span_id in repeats


def _kind(number: int) -> str:
    return KINDS[number] if 0 <= number < len(KINDS) else "chain"
