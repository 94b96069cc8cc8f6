"""A document nobody described: any JSON object that is none of the formats we know."""

from schemas.event import Event
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.whole import Places, read_whole

_NOWHERE = Places()


def recognises(document: Document) -> bool:
    """Anything with something in it; this adapter stands last."""
    return bool(document)


def read(document: Document, envelope: Envelope) -> Event:
    """The whole document as `event`; the id comes from the envelope, since which field is one is anybody's guess."""
    return read_whole(document, _NOWHERE, envelope)
