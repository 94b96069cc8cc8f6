"""What an endpoint charges: its configured prices, those of a price table, or an assumption that says so."""

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

HOURS_A_DAY = 24


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars a million tokens; `source` says whose word that is."""

    input_usd_per_million: float
    output_usd_per_million: float
    source: Literal["configured", "table", "assumed"]

    def cost_usd(self, usage: Usage) -> float:
        """What these tokens cost."""
        return (
            usage.prompt_tokens * self.input_usd_per_million
            + usage.completion_tokens * self.output_usd_per_million
        ) / 1_000_000


def price_of(
    options: EndpointOptions, fallback: PriceOptions, *, max_prompt_tokens: float = inf
) -> Price:
    """The price of an endpoint's model, looked up once at start-up and never over the network.

    Configured prices win. Then comes the table genai-prices carries (github.com/pydantic/genai-prices), at the dearest
    it may charge for a prompt of up to `max_prompt_tokens`: the highest tier and hour of the day, nothing cached.
    Then `fallback`, with a warning.
    """
    if options.prices is not None:
        return _price(options.prices, "configured")
    listed = _listed(options, max_prompt_tokens)
    if listed is not None:
        return _price(listed, "table")
    log.warning(
        "no price is known for the model %r: budget and cost assume $%g in and $%g out per million tokens; "
        "set prices.input_usd_per_million and prices.output_usd_per_million of its endpoint",
        options.model,
        fallback.input_usd_per_million,
        fallback.output_usd_per_million,
    )
    return _price(fallback, "assumed")


def _price(options: PriceOptions, source: Literal["configured", "table", "assumed"]) -> Price:
    return Price(options.input_usd_per_million, options.output_usd_per_million, source)


def _listed(options: EndpointOptions, max_prompt_tokens: float) -> PriceOptions | None:
    try:
        model = _model(get_snapshot(), options)
    except LookupError:
        return None
    now = datetime.now(UTC)
    # Some models are cheaper at night; a worker lives through both.
    today = [model.get_prices(now + timedelta(hours=hour)) for hour in range(HOURS_A_DAY)]
    inputs = _highest((each.input_mtok for each in today), max_prompt_tokens)
    outputs = _highest((each.output_mtok for each in today), max_prompt_tokens)
    if inputs is None or outputs is None or _charges_per_call(today):
        return None
    return PriceOptions(input_usd_per_million=inputs, output_usd_per_million=outputs)


def _model(table: DataSnapshot, options: EndpointOptions) -> ModelInfo:
    """The model at the provider the address belongs to; at an address of one's own, a proxy's, by its name alone.

    A provider that does not list the model is not asked about elsewhere: the same model may be cheaper there.
    """
    try:
        provider = table.find_provider(None, None, options.base_url)
    except LookupError:
        # Under this name the table also reads LiteLLM's own spelling, "openai/gpt-4o-mini".
        return table.find_provider_model(options.model, None, "litellm", None)[1]
    return table.find_provider_model(options.model, provider, None, None)[1]


def _highest(
    prices: Iterable[Decimal | TieredPrices | None], max_prompt_tokens: float
) -> float | None:
    found = [price for listed in prices for price in _reachable(listed, max_prompt_tokens)]
    return float(max(found)) if found else None


def _reachable(price: Decimal | TieredPrices | None, max_prompt_tokens: float) -> list[Decimal]:
    if isinstance(price, TieredPrices):
        return [price.base, *(tier.price for tier in price.tiers if tier.start < max_prompt_tokens)]
    return [] if price is None else [price]


def _charges_per_call(prices: Iterable[ModelPrice]) -> bool:
    """Whether tokens are not all that is billed: their price alone would be too little."""
    return any(each.requests_kcount is not None for each in prices)
