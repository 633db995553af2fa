"""What a model call costs: by the user's own prices first, else by the list of genai-prices.

That list is offline and comes with the extra `anthropic`. Importing it takes a third of a second, so it is loaded when
the first call needs a price, on whichever thread brings calls into the store, which is none of the program's own.

Amounts are whole numbers of pico-dollars (10^-12 US dollars): a price of up to six decimals for a million tokens is one
for each token, so costs and their sums are exact. A few listed prices have more decimals (0.1 + 0.2 is not 0.3): there
the cost of a call is rounded to the nearest.
"""

from __future__ import annotations

import bisect
import datetime
import fnmatch
import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from agentops.safety import failed
from agentops.usage import Usage

__all__ = [
    "HOOK", "INSTEAD", "PICO", "RATES", "OwnPrice", "Price", "PricedCall", "as_pico", "as_usd", "cost_usd",
    "forget_own", "given", "hooks", "own", "price_of", "prices_for", "read_own", "rules_for", "version",
]  # fmt: skip

#: Pico-dollars in a dollar; agentops.store.counting has it too.
PICO = 10**12
_COST_MAX = 2**62
#: What has a price, in the order of `Price.rates`: for a million tokens, the last two for a thousand.
RATES = (
    "input", "cache_read", "cache_write", "cache_write_1h", "audio_input", "output", "thinking", "audio_output",
    "web_searches", "requests",
)  # fmt: skip
_TOKENS = 8
_SCALES = (10**6,) * _TOKENS + (10**9,) * 2
#: Whose price holds where the list has no own one for it.
INSTEAD = {1: 0, 2: 0, 3: 2, 4: 0, 6: 5, 7: 5}
_NAMES_OF_LIST = (
    ("input_mtok",), ("cache_read_mtok",), ("cache_write_5m_mtok", "cache_write_mtok"), ("cache_write_1h_mtok",),
    ("input_audio_mtok",), ("output_mtok",), ("output_reasoning_mtok",), ("output_audio_mtok",),
    ("web_searches_kcount",), ("requests_kcount",),
)  # fmt: skip
#: OpenTelemetry's and others' names of providers, where genai-prices has another.
_PROVIDERS = {
    "aws.bedrock": "aws", "bedrock": "aws", "gcp.vertex_ai": "google", "gcp.gemini": "google", "gcp.gen_ai": "google",
    "vertex_ai": "google", "azure.ai.openai": "azure", "azure.ai.inference": "azure", "az.ai.openai": "azure",
    "az.ai.inference": "azure", "mistral_ai": "mistral", "mistralai": "mistral", "x_ai": "x-ai", "xai": "x-ai",
    "moonshot_ai": "moonshotai", "together_ai": "together",
}  # fmt: skip
#: The source of what a function of the user's said.
HOOK = "price()"
_MODEL_CHARACTERS = 200
_NAME_CHARACTERS = 80
_DECIMALS = 6
_PRICE_MAX = Decimal(10**6)

Rates = tuple[Decimal | None, ...]


class Price(NamedTuple):
    """The prices that held for a call.

    source: whose list it is: `genai-prices 0.2.3`, a file's path, `init()` or `price()`.
    entry: which entry of it, with the tier: `anthropic:claude-sonnet-5 batch`.
    rates: US dollars, as RATES has them; None where there is none.
    factors: the same in pico-dollars for one token or request, exactly.
    """

    source: str
    entry: str
    rates: Rates
    factors: tuple[int | Fraction | None, ...]

    def cost(self, usage: Usage, without_output: bool = False) -> int | None:
        """Pico-dollars for `usage`; None where something that was used has no price, or is not known.

        Args:
            usage: of one call.
            without_output: the call has none, such as one for an embedding.
        """
        if usage.fresh_input is None or (usage.output is None and not without_output):
            return None
        total: int | Fraction = self.factors[-1] or 0  # for the request itself
        for used, factor in zip(usage[:9], self.factors, strict=False):
            if used:
                if factor is None:
                    return None
                total += used * factor
        return _whole(total)


