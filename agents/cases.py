"""What is known about an event when a person decides about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from schemas.event import Domain
from schemas.triaged import Case, TriagedEvent


@dataclass(frozen=True, slots=True)
class Known:
    """One event: its current decision, and what led to it.

    `current` is the latest revision on its triaged topic. `case` is the event with its text, if it
    was ever on the review topic. `revisions` are those that are kept, the oldest first; the last
    one is `current`. `verdicts` maps the revision that a person made to the place of the verdict,
    written ``TOPIC[PARTITION]@OFFSET``.
    """

    current: TriagedEvent
    case: Case | None = None
    revisions: Sequence[TriagedEvent] = ()
    verdicts: Mapping[int, str] = field(default_factory=dict)


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
