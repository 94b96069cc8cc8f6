"""The feedback agent: a person's verdict becomes the next revision."""

from collections.abc import Sequence

import msgspec

from agents.outcomes import DeadLettered, Incoming, Outcome, Triaged
from agents.revision import successor
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.triaged import Label, TriagedEvent, Verdict


async def apply_feedback(batch: Sequence[Incoming]) -> list[Outcome]:
    """Turn verdicts into final revisions decided by a human.

    Returns:
        One outcome a record, in order; a verdict about an axis the event does not have is dead-lettered.
    """
    return [_apply(incoming) for incoming in batch]


def _apply(incoming: Incoming) -> Outcome:
    try:
        verdict = decode(incoming.value or b"", Verdict)
        return Triaged(_revised(verdict, incoming))
    except InvalidEvent as error:
        return DeadLettered(stage=error.stage, error=type(error).__name__, message=str(error))


def _revised(verdict: Verdict, incoming: Incoming) -> TriagedEvent:
    triaged = verdict.triaged
    unknown = sorted(set(verdict.labels) - set(triaged.labels))
    if unknown:
        raise InvalidEvent(
            f"the verdict names {unknown[0]!r}, which is no axis of {triaged.domain}",
            stage="validate",
        )
    # Certain by definition: a person has decided these axes, the others keep the model's own confidence.
    decided = {axis: Label(value=value, confidence=1.0) for axis, value in verdict.labels.items()}
    labels = triaged.labels | decided
    comment = f": {verdict.comment}" if verdict.comment else ""
    return msgspec.structs.replace(
        successor(triaged, incoming),
        status="final",
        decided_by="human",
        labels=labels,
        queue=labels["queue"].value if "queue" in labels else triaged.queue,
        reasons=[*triaged.reasons, f"decided by {verdict.by}{comment}"],
    )
