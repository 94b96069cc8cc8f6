"""What is known about an event before its document is read."""

from typing import Any

import msgspec

from schemas.errors import InvalidEvent
from schemas.event import Kind


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """Values for the fields that the document itself does not have.

    `attributes` are always added to the attributes of the event. A `tenant` stands before any that
    the document names, because whoever wraps a document knows better whose it is. `kind` is that of
    the topic; a file has none.
    """

    id: str
    kind: Kind | None
    source: str | None = None
    tenant: str | None = None
    occurred_at: str | None = None
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)

    def known_kind(self) -> Kind:
        """The kind of an event that names none.

        Raises:
            InvalidEvent: nobody says what kind it is.
        """
        if self.kind is None:
            raise InvalidEvent(
                "the event names no kind; add --domain alerts or --domain tickets",
                stage="recognise",
            )
        return self.kind
