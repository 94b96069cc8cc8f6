"""The project's own format of input events."""

from typing import Any, get_args

from schemas.errors import InvalidEvent
from schemas.event import Event, Kind
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.instants import to_rfc3339
from schemas.formats.links import web_link
from schemas.formats.stated import guess_stated
from schemas.formats.text import rich_text
from schemas.formats.values import as_id, as_tenant, as_text, keep, single_text

_TEXTS = ("text", "title", "body")
_CONTENT = (*_TEXTS, "event")
_FIELDS = frozenset(
    (*_CONTENT, "id", "kind", "source", "tenant", "occurred_at", "link", "attributes")
)
_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
_LONGEST_KIND = 40  # with the blanks around it


def recognises(document: Document) -> bool:
    """Whether the document was clearly written in this format, even if it has mistakes.

    It has no field of another name, or it has one of our kinds beside any content field. A `title`
    or an `event` alone says nothing: many vendors have such fields.
    """
    return document.keys() <= _FIELDS or (
        _as_kind(document.get("kind")) is not None and not document.keys().isdisjoint(_CONTENT)
    )


def read(document: Document, envelope: Envelope) -> Event:
    """Read the event. Fields of other names, and values that are of no use, go to `attributes`.

    Raises:
        InvalidEvent: the id or the tenant is too long, the id is a number too large to be exact, or
            there is nothing to read.
    """
    instant = to_rfc3339(document.get("occurred_at"))
    vendor_document = document.get("event")
    attributes = _read_attributes(document, envelope, instant)
    event = Event(
        id=as_id(single_text(document.get("id"))) or envelope.id,
        kind=_as_kind(document.get("kind")) or envelope.known_kind(),
        text=_read_text(document, "text") or _only_text(vendor_document),
        title=_read_text(document, "title"),
        body=_read_text(document, "body"),
        event=vendor_document or None if isinstance(vendor_document, dict) else None,
        source=as_text(document.get("source")) or envelope.source,
        tenant=envelope.tenant or as_tenant(as_text(single_text(document.get("tenant")))),
        occurred_at=instant or envelope.occurred_at,
        stated=guess_stated(attributes),
        link=web_link(as_text(document.get("link"))),
        attributes=attributes,
    )
    refuse_empty(event)
    return event


def refuse_empty(event: Event) -> None:
    """Check that there is something to read.

    Raises:
        InvalidEvent: there is nothing.
    """
    if not (event.text or event.title or event.body or event.event):
        raise InvalidEvent(
            "the event has nothing to read; fill at least one of text, title, body and event",
            stage="validate",
        )


def found(document: Document) -> dict[str, str]:
    """For each field that the document fills: its name."""
    return {name: name for name in sorted(_FIELDS) if document.get(name) is not None}


def _as_kind(value: object) -> Kind | None:
    if isinstance(value, str) and len(value) <= _LONGEST_KIND:
        return _KINDS.get(value.strip().lower())
    return None


def _read_text(document: Document, name: str) -> str | None:
    value = document.get(name)
    return as_text(value) or rich_text(value)


def _only_text(value: object) -> str | None:
    """The text of an `event` that is no document but a sentence."""
    return as_text(value) if isinstance(value, str) else None


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
    if name in _TEXTS:
        return not isinstance(value, str) and _read_text(document, name) is None
    usable = {
        "kind": lambda: _as_kind(value) is not None,
        "occurred_at": lambda: instant is not None,
        "source": lambda: as_text(value) is not None,
        "attributes": lambda: isinstance(value, dict),
        "event": lambda: isinstance(value, dict | str),
        "tenant": lambda: isinstance(value, str | int | float) and not isinstance(value, bool),
        "id": lambda: isinstance(value, str | int | float) and not isinstance(value, bool),
        "link": lambda: web_link(as_text(value)) is not None,
    }
    return name in usable and not usable[name]()
