"""The triaged event (`triage.event.v1`): the pipeline's public output, strict in every field."""

from typing import Literal

import msgspec

from schemas.event import Domain, Event, Origin

SCHEMA_NAME = "triage.event.v1"

Status = Literal["final", "provisional", "needs_review"]
DecidedBy = Literal["rule", "slm", "llm", "human"]


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
    """What the LLM tier did; `status` says why there is no answer when there is none (for instance ``llm_off``)."""

    status: str
    model: str | None = None
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
    """An event together with what is known about it: the record on the enrichment and review topics."""

    event: Event
    triaged: TriagedEvent


class Verdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's answer on the feedback topic: `labels` replace the values of the axes they name.

    `triaged` is the revision the person looked at; the verdict becomes the next one.
    """

    triaged: TriagedEvent
    labels: dict[str, str]
    by: str
    comment: str | None = None
