"""Tests of the prices: configured, looked up without a network, or assumed with a warning."""

import logging
import socket
from typing import Any

import pytest

from inference.llm.client.failure import Usage
from inference.llm.options import EndpointOptions, PriceOptions
from inference.llm.prices import Price, price_of

ASSUMED = PriceOptions(input_usd_per_million=3, output_usd_per_million=9)
OPENAI = "https://api.openai.com/v1"
LOCAL = "http://127.0.0.1:11434/v1"
MILLION = Usage(1_000_000, 1_000_000)


def endpoint(
    model: str, base_url: str = OPENAI, prices: PriceOptions | None = None
) -> EndpointOptions:
    """An endpoint with a model."""
    return EndpointOptions(base_url=base_url, model=model, prices=prices)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a price is looked up over the network."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("looking up a price went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_dollars_are_per_million_tokens() -> None:
    """Otherwise every budget and every report would be wrong by the same factor."""
    price = Price(2.0, 8.0, "configured")
    assert price.cost_usd(Usage(500_000, 250_000)) == 3.0
    assert price.cost_usd(Usage()) == 0.0


def test_configured_prices_win(caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise a negotiated price, or an error in the table, could not be corrected."""
    prices = PriceOptions(input_usd_per_million=0, output_usd_per_million=1)
    assert price_of(endpoint("gpt-4o-mini", prices=prices), ASSUMED) == Price(0, 1, "configured")
    assert not caplog.records


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("gpt-4o-mini", OPENAI),
        ("gpt-4o-mini", "https://acme.openai.azure.com/openai/v1/"),
        ("gpt-4o-mini", LOCAL),
        ("openai/gpt-4o-mini", "http://litellm.internal:4000"),
    ],
    ids=[
        "the provider's own address",
        "another provider's",
        "a proxy on this machine",
        "a proxy's spelling",
    ],
)
def test_known_models_are_looked_up(
    model: str, base_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise everybody would have to configure prices that are published."""
    price = price_of(endpoint(model, base_url), ASSUMED)
    assert (price.source, price.cost_usd(MILLION)) == ("table", 0.75)
    assert not caplog.records


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("house-model-1", OPENAI),
        ("gpt-4o-mini", "https://api.groq.com/openai/v1"),
        ("house-model-1", LOCAL),
        ("sonar", "https://api.perplexity.ai"),
        ("text-embedding-3-small", OPENAI),
    ],
    ids=[
        "unknown",
        "not at this provider",
        "a local server",
        "also bills every call",
        "no price for answers",
    ],
)
def test_an_unknown_price_is_assumed_with_one_warning(
    model: str, base_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise calls would seem free, or nobody would know that a price is assumed."""
    with caplog.at_level(logging.WARNING):
        assert price_of(endpoint(model, base_url), ASSUMED) == Price(3, 9, "assumed")
    (record,) = caplog.records
    assert model in record.getMessage()
    assert "prices.input_usd_per_million" in record.getMessage()


@pytest.mark.parametrize(
    ("model", "base_url", "tokens", "usd"),
    [
        ("deepseek-chat", "https://api.deepseek.com/v1", 1e9, 0.27 + 1.1),
        (
            "gemini-2.5-pro",
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            1e9,
            2.5 + 15,
        ),
        (
            "gemini-2.5-pro",
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            8_000,
            1.25 + 10,
        ),
    ],
    ids=["highest hour", "highest tier", "highest tier that such a prompt reaches"],
)
def test_the_highest_price_counts(model: str, base_url: str, tokens: float, usd: float) -> None:
    """Otherwise the budget would be exceeded, or short prompts would be billed as long ones."""
    price = price_of(endpoint(model, base_url), ASSUMED, max_prompt_tokens=tokens)
    assert price.cost_usd(MILLION) == pytest.approx(usd)
