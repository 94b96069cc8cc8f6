"""Vendor formats that the configuration describes.

A mapping says how to recognise a document and where its fields are.
"""

from typing import Any, Literal, get_args

import msgspec

from schemas.event import Event, Kind
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.paths import find
from schemas.formats.whole import FieldPaths, read_whole

MappedField = Literal["id", "text", "title", "body", "source", "tenant", "occurred_at"]


class Mapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One vendor's format.

    `when` maps dotted paths to the values that a document must have there, all of them. The value
    ``true`` matches any value except null and false. `fields` maps a field of the event to the
    path that fills it. `kind` is the kind of the event; without it, the topic decides. The
    complete document is always kept in `event`. For example, for Splunk notables::

        Mapping(
            name="splunk-notable",
            when={"search_name": True, "result.rule_title": True},
            fields={
                "id": "result.event_id",
                "title": "result.rule_title",
                "body": "result.rule_description",
            },
        )

    Raises:
        ValueError: `when` is empty, or `fields` names a field that a mapping cannot fill.
    """

    name: str
    when: dict[str, str | int | float | bool]
    fields: dict[str, str]
    kind: Kind | None = None

    def __post_init__(self) -> None:
        """Check the mapping when it is read from the configuration."""
        if not self.when:
            raise ValueError(
                f"mapping {self.name} has an empty `when`, which matches every record; "
                "add at least one path"
            )
        known = get_args(MappedField)
        unknown = sorted(self.fields.keys() - known)
        if unknown:
            raise ValueError(
                f"mapping {self.name} fills {', '.join(unknown)}, which no mapping can fill; "
                f"use only {', '.join(known)}"
            )

    def recognises(self, document: Document) -> bool:
        """Whether every condition of `when` holds."""
        return all(_matches(find(document, path), expected) for path, expected in self.when.items())

    def read(self, document: Document, envelope: Envelope) -> Event:
        """Read the document as an event.

        Raises:
            InvalidEvent: the id or the tenant cannot be used.
        """
        if self.kind is not None:
            envelope = msgspec.structs.replace(envelope, kind=self.kind)
        paths: dict[str, tuple[str, ...]] = {field: (path,) for field, path in self.fields.items()}
        explicit = "tenant" not in self.fields  # the configuration says where it is
        return read_whole(document, FieldPaths(**paths, explicit=explicit), envelope)


def _matches(value: Any, expected: str | float) -> bool:
    if expected is True:
        return value is not None and value is not False
    # `True == 1` in Python, but in JSON they are different values.
    return bool(value == expected) and isinstance(value, bool) == isinstance(expected, bool)
