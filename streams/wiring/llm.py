"""The LLM tier, opened as the configuration asks.

Apart from `wiring.model`, because these packages load slower than most commands run.
"""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from inference.labels.renames import Renames
from inference.labels.served import within_chars
from inference.llm.budget import Budget
from inference.llm.cascade import Cascade, Tier
from inference.llm.client.endpoint import Endpoint
from inference.llm.client.failure import Usage
from inference.llm.client.resilient_endpoint import ResilientEndpoint, RetryBudget
from inference.llm.consultant import Consultant
from inference.llm.options import LimitOptions, PriceOptions
from inference.llm.prices import price_of
from inference.llm.prompt.context import PromptWriter
from inference.llm.shedding import Shedding
from inference.retrieval.library import Library
from inference.rules.ruling import Rules
from inference.serving import Served
from schemas.event import Domain
from streams.config import Settings
from streams.traces import NO_TRACES, Traces
from streams.wiring.model import open_policy

MAX_BYTES_PER_CHAR = 6
"""A character that nobody sees is shown as an escape such as ``\\u200b``."""
MAX_QUOTATION_CHARS = 1_500
"""A quotation is an excerpt with its labels, or a passage with its heading."""
INSTRUCTION_BYTES = 8_192
LINE_BYTES = 8
"""What a line of a description has besides its label and its text."""

log = logging.getLogger(__name__)


def open_library(settings: Settings, classifier: Served) -> Library:
    """The library that is quoted to the LLM, with the configured runbooks.

    Raises:
        ConfigError: the runbooks cannot be read.
    """
    return Library.open(settings.retrieval, classifier.embed)


def open_tiers(settings: Settings, traces: Traces = NO_TRACES) -> list[Tier]:
    """The configured tiers, in order, with one retry budget between them.

    `traces` follow the calls.

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
        endpoint = traces.calling(Endpoint(name, options))
        resilient = ResilientEndpoint(endpoint, llm.retries, llm.breaker, retries)
        tiers.append(Tier(name, resilient, price_of(options, assumed), options.max_answer_tokens))
    return tiers


def open_cascade(settings: Settings, budget: Budget, traces: Traces = NO_TRACES) -> Cascade:
    """The configured tiers behind one budget and one deadline; `traces` follow their calls.

    Raises:
        ConfigError: a key is missing.
    """
    return Cascade(open_tiers(settings, traces), budget, deadline_s=settings.llm.patience_s)


def max_usd_per_event(settings: Settings, classifier: Served, cascade: Cascade) -> float:
    """The most US dollars that the LLM can cost for one event.

    Every tier is called as often as it may be, with the longest prompt and the longest answer.
    """
    quotations = settings.retrieval.similar + settings.retrieval.passages
    shown_chars = settings.llm.max_event_chars + quotations * MAX_QUOTATION_CHARS
    prompt_bytes = MAX_BYTES_PER_CHAR * shown_chars + INSTRUCTION_BYTES
    prompt_bytes += max(
        2 * _label_bytes(classifier.labels(domain)) + _description_bytes(of_domain)
        for domain, of_domain in shown_descriptions(settings, classifier).items()
    )
    return sum(
        tier.endpoint.attempts * tier.price.cost_usd(Usage(prompt_bytes, tier.max_answer_tokens))
        for tier in cascade.tiers
    )


def shown_descriptions(
    settings: Settings, classifier: Served
) -> dict[Domain, dict[str, dict[str, str]]]:
    """The descriptions of labels that prompts of each domain have, cut to the configured length."""
    max_chars = settings.labels.max_prompt_chars
    return {
        domain: within_chars(classifier.descriptions(domain), max_chars)
        for domain in classifier.domains
    }


def _label_bytes(axes: Mapping[str, Sequence[str]]) -> int:
    return sum(len(value.encode()) for values in axes.values() for value in values)


def _description_bytes(axes: Mapping[str, Mapping[str, str]]) -> int:
    return sum(
        len(text.encode()) + LINE_BYTES for labels in axes.values() for text in labels.values()
    )


def limits_of(limits: LimitOptions, renames: Renames) -> LimitOptions:
    """The limits with the new names of labels beside the old ones, so that none stops to hold."""
    for axes in renames.names.values():
        for axis, names in axes.items():
            for old, new in names.items():
                orders = {name: list(order) for name, order in limits.orders.items()}
                order = orders.get(axis, [])
                if old in order and new not in order:
                    order.insert(order.index(old) + 1, new)
                closing = list(limits.closing)
                if old in closing and new not in closing:
                    closing.append(new)
                limits = replace(limits, orders=orders, closing=closing)
    return limits


def open_consultant(
    settings: Settings,
    classifier: Served,
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
    descriptions = shown_descriptions(settings, classifier)
    for domain, shown in descriptions.items():
        if shown != within_chars(classifier.descriptions(domain), sys.maxsize):
            log.warning(
                "the descriptions of the labels of %s are cut for the LLM; shorten them, or raise "
                "labels.max_prompt_chars",
                domain,
            )
    prompt_writer = PromptWriter(
        classifier.label_sets,
        policy,
        library,
        max_event_chars=settings.llm.max_event_chars,
        phone_regions=settings.egress.phone_regions,
        descriptions=descriptions,
    )
    return Consultant(
        cascade,
        prompt_writer,
        policy,
        deciding={domain: settings.domain(domain).deciding for domain in classifier.domains},
        limits=limits_of(settings.llm.limits, classifier.renames),
        why_person=lambda event, labels: rules.needs_person(event, labels, now=datetime.now(UTC)),
        shedding=Shedding(settings.llm.max_backlog),
        backlog=backlog,
    )
