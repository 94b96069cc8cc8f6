"""Reading one Kafka record as the events in it.

The steps are: remove the frame, decode, remove the CloudEvent, and then what `Reader` does.
"""

from collections.abc import Sequence
from typing import Any

from schemas.errors import InvalidEvent, LimitExceeded
from schemas.event import Event, Headers, Kind, Origin
from schemas.formats import confluent
from schemas.formats.cloudevents import unwrap
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.mapped import Mapping
from schemas.formats.paths import forget_opened
from schemas.formats.reader import Reader, Reading, Rejected, Way
from schemas.limits import LIMITS, Limits, refuse_long

MAX_EVENTS_PER_RECORD = 1_000


def read_record(
    value: bytes | None,
    *,
    headers: Headers = (),
    origin: Origin,
    kind: Kind | None,
    mappings: Sequence[Mapping] = (),
    limits: Limits = LIMITS,
    split: bool = True,
    max_events: int = MAX_EVENTS_PER_RECORD,
    received_at: float | None = None,
) -> list[Reading]:
    """Read the documents in one record, and say how each was read; see `read_events`.

    Raises:
        InvalidEvent: the record as a whole cannot be read. No other error is raised.
    """
    if not value:
        raise InvalidEvent(
            "the record is empty (a tombstone); send one JSON object per record", stage="decode"
        )
    _refuse_long(value, headers, limits)
    schema_id = confluent.schema_id(value)
    payload = value if schema_id is None else confluent.unframe(value)
    envelope = Envelope(id=f"{origin.topic}-{origin.partition}-{origin.offset}", kind=kind)
    reader = Reader(mappings, limits, max_events, received_at)
    try:
        document, envelope = unwrap(payload, headers, envelope, reader.decode)
    except InvalidEvent as error:
        if schema_id is None or error.stage != "decode" or isinstance(error, LimitExceeded):
            raise
        raise InvalidEvent(
            f"the payload with Confluent schema id {schema_id} is not JSON, and Avro and Protobuf "
            "cannot be read; use the JSON Schema serializer",
            stage="decode",
        ) from None
    readings = _readings(reader, document, envelope)
    if len(readings) > 1 and not split:
        raise InvalidEvent(
            f"the record holds {len(readings)} events and formats.split is off; set it to true, or "
            "send one event per record",
            stage="recognise",
        )
    return readings


def read_events(
    value: bytes | None,
    *,
    key: bytes | None = None,  # noqa: ARG001 - a key is often a host or tenant, so it is never an id
    headers: Headers = (),
    origin: Origin,
    kind: Kind | None,
    mappings: Sequence[Mapping] = (),
    limits: Limits = LIMITS,
    split: bool = True,
    max_events: int = MAX_EVENTS_PER_RECORD,
    received_at: float | None = None,
) -> list[Event | Rejected]:
    """Read the events in one record, whatever format it has.

    The same record always gives the same events. An event that has no id of its own gets the id
    ``topic-partition-offset``, or that of the CloudEvent around it. If the record holds several
    events, ``#`` and the number of the event, from 0, follow.

    Args:
        value: the value of the record.
        key: the key of the record, which is ignored.
        headers: the headers of the record, which may carry a CloudEvent in binary mode.
        origin: where the record was read.
        kind: the kind of the topic, for an event that names none; a file has none.
        mappings: the configured formats, tried in this order and before all others.
        limits: how large a record may be.
        split: whether a record may hold several events.
        max_events: how many events a record may hold.
        received_at: when the record entered the topic, in seconds since 1970. It tells the year of
            a time that has none, such as that of old syslog.

    Raises:
        InvalidEvent: the record as a whole cannot be read. No other error is raised, whatever the
            bytes. A single element that cannot be read is `Rejected` instead.
    """
    readings = read_record(
        value,
        headers=headers,
        origin=origin,
        kind=kind,
        mappings=mappings,
        limits=limits,
        split=split,
        max_events=max_events,
        received_at=received_at,
    )
    if len(readings) == 1 and isinstance(event := readings[0].event, Rejected):
        raise event.error  # the record holds nothing else
    return [reading.event for reading in readings]


def read_event(
    value: bytes | None,
    *,
    key: bytes | None = None,
    headers: Headers = (),
    origin: Origin,
    kind: Kind | None,
    mappings: Sequence[Mapping] = (),
    limits: Limits = LIMITS,
) -> Event:
    """Read the one event in a record; see `read_events`.

    Raises:
        InvalidEvent: the record cannot be read, or holds several events.
    """
    (event,) = read_events(
        value,
        key=key,
        headers=headers,
        origin=origin,
        kind=kind,
        mappings=mappings,
        limits=limits,
        split=False,
    )
    if isinstance(event, Rejected):
        raise event.error
    return event


def read_document(document: Document, envelope: Envelope) -> Event:
    """Read the one event in a document that is already decoded.

    Raises:
        InvalidEvent: the document cannot be read, or holds several events.
    """
    (reading,) = _readings(Reader((), LIMITS, max_events=1), document, envelope)
    if isinstance(reading.event, Rejected):
        raise reading.event.error
    return reading.event


def _readings(reader: Reader, document: Document | list[Any], envelope: Envelope) -> list[Reading]:
    """Every event in a decoded document; what was opened on the way is freed."""
    try:
        return list(reader.readings(document, envelope, Way()))
    finally:
        forget_opened()


def _refuse_long(value: bytes, headers: Headers, limits: Limits) -> None:
    """Check value and headers together: the headers of a CloudEvent become attributes."""
    in_headers = sum(len(name) + len(content or b"") for name, content in headers)
    refuse_long(len(value) + in_headers, limits)
    if len(headers) > limits.max_event_nodes:
        raise LimitExceeded(
            f"the record has {len(headers)} headers and limits.max_event_nodes is "
            f"{limits.max_event_nodes}; leave some out, or raise the limit",
            stage="decode",
        )
