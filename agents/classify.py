"""The agent of the rules and the small model: raw records in, an outcome for each, in order."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from agents.outcomes import DeadLettered, Escalated, Incoming, Outcome, Reviewed, Triaged
from agents.revision import timing
from inference.acceptance.policy import Decision
from inference.classifier import Classifier
from inference.rules.ruling import Rules, Ruling
from schemas.errors import InvalidEvent
from schemas.event import Domain, Event, Kind
from schemas.formats import Mapping, read_event
from schemas.triaged import Case, TriagedEvent

log = logging.getLogger(__name__)

HIGH_IMPACT = "high_impact"
"""Why an event that the small model accepted goes on all the same, as the metric label of its escalation."""
RULE = "rule"


async def classify(
    batch: Sequence[Incoming],
    *,
    kind: Kind,
    classifier: Classifier,
    rules: Rules,
    mappings: Sequence[Mapping] = (),
) -> list[Outcome]:
    """Triage a batch of records from one input topic, whose events are of `kind` unless they say otherwise.

    Rules come before the model's decision, and read its labels: `now` is for them when the event entered its topic,
    so that an event read again is decided the same.

    Returns:
        One outcome a record, in order: `Triaged`, `Escalated`, `Reviewed` where a rule wants a person, or
        `DeadLettered` for what cannot be read.

    Raises:
        InferenceError: the model itself failed; nothing of the batch is decided.
    """
    events = []
    for incoming in batch:
        events.append(_read(incoming, kind, mappings, classifier.domains))
        await asyncio.sleep(
            0
        )  # a document of a megabyte takes a while: heartbeats go between two of them
    outcomes: list[Outcome | None] = [
        event if isinstance(event, DeadLettered) else None for event in events
    ]
    for domain in classifier.domains:
        rows = [
            i
            for i, event in enumerate(events)
            if isinstance(event, Event) and event.domain == domain
        ]
        known = [event for i in rows if isinstance(event := events[i], Event)]
        for row, decision in zip(rows, await classifier.classify(domain, known), strict=True):
            event = events[row]
            if isinstance(event, Event):
                outcomes[row] = _outcome(event, batch[row], decision, classifier, rules)
                await asyncio.sleep(0)
    return [outcome for outcome in outcomes if outcome is not None]


def _read(
    incoming: Incoming, kind: Kind, mappings: Sequence[Mapping], domains: Sequence[Domain]
) -> Event | DeadLettered:
    try:
        event = read_event(
            incoming.value,
            key=incoming.key,
            headers=incoming.headers,
            origin=incoming.origin,
            kind=kind,
            mappings=mappings,
        )
    except InvalidEvent as error:
        return DeadLettered(stage=error.stage, error=type(error).__name__, message=str(error))
    if event.domain not in domains:
        # Raised, it would stop the whole topic for one event that says another kind than its topic's.
        message = (
            f"the model has no heads for {event.domain}; serve one trained on such rows and replay"
        )
        return DeadLettered(
            stage="classify", error="ModelError", message=message, disposition="retryable"
        )
    return event


def _outcome(
    event: Event, incoming: Incoming, decision: Decision, classifier: Classifier, rules: Rules
) -> Outcome:
    triaged = TriagedEvent(
        id=event.id,
        domain=event.domain,
        tenant=event.tenant,
        source=event.source,
        revision=0,
        status="final" if decision.accepted else "provisional",
        decided_by="slm",
        labels=decision.labels,
        queue=decision.labels[classifier.queue_axis(event.domain)].value,
        reasons=[decision.reason],
        model=classifier.model,
        calibration=classifier.calibration(event.domain, event.tenant),
        enrichment=None,
        cost_usd=0.0,
        timing=timing(incoming.received_at_s, decision.inference_s),
        origin=incoming.origin,
    )
    now = datetime.fromtimestamp(incoming.received_at_s, UTC)
    ruling = rules.apply(event, triaged.labels, now=now)
    if ruling is not None:
        triaged = _ruled(triaged, ruling, classifier.deciding(event.domain))
    if triaged.status == "needs_review":
        return Reviewed(Case(event=event, triaged=triaged, risk=decision.risk, escalation=RULE))
    if triaged.status == "provisional":
        return Escalated(
            Case(event=event, triaged=triaged, risk=decision.risk, escalation=decision.escalation)
        )
    if triaged.decided_by == "slm" and rules.high_impact(event, triaged.labels, now=now):
        held = replace(triaged, status="provisional", reasons=[*triaged.reasons, "high impact"])
        return Escalated(
            Case(event=event, triaged=held, risk=decision.risk, escalation=HIGH_IMPACT)
        )
    return Triaged(triaged)


def _ruled(triaged: TriagedEvent, ruling: Ruling, deciding: Sequence[str]) -> TriagedEvent:
    """What a rule makes of the small model's decision: its end, or, from some labels, no more than those."""
    labels = {**triaged.labels, **ruling.labels}
    ruled = replace(
        triaged,
        labels=labels,
        queue=ruling.queue or (labels["queue"].value if "queue" in labels else triaged.queue),
        reasons=[*triaged.reasons, ruling.reason],
    )
    if ruling.action == "review":
        return replace(ruled, status="needs_review", decided_by="rule")
    if ruling.action == "label" and not ruling.labels.keys() >= set(deciding):
        return ruled
    return replace(ruled, status="final", decided_by="rule")
