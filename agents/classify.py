"""The small model's agent: raw records in, an outcome for each, in order."""

import logging
from collections.abc import Sequence

from agents.clock import timing
from agents.outcomes import DeadLettered, Escalated, Incoming, Outcome, Triaged
from inference.classifier import Classifier, Decision
from schemas.errors import InvalidEvent
from schemas.event import Domain, Event, Kind
from schemas.formats import Mapping, read_event
from schemas.triaged import Case, TriagedEvent

log = logging.getLogger(__name__)


async def classify(
    batch: Sequence[Incoming], *, kind: Kind, classifier: Classifier, mappings: Sequence[Mapping] = ()
) -> list[Outcome]:
    """Triage a batch of records from one input topic, whose events are of `kind` unless they say otherwise.

    Returns:
        One outcome a record, in order: `Triaged`, `Escalated`, or `DeadLettered` for what cannot be read.

    Raises:
        InferenceError: the model itself failed; nothing of the batch is decided.
    """
    events = [_read(incoming, kind, mappings, classifier.domains) for incoming in batch]
    outcomes: list[Outcome | None] = [event if isinstance(event, DeadLettered) else None for event in events]
    for domain in classifier.domains:
        rows = [i for i, event in enumerate(events) if isinstance(event, Event) and event.domain == domain]
        known = [event for i in rows if isinstance(event := events[i], Event)]
        for row, decision in zip(rows, await classifier.classify(domain, known), strict=True):
            event = events[row]
            if isinstance(event, Event):
                outcomes[row] = _outcome(event, batch[row], decision, classifier)
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
        message = f"the model has no heads for {event.domain}; serve one trained on such rows and replay"
        return DeadLettered(stage="classify", error="ModelError", message=message, disposition="retryable")
    return event


def _outcome(event: Event, incoming: Incoming, decision: Decision, classifier: Classifier) -> Outcome:
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
    if decision.accepted:
        return Triaged(triaged)
    return Escalated(Case(event=event, triaged=triaged), reason=decision.escalation)
