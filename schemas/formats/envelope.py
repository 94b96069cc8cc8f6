"""What is known about an event before its document is read."""

from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.errors import InvalidEvent
from schemas.event import Kind
from schemas.formats.paths import without
from schemas.formats.values import as_explicit_tenant, keep


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

    def inside(self, document: dict[str, Any], paths: Sequence[str]) -> "Envelope":
        """What is known about the documents at `paths` of this one, which wraps them.

        Every other field of the wrapper becomes an attribute. A `tenant` beside what is wrapped was
        added by whoever wrapped it.
        """
        others = document
        for path in paths:
            others = without(others, path)
        return msgspec.structs.replace(
            self,
            tenant=self.tenant or as_explicit_tenant(document.get("tenant")),
            attributes=self.attributes_with(others),
        )

    def attributes_with(self, more: dict[str, Any]) -> dict[str, Any]:
        """The attributes and these, which get another name if theirs is taken."""
        attributes = dict(self.attributes)
        for name, value in more.items():
            keep(attributes, name, value)
        return attributes

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
