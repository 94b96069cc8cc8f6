"""Tiers in order, one budget, one deadline: a question goes on until an answer is good enough or nothing is left."""

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


@dataclass(frozen=True, slots=True)
class Tier:
    """One endpoint behind its guard, and what it charges."""

    name: str
    endpoint: ResilientEndpoint
    price: Price
    max_answer_tokens: int


@dataclass(frozen=True, slots=True)
class Consultation:
    """What became of one question over all tiers asked.

    `tier` and `model` are of the answer, or of the last call without one; usage, calls, dollars and seconds are of
    all calls together. `explanation` is one sentence when there is no answer.
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


class Cascade:
    """Asks one tier after the other."""

    def __init__(self, tiers: Sequence[Tier], budget: Budget, *, deadline_s: float) -> None:
        self.tiers = tuple(tiers)
        self.budget = budget
        self._deadline_s = deadline_s

    async def ask(
        self, question: Prompt, tenant: str, *, enough: Callable[[Answer], bool]
    ) -> Consultation:
        """Ask until an answer is `enough`, the tiers are through, the time is up or the budget is spent.

        An answer that was not enough still counts when no later tier has a better one.
        """
        messages, schema = question.messages(), question.schema()
        started_s = time.monotonic()
        result = Consultation("unavailable", explanation="no tier was asked")
        for tier in self.tiers:
            left_s = self._deadline_s - (time.monotonic() - started_s)
            asked = await self._ask(tier, question, messages, schema, tenant, left_s)
            result = _after(result, asked)
            if asked.answer is not None and enough(asked.answer):
                break
        return replace(result, latency_s=time.monotonic() - started_s)

    async def close(self) -> None:
        """Close every endpoint's connections."""
        await asyncio.gather(*(tier.endpoint.close() for tier in self.tiers))

    async def _ask(
        self,
        tier: Tier,
        question: Prompt,
        messages: list[dict[str, str]],
        schema: dict[str, Any],
        tenant: str,
        left_s: float,
    ) -> Consultation:
        if left_s <= 0:
            return Consultation("timeout", tier=tier.name, explanation="the event's time was up")
        # A token is at least a byte: the dearest a call can be.
        worst = Usage(
            sum(len(message["content"].encode()) for message in messages), tier.max_answer_tokens
        )
        worst_usd = tier.price.cost_usd(worst)
        reservation = self.budget.reserve(tenant, worst_usd * tier.endpoint.attempts)
        if reservation is None:
            return Consultation(
                "over_budget", tier=tier.name, explanation="the day's budget for the LLM is spent"
            )
        spent_usd = worst_usd  # what a cancelled call may have cost
        try:
            completion = await tier.endpoint.complete(messages, schema, deadline_s=left_s)
            spent_usd = tier.price.cost_usd(completion.usage) + worst_usd * completion.cut_off
        except LlmFailure as failure:
            spent_usd = tier.price.cost_usd(failure.usage) + worst_usd * failure.cut_off
            return _ended(tier, failure)
        finally:
            self.budget.settle(reservation, spent_usd)
        return _read(tier, completion, question)


def _read(tier: Tier, completion: Completion, question: Prompt) -> Consultation:
    cost_usd = tier.price.cost_usd(completion.usage)
    asked = Consultation(
        "answered",
        tier=tier.name,
        model=completion.model,
        usage=completion.usage,
        calls=completion.calls,
        cost_usd=cost_usd,
    )
    try:
        return replace(asked, answer=parse_answer(completion.content, question))
    except LlmFailure as failure:
        return replace(asked, status=failure.status, explanation=str(failure))


def _ended(tier: Tier, failure: LlmFailure) -> Consultation:
    return Consultation(
        failure.status,
        tier=tier.name,
        explanation=str(failure),
        usage=failure.usage,
        calls=failure.calls,
        cost_usd=tier.price.cost_usd(failure.usage),
    )


def _after(earlier: Consultation, later: Consultation) -> Consultation:
    """Both together: the later answer where there is one, the earlier where only that one has it."""
    best = earlier if later.answer is None and earlier.answer is not None else later
    return replace(
        best,
        model=best.model or earlier.model,
        usage=earlier.usage + later.usage,
        calls=earlier.calls + later.calls,
        cost_usd=earlier.cost_usd + later.cost_usd,
    )
