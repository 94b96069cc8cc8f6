"""The enrichment agent: ends every escalated event with a later revision on its triaged topic."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from agents.classify import HIGH_IMPACT
from agents.outcomes import DeadLettered, Incoming, Outcome, Reviewed, Triaged
from agents.revision import successor
from inference.llm.consultant import Consultant, LlmOpinion, unasked
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.triaged import Case, TriagedEvent


class Memory(Protocol):
    """Which cases have been answered, so that no answer is paid for twice."""

    def turn(self, case: Case) -> asyncio.Lock:
        """Held while a case is being answered: the same case, come again meanwhile, waits for the answer."""

    async def find(self, incoming: Incoming, case: Case) -> TriagedEvent | None:
        """The answer a case was given before."""

    def note(self, triaged: TriagedEvent) -> None:
        """A case is answered now."""


async def enrich(
    batch: Sequence[Incoming], *, consultant: Consultant | None, memory: Memory
) -> list[Outcome]:
    """End each escalated case: with the LLM's answer where it may stand, in a person's review where not.

    Returns:
        One outcome a record, in order.
    """
    return list(await asyncio.gather(*(_end(incoming, consultant, memory) for incoming in batch)))


async def _end(incoming: Incoming, consultant: Consultant | None, memory: Memory) -> Outcome:
    try:
        case = decode(incoming.value or b"", Case)
        successor(case.triaged, incoming)  # refused before anything is paid
        async with memory.turn(case):
            triaged = await memory.find(incoming, case)
            if triaged is None:
                triaged = _ended(case, await _opinion(case, consultant), incoming)
                if (
                    consultant is not None
                ):  # without one it is the same the second time, and cost nothing
                    memory.note(triaged)
    except InvalidEvent as error:
        return DeadLettered(stage=error.stage, error=type(error).__name__, message=str(error))
    if triaged.status == "final":
        return Triaged(triaged)
    return Reviewed(replace(case, triaged=triaged))


async def _opinion(case: Case, consultant: Consultant | None) -> LlmOpinion:
    if consultant is None:
        return unasked(case, "llm_off", "no LLM is configured")
    if (
        case.escalation == HIGH_IMPACT
    ):  # accepted: the small model is sure, and nobody but a person may end it
        return unasked(case, "high_impact", "no question for an LLM")
    return await consultant.consult(case)


def _ended(case: Case, opinion: LlmOpinion, incoming: Incoming) -> TriagedEvent:
    triaged = case.triaged
    alone = not opinion.needs_person
    return replace(
        successor(triaged, incoming),
        status="final" if alone else "needs_review",
        decided_by="llm" if alone or opinion.labels != triaged.labels else triaged.decided_by,
        labels=opinion.labels,
        queue=opinion.labels["queue"].value if "queue" in opinion.labels else triaged.queue,
        reasons=[*triaged.reasons, *opinion.reasons, *([] if alone else ["a person decides"])],
        enrichment=opinion.enrichment,
        cost_usd=triaged.cost_usd + opinion.enrichment.cost_usd,
    )
