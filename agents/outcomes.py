"""What can become of one event: it ends in exactly one of these outcomes."""

from dataclasses import dataclass

from schemas.deadletter import Disposition
from schemas.errors import InvalidEvent
from schemas.event import Headers, Origin
from schemas.triaged import Case, TriagedEvent


@dataclass(frozen=True, slots=True)
class Incoming:
    """One record as it was read, before it is decoded.

    `received_at_s` is when it entered the topic, in seconds since the epoch.
    """

    value: bytes | None
    key: bytes | None
    headers: Headers
    origin: Origin
    received_at_s: float


@dataclass(frozen=True, slots=True)
class Triaged:
    """The event is decided and goes to the triaged topic of its domain."""

    triaged: TriagedEvent


@dataclass(frozen=True, slots=True)
class Escalated:
    """The small model does not end the event.

    Its provisional answer is published at once, and the case goes to enrichment.
    """

    case: Case


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A person must decide.

    The event is published as `needs_review`, and the case goes to the review topic.
    """

    case: Case


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """The record could not be processed.

    `stage` names the step that failed and `error` the class of its exception; `message` says what
    to do.
    """

    stage: str
    error: str
    message: str
    disposition: Disposition = "poison"


Outcome = Triaged | Escalated | Reviewed | DeadLettered


def refused(error: InvalidEvent) -> DeadLettered:
    """The dead letter of a record that could not be read or may not be believed.

    A record that nobody entitled has signed says nothing about the producers of its topic, so it is
    not poison: otherwise whoever writes such records could have the partition paused
    (`streams/pipeline/storms.py`).
    """
    disposition: Disposition = "retryable" if error.stage == "authenticate" else "poison"
    return DeadLettered(error.stage, type(error).__name__, str(error), disposition)
