"""From a record to its events: read, admitted, and each with its place in the record."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from agents.admission import ANYTHING, Admission
from agents.outcomes import DeadLettered, Element, Incoming, in_our_format
from schemas.audit.record import sha256
from schemas.errors import InvalidEvent
from schemas.event import Domain, Event, Kind
from schemas.formats import MAX_EVENTS_PER_RECORD, Mapping, Rejected, read_events
from schemas.limits import LIMITS, Limits

SMALL_BYTES = 8_192
SMALL_OBJECTS = 32
"""A record of fewer bytes and objects is read at once; a larger one is read in a thread.

A record of a megabyte with a thousand events takes a second, and heartbeats must go on meanwhile.
"""
MAX_COPIED = 8
"""How large the events of a record may be together, in units of `limits.max_event_bytes`.

A dead letter has the key and headers of its record, and an event what its envelope says. Without a
bound, a record of a megabyte could become a gigabyte of dead letters and cases.
"""

_Admit = Callable[[Event], Event | DeadLettered]


async def read(
    record: Incoming,
    *,
    kind: Kind | None,
    domains: Collection[Domain],
    mappings: Sequence[Mapping] = (),
    admission: Admission = ANYTHING,
    limits: Limits = LIMITS,
    split: bool = True,
    max_events: int = MAX_EVENTS_PER_RECORD,
) -> list[Incoming]:
    """The events of a record, each with its `element`, in their order; at least one.

    An element that cannot be read is a dead letter of its own, between the others. A record that
    cannot be read as a whole is one dead letter.

    Args:
        record: The record, as it came from its topic.
        kind: What the topic's events are if they do not say themselves; None for a file.
        domains: Those that the model has heads for.
        mappings: The configured formats.
        admission: What the topic may carry; it is asked about each event.
        limits: How large a record may be; a larger one is not read.
        split: Whether a record may hold several events.
        max_events: How many events a record may hold.
    """
    parse = partial(
        read_events,
        record.value,
        key=record.key,
        headers=record.headers,
        origin=record.origin,
        kind=kind,
        mappings=mappings,
        limits=limits,
        split=split,
        max_events=max_events,
        received_at=record.received_at_s,
    )
    admit = partial(_admit, admission=admission, domains=domains)
    if _is_small(record.value or b""):
        return _read(record, parse, admit, limits)
    return await asyncio.to_thread(_read, record, parse, admit, limits)


def _is_small(value: bytes) -> bool:
    return len(value) < SMALL_BYTES and value.count(b"{") < SMALL_OBJECTS


def _read(
    record: Incoming, parse: Callable[[], list[Event | Rejected]], admit: _Admit, limits: Limits
) -> list[Incoming]:
    try:
        contents = parse()
        if len(contents) > 1:
            _check_copies(record, contents, MAX_COPIED * limits.max_event_bytes)
    except InvalidEvent as error:
        return [_with(record, Element(_letter(error)))]
    if len(contents) == 1:
        return [_with(record, _element(contents[0], admit))]
    digest = sha256(record.value or b"")
    return [
        _with(
            record,
            replace(_element(content, admit), position=position, record_digest=digest),
        )
        for position, content in enumerate(contents)
    ]


def _check_copies(record: Incoming, contents: Sequence[Event | Rejected], max_bytes: int) -> None:
    """Refuse a record whose key, headers or envelope would be copied too often.

    Raises:
        InvalidEvent: the events are too large together; says what to send.
    """
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    size = len(contents) * (headers + len(record.key or b""))
    for content in contents:
        if size > max_bytes:
            break
        size += len(in_our_format(content) if isinstance(content, Event) else content.value)
    if size > max_bytes:
        raise InvalidEvent(
            f"each of the {len(contents)} events of the record would carry its key, its headers "
            f"and what its envelope says, more than {max_bytes} bytes together; send smaller ones "
            "or smaller batches",
            stage="decode",
        )


def _with(record: Incoming, element: Element) -> Incoming:
    return Incoming(
        record.value, record.key, record.headers, record.origin, record.received_at_s, element
    )


def _element(content: Event | Rejected, admit: _Admit) -> Element:
    if isinstance(content, Rejected):
        return Element(_letter(content.error), rejected=content.value)
    admitted = admit(content)
    if isinstance(admitted, Event):
        return Element(admitted)
    return Element(admitted, rejected=in_our_format(content))


def _admit(
    event: Event, *, admission: Admission, domains: Collection[Domain]
) -> Event | DeadLettered:
    try:
        event = admission.admit(event)
    except InvalidEvent as error:
        return _letter(error)
    if event.domain not in domains:
        # An exception would stop the whole topic for one event that is not of its topic's kind.
        message = (
            f"the model has no heads for {event.domain}; serve one trained on such rows and replay"
        )
        return DeadLettered(
            stage="classify", error="ModelError", message=message, disposition="retryable"
        )
    return event


def _letter(error: InvalidEvent) -> DeadLettered:
    return DeadLettered(stage=error.stage, error=type(error).__name__, message=str(error))
