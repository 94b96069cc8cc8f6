"""The input event: what an adapter has read from a record, whatever format the record had.

The types are msgspec structs and not pydantic models. Thousands of events are decoded and encoded
per second, and that time is part of the measured latency. msgspec validates as strictly and is
several times faster.
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
"""The headers of a Kafka record, in order. A name may occur more than once."""

DEFAULT_TENANT = "default"
MAX_ID_CHARS = 512


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One alert or ticket.

    At least one of `text`, `title`, `body` and `event` has content. `event` is the complete
    document of the vendor. `occurred_at` is an RFC 3339 instant in UTC. `attributes` holds every
    other field of the record, so that no field is lost.
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
        """The domain that this kind of event belongs to. It decides which axes are labelled."""
        return DOMAIN_OF_KIND[self.kind]


class Origin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The topic, partition and offset where an event was read.

    For an event from a file, `topic` is the name of the file without its extension, `partition`
    is 0 and `offset` is the number of the line, counted from 0.
    """

    topic: str
    partition: int = -1
    offset: int = -1
