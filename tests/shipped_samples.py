"""The samples that ship with the formats, as records with what is expected of them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from schemas.event import Kind
from schemas.formats import Mapping, shipped_formats
from schemas.formats.shipped import samples_of


class Sample(NamedTuple):
    """One record in a shipped format, and the fields of its first event."""

    format: Mapping
    number: int
    record: Any
    expect: dict[str, Any]
    topic: Kind | None = None

    @property
    def value(self) -> bytes:
        """The bytes of the record."""
        if isinstance(self.record, str):
            return self.record.encode()
        return orjson.dumps(self.record)

    @property
    def kind(self) -> Kind:
        """The kind of the topic that the record is sent to.

        A mail or a chat message may be either, so its sample says which it is.
        """
        return self.topic or self.format.kind or "alert"

    @property
    def name(self) -> str:
        """The name of the sample, for the name of a test."""
        return f"{self.format.name} {self.number}"


def shipped_samples() -> Iterator[Sample]:
    """Every sample of every format that ships."""
    for mapping in shipped_formats().mappings:
        for number, sample in enumerate(orjson.loads(samples_of(mapping.name) or "[]")):
            yield Sample(mapping, number, sample["record"], sample["expect"], sample.get("kind"))
