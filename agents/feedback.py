"""The feedback agent: a person's verdict becomes the next revision."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from agents.label_rows import NOTHING_KEPT, RowsKept, label_record_of
from agents.outcomes import Incoming, Outcome, Triaged, refused
from agents.reviewers import Reviewer, check_person, reviewer_of
from agents.revision import queue_of, successor
from inference.labels.renames import NO_RENAMES, Renames
from schemas.agreement import check_verdict
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.label_record import LabelRecord
from schemas.limits import LIMITS, Limits
from schemas.signing import DECISION_HEADER, WorkerKeys, header
from schemas.triaged import Label, LabelSets, TriagedEvent, Verdict

SHOWN_VALUES = 100
"""How many allowed values an error names; no axis of the shipped model has more."""

SHOWN_CHARS = 100


@dataclass(frozen=True, slots=True)
class VerdictChecks:
    """What a verdict may say, and who may say it.

    `labels` are the label sets of the model. `keys` are those of the workers: with them, a verdict
    must be about a decision that a worker has signed. With `reviewers`, one of them must have
    signed the verdict. A verdict may have the old name of a label in `renames`. With `people`, one
    of them must have given it.
    """

    labels: LabelSets
    keys: WorkerKeys = WorkerKeys()  # noqa: RUF009 - never changed
    reviewers: Sequence[Reviewer] = ()
    renames: Renames = NO_RENAMES
    people: Collection[str] = ()


async def apply_feedback(
    batch: Sequence[Incoming],
    *,
    checks: VerdictChecks,
    limits: Limits = LIMITS,
    kept: RowsKept = NOTHING_KEPT,
) -> list[Outcome]:
    """Turn verdicts into final revisions that a human decided, and into labelled rows.

    A verdict beyond the `limits` is not read. Rows are written as far as they are `kept`.

    Returns:
        One outcome per record, in order. A verdict that fails `checks` is a dead letter.
    """
    return [_apply(incoming, checks, limits, kept) for incoming in batch]


def _apply(incoming: Incoming, checks: VerdictChecks, limits: Limits, kept: RowsKept) -> Outcome:
    try:
        reviewer = reviewer_of(incoming, checks.reviewers)
        verdict = decode(incoming.value or b"", Verdict, limits)
        signed = _check_decision(verdict, incoming, checks.keys)
        check_verdict(verdict, incoming.key)
        check_person(verdict.by, checks.people)
        if reviewer is not None:
            reviewer.check(verdict)
        verdict = _with_new_names(verdict, checks.renames)
        _check_labels(verdict, checks.labels, signed=signed)
        revised = _revised(verdict, incoming, reviewer)
        return Triaged(revised, kept.of(_row(revised, verdict, incoming, reviewer)))
    except InvalidEvent as error:
        return refused(error)


def _row(
    revised: TriagedEvent, verdict: Verdict, incoming: Incoming, reviewer: Reviewer | None
) -> LabelRecord | None:
    return label_record_of(
        revised,
        labels=verdict.labels,
        by=verdict.by,
        decided_at_s=incoming.received_at_s,
        revisions=[verdict.triaged],
        comment=verdict.comment,
        signed_by=None if reviewer is None else reviewer.name,
    )


def _check_decision(verdict: Verdict, incoming: Incoming, keys: WorkerKeys) -> bool:
    """Refuse a verdict about a decision that no worker has made.

    The signature comes in the header of the record, as the worker has written it, or in the value.

    Returns:
        Whether a worker has signed the decision; false also if nobody needs to.
    """
    signature = header(incoming.headers, DECISION_HEADER)
    if signature is None and verdict.signature is not None:
        signature = verdict.signature.encode()
    if keys.decision_refusal(verdict.triaged, signature):
        raise InvalidEvent(
            "the triaged event of this verdict is not signed by a worker; send it as you read it, "
            f"with the header {DECISION_HEADER} of its record",
            stage="authenticate",
        )
    return keys.configured and signature is not None


def _with_new_names(verdict: Verdict, renames: Renames) -> Verdict:
    triaged = renames.triaged(verdict.triaged)
    return replace(verdict, triaged=triaged, labels=renames.chosen(triaged.domain, verdict.labels))


def _check_labels(verdict: Verdict, labels: LabelSets, *, signed: bool) -> None:
    """Refuse axes and values that the model does not have.

    The labels that the person leaves as they are count too: if no worker has signed them, anybody
    may have written them. Otherwise they may be those of an earlier model.
    """
    triaged = verdict.triaged
    axes = labels.get(triaged.domain, {})
    chosen = dict(verdict.labels)
    if not signed:
        chosen = {axis: label.value for axis, label in triaged.labels.items()} | chosen
    for axis, value in chosen.items():
        if axis not in axes:
            raise _not_among("the verdict names", axis, f"axis of {triaged.domain}", axes)
        if value not in axes[axis]:
            raise _not_among("the verdict names", value, f"value of {axis}", axes[axis])


def _not_among(subject: str, name: str, what: str, allowed: Collection[str]) -> InvalidEvent:
    names = sorted(allowed)[:SHOWN_VALUES]
    return InvalidEvent(
        f"{subject} {name[:SHOWN_CHARS]!r}, which is no {what}; use one of {', '.join(names)}",
        stage="validate",
    )


def _revised(verdict: Verdict, incoming: Incoming, reviewer: Reviewer | None) -> TriagedEvent:
    triaged = verdict.triaged
    # A person decided these axes, so they are certain. The others keep the model's confidence.
    decided = {axis: Label(value=value, confidence=1.0) for axis, value in verdict.labels.items()}
    labels = triaged.labels | decided
    reason = f"decided by {verdict.by}"
    if reviewer is not None and reviewer.name != verdict.by:
        reason += f", signed by {reviewer.name}"
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
