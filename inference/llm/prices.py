"""What an endpoint charges: its configured prices, those of a price table, or an assumption."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import inf
from typing import Literal

from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

from inference.llm.client.failure import Usage
from inference.llm.options import EndpointOptions, PriceOptions

log = logging.getLogger(__name__)

HOURS_PER_DAY = 24

PriceSource = Literal["configured", "table", "assumed"]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens; `source` says where the price comes from."""

    input_usd_per_million: float
    output_usd_per_million: float
    source: PriceSource

    def cost_usd(self, usage: Usage) -> float:
        """Return the cost of these tokens in US dollars."""
        return (
            usage.prompt_tokens * self.input_usd_per_million
            + usage.completion_tokens * self.output_usd_per_million
        ) / 1_000_000


def price_of(
    options: EndpointOptions, fallback: PriceOptions, *, max_prompt_tokens: float = inf
) -> Price:
    """Look up the price of an endpoint's model, once at the start and never over the network.

    Configured prices come first. Second is the table that genai-prices contains
    (github.com/pydantic/genai-prices). Its highest price for a prompt of up to `max_prompt_tokens`
    counts: the highest tier, the most expensive hour of the day, and nothing cached. Last is
    `fallback`, with a warning.
    """
    if options.prices is not None:
        return _price(options.prices, "configured")
    listed = _listed_price(options, max_prompt_tokens)
    if listed is not None:
        return _price(listed, "table")
    log.warning(
        "no price is known for the model %r: "
        "budget and cost assume $%g in and $%g out per million tokens; "
        "set prices.input_usd_per_million and prices.output_usd_per_million of its endpoint",
        options.model,
        fallback.input_usd_per_million,
        fallback.output_usd_per_million,
    )
    return _price(fallback, "assumed")


def _price(options: PriceOptions, source: PriceSource) -> Price:
    return Price(options.input_usd_per_million, options.output_usd_per_million, source)


def _listed_price(options: EndpointOptions, max_prompt_tokens: float) -> PriceOptions | None:
    try:
        model = _listed_model(get_snapshot(), options)
    except LookupError:
        return None
    now = datetime.now(UTC)
    # Some models are cheaper at night, and a worker runs by day and by night.
    prices = [model.get_prices(now + timedelta(hours=hour)) for hour in range(HOURS_PER_DAY)]
    input_usd = _highest((price.input_mtok for price in prices), max_prompt_tokens)
    output_usd = _highest((price.output_mtok for price in prices), max_prompt_tokens)
    if input_usd is None or output_usd is None or _charges_per_call(prices):
        return None
    return PriceOptions(input_usd_per_million=input_usd, output_usd_per_million=output_usd)


def _listed_model(table: DataSnapshot, options: EndpointOptions) -> ModelInfo:
    """Find the model at the provider that the address belongs to.

    If the address belongs to no provider, for instance that of a proxy, the name alone counts. A
    model that its provider does not list is not looked up at other providers, because they may
    charge less for it.

    Raises:
        LookupError: the table does not contain the model.
    """
    try:
        provider = table.find_provider(None, None, options.base_url)
    except LookupError:
        # With this provider, the table also reads LiteLLM's spelling, "openai/gpt-4o-mini".
        return table.find_provider_model(options.model, None, "litellm", None)[1]
    return table.find_provider_model(options.model, provider, None, None)[1]


def _highest(
    prices: Iterable[Decimal | TieredPrices | None], max_prompt_tokens: float
) -> float | None:
    reachable = [usd for price in prices for usd in _reachable(price, max_prompt_tokens)]
    if not reachable:
        return None
    return float(max(reachable))


def _reachable(price: Decimal | TieredPrices | None, max_prompt_tokens: float) -> list[Decimal]:
    """The prices that a prompt of up to `max_prompt_tokens` can have."""
    if price is None:
        return []
    if isinstance(price, TieredPrices):
        return [price.base, *(tier.price for tier in price.tiers if tier.start < max_prompt_tokens)]
    return [price]


def _charges_per_call(prices: Iterable[ModelPrice]) -> bool:
    """Whether calls are billed as well, so that the price of the tokens would be too low."""
    return any(price.requests_kcount is not None for price in prices)
