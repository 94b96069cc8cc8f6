"""Reading one Kafka record as the events in it.

The steps are: remove the frame, decode, then for each document: recognise its format, open what it
wraps, split what it lists, read the event, and make its texts plain.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import orjson

from schemas.errors import InvalidEvent, LimitExceeded
from schemas.event import Event, Headers, Kind, Origin
from schemas.formats import confluent, ecs, guesses, native, ocsf
from schemas.formats.cloudevents import is_structured, read_structured, unwrap
from schemas.formats.document import Document, decode_document, json_type
from schemas.formats.envelope import Envelope
from schemas.formats.mapped import Mapping
from schemas.formats.paths import find, forget_opened
from schemas.formats.plain import plain_event
from schemas.formats.shipped import shipped_formats
from schemas.formats.stated import guess_stated, merged_stated
from schemas.formats.wrapped import inner_document
from schemas.limits import LIMITS, Limits, refuse_long

MAX_OPENED = 2
"""How many envelopes, and how many lists, may be inside each other."""
MAX_EVENTS_PER_RECORD = 1_000

_LISTS = frozenset({
    "Records", "records", "alerts", "Alerts", "Findings", "findings", "result", "results",
    "Results", "value", "events", "issues",
})  # fmt: skip
"""The usual names of a list of events."""
_OTHER_LISTS = frozenset({
    "_results", "activities", "alarms", "cases", "conversations", "data", "detections", "entries",
    "incidents", "items", "notifications", "observations", "requests", "threats", "tickets",
})  # fmt: skip
"""Names of a list of events if the document has no id and no time of its own."""
_AROUND_LISTS = ("data", "result", "response", "_embedded")
"""Names of an object that may hold such a list."""


class Adapter(Protocol):
    """The reader of one format."""

    def recognises(self, document: Document, /) -> bool:
        """Whether the document is in this format. This must not raise."""

    def read(self, document: Document, envelope: Envelope, /) -> Event:
        """Read a recognised document. The envelope fills the fields that the document leaves out.

        Raises:
            InvalidEvent: the document cannot be an event. This must be the only error.
        """

    def found(self, document: Document, /) -> dict[str, str]:
        """For each field of the event that the document fills: where it is."""


# The first adapter that recognises a document reads it. Standards come before our own format,
# because an ECS alert has an `event` object too. Configured mappings come before all of these,
# because somebody chose them. Shipped formats come after; what is left is guessed.
ADAPTERS: tuple[tuple[str, Adapter], ...] = (("ocsf", ocsf), ("ecs", ecs), ("native", native))


class Rejected(NamedTuple):
    """An element of a record that cannot be read, and its JSON."""

    error: InvalidEvent
    value: bytes


class Reading(NamedTuple):
    """One document of a record: the formats that led to it, and what became of it.

    The last of `formats` is the one that `adapter` reads; those before it are its wrappers.
    """

    formats: tuple[str, ...]
    document: Document
    adapter: Adapter
    event: Event | Rejected


class _Way(NamedTuple):
    """How a document was reached."""

    formats: tuple[str, ...] = ()
    opened: int = 0
    split: int = 0


class _Reader:
    """Reads the documents of one record."""

    def __init__(
        self,
        mappings: Sequence[Mapping],
        limits: Limits,
        max_events: int,
        received_at: float | None = None,
    ) -> None:
        self._mappings = mappings
        self._limits = limits
        self._max_events = max_events
        self._received_at = received_at
        self._events = 0
        self._refused = False

    def decode(self, data: bytes) -> Document | list[Any]:
        """The document in the bytes of a record or of a CloudEvent.

        Raises:
            InvalidEvent: nothing can read them.
        """
        return decode_document(
            data, self._limits, received_at=self._received_at, max_events=self._max_events
        )

    def readings(self, document: Any, envelope: Envelope, way: _Way) -> Iterator[Reading]:
        """Every event in a document, or in a list of documents.

        Raises:
            InvalidEvent: the record holds too many events, or a list that cannot be read.
        """
        if isinstance(document, list):
            yield from self._elements(document, envelope, way)
            return
        if way.split and way.opened < MAX_OPENED and is_structured(document):
            document, envelope = read_structured(document, envelope, self.decode)
            yield from self.readings(document, envelope, way._replace(opened=way.opened + 1))
            return
        name, adapter = self._recognise(document)
        if isinstance(adapter, Mapping) and adapter.wraps:
            inner = self._inside(document, adapter, way)
            if inner is not None:
                described = adapter.describe(document, envelope)
                yield from self.readings(inner, described, _deeper(way, name, adapter))
                return
        elif adapter is guesses and way.split < MAX_OPENED and (path := _listed(document)):
            described = envelope.inside(document, [path])
            yield from self._elements(find(document, path), described, way)
            return
        yield self._read(document, envelope, way, name, adapter)

    def _inside(self, document: Document, adapter: Mapping, way: _Way) -> Any:
        """What a format wraps; None if it is not there, or too deep to be opened."""
        if adapter.split is not None:
            return adapter.listed(document) if way.split < MAX_OPENED else None
        if way.opened >= MAX_OPENED:
            return None
        return inner_document(find(document, adapter.open or ""), self._limits)

    def _elements(self, elements: list[Any], envelope: Envelope, way: _Way) -> Iterator[Reading]:
        if not elements:
            raise InvalidEvent(
                "the record holds an empty list of events; send at least one", stage="recognise"
            )
        if not any(isinstance(element, dict | list) for element in elements):
            raise InvalidEvent(
                "the record is an array without any object; send one JSON object per event",
                stage="recognise",
            )
        if len(elements) > self._max_events:
            raise self._too_many(len(elements))
        way = way._replace(split=way.split + 1)
        for number, element in enumerate(elements):
            of_element = msgspec.structs.replace(envelope, id=f"{envelope.id}#{number}")
            try:
                yield from self._element(element, of_element, way)
            except InvalidEvent as error:
                if self._refused:
                    raise
                # Nothing was read of this element: the error is about the element as a whole.
                self._count()
                rejected = Rejected(error, orjson.dumps(element))
                yield Reading(way.formats, {}, guesses, rejected)

    def _element(self, element: object, envelope: Envelope, way: _Way) -> Iterator[Reading]:
        if isinstance(element, dict) or (isinstance(element, list) and way.split < MAX_OPENED):
            return self.readings(element, envelope, way)
        raise InvalidEvent(
            f"an element of the record is {json_type(element)}; send one JSON object per event",
            stage="recognise",
        )

    def _read(
        self,
        document: Document,
        envelope: Envelope,
        way: _Way,
        name: str,
        adapter: Adapter,
    ) -> Reading:
        self._count()
        event: Event | Rejected
        try:
            event = adapter.read(document, envelope)
            if adapter is native and event.event:
                event = self._with_vendor_document(event, document)
            event = plain_event(event)
            native.refuse_empty(event)  # a text may be nothing but markup
        except InvalidEvent as error:
            event = Rejected(error, orjson.dumps(_with_tenant(document, envelope)))
        return Reading((*way.formats, name), document, adapter, event)

    def _with_vendor_document(self, event: Event, document: Document) -> Event:
        """A native event with what the vendor's document in it says, and it does not say itself."""
        inside = event.event or {}
        has_words = bool(event.title or event.text or event.body)
        adapter = self._recognise(inside)[1]
        if adapter is guesses and has_words:
            stated = merged_stated(event.stated, guess_stated(inside))
            return msgspec.structs.replace(event, stated=stated)
        try:
            of_vendor = adapter.read(inside, Envelope(id=event.id, kind=event.kind))
        except InvalidEvent:
            return event  # only the words of the event itself can be read
        changes = {
            name: getattr(of_vendor, name)
            for name in ("source", "occurred_at", "link", "key_fields")
            if not getattr(event, name)
        }
        changes["stated"] = merged_stated(event.stated, of_vendor.stated)
        if not has_words:
            changes |= {name: getattr(of_vendor, name) for name in ("title", "text", "body")}
        if "id" not in document:
            changes["id"] = of_vendor.id
        return msgspec.structs.replace(event, **changes)

    def _recognise(self, document: Document) -> tuple[str, Adapter]:
        for mapping in self._mappings:
            if mapping.recognises(document):
                return mapping.name, mapping
        shipped = shipped_formats().recognise(document) if _may_be_a_vendors(document) else None
        if shipped is None:
            for name, adapter in ADAPTERS:
                if adapter.recognises(document):
                    return name, adapter
            shipped = shipped_formats().recognise(document)
        return (shipped.name, shipped) if shipped else ("guessed", guesses)

    def _count(self) -> None:
        self._events += 1
        if self._events > self._max_events:
            raise self._too_many(self._events)

    def _too_many(self, events: int) -> InvalidEvent:
        self._refused = True
        return InvalidEvent(
            f"the record holds at least {events} events and formats.max_events_per_record is "
            f"{self._max_events}; raise it, or send smaller batches",
            stage="recognise",
        )


