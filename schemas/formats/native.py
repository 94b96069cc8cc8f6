"""Our own input event, as the contract states it."""

from typing import Any, get_args

from schemas.errors import InvalidEvent
from schemas.event import Event, Kind
from schemas.formats.document import Document, json_type
from schemas.formats.envelope import Envelope
from schemas.formats.instants import to_rfc3339
from schemas.formats.values import as_id, as_tenant, as_text, keep

_TEXTS = ("text", "title", "body")
_CONTENT = (*_TEXTS, "event")
_FIELDS = frozenset(Event.__struct_fields__)
_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}


def recognises(document: Document) -> bool:
    """True for what was clearly written for us, including what was written wrongly.

    Words in text, title or body; an `event` object beside an id or a kind; our kind beside any content field; or
    no field that is not ours.
    """
    return (
        any(isinstance(document.get(name), str | int | float) for name in _TEXTS)
        or (isinstance(document.get("event"), dict) and ("id" in document or "kind" in document))
        or (
            _kind_named(document.get("kind")) is not None
            and not document.keys().isdisjoint(_CONTENT)
        )
        or document.keys() <= _FIELDS
    )


def read(document: Document, envelope: Envelope) -> Event:
    """The event; fields that are not ours go to `attributes`.

    Raises:
        InvalidEvent: a field has a type it cannot have, or there is nothing to read.
    """
    instant = to_rfc3339(document.get("occurred_at"))
    event = Event(
        id=as_id(document.get("id")) or envelope.id,
        kind=_read_kind(document.get("kind"), envelope.kind),
        text=_read_text(document, "text"),
        title=_read_text(document, "title"),
        body=_read_text(document, "body"),
        event=_read_vendor_document(document.get("event")),
        source=as_text(document.get("source")) or envelope.source,
        tenant=as_tenant(document.get("tenant")),
        occurred_at=instant or envelope.occurred_at,
        attributes=_read_attributes(document, envelope, instant),
    )
    if not (event.text or event.title or event.body or event.event):
        raise InvalidEvent(
            "nothing to read; fill at least one of text, title, body and event", stage="validate"
        )
    return event


def _kind_named(value: object) -> Kind | None:
    return _KINDS.get(value.strip().lower()) if isinstance(value, str) else None


def _read_kind(value: object, default: Kind) -> Kind:
    """The event's own kind before the topic's: whoever wrote the event knows better than whoever routed it."""
    if value is None or value == "":
        return default
    kind = _kind_named(value)
    if kind is None:
        raise InvalidEvent(
            "`kind` is neither alert nor ticket; send one of them or leave it out", stage="validate"
        )
    return kind


def _read_text(document: Document, name: str) -> str | None:
    value = document.get(name)
    if isinstance(value, bool | dict | list):
        raise InvalidEvent(f"`{name}` is {json_type(value)}; send a string", stage="validate")
    return as_text(value)


def _read_vendor_document(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidEvent(
            f"`event` is {json_type(value)}; send the vendor's document as an object",
            stage="validate",
        )
    return value or None


def _read_attributes(document: Document, envelope: Envelope, instant: str | None) -> dict[str, Any]:
    attributes = dict(envelope.attributes)
    own = document.get("attributes")
    for name, value in own.items() if isinstance(own, dict) else ():
        keep(attributes, name, value)
    for name in document:
        if name not in _FIELDS or _is_unread(document, name, instant):
            keep(attributes, name, document[name])
    return attributes


def _is_unread(document: Document, name: str, instant: str | None) -> bool:
    """Fields of ours that hold something we could not use: kept as they came, since they are no reason to refuse."""
    value = document[name]
    if value is None:
        return False
    return (
        (name == "occurred_at" and instant is None)
        or (name == "source" and as_text(value) is None)
        or (name == "attributes" and not isinstance(value, dict))
    )
