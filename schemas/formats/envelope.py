"""What is known about an event before its document is read."""

from typing import Any

import msgspec

from schemas.event import Kind


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """Used wherever the document says nothing itself; `attributes` always end up among the event's own."""

    id: str
    kind: Kind
    source: str | None = None
    occurred_at: str | None = None
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
