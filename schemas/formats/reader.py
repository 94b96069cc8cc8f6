"""The way from the document of a record to its events.

For each document: recognise its format, open what it wraps, split what it lists, read the event,
and make its texts plain.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import orjson

from schemas.errors import InvalidEvent
from schemas.event import Event
from schemas.formats import guesses, native
from schemas.formats.adapters import Adapter, recognise
from schemas.formats.cloudevents import is_structured, read_structured
from schemas.formats.document import Document, decode_document, json_type
from schemas.formats.envelope import Envelope
from schemas.formats.lists import list_of_events
from schemas.formats.mapped import Mapping
from schemas.formats.paths import find
from schemas.formats.plain import plain_event
from schemas.formats.stated import guess_stated, merged_stated
from schemas.formats.wrapped import inner_document
from schemas.limits import Limits

MAX_OPENED = 2
"""How many envelopes, and how many lists, may be inside each other."""


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


class Way(NamedTuple):
    """How a document was reached."""

    formats: tuple[str, ...] = ()
    opened: int = 0
    split: int = 0


class Reader:
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

    def readings(self, document: Any, envelope: Envelope, way: Way) -> Iterator[Reading]:
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
        name, adapter = recognise(document, self._mappings)
        if isinstance(adapter, Mapping) and adapter.wraps:
            inner = self._inside(document, adapter, way)
            if inner is not None:
                described = adapter.describe(document, envelope)
                yield from self.readings(inner, described, _deeper(way, name, adapter))
                return
        elif adapter is guesses and way.split < MAX_OPENED and (path := list_of_events(document)):
            described = envelope.inside(document, [path])
            yield from self._elements(find(document, path), described, way)
            return
        yield self._read(document, envelope, way, name, adapter)

    def _inside(self, document: Document, adapter: Mapping, way: Way) -> Any:
        """What a format wraps; None if it is not there, or too deep to be opened."""
        if adapter.split is not None:
            return adapter.listed(document) if way.split < MAX_OPENED else None
        if way.opened >= MAX_OPENED:
            return None
        return inner_document(find(document, adapter.open or ""), self._limits)

    def _elements(self, elements: list[Any], envelope: Envelope, way: Way) -> Iterator[Reading]:
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

    def _element(self, element: object, envelope: Envelope, way: Way) -> Iterator[Reading]:
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
        way: Way,
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
        adapter = recognise(inside, self._mappings)[1]
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


def _deeper(way: Way, name: str, adapter: Mapping) -> Way:
    formats = (*way.formats, name)
    return way._replace(formats=formats, opened=way.opened + (adapter.open is not None))


def _with_tenant(document: Document, envelope: Envelope) -> Document:
    """The document with the tenant that its wrapper names: it may be read again without it."""
    if envelope.tenant is None:
        return document
    return document | {"tenant": envelope.tenant}
