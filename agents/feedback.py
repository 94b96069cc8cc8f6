"""The feedback agent: a person's verdict becomes the next revision."""

from collections.abc import Sequence

from msgspec.structs import replace

from agents.outcomes import DeadLettered, Incoming, Outcome, Triaged
from agents.revision import queue_of, successor
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.limits import LIMITS, Limits
from schemas.triaged import Label, LabelSets, TriagedEvent, Verdict


async def apply_feedback(
    batch: Sequence[Incoming], *, labels: LabelSets | None = None, limits: Limits = LIMITS
) -> list[Outcome]:
    """Turn verdicts into final revisions that a human decided.

    `labels` are the label sets of the model. They name the axes of an event that a rule ended
    before the model could label it. A verdict beyond the `limits` is not read.

    Returns:
        One outcome per record, in order. A verdict about an axis that the event does not have is a
        dead letter.
    """
    return [_apply(incoming, labels or {}, limits) for incoming in batch]


def _apply(incoming: Incoming, labels: LabelSets, limits: Limits) -> Outcome:
    try:
        verdict = decode(incoming.value or b"", Verdict, limits)
        return Triaged(_revised(verdict, incoming, labels))
    except InvalidEvent as error:
        return DeadLettered(stage=error.stage, error=type(error).__name__, message=str(error))


def _revised(verdict: Verdict, incoming: Incoming, model_labels: LabelSets) -> TriagedEvent:
    triaged = verdict.triaged
    axes = {*triaged.labels, *model_labels.get(triaged.domain, ())}
    unknown = sorted(set(verdict.labels) - axes)
    if unknown:
        raise InvalidEvent(
            f"the verdict names {unknown[0]!r}, which is no axis of {triaged.domain}",
            stage="validate",
        )
    # A person decided these axes, so they are certain. The others keep the model's confidence.
    decided = {axis: Label(value=value, confidence=1.0) for axis, value in verdict.labels.items()}
    labels = triaged.labels | decided
    reason = f"decided by {verdict.by}"
    if verdict.comment:
        reason += f": {verdict.comment}"
    return replace(
        successor(triaged, incoming),
        status="final",
        decided_by="human",
        labels=labels,
        queue=queue_of(labels, triaged.queue),
        reasons=[*triaged.reasons, reason],
    )
