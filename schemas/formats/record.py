"""One Kafka record to one event: unframe, unwrap, recognise, read."""

from collections.abc import Sequence
from typing import Protocol

from schemas.errors import InvalidEvent
from schemas.event import Event, Headers, Kind, Origin
from schemas.formats import confluent, ecs, native, ocsf, vendor
from schemas.formats.cloudevents import unwrap
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.mapped import Mapping


class Adapter(Protocol):
    """One format. `recognises` must not raise; `read` may raise InvalidEvent and nothing else."""

    def recognises(self, document: Document, /) -> bool:
        """Whether the document is in this format."""

    def read(self, document: Document, envelope: Envelope, /) -> Event:
        """The event in a document that was recognised; the envelope fills what the document leaves open."""


# In order, the first that recognises a document reads it. Standards come before our own format, because an ECS
# alert has an `event` object too; the configured mappings come before all of these, because somebody chose them.
ADAPTERS: tuple[Adapter, ...] = (
    ocsf,
    ecs,
    native,
    vendor,
)


def read_event(
    value: bytes | None,
    *,
    key: bytes | None = None,  # noqa: ARG001 - records are keyed by host or tenant as often as by id: never an id
    headers: Headers = (),
    origin: Origin,
    kind: Kind,
    mappings: Sequence[Mapping] = (),
) -> Event:
    """The event in one record, whatever format it is in; `kind` is the topic's, used where the event names none.

    The same record always gives the same event: an id that is missing is ``topic-partition-offset``.

    Raises:
        InvalidEvent: the record cannot be an event. No other exception, whatever the bytes are.
    """
    if not value:
        raise InvalidEvent(
            "the record is empty (a tombstone); send one JSON object per record", stage="decode"
        )
    schema_id = confluent.schema_id(value)
    payload = value if schema_id is None else confluent.unframe(value)
    envelope = Envelope(id=f"{origin.topic}-{origin.partition}-{origin.offset}", kind=kind)
    try:
        document, envelope = unwrap(payload, headers, envelope)
    except InvalidEvent as error:
        if schema_id is None or error.stage != "decode":
            raise
        raise InvalidEvent(
            f"framed with Confluent schema id {schema_id} and not JSON inside (Avro and Protobuf are not read); "
            "use the JSON Schema serializer",
            stage="decode",
        ) from None
    return _recognise(document, mappings).read(document, envelope)


def _recognise(document: Document, mappings: Sequence[Mapping]) -> Adapter:
    return next(adapter for adapter in (*mappings, *ADAPTERS) if adapter.recognises(document))
