"""The labelled row (`triage.labels.v1`): what somebody decided about an event, with its text.

The topic is compacted, and the key of a record is the id of its event: the last decision about an
event is what is learned from. A record without a value erases the row of its key.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schemas.event import Domain, Event
from schemas.triaged import CalibrationInfo, Label, ModelInfo

Chosen = Literal["escalated", "spot_check", "corrected", "import"]
"""Why somebody decided about an event.

``escalated``: the small model had not accepted it. ``spot_check``: it was accepted, and drawn at
random to be checked. ``corrected``: it was accepted, and a person decided about it unasked.
``import``: it comes from a file of labelled rows.
"""


class LabelRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One decision about one event, by a person or by the LLM.

    `labels` maps each axis that was decided to its value. `by` names the person or the LLM's
    model. `decided_at` is an RFC 3339 instant. `probability` in (0, 1] is the chance with which the
    event was chosen to be decided: the share of spot checks, and 1.0 for every event that was
    escalated.

    `proposed`, `risk`, `accepted`, `model` and `calibration` are the small model's answer as it was
    before anybody else decided; a row that was imported has none. `event` is the event as it was
    decided; it is None where the configuration keeps no text.
    """

    id: str
    domain: Domain
    tenant: str
    source: str | None
    labels: dict[str, str]
    decided_by: Literal["human", "llm"]
    by: str
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
