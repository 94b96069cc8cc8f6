"""What is known about an event when a person decides about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from schemas.event import Domain
from schemas.triaged import Case, TriagedEvent


@dataclass(frozen=True, slots=True)
class Known:
    """One event: its current decision, and what led to it.

    `current` is the latest revision on its triaged topic. `case` is the event with its text, if it
    was ever on the review topic. `revisions` are those that are kept, the oldest first; the last
    one is `current`. `verdicts` maps the revision that a person made to the place of the verdict,
    written ``TOPIC[PARTITION]@OFFSET``. `trace` is the trace context of the record of `current`.
    """

    current: TriagedEvent
    case: Case | None = None
    revisions: Sequence[TriagedEvent] = ()
    verdicts: Mapping[int, str] = field(default_factory=dict)
    trace: str | None = None


class Reading(NamedTuple):
    """Where and when a message was read: the place of its record, and seconds since the epoch.

    `topic` may be a hash of its name.
    """

    topic: str | int
    partition: int
    offset: int
    received_s: float

    def is_later_than(self, other: "Reading") -> bool:
        """Whether this message came after the other one (docs/how-to/consume.md)."""
        if (self.topic, self.partition) == (other.topic, other.partition):
            return self.offset > other.offset
        return self.received_s > other.received_s


def reading_of(triaged: TriagedEvent) -> Reading:
    """Where and when the message of a decision was read.

    Raises:
        ValueError: the decision does not say when.
    """
    received = datetime.fromisoformat(triaged.timing.received_at)
    if received.tzinfo is None:
        raise ValueError(triaged.timing.received_at)
    origin = triaged.origin
    return Reading(origin.topic, origin.partition, origin.offset, received.timestamp())


class Cases(Protocol):
    """Finds what is known about an event.

    The agent relies on this:

    - `find` returns whatever was on the topics before it was called.
    - It may be called for many events at the same time.
    """

    async def find(self, id_: str, *, domain: Domain | None, tenant: str | None) -> Known | None:
        """What is known about an event; None if nothing is.

        Raises:
            InvalidEvent: events of several domains or tenants have this id; it names them.
        """


def place_of(topic: str, partition: int, offset: int) -> str:
    """How the place of a record is written: ``TOPIC[PARTITION]@OFFSET``."""
    return f"{topic}[{partition}]@{offset}"
