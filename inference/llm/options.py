"""What may be configured about the LLM tier; durations in seconds, money in US dollars."""

from typing import Annotated, Literal

from msgspec import Meta, field

from inference.options import Options, Positive, Seconds, Share, Usd

ResponseMode = Literal["json_schema", "json_object", "none"]


class PriceOptions(Options, frozen=True):
    """What a million tokens cost, where the price table does not know the model or is wrong about it."""

    input_usd_per_million: Usd
    output_usd_per_million: Usd


class EndpointOptions(Options, frozen=True):
    """One OpenAI-compatible endpoint.

    `timeout_s` bounds one call from its first byte to its last. `temperature` and `max_tokens_field` exist for
    models that refuse the usual ones. Without `prices` the model's name is looked up.
    """

    base_url: Annotated[str, Meta(pattern=r"^https?://")]
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
    """Retries of one event's calls, and the budget all of them share.

    Each first attempt earns `budget_share` of a retry, up to `budget_reserve` saved: when everything fails, the
    service sees that much more load and no more.
    """

    attempts: Positive = 3
    wait_initial_s: Seconds = 0.5
    wait_max_s: Seconds = 8.0
    budget_share: Share = 0.2
    budget_reserve: Positive = 10


class BreakerOptions(Options, frozen=True):
    """After `failures` calls in a row have failed an endpoint is left alone for `reset_s`, then tried with one call."""

    failures: Positive = 5
    reset_s: Seconds = 30.0


class BudgetOptions(Options, frozen=True):
    """Dollars a UTC day; a tenant named in `tenants` has that limit, any other `usd_per_tenant_per_day` where set."""

    usd_per_day: Usd = 10.0
    usd_per_tenant_per_day: Usd | None = None
    tenants: dict[str, Usd] = field(default_factory=dict)


class LimitOptions(Options, frozen=True):
    """What the LLM may not do alone: give a label in `closing`, or lower a label on an axis of `orders` (lowest first).

    The defaults are the shipped model's; name here the labels of your own that nobody looks at again, and its scales.
    """

    closing: list[str] = field(default_factory=lambda: ["out_of_scope"])
    orders: dict[str, list[str]] = field(
        default_factory=lambda: {
            "severity": ["informational", "low", "medium", "high", "critical"],
            "priority": ["low", "normal", "high", "urgent"],
        }
    )


class LlmOptions(Options, frozen=True):
    """Tiers in the order they are asked; empty switches the LLM off.

    `deadline_s` bounds everything one event may wait for, over all tiers and retries. With more than `max_backlog`
    cases waiting, the least uncertain go to review unasked.
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
        """How long one event may wait: `deadline_s`, or where that is longer one whole call to one of the tiers."""
        return max([self.deadline_s, *(self.endpoints[name].timeout_s for name in self.tiers)])


class CostOptions(Options, frozen=True):
    """What an average call to the LLM would cost, for comparisons; no call is ever billed from these."""

    llm_input_usd_per_million: Usd = 0.15
    llm_output_usd_per_million: Usd = 0.60
    llm_prompt_overhead_tokens: Positive = 600
    llm_answer_tokens: Positive = 120
