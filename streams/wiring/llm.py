"""The LLM tier, opened as the configuration asks.

Apart from `wiring.model`, because these packages load slower than most commands run.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from inference.classifier import Classifier
from inference.llm.budget import Budget
from inference.llm.cascade import Cascade, Tier
from inference.llm.client.endpoint import Endpoint
from inference.llm.client.failure import Usage
from inference.llm.client.resilient_endpoint import ResilientEndpoint, RetryBudget
from inference.llm.consultant import Consultant
from inference.llm.options import PriceOptions
from inference.llm.prices import price_of
from inference.llm.prompt.context import PromptWriter
from inference.llm.shedding import Shedding
from inference.retrieval.library import Library
from inference.rules.ruling import Rules
from streams.config import Settings
from streams.wiring.model import open_policy

MAX_BYTES_PER_CHAR = 6
"""A character that nobody sees is shown as an escape such as ``\\u200b``."""
MAX_QUOTATION_CHARS = 1_500
"""A quotation is an excerpt with its labels, or a passage with its heading."""
INSTRUCTION_BYTES = 8_192


def open_library(settings: Settings, classifier: Classifier) -> Library:
    """The library that is quoted to the LLM, with the configured runbooks.

    Raises:
        ConfigError: the runbooks cannot be read.
    """
    return Library.open(settings.retrieval, classifier.embed)


def open_tiers(settings: Settings) -> list[Tier]:
    """The configured tiers, in order, with one retry budget between them.

    Raises:
        ConfigError: a key is missing.
    """
    llm, cost = settings.llm, settings.cost
    assumed = PriceOptions(
        input_usd_per_million=cost.llm_input_usd_per_million,
        output_usd_per_million=cost.llm_output_usd_per_million,
    )
    retries = RetryBudget(llm.retries)
    tiers = []
    for name in llm.tiers:
        options = llm.endpoints[name]
        endpoint = Endpoint(name, options)
        resilient = ResilientEndpoint(endpoint, llm.retries, llm.breaker, retries)
        tiers.append(Tier(name, resilient, price_of(options, assumed), options.max_answer_tokens))
    return tiers


def open_cascade(settings: Settings, budget: Budget) -> Cascade:
    """The configured tiers behind one budget and one deadline.

    Raises:
        ConfigError: a key is missing.
    """
    return Cascade(open_tiers(settings), budget, deadline_s=settings.llm.patience_s)


def max_usd_per_event(settings: Settings, classifier: Classifier, cascade: Cascade) -> float:
    """The most US dollars that the LLM can cost for one event.

    Every tier is called as often as it may be, with the longest prompt and the longest answer.
    """
    quotations = settings.retrieval.similar + settings.retrieval.passages
    shown_chars = settings.llm.max_event_chars + quotations * MAX_QUOTATION_CHARS
    label_bytes = max(
        sum(len(value.encode()) for values in axes.values() for value in values)
        for axes in classifier.label_sets.values()
    )
    prompt_bytes = MAX_BYTES_PER_CHAR * shown_chars + 2 * label_bytes + INSTRUCTION_BYTES
    return sum(
        tier.endpoint.attempts * tier.price.cost_usd(Usage(prompt_bytes, tier.max_answer_tokens))
        for tier in cascade.tiers
    )


def open_consultant(
    settings: Settings,
    classifier: Classifier,
    rules: Rules,
    cascade: Cascade,
    library: Library,
    *,
    backlog: Callable[[], int],
) -> Consultant:
    """The consultant that asks `cascade`; `backlog` says how many cases are waiting.

    Raises:
        ConfigError: an egress rule cannot mean anything.
    """
    policy = open_policy(settings, classifier)
    prompt_writer = PromptWriter(
        classifier.label_sets,
        policy,
        library,
        max_event_chars=settings.llm.max_event_chars,
        phone_regions=settings.egress.phone_regions,
    )
    return Consultant(
        cascade,
        prompt_writer,
        policy,
        deciding={domain: settings.domain(domain).deciding for domain in classifier.domains},
        limits=settings.llm.limits,
        why_person=lambda event, labels: rules.needs_person(event, labels, now=datetime.now(UTC)),
        shedding=Shedding(settings.llm.max_backlog),
        backlog=backlog,
    )
