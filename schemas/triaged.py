"""The triaged event (`triage.event.v1`): the pipeline's public output, strict in every field."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from schemas.event import Domain, Event, Origin

SCHEMA_NAME = "triage.event.v1"

Status = Literal["final", "provisional", "needs_review"]
DecidedBy = Literal["rule", "slm", "llm", "human"]

LabelSets = Mapping[Domain, Mapping[str, Sequence[str]]]
"""For each domain and each of its axes: every label the axis may have."""


class Alternative(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A label value that was not chosen, with its calibrated probability."""

    value: str
    confidence: float


class Label(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One axis' value; `confidence` is a calibrated probability in [0, 1].

    `abstained` is true when this axis, asked alone, would not meet the domain's promise; a reader who needs the
    axis to be right should then treat the value as a hint.
    """

    value: str
    confidence: float
    alternatives: list[Alternative] = msgspec.field(default_factory=list)
    abstained: bool = False


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which weights decided: `digest` is the SHA-256 over every file of the model directory."""

    name: str
    digest: str
    compute_type: str


class CalibrationInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The promise in force: with probability at least 1 - delta, accepted events are wrong at most alpha of the time.

    `n` is the size of the calibration sample, `threshold` the largest estimated risk that is accepted.
    """

    alpha: float
    delta: float
    n: int
    threshold: float
    digest: str


class Enrichment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the LLM tier did; `status` is ``answered``, or says why there is no answer (for instance ``llm_off``).

    `summary` and `rationale` are plain text by a model that has read untrusted text: never render them as markup.
    `tier` names the endpoint that answered, or that was asked last; `calls` counts what was sent, over all tiers, and
    tokens, `cost_usd` and `latency_s` (seconds) are theirs together. `quoted` holds the ids of the settled events and
    runbook passages shown beside the event, `redactions` how many values of each kind were replaced before it left.
    """

    status: str
    model: str | None = None
    tier: str | None = None
    calls: int = 0
    quoted: list[str] = msgspec.field(default_factory=list)
    redactions: dict[str, int] = msgspec.field(default_factory=dict)
    summary: str | None = None
    rationale: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    latency_s: float = 0.0


class Timing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """RFC 3339 instants and durations in seconds.

    `received_at` is when the event entered the input topic (or was read from a file), `triaged_at` when this
    revision was decided, `inference_s` the wall time of the model call that carried it, `total_s` the difference.
    """

    received_at: str
    triaged_at: str
    inference_s: float
    total_s: float


class TriagedEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One decision about one event. A later `revision` of the same `id` supersedes an earlier one."""

    id: str
    domain: Domain
    tenant: str
    source: str | None
    revision: int
    status: Status
    decided_by: DecidedBy
    labels: dict[str, Label]
    queue: str
    reasons: list[str]
    model: ModelInfo
    calibration: CalibrationInfo
    enrichment: Enrichment | None
    cost_usd: float
    timing: Timing
    origin: Origin


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event together with what is known about it: the record on the enrichment and review topics.

    `risk` is the small model's estimate of being wrong on a deciding axis; `escalation` the metric label of why it
    was not accepted (``risk``, ``unfamiliar``, ``uncalibrated``, ``high_impact``).
    """

    event: Event
    triaged: TriagedEvent
    risk: float = 1.0
    escalation: str = "risk"


class Verdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's answer on the feedback topic: `labels` replace the values of the axes they name.

    `triaged` is the revision the person looked at; the verdict becomes the next one.
    """

    triaged: TriagedEvent
    labels: dict[str, str]
    by: str
    comment: str | None = None
