"""The records of a file as records of a topic: their origin, kind and key."""

import time
from collections.abc import Sequence
from pathlib import Path

from agents.outcomes import Incoming
from inference.record_file import STDIN
from schemas.codec import decode_json
from schemas.errors import InvalidEvent
from schemas.event import DOMAIN_OF_KIND, KIND_OF_DOMAIN, Domain, Event, Kind, Origin
from schemas.formats import Mapping, Rejected, native, read_events
from schemas.formats.document import Document
from schemas.limits import LIMITS, Limits


def incoming(file: str, number: int, line: bytes) -> Incoming:
    """One record of a file. Its origin is the file's name and the record's number, from 0."""
    # A file may have a name that is not Unicode; a record on a topic cannot.
    name = "stdin" if file == STDIN else Path(file).stem.encode("utf-8", "replace").decode()
    origin = Origin(topic=name, partition=0, offset=number)
    return Incoming(value=line, key=None, headers=(), origin=origin, received_at_s=time.time())


def kind_of(
    record: bytes,
    domain: Domain | None,
    limits: Limits = LIMITS,
    mappings: Sequence[Mapping] = (),
) -> Kind:
    """The kind to assume for a record: that of the domain, or else of its first event.

    Raises:
        InvalidEvent: there is no domain, and the event names no kind or cannot be read.
    """
    if domain is not None:
        return KIND_OF_DOMAIN[domain]
    document = _native(record, limits)
    kind = document.get("kind") if document is not None else None
    if isinstance(kind, str) and kind in DOMAIN_OF_KIND:
        return kind
    events = read_events(record, origin=_NOWHERE, kind=None, limits=limits, mappings=mappings)
    for event in events:
        if isinstance(event, Event):
            return event.kind
    raise next(event.error for event in events if isinstance(event, Rejected))


def key_of(
    record: bytes, kind: Kind, limits: Limits = LIMITS, mappings: Sequence[Mapping] = ()
) -> bytes | None:
    """The id of the one event in a record as its key.

    None if the event has no id of its own, the record holds several events or cannot be read.
    """
    document = _native(record, limits)
    if document is not None:
        id_ = document.get("id")
        return str(id_).encode() if isinstance(id_, str | int) and id_ != "" else None
    try:
        events = read_events(record, origin=_NOWHERE, kind=kind, limits=limits, mappings=mappings)
    except InvalidEvent:
        return None
    if len(events) != 1 or not isinstance(event := events[0], Event) or event.id == _NO_ID:
        return None
    return event.id.encode("utf-8", "replace")


def _native(record: bytes, limits: Limits) -> Document | None:
    """The record as a document in our own format, which may have mistakes; None if it is none."""
    try:
        document = decode_json(record, limits)
    except InvalidEvent:
        return None
    if isinstance(document, dict) and native.recognises(document):
        return document
    return None


_NOWHERE = Origin(topic="\x00", partition=0, offset=0)
_NO_ID = f"{_NOWHERE.topic}-0-0"
"""The id that is derived of a record that is read from `_NOWHERE`."""