class PricedCall(NamedTuple):
    """A call of a model, as a function given to `price` sees it.

    provider, model: as they were recorded, the model that answered; None where nobody said.
    time_ns: when it began, ns since 1970.
    tier: `batch`, `fast` or another than the standard one; None for that.
    usage: what it used.
    kind: `llm` or `embedding`.
    """

    provider: str | None
    model: str | None
    time_ns: int
    tier: str | None
    usage: Usage
    kind: str = "llm"


class OwnPrice(NamedTuple):
    """An entry of the user's own prices: a pattern for models, from when on, and what holds then.

    over: other prices for calls with more input tokens than that, in ascending order.
    tiers: other prices by tier.
    """

    pattern: str
    from_ns: int
    rates: Rates
    over: tuple[tuple[int, Rates], ...] = ()
    tiers: tuple[tuple[str, Rates], ...] = ()

    def matches(self, provider: str | None, model: str) -> bool:
        pattern, model = self.pattern.lower(), model.lower()
        return fnmatch.fnmatchcase(model, pattern) or fnmatch.fnmatchcase(f"{provider or ''}/{model}".lower(), pattern)

    def rates_for(self, tokens: int, tier: str | None) -> Rates:
        rates = self.rates
        for over, others in self.over:
            if tokens > over:
                rates = _overlaid(rates, others)
        return _filled(_overlaid(rates, dict(self.tiers).get(tier or "", ())))


#: Functions that say what a call costs, before any list; see `agentops.price`.
hooks: tuple[Callable[[PricedCall], object], ...] = ()
#: What `init(prices=...)` was given in this process.
given: object = None
_own: tuple[str, tuple[OwnPrice, ...]] | None = None


def forget_own() -> None:
    """Read the user's own prices again when they are next needed."""
    global _own
    _own = None


def own() -> tuple[str, tuple[OwnPrice, ...]]:
    """The user's own prices, and where they come from; read once.

    Raises:
        SettingError: they cannot be used.
    """
    global _own
    if _own is None:
        from agentops.settings import resolve

        value = resolve({"prices": given})["prices"]
        _own = value.origin, read_own(value.value or {})
    return _own


def price_of(call: PricedCall) -> tuple[Price, int] | None:
    """The price of a call and what it cost by it, in pico-dollars; None where it has none, or not for all it used."""
    for hook in hooks:
        try:
            amount = hook(call)
            if amount is not None:
                name = str(getattr(hook, "__name__", ""))[:_NAME_CHARACTERS]
                return Price(HOOK, name, (), ()), as_pico(amount)
        except Exception as problem:  # noqa: BLE001 - the user's function
            failed(f"price function {getattr(hook, '__name__', hook)!r}", problem, lost=0)
    if call.model is None or call.usage.fresh_input is None:
        return None
    found = prices_for(call, one=True)
    cost = found[0].cost(call.usage, call.kind == "embedding") if found else None
    return None if cost is None else (found[0], cost)


def prices_for(call: PricedCall, one: bool = False) -> list[Price]:
    """The entries that hold for a call, that which is used first; `one`: no other."""
    if call.model is None:
        return []
    found: list[Price] = []
    try:
        origin, prices = own()
        fitting = [mine for mine in prices if mine.from_ns <= call.time_ns and mine.matches(call.provider, call.model)]
        if fitting:
            # One that names the model before one that means many; then as they stand; of one model, the latest.
            first = min(fitting, key=lambda one: any(sign in one.pattern for sign in "*?["))
            entry = max((one for one in fitting if one.pattern == first.pattern), key=lambda one: one.from_ns)
            name = entry.pattern if call.tier is None else f"{entry.pattern} {call.tier}"
            found.append(_made(origin, name, entry.rates_for(call.usage.input_tokens or 0, call.tier)))
    except Exception as problem:  # noqa: BLE001 - a file that somebody is just writing
        failed("reading the prices of agentops.toml", problem, lost=0)
    if found and one:
        return found
    try:
        listed = _by_list(call)
        if listed is not None:
            found.append(listed)
    except Exception as problem:  # noqa: BLE001
        failed("looking up a price", problem, lost=0)
    return found


