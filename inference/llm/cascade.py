"""Sends a prompt to the LLM tiers in order, within one budget and one deadline.

It ends when an answer is good enough, or when the tiers, the time or the budget are used up.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from inference.llm.budget import Budget
from inference.llm.client.endpoint import Completion
from inference.llm.client.failure import FailureStatus, LlmFailure, Usage
from inference.llm.client.resilient_endpoint import ResilientEndpoint
from inference.llm.prices import Price
from inference.llm.prompt.answer import parse_answer
from inference.llm.prompt.prompt import Answer, Prompt
from schemas.event import Domain


@dataclass(frozen=True, slots=True)
class Tier:
    """One resilient endpoint and its price."""

    name: str
    endpoint: ResilientEndpoint
    price: Price
    max_answer_tokens: int


@dataclass(frozen=True, slots=True)
class Consultation:
    """The result of one prompt over all tiers that were asked.

    `tier` and `model` are those of the answer, or of the last call if there is no answer. `usage`,
    `calls`, `cost_usd` (US dollars) and `latency_s` (seconds) are sums over all calls.
    `explanation` is one sentence if there is no answer, and empty otherwise.
    """

    status: Literal["answered"] | FailureStatus
    answer: Answer | None = None
    tier: str | None = None
    model: str | None = None
    explanation: str = ""
    usage: Usage = Usage()  # noqa: RUF009 - frozen
    calls: int = 0
    cost_usd: float = 0.0
    latency_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Request:
    """One prompt as it is sent to every tier; its messages have one nonce."""

    prompt: Prompt
    tenant: str
    domain: Domain | None
    messages: list[dict[str, str]]
    schema: dict[str, Any]

    def max_usage(self, tier: Tier) -> Usage:
        """The most that one call can use: a token has at least one byte."""
        message_bytes = sum(len(message["content"].encode()) for message in self.messages)
        return Usage(message_bytes, tier.max_answer_tokens)


class Cascade:
    """Asks one tier after the other."""

    def __init__(self, tiers: Sequence[Tier], budget: Budget, *, deadline_s: float) -> None:
        self.tiers = tuple(tiers)
        self.budget = budget
        self._deadline_s = deadline_s

    async def ask(
        self,
        prompt: Prompt,
        tenant: str,
        *,
        enough: Callable[[Answer], bool],
        domain: Domain | None = None,
    ) -> Consultation:
        """Ask the tiers until an answer is `enough`, or until no tier, time or money is left.

        `tenant` and `domain` are those of the event; they say whose money is spent.

        An answer that was not enough still counts if no later tier has one.
        """
        request = _Request(prompt, tenant, domain, prompt.messages(), prompt.schema())
        started_s = time.monotonic()
        result = Consultation("unavailable", explanation="no tier was asked")
        for tier in self.tiers:
            remaining_s = self._deadline_s - (time.monotonic() - started_s)
            consultation = await self._ask(tier, request, remaining_s)
            result = _add(result, consultation)
            if consultation.answer is not None and enough(consultation.answer):
                break
        return replace(result, latency_s=time.monotonic() - started_s)

    async def close(self) -> None:
        """Close the connections of every endpoint."""
        await asyncio.gather(*(tier.endpoint.close() for tier in self.tiers))

    async def _ask(self, tier: Tier, request: _Request, remaining_s: float) -> Consultation:
        if remaining_s <= 0:
            return Consultation("timeout", tier=tier.name, explanation="the event's time was up")
        max_usd = tier.price.cost_usd(request.max_usage(tier))
        reservation = self.budget.reserve(
            request.tenant, max_usd * tier.endpoint.attempts, request.domain
        )
        if reservation is None:
            return Consultation(
                "over_budget", tier=tier.name, explanation="the day's budget for the LLM is spent"
            )
        spent_usd = max_usd  # what a cancelled call may have cost
        try:
            completion = await tier.endpoint.complete(
                request.messages, request.schema, deadline_s=remaining_s
            )
            spent_usd = tier.price.cost_usd(completion.usage) + max_usd * completion.cut_off
        except LlmFailure as failure:
            spent_usd = tier.price.cost_usd(failure.usage) + max_usd * failure.cut_off
            return _of_failure(tier, failure)
        finally:
            self.budget.settle(reservation, spent_usd)
        return _of_completion(tier, completion, request.prompt)


def _of_completion(tier: Tier, completion: Completion, prompt: Prompt) -> Consultation:
    consultation = Consultation(
        "answered",
        tier=tier.name,
        model=completion.model,
        usage=completion.usage,
        calls=completion.calls,
        cost_usd=tier.price.cost_usd(completion.usage),
    )
    try:
        return replace(consultation, answer=parse_answer(completion.content, prompt))
    except LlmFailure as failure:
        return replace(consultation, status=failure.status, explanation=str(failure))


def _of_failure(tier: Tier, failure: LlmFailure) -> Consultation:
    return Consultation(
        failure.status,
        tier=tier.name,
        explanation=str(failure),
        usage=failure.usage,
        calls=failure.calls,
        cost_usd=tier.price.cost_usd(failure.usage),
    )


def _add(earlier: Consultation, later: Consultation) -> Consultation:
    """Both together, with the later answer, or with the earlier one if the later tier has none."""
    better = later
    if later.answer is None and earlier.answer is not None:
        better = earlier
    return replace(
        better,
        model=better.model or earlier.model,
        usage=earlier.usage + later.usage,
        calls=earlier.calls + later.calls,
        cost_usd=earlier.cost_usd + later.cost_usd,
    )
