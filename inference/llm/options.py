"""The configuration of the LLM tiers; durations are in seconds, money is in US dollars."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, field

from inference.errors import ConfigError
from inference.options import Options, Positive, Seconds, Share, Usd
from schemas.formats.level_words import HIGH, LEVELS

ResponseMode = Literal["json_schema", "json_object", "none"]


class PriceOptions(Options, frozen=True):
    """The price of a million tokens, if the price table has none for the model or a wrong one."""

    input_usd_per_million: Usd
    output_usd_per_million: Usd


class EndpointOptions(Options, frozen=True):
    """One OpenAI-compatible endpoint.

    `timeout_s` limits one call, from its first byte to its last. `temperature` and
    `max_tokens_field` can be changed for models that refuse the usual ones. Without `prices`, the
    name of the model is looked up in a price table.
    """

    base_url: str
    model: Annotated[str, Meta(min_length=1)]
    api_key_env: str | None = None
    api_key_file: str | None = None
    response_mode: ResponseMode = "json_schema"
    timeout_s: Seconds = 30.0
    max_answer_tokens: Positive = 500
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = 0.0
    concurrency: Positive = 4
    requests_per_minute: Positive | None = None
    prices: PriceOptions | None = None


class RetryOptions(Options, frozen=True):
    """The retries for one event, and the budget of retries that all events share.

    Each first call adds `budget_share` of a retry to the budget, which holds at most
    `budget_reserve` retries. So when every call fails, the service gets this much more load, and
    not more.
    """

    attempts: Positive = 3
    wait_initial_s: Seconds = 0.5
    wait_max_s: Seconds = 8.0
    budget_share: Share = 0.2
    budget_reserve: Positive = 10


class BreakerOptions(Options, frozen=True):
    """When an endpoint is not called any more.

    After `failures` failed calls in a row, it is not called for `reset_s`. Then it is tried with
    one call.
    """

    failures: Positive = 5
    reset_s: Seconds = 30.0


class BudgetOptions(Options, frozen=True):
    """Dollars per UTC day.

    A tenant that is named in `tenants` has the limit given there. Every other tenant has the limit
    `usd_per_tenant_per_day`, if it is set. `usd_unverified_per_day` is for all events together
    whose tenant is only what their sender says; without it, senders are believed.
    """

    usd_per_day: Usd = 10.0
    usd_per_tenant_per_day: Usd | None = None
    usd_unverified_per_day: Usd | None = None
    tenants: dict[str, Usd] = field(default_factory=dict)


class LimitOptions(Options, frozen=True):
    """What the LLM may not do alone.

    It may not give a label that is in `closing`, and it may not lower a label on an axis of
    `orders`, where the lowest label comes first. `guarded` names a label on such an axis: from that
    label on, it may not move an event to another queue.

    The defaults fit the shipped model. For a model of your own, name the labels that nobody looks
    at again, and the axes that have an order.
    """

    closing: list[str] = field(default_factory=lambda: ["out_of_scope"])
    orders: dict[str, list[str]] = field(
        default_factory=lambda: {axis: list(levels) for axis, levels in LEVELS.items()}
    )
    guarded: dict[str, str] = field(default_factory=lambda: dict(HIGH))

    def __post_init__(self) -> None:
        if self.guarded == HIGH:
            return  # a model of one's own may lack these axes
        for axis, value in self.guarded.items():
            if value not in self.orders.get(axis, ()):
                raise msgspec.ValidationError(
                    f"guarded names {value!r} on {axis!r}, which orders does not contain; "
                    "name a label of an axis that has an order"
                )


class LlmOptions(Options, frozen=True):
    """The LLM tiers, in the order in which they are asked; without tiers, the LLM is off.

    `deadline_s` limits the whole wait of one event, over all tiers and retries. With more than
    `max_backlog` cases waiting, those with the lowest estimated risk go to review without the LLM.
    """

    tiers: list[str] = field(default_factory=list)
    endpoints: dict[str, EndpointOptions] = field(default_factory=dict)
    deadline_s: Seconds = 45.0
    max_event_chars: Annotated[int, Meta(ge=200, le=200_000)] = 6_000
    max_backlog: Positive = 1_000
    retries: RetryOptions = field(default_factory=RetryOptions)
    breaker: BreakerOptions = field(default_factory=BreakerOptions)
    budget: BudgetOptions = field(default_factory=BudgetOptions)
    limits: LimitOptions = field(default_factory=LimitOptions)

    @property
    def patience_s(self) -> float:
        """How long one event may wait, in seconds.

        This is `deadline_s`, or the time of one whole call to one of the tiers if that is longer.
        """
        return max([self.deadline_s, *(self.endpoints[name].timeout_s for name in self.tiers)])


class CostOptions(Options, frozen=True):
    """What an average call to an LLM would cost, for comparisons; no call is billed from these."""

    llm_input_usd_per_million: Usd = 0.15
    llm_output_usd_per_million: Usd = 0.60
    llm_prompt_overhead_tokens: Positive = 600
    llm_answer_tokens: Positive = 120


def check_options(llm: LlmOptions) -> None:
    """Refuse a tier without an endpoint, and an address that is not a URL or contains a secret.

    Raises:
        ConfigError: one sentence that names the key.
    """
    for tier in llm.tiers:
        if tier not in llm.endpoints:
            raise ConfigError(
                f"llm.tiers names {tier!r}; "
                f"describe it under [llm.endpoints.{tier}] or leave it out"
            )
    if len(set(llm.tiers)) < len(llm.tiers):
        raise ConfigError("llm.tiers names an endpoint twice; list each once")
    for name, endpoint in llm.endpoints.items():
        check_url(endpoint.base_url, f"llm.endpoints.{name}.base_url", example="https://HOST/v1")


def check_url(address: str, key: str, *, example: str) -> None:
    """Refuse what is no address of a web service, or contains more than an address.

    Raises:
        ConfigError: one sentence that names the key, and not the address.
    """
    example = f"write it as {example}"
    try:
        url = urlsplit(address)
        _ = url.port  # raises ValueError if it is not a number
    except ValueError:
        raise ConfigError(f"is no URL; {example}", key=key) from None
    # urlsplit drops these characters without a word, but the HTTP client would not.
    if not address.isprintable() or " " in address:
        raise ConfigError(f"holds a space or a character that is not printable; {example}", key=key)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ConfigError(f"is no http or https address with a host; {example}", key=key)
    # `config show`, the logs and the doctor print the address, so it must not contain a key.
    if "@" in url.netloc or url.query or url.fragment:
        raise ConfigError(
            "holds more than an address; name the variable of a secret in the key for it, such as "
            "api_key_env",
            key=key,
        )
