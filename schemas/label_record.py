"""The labelled row (`triage.labels.v1`): what somebody decided about an event, with its text.

The topic is compacted: of each key the last record is kept, and a record without a value erases the
row of its key.

The key is the id of the event (`label_key`). Where the id alone does not tell two rows apart that
must not replace each other, the key is a JSON array that begins with the id: for rows of the LLM,
and for tenants other than the default one. So the row of an LLM never replaces that of a person,
in whatever order they are written, and no tenant replaces or erases the rows of another one.
"""

from typing import Annotated, Literal, NamedTuple

import msgspec
import orjson
from msgspec import Meta

from schemas.event import DEFAULT_TENANT, Domain, Event
from schemas.triaged import CalibrationInfo, Label, ModelInfo

Chosen = Literal["escalated", "spot_check", "corrected", "import"]
"""Why somebody decided about an event.

``escalated``: the small model had not accepted it. ``spot_check``: it was accepted, and drawn at
random to be checked. ``corrected``: it was accepted, and a person decided about it unasked.
``import``: it comes from a file of labelled rows.
"""


RowAuthor = Literal["human", "llm"]


class EarlierDecision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What another person had decided about the same event before."""

    by: str
    labels: dict[str, str]


class LabelRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One decision about one event, by a person or by the LLM.

    `labels` maps each axis that was decided to its value. `by` names the person or the LLM's
    model. `signed_by` is the reviewer whose key signed the verdict, if one did. `corrects` is the
    decision of another person that this one replaces, if there was one. `decided_at` is an RFC 3339
    instant. `probability` in (0, 1] is the chance with which the event was chosen to be decided:
    the share of spot checks, and 1.0 for every event that was escalated.

    `proposed`, `risk`, `accepted`, `model` and `calibration` are the small model's answer as it was
    before anybody else decided; a row that was imported has none, and `risk` is 1.0 if it is not
    known. `event` is the event as it was decided; it is None where the configuration keeps no text,
    and where the event was no case and is not on its input topic any more.
    """

    id: str
    domain: Domain
    tenant: str
    source: str | None
    labels: dict[str, str]
    decided_by: RowAuthor
    by: str
    signed_by: str | None = None
    corrects: EarlierDecision | None = None
    decided_at: str
    chosen: Chosen
    probability: Annotated[float, Meta(gt=0, le=1)] = 1.0
    proposed: dict[str, Label] = msgspec.field(default_factory=dict)
    risk: float = 1.0
    accepted: bool = False
    model: ModelInfo | None = None
    calibration: CalibrationInfo | None = None
    input_digest: str | None = None
    event: Event | None = None
    comment: str | None = None


class LabelKey(NamedTuple):
    """What a key says: the id of an event, and the rest if the key has it."""

    id: str
    domain: str | None = None
    tenant: str | None = None
    decided_by: str | None = None


def label_key(id_: str, domain: Domain, tenant: str, decided_by: RowAuthor) -> bytes:
    """The key of the row of an event.

    It is the id alone for the decision of a person about an event of the default tenant. An id that
    could be taken for an array is written as one, so that no two rows have the same key.
    """
    plain = tenant == DEFAULT_TENANT and decided_by == "human" and not id_.startswith("[")
    return id_.encode() if plain else orjson.dumps([id_, domain, tenant, decided_by])


def key_of(record: LabelRecord) -> bytes:
    """The key of a row."""
    return label_key(record.id, record.domain, record.tenant, record.decided_by)


def read_key(key: bytes) -> LabelKey | None:
    """What a key says; None if it is no key of a row."""
    if not key.startswith(b"["):
        try:
            return LabelKey(key.decode())
        except UnicodeDecodeError:
            return None
    try:
        parts = msgspec.json.decode(key, type=tuple[str, str, str, str])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return LabelKey(*parts)
