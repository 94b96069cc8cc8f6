"""The feedback agent: a person's verdict becomes the next revision.

One event has one current decision. A person's outranks a model's, and of two persons the first
stands: the second is told who decided what, and may correct it by saying which revision they have
read.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from agents.cases import Cases, Known, place_of, reading_of
from agents.label_rows import NOTHING_KEPT, RowsKept, label_record_of
from agents.outcomes import Incoming, Outcome, Triaged, refused
from agents.reviewers import Reviewer, check_person, reviewer_of
from agents.revision import queue_of, successor
from agents.verdict_checks import VerdictChecks, check_labels
from schemas.agreement import check_verdict
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.event import Domain
from schemas.label_record import LabelRecord
from schemas.limits import LIMITS, Limits
from schemas.signing import DECISION_HEADER, WorkerKeys, header
from schemas.triaged import Label, TriagedEvent, Verdict

MAX_REMEMBERED = 10_000
SHOWN_ID_CHARS = 100
SHOWN_REASON_CHARS = 200
SHOWN_LABELS = 5

Key = tuple[Domain, str, str]
"""Domain, tenant and id of an event."""


class Decided:
    """What this worker has decided in the last while, which may not be on the topics yet.

    Two verdicts about one event may be in one batch, or the second may be read before the first
    one's revision is published. `turn` is held while a batch is decided, so that verdicts are
    decided in the order in which they were read.
    """

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self._known: OrderedDict[Key, Known] = OrderedDict()
        self._assignment = 0

    @property
    def assignment(self) -> int:
        """A number that changes with each assignment of partitions."""
        return self._assignment

    def forget(self) -> None:
        """Forget everything. Call it when partitions were assigned.

        What was decided under the assignment before and not published never will be.
        """
        self._assignment += 1
        self._known.clear()

    def note(self, known: Known, assignment: int) -> None:
        """Remember what is known of an event since a decision, made under this assignment."""
        if assignment == self._assignment:
            key = _key(known.current)
            self._known[key] = known
            self._known.move_to_end(key)
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)

    def latest(self, published: Known) -> Known:
        """What is known of an event: as it was published, or as it was decided since."""
        own = self._known.get(_key(published.current))
        if own is None or not _same_content(own.current, published.current):
            return published
        return own if own.current.revision > published.current.revision else published


@dataclass(frozen=True, slots=True)
class _Read:
    """A verdict that may be believed, and who signed it."""

    verdict: Verdict
    id: str
    incoming: Incoming
    reviewer: Reviewer | None
    signed: bool
    """Whether a worker has signed the whole triaged event in it."""

    @property
    def place(self) -> str:
        origin = self.incoming.origin
        return place_of(origin.topic, origin.partition, origin.offset)

    @property
    def about(self) -> int | None:
        """The revision that the person has read, if the verdict says."""
        triaged = self.verdict.triaged
        return self.verdict.about if triaged is None else triaged.revision

    @property
    def reason(self) -> str:
        """What the revision says of this verdict."""
        verdict, reviewer = self.verdict, self.reviewer
        reason = f"decided by {verdict.by}"
        if reviewer is not None and reviewer.name != verdict.by:
            reason += f", signed by {reviewer.name}"
        if verdict.comment:
            reason += f": {verdict.comment}"
        return reason


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
            outcomes.append(Triaged(known.current, kept.of(_row(read, known, checks))))
        return outcomes


async def _find(
    incoming: Incoming, checks: VerdictChecks, cases: Cases, limits: Limits
) -> tuple[_Read, Known | None] | InvalidEvent:
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


def _read(incoming: Incoming, checks: VerdictChecks, limits: Limits) -> _Read:
    reviewer = reviewer_of(incoming, checks.reviewers)
    verdict = decode(incoming.value or b"", Verdict, limits)
    signed = verdict.triaged is not None and _is_signed(
        verdict.triaged, verdict.signature, incoming, checks.keys
    )
    id_ = check_verdict(verdict, incoming.key)
    check_person(verdict.by, checks.people)
    if verdict.triaged is not None:
        verdict = replace(verdict, triaged=checks.renames.triaged(verdict.triaged))
    return _Read(verdict, id_, incoming, reviewer, signed)


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
    return Known(rename(known.current), known.case, revisions, known.verdicts)


def _decide(read: _Read, known: Known | None, checks: VerdictChecks) -> Known:
    """What is known of the event after this verdict.

    Raises:
        InvalidEvent: the verdict is refused.
    """
    triaged = read.verdict.triaged
    if known is None or (triaged is not None and _is_newer(read, triaged, known.current)):
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
    earlier = _earlier_outcome(read, known, chosen)
    if earlier is not None:
        return earlier
    _check_order(read, current)
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
    )


def _is_newer(read: _Read, triaged: TriagedEvent, current: TriagedEvent) -> bool:
    """Whether the event in a verdict is newer than what is known under its id.

    Raises:
        InvalidEvent: it is older, or nobody has made such a decision.
    """
    if _same_content(triaged, current):
        if triaged.revision > current.revision and not read.signed:
            raise _stale(read, current)
        return triaged.revision > current.revision
    try:
        is_newer = reading_of(triaged).is_later_than(reading_of(current))
    except (ValueError, OverflowError):
        raise InvalidEvent(
            "timing.received_at is no RFC 3339 instant; send the one you read", stage="validate"
        ) from None
    if not is_newer:
        raise InvalidEvent(
            f"the event {read.id[:SHOWN_ID_CHARS]!r} was sent again with another content since; "
            "read its current decision and decide about that",
            stage="validate",
        )
    return True


def _earlier_outcome(read: _Read, known: Known, chosen: Mapping[str, str]) -> Known | None:
    """What this very verdict led to, if it was decided before; None if it is a new one.

    It may be read again after a crash, or a person may have sent it twice.
    """
    for revision in known.revisions:
        place = known.verdicts.get(revision.revision)
        if place == read.place and _follows_from(revision, read, chosen):
            return Known(revision, known.case, known.revisions, known.verdicts)
    if chosen and _follows_from(known.current, read, chosen):
        return known
    return None


def _follows_from(revision: TriagedEvent, read: _Read, chosen: Mapping[str, str]) -> bool:
    """Whether a person's decision is what this verdict asks for."""
    labels = {axis: label.value for axis, label in revision.labels.items()}
    is_its_reason = revision.reasons[-1:] == [read.reason]
    return revision.decided_by == "human" and is_its_reason and chosen.items() <= labels.items()


