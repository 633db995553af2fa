"""What a model call costs, by the price list of genai-prices (offline; in the extra `anthropic`)."""

from __future__ import annotations

from agentops.safety import failed

__all__ = ["cost_usd"]


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
) -> float | None:
    """The price of one call in US dollars.

    Args:
        model: as the provider named it.
        provider: genai-prices' id of it, such as `anthropic`.
        input_tokens: all of them, with what was read from and written to the prompt cache.
        output_tokens: all of them, with reasoning.
        cache_read_tokens: of the input.
        cache_write_tokens: of the input, of any lifetime.
        cache_write_1h_tokens: of the cache writes, those that live for an hour.
        web_searches: searches by the provider's own tool.
        batch: at the price of batches.
        fast: at the price of the fast mode.

    Returns:
        None where the list has no price for it, or is not installed.
    """
    try:
        import genai_prices
    except ImportError:
        return None
    try:
        usage = genai_prices.Usage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=cache_read_tokens or None,
            cache_write_tokens=cache_write_tokens or None,
            cache_write_1h_tokens=cache_write_1h_tokens or None,
            web_searches=web_searches or None,
        )
        context = {**({"processing": "batch"} if batch else {}), **({"speed": "fast"} if fast else {})}
        price = genai_prices.calc_price(usage, model, provider_id=provider, price_context=context or None)
        return float(price.total_price)
    except LookupError:
        return None
    except Exception as problem:  # noqa: BLE001
        failed("looking up a price", problem, lost=0)
        return None
