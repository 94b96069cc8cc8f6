"""What is known about an event before its document is read."""

from typing import Any

import msgspec

from schemas.event import Kind


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """Values for the fields that the document itself does not have.

    `attributes` are always added to the attributes of the event. A `tenant` stands before any that
    the document names, because whoever wraps a document knows better whose it is.
    """

    id: str
    kind: Kind
    source: str | None = None
    tenant: str | None = None
    occurred_at: str | None = None
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