def rules_for(provider: str | None, model: str, time_ns: int) -> list[tuple[str, Price]]:
    """All that may hold for calls of a model, with when it does: `""` for always, `batch`, `over 200000 tokens`.

    What is used first stands first; where a price for batches or for many tokens is the plain one, it is left out.
    """
    found: list[tuple[str, Price]] = []

    def call(tokens: int = 0, tier: str | None = None) -> PricedCall:
        return PricedCall(provider, model, time_ns, tier, Usage(tokens))

    for place, plain in enumerate(prices_for(call())):
        found.append(("", plain))
        known = {plain.rates}
        for tier in ("batch", "fast", "priority", "flex"):
            other = [one for one in prices_for(call(0, tier)) if one.source == plain.source]
            if other and other[0].rates not in known:
                found.append((tier, other[0]))
        for bound in sorted(_bounds(call())):
            others = prices_for(call(bound + 1))
            if len(others) > place and others[place].rates not in known:
                known.add(others[place].rates)
                found.append((f"over {bound} tokens", others[place]))
    return found


def _bounds(call: PricedCall) -> set[int]:
    """Numbers of input tokens above which another price may hold."""
    own_ones = {bound for one in own()[1] for bound, _ in one.over}
    listed = _entry(call)
    return own_ones | set(listed.bounds if listed else ())


# -- the list ----------------------------------------------------------------------------------------


class _Listed:
    """A model of the list at one time: each price with those that hold over so many input tokens."""

    def __init__(self, entry: str, rates: list[tuple[Decimal | None, tuple[tuple[int, Decimal], ...]]]) -> None:
        self.entry = entry
        self.rates = rates
        self.bounds = sorted({start for _, tiers in rates for start, _ in tiers})
        self._prices: dict[int, Price] = {}

    def price(self, tokens: int) -> Price:
        """What holds for a call with so many input tokens."""
        place = bisect.bisect_left(self.bounds, tokens)  # of one that has as many as the bound, that below
        price = self._prices.get(place)
        if price is None:
            rates = [max([(-1, base), *(one for one in tiers if one[0] < tokens)], key=itemgetter(0))[1]
                     for base, tiers in self.rates]  # fmt: skip
            price = self._prices[place] = _made(version() or "", self.entry, _filled(tuple(rates)))
        return price


_DAY_MINUTES = 24 * 60
_TODAY_MAX = 1_000
#: What held for the last calls, by provider, model, tier and day, with the list that it is from.
_today: dict[tuple[str | None, str, str | None, int], tuple[Any, _Listed | None]] = {}


@lru_cache(maxsize=1)
def _list() -> Any:
    """genai-prices' list; None where it is not installed."""
    try:
        import genai_prices.data_snapshot
    except ImportError:
        return None
    return genai_prices.data_snapshot


def version() -> str | None:
    """What the list calls itself; None where it is not installed."""
    if _list() is None:
        return None
    import genai_prices

    snapshot = _list().get_snapshot()
    of = f", updated {snapshot.timestamp:%Y-%m-%d}" if snapshot.from_auto_update else ""
    return f"genai-prices {genai_prices.__version__}{of}"


def _by_list(call: PricedCall) -> Price | None:
    listed = _entry(call)
    if listed is None:
        return None
    return listed.price(call.usage.input_tokens or 0)