def _check_order(read: _Read, current: TriagedEvent) -> None:
    """Refuse a verdict that comes after another person's, or that is about an earlier revision.

    Raises:
        InvalidEvent: the message says what is current, and what would be allowed.
    """
    if current.decided_by == "human":
        if read.about != current.revision:
            raise InvalidEvent(
                f"a person has decided {_described(current)}; if that is wrong, send the verdict "
                f"with about = {current.revision} to correct it",
                stage="validate",
            )
    elif read.verdict.about not in (None, current.revision):
        raise _stale(read, current)
    if not read.verdict.labels and read.about != current.revision:
        raise InvalidEvent(
            f"the verdict has no labels, so it confirms a revision; say which one in about: "
            f"current is {_described(current)}",
            stage="validate",
        )


def _stale(read: _Read, current: TriagedEvent) -> InvalidEvent:
    return InvalidEvent(
        f"the verdict is about revision {read.about}, but current is {_described(current)}; look "
        f"at that and send about = {current.revision}, or leave about out",
        stage="validate",
    )


def _described(current: TriagedEvent) -> str:
    """A decision in a few words: what, by whom, when."""
    labels = list(current.labels.items())[:SHOWN_LABELS]
    values = ", ".join(f"{axis}={label.value[:SHOWN_ID_CHARS]}" for axis, label in labels)
    by = f"by {current.decided_by}"
    if current.decided_by == "human" and current.reasons:
        by = repr(current.reasons[-1][:SHOWN_REASON_CHARS])
    return (
        f"revision {current.revision} of {current.id[:SHOWN_ID_CHARS]!r} ({values}; {by}, "
        f"{current.status}, {current.timing.triaged_at[:SHOWN_ID_CHARS]})"
    )


def _revised(current: TriagedEvent, chosen: Mapping[str, str], read: _Read) -> TriagedEvent:
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


def _row(read: _Read, known: Known, checks: VerdictChecks) -> LabelRecord | None:
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
    )


def _key(triaged: TriagedEvent) -> Key:
    return triaged.domain, triaged.tenant, triaged.id


def _same_content(one: TriagedEvent, other: TriagedEvent) -> bool:
    """Whether two decisions are about the same text: an id may be sent again with another one."""
    if one.input_digest is None or other.input_digest is None:
        return (one.source, one.origin) == (other.source, other.origin)
    return (one.source, one.input_digest) == (other.source, other.input_digest)
