"""Reading a document whose format is known only in part.

The known fields are copied into the event. The complete document is kept in `event`.
"""

import msgspec

from schemas.event import Event
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.instants import to_rfc3339
from schemas.formats.links import web_link
from schemas.formats.paths import find, first_text
from schemas.formats.stated import guess_stated
from schemas.formats.values import as_explicit_tenant, as_id, as_tenant, as_text, unwrapped


class FieldPaths(msgspec.Struct, frozen=True, kw_only=True):
    """For each field of an event, the dotted paths where a format may have it, best first.

    A field `tenant` of the document itself stands before the paths for the tenant.
    """

    id: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    title: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    tenant: tuple[str, ...] = ()
    occurred_at: tuple[str, ...] = ()
    link: tuple[str, ...] = ()


FIELDS = ("id", "text", "title", "body", "source", "tenant", "occurred_at", "link")


def read_whole(document: Document, paths: FieldPaths, envelope: Envelope) -> Event:
    """Read the event in `document`. Only the id and the tenant can be wrong; the rest is optional.

    Raises:
        InvalidEvent: the id or the tenant is too long, the id is a number too large to be exact,
            or the tenant is not a string.
    """
    occurred_at = _first_value(document, paths.occurred_at)
    instant = to_rfc3339(occurred_at)
    attributes = dict(envelope.attributes)
    if occurred_at is not None and instant is None:
        attributes["occurred_at"] = occurred_at
    return Event(
        id=_read_id(document, paths.id) or envelope.id,
        kind=envelope.known_kind(),
        text=first_text(document, paths.text),
        title=first_text(document, paths.title),
        body=first_text(document, paths.body),
        event=document,
        source=first_text(document, paths.source) or envelope.source,
        tenant=envelope.tenant or _read_tenant(document, paths.tenant),
        occurred_at=instant or envelope.occurred_at,
        stated=guess_stated(document),
        link=web_link(first_text(document, paths.link)),
        attributes=attributes,
    )


def found_in(document: Document, paths: FieldPaths) -> dict[str, str]:
    """For each field that the document fills: the path where it is."""
    places = {}
    for field in FIELDS:
        for path in getattr(paths, field):
            if as_text(find(document, path)) is not None:
                places[field] = path
                break
    return places


def _read_tenant(document: Document, paths: tuple[str, ...]) -> str:
    """The tenant at one of `paths`; a field of this name stands before them.

    A vendor's own idea of a tenant is about the vendor's account. A `tenant` beside it was added
    by somebody who knows whose event this is.
    """
    tenant = as_explicit_tenant(document.get("tenant"))
    return tenant or as_tenant(_first_value(document, paths))


def _read_id(document: Document, paths: tuple[str, ...]) -> str | None:
    """The first value that can be an id.

    `as_id` gets the value itself and not its text, so that it can refuse an inexact number.
    """
    for path in paths:
        value = unwrapped(find(document, path))
        if as_text(value) is not None:
            return as_id(value)
    return None


def _first_value(document: Document, paths: tuple[str, ...]) -> object:
    for path in paths:
        value = find(document, path)
        if value is not None:
            return value
    return None
