"""`agentops prices`."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING, Any

from agentops.errors import NotFound, UsageError
from agentops.inert import line
from agentops.settings import find_file

if TYPE_CHECKING:
    import argparse

    from agentops.cli.output import Output
    from agentops.prices import Price

HELP = """Show which prices hold for a model, and whose they are: your own in agentops.toml come first, then the list of
genai-prices. Without a model: for all models that were called here. A table in agentops.toml that cannot be used is
said. Amounts are US dollars for a million tokens, for searches and requests a thousand.

  agentops prices claude-sonnet-5
  agentops prices gpt-5 --provider azure --on 2026-03-01

In agentops.toml:
  [prices."my-model*"]
  input = 0.80
  output = 2.40
  over.200000 = { input = 1.60 }
  batch = { input = 0.40, output = 1.20 }"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="a model, as its provider calls it")
    parser.add_argument("--provider", metavar="NAME", help="who sells it, such as anthropic or aws.bedrock")
    parser.add_argument("--on", metavar="DAY", help="the prices of that day, such as 2026-03-01 (today)")


def run(given: argparse.Namespace, out: Output) -> int:
    from agentops import prices

    time_ns = time.time_ns()
    if given.on is not None:
        try:
            day = datetime.datetime.fromisoformat(given.on)
        except ValueError:
            raise UsageError(f"--on takes a day such as 2026-03-01, not {given.on!r}") from None
        time_ns = int(day.replace(tzinfo=day.tzinfo or datetime.UTC).timestamp()) * 10**9
    prices.forget_own()
    origin, own = prices.own()
    found = [(given.provider, given.model, None, None)] if given.model is not None else _called()
    rules = [prices.rules_for(provider, model, time_ns) if model else [] for provider, model, _, _ in found]
    version = prices.version()
    code = 1 if given.model is not None and not rules[0] else 0
    if out.json:
        models = [
            {
                "model": model, "provider": provider, "calls": calls, "unpriced": unpriced,
                "prices": [_fields(when, price) for when, price in of_model],
            }
            for (provider, model, calls, unpriced), of_model in zip(found, rules, strict=True)
        ]  # fmt: skip
        out.object({"price_list": version, "file": find_file(), "own": len(own), "models": models})
        return code
    for (provider, model, calls, unpriced), of_model in zip(found, rules, strict=True):
        house = f" ({line(provider, 80)})" if provider else ""
        many = "" if calls is None else f", {calls} call{'s' * (calls != 1)}"
        none = f", {unpriced} unpriced" if unpriced else ""
        out.line(f"{line(model or 'no model', 120)}{house}{many}{none}")
        for when, price in of_model:
            bound = f", {when}" if when.startswith("over") else ""  # a tier is in the entry's name
            out.text(f"  {line(price.entry, 120)}{bound}: {_words(price)}  ({line(price.source)})")
        if not of_model:
            out.text("  unpriced: no list has it; give it a price in agentops.toml, see `agentops prices --help`")
    if not found:
        out.line("no calls of a model were recorded here yet")
    mine = f"{len(own)} of your own ({line(origin)})" if own else "none of your own"
    out.text("US dollars for a million tokens; for web searches, for a thousand", "dim")
    out.text(f"lists: {mine}; {version or 'genai-prices is not installed'}", "dim")
    return code


def _called() -> list[tuple[str | None, str | None, int | None, int | None]]:
    from agentops.cli.reading import opened

    try:
        with opened() as reader:
            return [*reader.models()]
    except NotFound:
        return []


def _fields(when: str, price: Price) -> dict[str, Any]:
    from agentops.prices import RATES

    rates = {name: format(rate, "f") for name, rate in zip(RATES, price.rates, strict=True) if rate is not None}
    return {"when": when, "source": price.source, "entry": price.entry, "rates": rates}


def _words(price: Price) -> str:
    """What differs: a price that another one stands in for is not said again."""
    from agentops.prices import INSTEAD, RATES

    parts = []
    for place, (name, rate) in enumerate(zip(RATES, price.rates, strict=True)):
        if rate is not None and (place not in INSTEAD or rate != price.rates[INSTEAD[place]]):
            parts.append(f"{name} ${rate.normalize():f}")
    return ", ".join(parts) or "nothing"
