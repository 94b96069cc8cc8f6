"""What is on its way through an agent: a record, its events, and how many of them have ended."""

import asyncio
from dataclasses import dataclass, field

from agents.outcomes import DeadLettered, Incoming, Outcome
from schemas.event import Event
from streams.kafka.offsets import Partition, PendingOffset


@dataclass(frozen=True, slots=True)
class InFlight:
    """A record that was read, and its offset.

    An `outcome` is given if the record was never to reach the agent. `accepted` is set when the
    pipeline has taken all of its events; until then, its partition hands over no other record.
    """

    incoming: Incoming
    pending_offset: PendingOffset
    outcome: DeadLettered | None = None
    accepted: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True, eq=False)
class RecordProgress:
    """A record in flight, and how many of its events have not ended."""

    in_flight: InFlight
    unended: int
    invalid: int = 0
    """How many of its events minus the others were invalid: above 0, most of them were."""

    def end(self, outcome: Outcome) -> bool:
        """Note how one of the events has ended. Returns whether it was the last one."""
        poison = isinstance(outcome, DeadLettered) and outcome.disposition == "poison"
        self.invalid += 1 if poison else -1
        self.unended -= 1
        return self.unended == 0


@dataclass(frozen=True, slots=True, eq=False)
class EventInFlight:
    """One event of a record in flight; `size` is its share of the bytes of the record."""

    incoming: Incoming
    record: RecordProgress
    size: int

    @property
    def key(self) -> tuple[Partition, bytes | None]:
        """Events whose records have the same key are published in the order they were read in."""
        return self.record.in_flight.pending_offset.partition, self.incoming.key

    @property
    def tenant(self) -> str:
        """The tenant; empty if the record is not an event, or could not be read."""
        element = self.incoming.element
        if element is not None and isinstance(element.content, Event):
            return element.content.tenant
        return ""

    @property
    def outcome(self) -> DeadLettered | None:
        """What has become of it before it reached the agent, if anything has."""
        if self.record.in_flight.outcome is not None:
            return self.record.in_flight.outcome
        element = self.incoming.element
        if element is not None and isinstance(element.content, DeadLettered):
            return element.content
        return None
