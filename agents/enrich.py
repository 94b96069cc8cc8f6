"""The enrichment agent: ends every escalated event with a later revision on its triaged topic."""

from collections.abc import Sequence

import msgspec

from agents.outcomes import DeadLettered, Incoming, Outcome, Reviewed
from agents.revision import successor
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.triaged import Case, Enrichment, TriagedEvent

LLM_OFF = "llm_off"


async def enrich(batch: Sequence[Incoming]) -> list[Outcome]:
    """End each escalated case; with no LLM configured that is a person's review, with the small model's labels.

    Returns:
        One outcome a record, in order.
    """
    return [_end(incoming) for incoming in batch]


def _end(incoming: Incoming) -> Outcome:
    try:
        case = decode(incoming.value or b"", Case)
        return Reviewed(msgspec.structs.replace(case, triaged=_needs_review(case.triaged, incoming)))
    except InvalidEvent as error:
        return DeadLettered(stage=error.stage, error=type(error).__name__, message=str(error))


def _needs_review(triaged: TriagedEvent, incoming: Incoming) -> TriagedEvent:
    return msgspec.structs.replace(
        successor(triaged, incoming),
        status="needs_review",
        reasons=[*triaged.reasons, "no LLM is configured: a person decides"],
        enrichment=Enrichment(status=LLM_OFF),
    )
