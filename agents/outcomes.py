"""What can become of one event. The union is closed: every event ends in exactly one of these."""

from dataclasses import dataclass

from schemas.deadletter import Disposition
from schemas.event import Headers, Origin
from schemas.triaged import Case, TriagedEvent


@dataclass(frozen=True, slots=True)
class Incoming:
    """One record as it was read, before anyone has understood it.

    `received_at_s` is when it entered the topic, in seconds since the epoch.
    """

    value: bytes | None
    key: bytes | None
    headers: Headers
    origin: Origin
    received_at_s: float


@dataclass(frozen=True, slots=True)
class Triaged:
    """Decided: goes to the triaged topic of its domain."""

    triaged: TriagedEvent


@dataclass(frozen=True, slots=True)
class Escalated:
    """The small model does not end it: its provisional answer is published at once, the case goes to enrichment."""

    case: Case


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A person must decide: published as `needs_review`, and the case goes to the review topic."""

    case: Case


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """Could not be processed; `stage` names the step, `error` its exception class, `message` says what to do."""

    stage: str
    error: str
    message: str
    disposition: Disposition = "poison"


Outcome = Triaged | Escalated | Reviewed | DeadLettered