def _entry(call: PricedCall) -> _Listed | None:
    if _list() is None or call.model is None or len(call.model) > _MODEL_CHARACTERS:
        return None
    snapshot = _list().get_snapshot()
    known = call.provider, call.model, call.tier, call.time_ns // (_DAY_MINUTES * 60 * 10**9)
    if known in _today and _today[known][0] is snapshot:
        return _today[known][1]
    provider = None if call.provider is None else _PROVIDERS.get(call.provider.lower(), call.provider.lower())
    minute = call.time_ns // (60 * 10**9)
    if not -(10**9) < minute < 10**9:
        return None
    house = id(snapshot), provider, call.model
    minutes = _minutes(*house)
    listed = _listed(*house, call.tier, minute // minutes)
    if minutes == _DAY_MINUTES:
        if len(_today) > _TODAY_MAX:
            _today.clear()
        _today[known] = snapshot, listed
    return listed


@lru_cache(maxsize=1024)
def _model(snapshot: int, provider: str | None, model: str) -> Any:
    """Provider and model of the list; None if it has none."""
    del snapshot  # an updated list is asked anew
    try:
        return _list().get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None


@lru_cache(maxsize=1024)
def _minutes(snapshot: int, provider: str | None, model: str) -> int:
    """For how many minutes the price of a model holds at least: some have one by the hour."""
    found = _model(snapshot, provider, model)
    prices = [] if found is None else found[1].prices
    constraints = [one.constraint for one in prices] if isinstance(prices, list) else []
    return 1 if any(hasattr(one, "start_time") for one in constraints) else _DAY_MINUTES


@lru_cache(maxsize=4096)
def _listed(snapshot: int, provider: str | None, model: str, tier: str | None, time: int) -> _Listed | None:
    found = _model(snapshot, provider, model)
    if found is None:
        return None
    house, entry = found
    then = datetime.datetime.fromtimestamp(time * 60 * _minutes(snapshot, provider, model), datetime.UTC)
    context = {}
    # As genai-prices does it: one house's variants say nothing of another that sells the same model.
    if tier is not None and any(entry is one for one in house.models):
        context = {"service_tier": tier}
        context |= {"batch": {"processing": "batch"}, "fast": {"speed": "fast"}}.get(tier, {})
    prices = entry.get_prices(then, context or None)
    rates: list[tuple[Decimal | None, tuple[tuple[int, Decimal], ...]]] = []
    for names in _NAMES_OF_LIST:
        price = next((one for name in names if (one := getattr(prices, name, None)) is not None), None)
        if price is None or isinstance(price, Decimal):
            rates.append((price, ()))
        else:
            rates.append((price.base, tuple((one.start, one.price) for one in price.tiers)))
    name = f"{house.id}:{entry.id}" if tier is None else f"{house.id}:{entry.id} {tier}"
    return _Listed(name, rates)


# -- the user's own ----------------------------------------------------------------------------------


def read_own(value: object) -> tuple[OwnPrice, ...]:
    """The user's own prices, from a table of models or the JSON of one.

    Raises:
        ValueError: it cannot be used; says what it should be.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_float=Decimal)
        except ValueError:
            raise ValueError("a table of models, as JSON") from None
    if not isinstance(value, Mapping):
        raise ValueError('a table of models, such as {"my-model*": {"input": 3, "output": 15}}')
    found: list[OwnPrice] = []
    for pattern, entries in value.items():
        if not isinstance(pattern, str) or not pattern.strip():
            raise ValueError("a name of a model, or a pattern such as my-model*, for each entry")
        for entry in entries if isinstance(entries, (list, tuple)) else (entries,):
            found.append(_own_price(pattern, entry))
    return tuple(found)


def _own_price(pattern: str, entry: object) -> OwnPrice:
    if not isinstance(entry, Mapping):
        raise ValueError(f'prices for {pattern!r}, such as {{"input": 3, "output": 15}}')
    rest = dict(entry)
    start = rest.pop("from", None)
    over, tiers = rest.pop("over", {}), {}
    for name in [name for name, value in rest.items() if isinstance(value, Mapping)]:
        tiers[name] = _rates(f"{pattern} {name}", rest.pop(name))
    if not isinstance(over, Mapping) or not all(str(bound).isascii() and str(bound).isdigit() for bound in over):
        raise ValueError(f'for {pattern!r}, what holds over so many input tokens: {{"200000": {{"input": 6}}}}')
    bounds = sorted((int(bound), _rates(f"{pattern} over {bound}", rates)) for bound, rates in over.items())
    return OwnPrice(pattern, _moment(pattern, start), _rates(pattern, rest), tuple(bounds), tuple(tiers.items()))


def _rates(name: str, entry: object) -> Rates:
    if not isinstance(entry, Mapping):
        raise ValueError(f'prices for {name!r}, such as {{"input": 3, "output": 15}}')
    unknown = [key for key in entry if key not in RATES]
    if unknown:
        raise ValueError(f"for {name!r} prices of {', '.join(RATES)} and not of {unknown[0]!r}")
    return tuple(None if key not in entry else _amount(name, entry[key]) for key in RATES)


def _amount(name: str, value: object) -> Decimal:
    try:
        amount = Decimal(str(value)) if isinstance(value, (int, float, str, Decimal)) else Decimal("NaN")
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not amount.is_finite() or not 0 <= amount <= _PRICE_MAX:
        raise ValueError(f"for {name!r} US dollars for a million tokens, not {value!r}")
    if amount.as_tuple().exponent < -_DECIMALS and amount != round(amount, _DECIMALS):  # type: ignore[operator]
        raise ValueError(f"for {name!r} a price of at most {_DECIMALS} decimals, not {value!r}")
    return amount


def _moment(name: str, start: object) -> int:
    if start is None:
        return -(2**63)
    try:
        if isinstance(start, str):
            start = datetime.datetime.fromisoformat(start)
        if not isinstance(start, datetime.date):
            raise ValueError
        if not isinstance(start, datetime.datetime):
            start = datetime.datetime(start.year, start.month, start.day)
        if start.tzinfo is None:
            start = start.replace(tzinfo=datetime.UTC)
        return int(start.timestamp()) * 10**9
    except (ValueError, OverflowError):
        raise ValueError(f"for {name!r} a day such as 2026-10-14 from when on it holds") from None


def _made(source: str, entry: str, rates: Rates) -> Price:
    factors = [None if rate is None else Fraction(rate) * scale for rate, scale in zip(rates, _SCALES, strict=True)]
    whole = (int(one) if one is not None and one.denominator == 1 else one for one in factors)
    return Price(source, entry, rates, tuple(whole))


def _overlaid(rates: Rates, others: Rates) -> Rates:
    if not others:
        return rates
    return tuple(ours if theirs is None else theirs for ours, theirs in zip(rates, others, strict=True))


def _filled(rates: Rates) -> Rates:
    """With the price of the one that stands in for each that has none."""
    filled = list(rates)
    for place, instead in INSTEAD.items():
        if filled[place] is None:
            filled[place] = filled[instead]
    return tuple(filled)


def as_pico(amount: object) -> int:
    """US dollars, as a number or a text, as pico-dollars.

    Raises:
        ValueError: it is no amount.
    """
    if not isinstance(amount, (int, float, str, Decimal)) or isinstance(amount, bool):
        raise ValueError(f"an amount in US dollars is a number, not {type(amount).__name__}")
    try:
        whole = _whole(Fraction(str(amount)) * PICO)
    except (ValueError, ZeroDivisionError):
        whole = None
    if whole is None:
        raise ValueError(f"{amount!r} is no amount in US dollars")
    return whole


def _whole(total: int | Fraction) -> int | None:
    whole = round(total)
    return whole if 0 <= whole <= _COST_MAX else None


def as_usd(pico: int) -> str:
    """Pico-dollars as US dollars, exactly: `0.0036`."""
    whole, rest = divmod(abs(pico), PICO)
    return f"{'-' * (pico < 0)}{whole}.{rest:012d}".rstrip("0").rstrip(".")


def cost_usd(
    model: str,
    *,
    provider: str,
    input_tokens: int,
    output_tokens: int,
    cache_read_tokens: int = 0,
    cache_write_tokens: int = 0,
    cache_write_1h_tokens: int = 0,
    web_searches: int = 0,
    batch: bool = False,
    fast: bool = False,
    time_ns: int | None = None,
) -> float | None:
    """The price of one call in US dollars.

    Args:
        model: as the provider named it.
        provider: such as `anthropic`.
        input_tokens: all of them, with what was read from and written to the prompt cache.
        output_tokens: all of them, with reasoning.
        cache_read_tokens: of the input.
        cache_write_tokens: of the input, of any lifetime.
        cache_write_1h_tokens: of the cache writes, those that live for an hour.
        web_searches: searches by the provider's own tool.
        batch: at the price of batches.
        fast: at the price of the fast mode.
        time_ns: when it was, ns since 1970; now if None.

    Returns:
        None where no list has a price for it.
    """
    import time

    usage = Usage(
        input_tokens - cache_read_tokens - cache_write_tokens, cache_read_tokens,
        cache_write_tokens - cache_write_1h_tokens, cache_write_1h_tokens, None, output_tokens, None, None,
        web_searches,
    )  # fmt: skip
    tier = "batch" if batch else "fast" if fast else None
    found = price_of(PricedCall(provider, model, time.time_ns() if time_ns is None else time_ns, tier, usage))
    return None if found is None else found[1] / PICO
