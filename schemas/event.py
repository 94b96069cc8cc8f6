"""The input event: what arrives, in whatever shape, after an adapter has read it.

msgspec rather than pydantic: events are decoded and encoded thousands of times a second on the path the
latency is measured on, and msgspec converts and validates several times quicker with the same strictness.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import msgspec

Domain = Literal["alerts", "tickets"]
Kind = Literal["alert", "ticket"]

DOMAINS: tuple[Domain, ...] = get_args(Domain)
DOMAIN_OF_KIND: dict[Kind, Domain] = {"alert": "alerts", "ticket": "tickets"}
KIND_OF_DOMAIN: dict[Domain, Kind] = {"alerts": "alert", "tickets": "ticket"}

Headers = Sequence[tuple[str, bytes | None]]
"""The headers of a Kafka record, in order; a name may occur more than once."""

DEFAULT_TENANT = "default"
MAX_ID_CHARS = 512


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One alert or ticket, as the pipeline sees it.

    At least one of `text`, `title`, `body`, `event` holds something to read; `event` is the vendor's document,
    whole. Anything an adapter did not understand is in `attributes`: nothing is dropped.
    """

    id: str
    kind: Kind
    text: str | None = None
    title: str | None = None
    body: str | None = None
    event: dict[str, Any] | None = None
    source: str | None = None
    tenant: str = DEFAULT_TENANT
    occurred_at: str | None = None
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def domain(self) -> Domain:
        """The domain whose axes this event is labelled on."""
        return DOMAIN_OF_KIND[self.kind]


class Origin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where on the stream an event was read; for a file its name, partition 0 and the line's number from 0."""

    topic: str
    partition: int = -1
    offset: int = -1
