"""The events of a record, and what can become of each: it ends in exactly one of these outcomes."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from schemas.deadletter import Disposition
from schemas.errors import InvalidEvent
from schemas.event import Event, Headers, Origin
from schemas.label_record import LabelRecord
from schemas.triaged import Case, TriagedEvent


@dataclass(frozen=True, slots=True)
class Incoming:
    """One record as it came, or one event of it.

    `value` is that of the record. `received_at_s` is when the record entered the topic, in seconds
    since the epoch. `element` is the event; it is None for a record whose agent reads it itself.
    `trace` is what `streams/spans.py` keeps of the way of the event; agents do not look at it.
    """

    value: bytes | None
    key: bytes | None
    headers: Headers
    origin: Origin
    received_at_s: float
    element: "Element | None" = None
    trace: Any = field(default=None, repr=False, compare=False)

    @property
    def position(self) -> int | None:
        """The place of the event among those of its record, from 0; None if it is the only one."""
        return self.element.position if self.element else None

    def original(self) -> bytes | None:
        """What a dead letter carries, so that a replay sends this event and no other.

        It is the value of the record, if the record holds one event. Otherwise it is the JSON of
        the element or, for an event that was read, our own format: a replayed event keeps its id
        and what it has from its record.
        """
        if self.element is None or self.element.position is None:
            return self.value
        content = self.element.content
        return in_our_format(content) if isinstance(content, Event) else self.element.rejected


@dataclass(frozen=True, slots=True)
class Element:
    """One event of a record: the event, or the dead letter of what could not be read as one.

    `position` is its place in the record, from 0; None if it is the only one. `rejected` is the
    JSON of what could not be read. `record_digest` is the SHA-256 digest of the value of the
    record, in hexadecimal; it is empty if the record holds only this event.
    """

    content: "Event | DeadLettered"
    position: int | None = None
    rejected: bytes | None = None
    record_digest: str = ""


@dataclass(frozen=True, slots=True)
class Triaged:
    """The event is decided and goes to the triaged topic of its domain.

    `row` is the labelled row that the decision adds to what is learned from, if it adds one. With a
    `spot_check`, the decision stands, and its case also goes to the review topic, so that a person
    checks it. The case has the same `triaged`. `trace` is the trace context of the decision that a
    person's follows, if that has one (`schemas/traceparent.py`).
    """

    triaged: TriagedEvent
    row: LabelRecord | None = None
    spot_check: Case | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Escalated:
    """The small model does not end the event.

    Its provisional answer is published at once, and the case goes to enrichment.
    """

    case: Case


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A person must decide.

    The event is published as `needs_review`, and the case goes to the review topic. With a
    `provisional` decision, the event was escalated and ends at once: that decision is published
    just before, as its revision 0.
    """

    case: Case
    provisional: TriagedEvent | None = None


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """The record, or one element of it, could not be processed.

    `stage` names the step that failed and `error` the class of its exception; `message` says what
    to do.
    """

    stage: str
    error: str
    message: str
    disposition: Disposition = "poison"


Outcome = Triaged | Escalated | Reviewed | DeadLettered

READ_AGAIN = ("stated", "key_fields")
"""Fields of an event that are read from its other fields; our format has no place for them."""


def in_our_format(event: Event) -> bytes:
    """An event as a record in our own format, which is read as the same event."""
    fields = msgspec.to_builtins(event)
    return orjson.dumps({name: fields[name] for name in fields if name not in READ_AGAIN})


def refused(error: InvalidEvent) -> DeadLettered:
    """The dead letter of a record that could not be read or may not be believed.

    A record that nobody entitled has signed says nothing about the producers of its topic, so it is
    not poison: otherwise whoever writes such records could have the partition paused
    (`streams/pipeline/storms.py`).
    """
    disposition: Disposition = "retryable" if error.stage == "authenticate" else "poison"
    return DeadLettered(error.stage, type(error).__name__, str(error), disposition)
