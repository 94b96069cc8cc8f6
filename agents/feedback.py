"""The feedback agent: a person's verdict becomes the next revision.

One event has one current decision. A person's outranks a model's, and of two persons the first
stands: the second is told who decided what, and may correct it by saying which revision they have
read.
"""

import asyncio
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from agents.cases import Cases, Known
from agents.decided import Decided
from agents.label_rows import NOTHING_KEPT, RowsKept, label_record_of
from agents.outcomes import Incoming, Outcome, Triaged, refused
from agents.precedence import SHOWN_ID_CHARS, ReadVerdict, check_order, earlier_outcome, is_newer
from agents.reviewers import check_person, reviewer_of
from agents.revision import queue_of, successor
from agents.verdict_checks import VerdictChecks, check_labels
from schemas.agreement import check_verdict
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.label_record import LabelRecord
from schemas.limits import LIMITS, Limits
from schemas.signing import DECISION_HEADER, WorkerKeys, header
from schemas.triaged import Label, TriagedEvent, Verdict


async def apply_feedback(
    batch: Sequence[Incoming],
    *,
    checks: VerdictChecks,
    cases: Cases,
    decided: Decided,
    limits: Limits = LIMITS,
    kept: RowsKept = NOTHING_KEPT,
) -> list[Outcome]:
    """Turn verdicts into final revisions that a human decided, and into labelled rows.

    A verdict beyond the `limits` is not read. Rows are written as far as they are `kept`. A verdict
    that is read again gives the same revision again, and the same row.

    Returns:
        One outcome per record, in order. A verdict that fails `checks`, is about an event that
        `cases` does not know, or comes after another person's is a dead letter.

    Raises:
        Exception: what `cases` raised because it cannot be asked; nothing is decided.
    """
    async with decided.turn:
        assignment = decided.assignment
        found = await asyncio.gather(
            *(_find(incoming, checks, cases, limits) for incoming in batch)
        )
        outcomes: list[Outcome] = []
        for result in found:
            if isinstance(result, InvalidEvent):
                outcomes.append(refused(result))
                continue
            read, published = result
            try:
                known = _decide(read, decided.latest(published) if published else None, checks)
            except InvalidEvent as error:
                outcomes.append(refused(error))
                continue
            decided.note(known, assignment)
            row = kept.of(_row(read, known, checks))
            outcomes.append(Triaged(known.current, row, trace=known.trace))
        return outcomes


async def _find(
    incoming: Incoming, checks: VerdictChecks, cases: Cases, limits: Limits
) -> tuple[ReadVerdict, Known | None] | InvalidEvent:
    """A verdict and what is known of its event, or why the verdict is refused."""
    try:
        read = _read(incoming, checks, limits)
        about = read.verdict.triaged or read.verdict
        known = await cases.find(read.id, domain=about.domain, tenant=about.tenant)
    except InvalidEvent as error:
        return error
    if known is not None:
        known = _with_new_names(known, checks)
    return read, known


def _read(incoming: Incoming, checks: VerdictChecks, limits: Limits) -> ReadVerdict:
    reviewer = reviewer_of(incoming, checks.reviewers)
    verdict = decode(incoming.value or b"", Verdict, limits)
    signed = verdict.triaged is not None and _is_signed(
        verdict.triaged, verdict.signature, incoming, checks.keys
    )
    id_ = check_verdict(verdict, incoming.key)
    check_person(verdict.by, checks.people)
    if verdict.triaged is not None:
        verdict = replace(verdict, triaged=checks.renames.triaged(verdict.triaged))
    return ReadVerdict(verdict, id_, incoming, reviewer, signed)


def _is_signed(
    triaged: TriagedEvent, signature: str | None, incoming: Incoming, keys: WorkerKeys
) -> bool:
    """Whether a worker has signed a decision; false also if nobody needs to.

    The signature comes in the header of the record, as the worker has written it, or in the value.

    Raises:
        InvalidEvent: no worker has made this decision.
    """
    given = header(incoming.headers, DECISION_HEADER)
    if given is None and signature is not None:
        given = signature.encode()
    if keys.decision_refusal(triaged, given):
        raise InvalidEvent(
            "the triaged event of this verdict is not signed by a worker; send it as you read it, "
            f"with the header {DECISION_HEADER} of its record, or send only its id",
            stage="authenticate",
        )
    return keys.configured and given is not None


def _with_new_names(known: Known, checks: VerdictChecks) -> Known:
    rename = checks.renames.triaged
    revisions = [rename(each) for each in known.revisions]
    case = None if known.case is None else checks.renames.case(known.case)
    return Known(rename(known.current), case, revisions, known.verdicts, known.trace)


def _decide(read: ReadVerdict, known: Known | None, checks: VerdictChecks) -> Known:
    """What is known of the event after this verdict.

    Raises:
        InvalidEvent: the verdict is refused.
    """
    triaged = read.verdict.triaged
    if known is None or (triaged is not None and is_newer(read, triaged, known.current)):
        if triaged is None:
            raise InvalidEvent(
                f"no event with the id {read.id[:SHOWN_ID_CHARS]!r} is known; send the whole "
                "triaged event, or check the id",
                stage="validate",
            )
        known, believed = Known(triaged, revisions=[triaged]), read.signed
    else:
        believed = True
    current = known.current
    chosen = checks.renames.chosen(current.domain, read.verdict.labels)
    if read.reviewer is not None:
        read.reviewer.check(current.tenant, chosen, read.verdict.by)
    earlier = earlier_outcome(read, known, chosen)
    if earlier is not None:
        return earlier
    check_order(read, current)
    # What the person leaves as it is may be a label of an earlier model. If neither a worker nor a
    # topic vouches for it, anybody may have written it.
    others = {} if believed else {axis: label.value for axis, label in current.labels.items()}
    check_labels(others | chosen, current.domain, checks.labels)
    revised = _revised(current, chosen, read)
    return Known(
        revised,
        known.case,
        [*known.revisions, revised],
        {**known.verdicts, revised.revision: read.place},
        known.trace,
    )


def _revised(current: TriagedEvent, chosen: Mapping[str, str], read: ReadVerdict) -> TriagedEvent:
    # A person decided these axes, so they are certain. The others keep the model's confidence.
    decided = {axis: Label(value=value, confidence=1.0) for axis, value in chosen.items()}
    labels = current.labels | decided
    following = successor(current, read.incoming)
    if current.status == "provisional":
        # The next number is that of the LLM's answer, which may be on its way.
        following = replace(following, revision=following.revision + 1)
    return replace(
        following,
        status="final",
        decided_by="human",
        labels=labels,
        queue=queue_of(labels, current.queue),
        reasons=[*current.reasons, read.reason],
    )


def _row(read: ReadVerdict, known: Known, checks: VerdictChecks) -> LabelRecord | None:
    """The labelled row of a verdict, when `known` has the revision that it makes."""
    verdict, reviewer = read.verdict, read.reviewer
    return label_record_of(
        known.current,
        labels=checks.renames.chosen(known.current.domain, verdict.labels),
        by=verdict.by,
        decided_at_s=read.incoming.received_at_s,
        revisions=known.revisions,
        case=known.case,
        comment=verdict.comment,
        signed_by=None if reviewer is None else reviewer.name,
        axes=() if reviewer is None else reviewer.axes,
    )
