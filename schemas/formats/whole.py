"""Reading a document that stays whole: its known places are copied out, and all of it is kept in `event`."""

import msgspec

from schemas.event import Event
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.instants import to_rfc3339
from schemas.formats.paths import find, first_text
from schemas.formats.values import as_id, as_tenant, as_text, unwrapped


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where a format keeps what an event needs: dotted paths, the first that holds something wins."""

    id: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    title: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    tenant: tuple[str, ...] = ()
    occurred_at: tuple[str, ...] = ()


def read_whole(document: Document, places: Places, envelope: Envelope) -> Event:
    """The event in `document`; nothing but its id and tenant can be wrong, since everything else is optional.

    Raises:
        InvalidEvent: the id or the tenant is too long, or the tenant is not a string.
    """
    occurred_at = _first(document, places.occurred_at)
    instant = to_rfc3339(occurred_at)
    raw = {} if occurred_at is None or instant else {"occurred_at": occurred_at}
    return Event(
        id=_read_id(document, places.id) or envelope.id,
        kind=envelope.kind,
        text=first_text(document, places.text),
        title=first_text(document, places.title),
        body=first_text(document, places.body),
        event=document,
        source=first_text(document, places.source) or envelope.source,
        tenant=as_tenant(_first(document, places.tenant)),
        occurred_at=instant or envelope.occurred_at,
        attributes={**envelope.attributes, **raw},
    )


def _read_id(document: Document, paths: tuple[str, ...]) -> str | None:
    """The first id that is one; the type is looked at before it becomes text, so an inexact number is refused."""
    values = (unwrapped(find(document, path)) for path in paths)
    return as_id(next((value for value in values if as_text(value) is not None), None))


def _first(document: Document, paths: tuple[str, ...]) -> object:
    return next((value for path in paths if (value := find(document, path)) is not None), None)
