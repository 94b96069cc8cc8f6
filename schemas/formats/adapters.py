"""Reading one Kafka record as one event.

The steps are: remove the frame, remove the envelope, recognise the format, read the event.
"""

from collections.abc import Sequence
from typing import Protocol

from schemas.errors import InvalidEvent, LimitExceeded
from schemas.event import Event, Headers, Kind, Origin
from schemas.formats import confluent, ecs, native, ocsf, vendor
from schemas.formats.cloudevents import unwrap
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.mapped import Mapping
from schemas.limits import LIMITS, Limits, refuse_long


class Adapter(Protocol):
    """The reader of one format."""

    def recognises(self, document: Document, /) -> bool:
        """Whether the document is in this format. This must not raise."""

    def read(self, document: Document, envelope: Envelope, /) -> Event:
        """Read a recognised document. The envelope fills the fields that the document leaves out.

        Raises:
            InvalidEvent: the document cannot be an event. This must be the only error.
        """


# The first adapter that recognises a document reads it. Standards come before our own format,
# because an ECS alert has an `event` object too. Configured mappings come before all of these,
# because somebody chose them.
ADAPTERS: tuple[Adapter, ...] = (
    ocsf,
    ecs,
    native,
    vendor,
)


def read_event(
    value: bytes | None,
    *,
    key: bytes | None = None,  # noqa: ARG001 - a key is often a host or tenant, so it is never an id
    headers: Headers = (),
    origin: Origin,
    kind: Kind,
    mappings: Sequence[Mapping] = (),
    limits: Limits = LIMITS,
) -> Event:
    """Read the event in one record, whatever format it has.

    The same record always gives the same event: if it has no id, the id is
    ``topic-partition-offset``.

    Args:
        value: the value of the record.
        key: the key of the record, which is ignored.
        headers: the headers of the record, which may carry a CloudEvent in binary mode.
        origin: where the record was read.
        kind: the kind of the topic, for an event that names none.
        mappings: the configured formats, tried in this order and before all others.
        limits: how large an event may be.

    Raises:
        InvalidEvent: the record cannot be an event. No other error is raised, whatever the bytes.
    """
    if not value:
        raise InvalidEvent(
            "the record is empty (a tombstone); send one JSON object per record", stage="decode"
        )
    _refuse_long(value, headers, limits)
    schema_id = confluent.schema_id(value)
    payload = value if schema_id is None else confluent.unframe(value)
    envelope = Envelope(id=f"{origin.topic}-{origin.partition}-{origin.offset}", kind=kind)
    try:
        document, envelope = unwrap(payload, headers, envelope, limits)
    except InvalidEvent as error:
        if schema_id is None or error.stage != "decode" or isinstance(error, LimitExceeded):
            raise
        raise InvalidEvent(
            f"the payload with Confluent schema id {schema_id} is not JSON, and Avro and Protobuf "
            "cannot be read; use the JSON Schema serializer",
            stage="decode",
        ) from None
    return _recognise(document, mappings).read(document, envelope)


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


def _recognise(document: Document, mappings: Sequence[Mapping]) -> Adapter:
    return next(adapter for adapter in (*mappings, *ADAPTERS) if adapter.recognises(document))
