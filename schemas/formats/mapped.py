"""Vendor documents that the configuration describes: when a document is one, and where its fields are."""

from typing import Any, Literal, get_args

import msgspec

from schemas.event import Event, Kind
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.paths import find
from schemas.formats.whole import Places, read_whole

MappedField = Literal["id", "text", "title", "body", "source", "tenant", "occurred_at"]


class Mapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One vendor's format.

    `when` holds dotted paths and the values they must have, all of them; ``true`` asks only that something is
    there. `fields` says which path fills which field of the event. `kind` is the topic's unless given. The document
    is kept whole in `event` whatever is mapped. Splunk notables, for instance::

        Mapping(
            name="splunk-notable",
            when={"search_name": True, "result.rule_title": True},
            fields={"id": "result.event_id", "title": "result.rule_title", "body": "result.rule_description"},
        )
    """

    name: str
    when: dict[str, str | int | float | bool]
    fields: dict[str, str]
    kind: Kind | None = None

    def __post_init__(self) -> None:
        """Refuses a mapping that would claim every document, or fill a field that events do not have."""
        if not self.when:
            raise ValueError(
                f"mapping {self.name} has an empty `when` and would claim every record; name a path"
            )
        unknown = self.fields.keys() - get_args(MappedField)
        if unknown:
            raise ValueError(
                f"mapping {self.name} fills {', '.join(sorted(unknown))}; use one of {', '.join(get_args(MappedField))}"
            )

    def recognises(self, document: Document) -> bool:
        """Every condition of `when` holds."""
        return all(_holds(find(document, path), wanted) for path, wanted in self.when.items())

    def read(self, document: Document, envelope: Envelope) -> Event:
        """The document as an event; raises InvalidEvent for an impossible id or tenant."""
        if self.kind is not None:
            envelope = msgspec.structs.replace(envelope, kind=self.kind)
        places: dict[str, tuple[str, ...]] = {field: (path,) for field, path in self.fields.items()}
        return read_whole(document, Places(**places), envelope)


def _holds(value: Any, wanted: str | float) -> bool:
    if wanted is True:
        return value is not None and value is not False
    # In Python `True == 1`; in JSON they are different values.
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)
