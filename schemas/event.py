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


class Stated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the sender of an event says about it, in our words.

    `severity` is one of informational, low, medium, high and critical, `priority` one of low,
    normal, high and urgent, `status` is open or closed. Each is None if the sender says nothing or
    uses a word that is not known here. `original` has the sender's own value of each.
    """

    severity: str | None = None
    priority: str | None = None
    status: str | None = None
    original: dict[str, str] = msgspec.field(default_factory=dict)


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One alert or ticket.

    At least one of `text`, `title`, `body` and `event` has content. `event` is the complete
    document of the vendor. `occurred_at` is an RFC 3339 instant in UTC. `attributes` holds every
    other field of the record, so that no field is lost. `link` is an http or https address of the
    event at its sender. `key_fields` has the fields of the document that a mapping chose for the
    model, by name. `cut_off` is what was cut from the text because it is not the sender's message:
    quoted replies, signatures, disclaimers. The model does not read it.
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
    stated: Stated | None = None
    link: str | None = None
    key_fields: dict[str, str] = msgspec.field(default_factory=dict)
    cut_off: str | None = None
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
