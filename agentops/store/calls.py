"""One row a call of a model: what it used, in buckets that add up, and what it cost by which price.

A span of kind `llm` or `embedding` has one as soon as something is said of its usage or its cost, whoever recorded it.
Where that is two sums of tokens alone, and no model, the span's own row has it all: such a call has none here.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from agentops import conventions
from agentops.conventions import KINDS, token_count
from agentops.store.contents import fields
from agentops.store.counting import COUNTED, PICO, UNPRICED
from agentops.store.span_changes import model_of
from agentops.usage import BUCKETS, PLAIN, SAID, Usage, tier_of, usage_of

if TYPE_CHECKING:
    from agentops.prices import Price

__all__ = ["Calls", "Change", "fill", "reprice"]

_COLUMNS = 21
#: US dollars: more for one call is a mistake, or a store from elsewhere.
_SAID_MAX = 4_000_000
_PROVIDERS = (conventions.PROVIDER_NAME, "gen_ai.system", "llm.provider", "llm.system")
_NAME_CHARACTERS = 200


class Calls:
    """The calls of one batch.

    Args:
        connection: the store, in a transaction.
        name: gives a text's number in the table of names.
        look_up: False leaves calls unpriced of which nobody said what they cost.
    """

    def __init__(self, connection: sqlite3.Connection, name: Callable[[str], int], look_up: bool = True) -> None:
        self._connection = connection
        self._look_up = look_up
        self._name = name
        self._numbers: dict[int, tuple[Price, int]] = {}
        loaded = sys.modules.get("agentops.prices")
        self._asks = bool(loaded and loaded.hooks)  # a function of the program's may know what any call cost
        self._rows: dict[tuple[int, int], tuple[Any, ...] | None] = {}

    def put(
        self, trace: int, key: int, kind: int, start_ns: int, attributes: dict[str, Any], scope: dict[str, Any] | None
    ) -> tuple[int | None, int | None, int | None]:
        """What is said of a call now. Gives its inclusive tokens of input and of output, and its cost."""
        told = scope.get("cost") if scope else None  # of one that was imported, what it cost where it comes from
        keys = attributes.keys()
        if told is None and (keys <= PLAIN or keys & SAID <= PLAIN) and not self._asks:
            # Who says neither a model nor a cost says nothing that the span's own row has not; see `Reader.calls`.
            return _tokens(attributes, conventions.INPUT_TOKENS), _tokens(attributes, conventions.OUTPUT_TOKENS), None
        from agentops import prices  # a store without prices does without decimals

        said = conventions.cost_usd(attributes)
        if said is None and told is not None:
            said = conventions.cost_usd({conventions.OI_COST: told})
        usage = usage_of(attributes)
        if usage is None and said is None:
            return None, None, None
        usage = usage or Usage()
        provider, model, tier = _text(attributes, _PROVIDERS), model_of(attributes), tier_of(attributes)
        price: Price | None = None
        cost = saved = None
        if said is not None:
            cost = prices.as_pico(said) if said < _SAID_MAX else None
        elif self._look_up:
            found = prices.price_of(prices.PricedCall(provider, model, start_ns, tier, usage, KINDS[kind]))
            if found is not None:
                price, cost = found
        if attributes.get(conventions.CACHE_HIT) is True:  # nobody was asked, so nothing was paid
            cost, saved = 0, cost
        self._rows[trace, key] = (
            trace, key, kind, None if provider is None else self._name(provider),
            None if model is None else self._name(model), start_ns, tier, *usage, cost,
            None if price is None else self._number(price), saved,
        )  # fmt: skip
        return usage.input_tokens, usage.output_tokens, cost

    def _number(self, price: Price) -> int:
        """The number of a price; a few are asked for again and again, and are the same object."""
        known = self._numbers.get(id(price))
        if known is None:
            known = self._numbers[id(price)] = price, _number_of(self._connection, price)
        return known[1]

    def drop(self, trace: int, key: int) -> None:
        """The span is of another kind, as turns out."""
        self._rows[trace, key] = None

    def write(self) -> None:
        gone = [key for key, row in self._rows.items() if row is None]
        if gone:
            self._connection.executemany("DELETE FROM calls WHERE trace = ? AND span_id = ?", gone)
        self._connection.executemany(
            f"INSERT OR REPLACE INTO calls VALUES ({', '.join('?' * _COLUMNS)})",
            [row for row in self._rows.values() if row is not None],
        )


def fill(connection: sqlite3.Connection) -> None:
    """Make the rows of what is in a store of an older version; what it cost is what was said of it then."""

    def name(text: str) -> int:
        connection.execute("INSERT OR IGNORE INTO names (text) VALUES (?)", (text,))
        return int(connection.execute("SELECT id FROM names WHERE text = ?", (text,)).fetchone()[0])

    last: tuple[Any, ...] = (-(2**63), -(2**63))
    while True:
        rows = connection.execute(
            f"SELECT trace, span_id, kind, start_ns, body FROM spans WHERE (trace, span_id) > (?, ?) "
            f"AND kind IN {COUNTED} ORDER BY trace, span_id LIMIT 1000",
            last,
        ).fetchall()
        calls = Calls(connection, name, look_up=False)
        for trace, key, kind, start, body in rows:
            attributes = fields(body).get("a")
            if type(attributes) is dict and type(start) is int:
                calls.put(trace, key, kind, start, attributes, None)
        calls.write()
        if not rows:
            break
        last = rows[-1][:2]
    connection.execute(
        f"UPDATE traces SET unpriced = (SELECT ifnull(sum(kind IN {COUNTED} AND {UNPRICED}), 0) FROM spans "
        "WHERE trace = no)"
    )


class Change(NamedTuple):
    """What `reprice` did to the calls of one model. Costs in pico-dollars, of all its calls that have a price.

    calls: those that were looked at; what somebody else said a call cost stays, and is not among them.
    changed: whose cost is another one now; priced: of these, those that had none.
    kept: no list has a price for them today, and they keep what they had.
    unpriced: have none still.
    """

    model: str | None
    calls: int = 0
    changed: int = 0
    priced: int = 0
    kept: int = 0
    unpriced: int = 0
    before: int = 0
    after: int = 0

    def plus(self, other: Change) -> Change:
        """Both together."""
        return Change(self.model, *(a + b for a, b in zip(self[1:], other[1:], strict=True)))


def reprice(connection: sqlite3.Connection, trace: int, dry_run: bool, changes: dict[str | None, Change]) -> bool:
    """Compute what a trace's calls cost by today's lists; inside of a transaction, unless it is a dry run.

    Args:
        connection: the store.
        trace: its number.
        dry_run: change nothing.
        changes: what happened is added here, by model.

    Returns:
        Whether the store was changed.
    """
    from agentops import prices

    rows = connection.execute(_TO_REPRICE, (trace, prices.HOOK)).fetchall()
    new: list[tuple[Any, ...]] = []
    for key, kind, provider, model, start, tier, *rest in rows:
        counts, (marks, cost, _, saved), known = rest[:10], rest[10:14], tuple(rest[14:])
        if any(type(n) not in (int, type(None)) for n in (kind, start, marks, cost, saved, *counts)):
            continue  # a store from elsewhere
        before = cost if saved is None else saved
        kind_name = KINDS[kind] if kind in COUNTED else "llm"
        found = prices.price_of(
            prices.PricedCall(provider, model, start or 0, tier, Usage._make((*counts, marks or 0)), kind_name)
        )
        after = before if found is None else found[1]
        changed = after != before
        changes[model] = changes.get(model, Change(model)).plus(
            Change(
                None, 1, changed, changed and before is None, found is None and before is not None, after is None,
                before or 0, after or 0,
            )
        )  # fmt: skip
        if found is None or dry_run or (not changed and known == (*found[0][:2], _rates(found[0]))):
            continue
        number = _number_of(connection, found[0])
        new.append((*((after, None) if saved is None else (cost, after)), number, trace, key))
    if new:
        connection.executemany("UPDATE calls SET cost = ?, saved = ?, price = ? WHERE trace = ? AND span_id = ?", new)
        connection.executemany(
            "UPDATE spans SET cost_usd = ? WHERE trace = ? AND span_id = ?",
            [(cost / PICO, trace, key) for cost, _, _, trace, key in new],
        )
    return bool(new)


_TO_REPRICE = (
    "SELECT span_id, kind, houses.text, models.text, start_ns, tier, "
    + ", ".join(BUCKETS)
    + ", marks, cost, price, saved, source, entry, rates FROM calls "
    "LEFT JOIN names AS houses ON houses.id = provider LEFT JOIN names AS models ON models.id = calls.model "
    "LEFT JOIN prices ON prices.id = price "
    "WHERE trace = ? AND (price IS NOT NULL OR cost IS NULL) AND ifnull(source, '') != ?"
)


def _rates(price: Price) -> str:
    return " ".join("-" if rate is None else format(rate, "f") for rate in price.rates)


def _number_of(connection: sqlite3.Connection, price: Price) -> int:
    """The number of a price in the store, put there if need be."""
    values = price.source, price.entry, _rates(price)
    row = connection.execute("SELECT id FROM prices WHERE source = ? AND entry = ? AND rates = ?", values).fetchone()
    if row is None:
        row = (connection.execute("INSERT INTO prices (source, entry, rates) VALUES (?, ?, ?)", values).lastrowid,)
    return int(row[0])


def _tokens(attributes: dict[str, Any], name: str) -> int | None:
    count = attributes.get(name)
    if type(count) is not int:
        count = token_count(attributes, name)
    return None if count is None or count < 0 else min(count, 2**63 - 1)


def _text(attributes: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    value = next((value for key in keys if (value := attributes.get(key))), None)
    return value[:_NAME_CHARACTERS] if isinstance(value, str) else None
