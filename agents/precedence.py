"""Which decision about an event stands: a person's before a model's, of two persons the first."""

from collections.abc import Mapping
from dataclasses import dataclass

from agents.cases import Known, place_of, reading_of
from agents.decided import same_content
from agents.outcomes import Incoming
from agents.reviewers import Reviewer
from schemas.errors import InvalidEvent
from schemas.triaged import TriagedEvent, Verdict

SHOWN_ID_CHARS = 100
SHOWN_REASON_CHARS = 200
SHOWN_LABELS = 5


@dataclass(frozen=True, slots=True)
class ReadVerdict:
    """A verdict that may be believed, and who signed it."""

    verdict: Verdict
    id: str
    incoming: Incoming
    reviewer: Reviewer | None
    signed: bool
    """Whether a worker has signed the whole triaged event in it."""

    @property
    def place(self) -> str:
        """Where the verdict is on its topic."""
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


def is_newer(read: ReadVerdict, triaged: TriagedEvent, current: TriagedEvent) -> bool:
    """Whether the event in a verdict is newer than what is known under its id.

    Raises:
        InvalidEvent: it is older, or nobody has made such a decision.
    """
    if same_content(triaged, current):
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


def earlier_outcome(read: ReadVerdict, known: Known, chosen: Mapping[str, str]) -> Known | None:
    """What this very verdict led to, if it was decided before; None if it is a new one.

    It may be read again after a crash, or a person may have sent it twice.
    """
    for revision in known.revisions:
        place = known.verdicts.get(revision.revision)
        if place == read.place and _follows_from(revision, read, chosen):
            return Known(revision, known.case, known.revisions, known.verdicts, known.trace)
    if chosen and _follows_from(known.current, read, chosen):
        return known
    return None


def _follows_from(revision: TriagedEvent, read: ReadVerdict, chosen: Mapping[str, str]) -> bool:
    """Whether a person's decision is what this verdict asks for."""
    labels = {axis: label.value for axis, label in revision.labels.items()}
    is_its_reason = revision.reasons[-1:] == [read.reason]
    return revision.decided_by == "human" and is_its_reason and chosen.items() <= labels.items()


def check_order(read: ReadVerdict, current: TriagedEvent) -> None:
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


def _stale(read: ReadVerdict, current: TriagedEvent) -> InvalidEvent:
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
