"""The triaged event (`triage.event.v1`), which is the public output of the pipeline.

Every type here is strict: an unknown field is an error.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schemas.event import MAX_ID_CHARS, Domain, Event, Origin, Stated

SCHEMA_NAME = "triage.event.v1"

Status = Literal["final", "provisional", "needs_review"]
DecidedBy = Literal["rule", "slm", "llm", "human"]

LabelSets = Mapping[Domain, Mapping[str, Sequence[str]]]
"""For each domain and each of its axes: every label that the axis may have."""


Identity = tuple[str, str, Domain, str | None, Origin, str | None]
"""What tells one event from every other: see `TriagedEvent.identity`."""


class Alternative(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A label value that was not chosen, with its calibrated probability in [0, 1]."""

    value: str
    confidence: float


class Label(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The value of one axis.

    `confidence` is a calibrated probability in [0, 1]. `abstained` is true if this axis alone does
    not keep the promise of the domain. The value is then only a hint for readers who need this
    axis to be right.
    """

    value: str
    confidence: float
    alternatives: list[Alternative] = msgspec.field(default_factory=list)
    abstained: bool = False

    def changed_to(self, value: str) -> "Label":
        """A label with the same probabilities and another value. Nobody has calibrated that."""
        ranked = [Alternative(value=self.value, confidence=self.confidence), *self.alternatives]
        confidences = [other.confidence for other in ranked if other.value == value]
        return Label(
            value=value,
            confidence=next(iter(confidences), 0.0),
            alternatives=[other for other in ranked if other.value != value],
            abstained=True,
        )


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The small model that made the decision.

    `digest` is the SHA-256 digest over all files of the model directory.
    """

    name: str
    digest: str
    compute_type: str


class CalibrationInfo(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The promise for events that the small model accepts.

    With probability at least 1 - `delta`, at most the share `alpha` of the accepted events is
    wrong. `n` is the number of calibration rows that tested this. An event is accepted if its
    estimated risk is below `threshold`. `digest` is the SHA-256 digest of the calibration rows and
    the settings of the promise.

    With `beta`, an alert that is called benign or a false positive is accepted if its risk is below
    `harmless_threshold`, and at most the share `beta` of these is malicious, also with probability
    1 - `delta`. Without a second promise the record has neither field.
    """

    alpha: float
    delta: float
    n: int
    threshold: float
    digest: str
    beta: float | None = None
    harmless_threshold: float | None = None


class Enrichment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the LLM tiers did for this event.

    `status` is ``answered``, or the reason why there is no answer (for example ``llm_off``).
    `tier` is the endpoint that answered, or the last one that was called. `calls`, the two token
    counts, `cost_usd` (US dollars) and `latency_s` (seconds) are sums over all tiers. `quoted`
    lists the ids of the settled events and runbook passages that the prompt contained.
    `redactions` counts the values that were replaced in the prompt, for each kind of value.

    A model that has read untrusted text wrote `summary` and `rationale`. They are plain text:
    never render them as markup.
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
    """When the event was received and triaged: RFC 3339 instants, and durations in seconds.

    `received_at` is the instant at which the event entered the input topic or was read from a
    file. `triaged_at` is the instant of this revision. `total_s` is the time between the two.
    `inference_s` is the time from the start of the event's own forward pass of the model until it
    was decided; 0 if no model was asked.
    """

    received_at: str
    triaged_at: str
    inference_s: float
    total_s: float


class TriagedEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One decision about one event.

    A later `revision` of the same `id` replaces an earlier one. `status` is ``final`` if the
    decision stands, ``provisional`` if a later revision will follow, and ``needs_review`` if a
    person must decide. `labels` has one label for each axis of the domain. `cost_usd` is the cost
    of all LLM calls for this event in US dollars. `input_digest` is the SHA-256 digest of the event
    that was decided (`schemas/agreement.py`); decisions of the first release have none.

    `title`, `occurred_at`, `stated` and `link` are about the event and not about the decision:
    every revision has them as the first one had. `title` is one visible line of at most 200
    characters. `occurred_at` is an RFC 3339 instant. `stated` is what the sender says. `link` is an
    http or https address of the event at its sender. The sender chose all of them, so they are
    event text: show them as plain text.
    """

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
    input_digest: str | None = None
    title: str | None = None
    occurred_at: str | None = None
    stated: Stated | None = None
    link: str | None = None

    @property
    def identity(self) -> Identity:
        """What all revisions of one event share, and no other event has.

        - A sender may use an id again for another text. With the origin and the digest, the old
          verdict is not quoted with the new text.
        - Whoever can write to a topic of decisions or cases can claim the offset of an event that
          is still to come. With the digest, that event does not get the answer to another text.
        - The egress policy depends on the source: a verdict with another one must not let out the
          event.
        """
        return (
            self.id,
            self.tenant,
            self.domain,
            self.source,
            self.origin,
            self.input_digest,
        )


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event and the decision about it: the record on the enrichment and review topics.

    `risk` is the small model's estimate of the probability that a deciding axis is wrong.
    `escalation` is the reason why the case did not end with the small model, as the metrics name
    it: ``risk``, ``unfamiliar``, ``uncalibrated``, ``promise_broken``, ``high_impact``, ``rule`` or
    ``spot_check``. A ``spot_check`` has ended, and was drawn at random to be checked by a person:
    its status is ``final``. `probability` in (0, 1] is the chance with which the case was chosen.
    """

    event: Event
    triaged: TriagedEvent
    risk: float = 1.0
    escalation: str = "risk"
    probability: Annotated[float, Meta(gt=0, le=1)] = 1.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's answer on the feedback topic: about the event with this `id`.

    `labels` maps axes to their new values; the other axes do not change. `by` names the person. The
    verdict makes the next revision. `domain` and `tenant` are needed if several events have the id.
    `about` is the revision that the person has read: the verdict is refused if it is not the
    current one any more. It is needed to correct what a person has decided, and to confirm a
    decision without naming labels.

    In place of the `id`, `triaged` may be the whole revision that the person has read. `id`,
    `domain`, `tenant` and `about` must then agree with it. `signature` is the header
    `triage.decision` of its record, for those who cannot send headers.
    """

    labels: dict[str, str]
    by: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]
    id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)] | None = None
    domain: Domain | None = None
    tenant: str | None = None
    about: int | None = None
    comment: Annotated[str, Meta(max_length=10_000)] | None = None
    triaged: TriagedEvent | None = None
    signature: str | None = None