def _may_be_a_vendors(document: Document) -> bool:
    """Whether a document that our own adapters recognise may be in a vendor's format.

    It is nothing but an `event`, or no alert but a line of a log that a Beat has shipped.
    """
    return document.keys() == {"event"} or (ecs.recognises(document) and not ecs.is_alert(document))


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
    reader = _Reader(mappings, limits, max_events, received_at)
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
    try:
        readings = list(reader.readings(document, envelope, _Way()))
    finally:
        forget_opened()
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
    (reading,) = _Reader((), LIMITS, max_events=1).readings(document, envelope, _Way())
    if isinstance(reading.event, Rejected):
        raise reading.event.error
    return reading.event


def _deeper(way: _Way, name: str, adapter: Mapping) -> _Way:
    formats = (*way.formats, name)
    return way._replace(formats=formats, opened=way.opened + (adapter.open is not None))


def _with_tenant(document: Document, envelope: Envelope) -> Document:
    """The document with the tenant that its wrapper names: it may be read again without it."""
    if envelope.tenant is None:
        return document
    return document | {"tenant": envelope.tenant}


def _listed(document: Document) -> str | None:
    """The path of the list of events that a document is nothing but a wrapper of, or None.

    A document with a title or a text of its own is one event, and the list only a part of it.
    """
    for name, value in document.items():
        if name in _LISTS and _is_list_of_documents(value):
            return None if guesses.has_words(document) else name
    if guesses.has_words(document) or guesses.names_itself(document):
        return None
    return _other_list(document)


def _other_list(document: Document) -> str | None:
    """The path of a list of a less usual name, or of one in the object that such answers are in."""
    nodes = [("", document), *((f"{name}.", document.get(name)) for name in _AROUND_LISTS)]
    for prefix, node in nodes:
        if not isinstance(node, dict):
            continue
        for name, value in node.items():
            is_usual = name in _OTHER_LISTS or (name in _LISTS and node is not document)
            if is_usual and _is_list_of_documents(value):
                return None if prefix and guesses.names_itself(node) else f"{prefix}{name}"
    return None


def _is_list_of_documents(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


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
