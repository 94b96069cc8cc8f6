"""Documents of an unknown format: any JSON object that no other adapter recognises."""

from schemas.event import Event
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.whole import FieldPaths, read_whole

_NO_PATHS = FieldPaths()


def recognises(document: Document) -> bool:
    """Whether the document has any field. This adapter is the last that is tried."""
    return bool(document)


def read(document: Document, envelope: Envelope) -> Event:
    """Keep the complete document in `event`.

    The id comes from the envelope, because nobody knows which field of the document is an id.
    """
    return read_whole(document, _NO_PATHS, envelope)
