"""The project's own format of input events."""

from typing import Any, get_args

from schemas.errors import InvalidEvent
from schemas.event import Event, Kind
from schemas.formats.document import Document, json_type
from schemas.formats.envelope import Envelope
from schemas.formats.instants import to_rfc3339
from schemas.formats.values import as_id, as_tenant, as_text, keep

_TEXTS = ("text", "title", "body")
_CONTENT = (*_TEXTS, "event")
_FIELDS = frozenset((*_CONTENT, "id", "kind", "source", "tenant", "occurred_at", "attributes"))
_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
_LONGEST_KIND = 40  # with the blanks around it


def recognises(document: Document) -> bool:
    """Whether the document was clearly written in this format, even if it has mistakes.

    Any of these is enough: text or a number in `text`, `title` or `body`; an `event` object beside
    an `id` or `kind`; one of our kinds beside any content field; no field of another name.
    """
    return (
        any(isinstance(document.get(name), str | int | float) for name in _TEXTS)
        or (isinstance(document.get("event"), dict) and ("id" in document or "kind" in document))
        or (_as_kind(document.get("kind")) is not None and not document.keys().isdisjoint(_CONTENT))
        or document.keys() <= _FIELDS
    )


def read(document: Document, envelope: Envelope) -> Event:
    """Read the event. Fields of other names are kept in `attributes`.

    Raises:
        InvalidEvent: a field has a type that it cannot have, or there is nothing to read.
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
        tenant=envelope.tenant or as_tenant(document.get("tenant")),
        occurred_at=instant or envelope.occurred_at,
        attributes=_read_attributes(document, envelope, instant),
    )
    if not (event.text or event.title or event.body or event.event):
        raise InvalidEvent(
            "the event has nothing to read; fill at least one of text, title, body and event",
            stage="validate",
        )
    return event


def _as_kind(value: object) -> Kind | None:
    if isinstance(value, str) and len(value) <= _LONGEST_KIND:
        return _KINDS.get(value.strip().lower())
    return None


def _read_kind(value: object, default: Kind) -> Kind:
    """The kind that the event names, else the default.

    The event's kind overrides the topic's: the author of an event knows its kind better than the
    tool that routed it.

    Raises:
        InvalidEvent: the event names another kind.
    """
    if value is None or value == "":
        return default
    kind = _as_kind(value)
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
    sent = document.get("attributes")
    if isinstance(sent, dict):
        for name, value in sent.items():
            keep(attributes, name, value)
    for name in document:
        if name not in _FIELDS or _is_unusable(document, name, instant):
            keep(attributes, name, document[name])
    return attributes


def _is_unusable(document: Document, name: str, instant: str | None) -> bool:
    """Whether a field of ours has a value that we cannot use.

    Such a value is kept as an attribute. It is not important enough to refuse the event.
    """
    value = document[name]
    if value is None:
        return False
    return (
        (name == "occurred_at" and instant is None)
        or (name == "source" and as_text(value) is None)
        or (name == "attributes" and not isinstance(value, dict))
    )
