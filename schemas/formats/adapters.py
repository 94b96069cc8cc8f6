"""Which format a document is in, and what reads it."""

from collections.abc import Sequence
from typing import Protocol

from schemas.event import Event
from schemas.formats import ecs, guesses, native, ocsf
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.mapped import Mapping
from schemas.formats.shipped import shipped_formats


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


def recognise(document: Document, mappings: Sequence[Mapping]) -> tuple[str, Adapter]:
    """The name of the format of a document, and the adapter that reads it."""
    for mapping in mappings:
        if mapping.recognises(document):
            return mapping.name, mapping
    shipped = shipped_formats().recognise(document) if _may_be_a_vendors(document) else None
    if shipped is None:
        for name, adapter in ADAPTERS:
            if adapter.recognises(document):
                return name, adapter
        shipped = shipped_formats().recognise(document)
    return (shipped.name, shipped) if shipped else ("guessed", guesses)


def _may_be_a_vendors(document: Document) -> bool:
    """Whether a document that our own adapters recognise may be in a vendor's format.

    It is nothing but an `event`, or no alert but a line of a log that a Beat has shipped.
    """
    return document.keys() == {"event"} or (ecs.recognises(document) and not ecs.is_alert(document))
