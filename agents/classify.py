"""The agent of the rules and the small model: events in, one outcome per event, in order."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec.structs import replace

from agents.escalation import HIGH_IMPACT, escalated
from agents.label_rows import SPOT_CHECK
from agents.outcomes import DeadLettered, Incoming, Outcome, Reviewed, Triaged
from agents.revision import queue_of, timing
from agents.spot_checks import NO_SPOT_CHECKS, SpotChecks
from inference.acceptance.policy import Decision
from inference.in_order import in_order
from inference.rules.ruling import Rules, Ruling
from inference.serving import Served
from schemas.agreement import input_digest
from schemas.event import Event
from schemas.formats.links import plain_link
from schemas.formats.stated import plain_stated
from schemas.titles import plain_title
from schemas.triaged import Case, DecidedBy, Label, Status, TriagedEvent

RULE = "rule"
"""The escalation reason of an event that a rule gives to a person."""


@dataclass(frozen=True, slots=True)
class _Undecided:
    """An event that has to be decided, and what a rule has already said about it."""

    row: int
    event: Event
    incoming: Incoming
    ruling: Ruling | None

    @property
    def received_at(self) -> datetime:
        return _received_at(self.incoming)


async def classify(
    batch: Sequence[Incoming],
    *,
    classifier: Served,
    rules: Rules,
    spot_checks: SpotChecks = NO_SPOT_CHECKS,
) -> list[Outcome]:
    """Triage a batch as `classify_each` does. Returns one outcome per event, in order."""
    return await in_order(
        classify_each(batch, classifier=classifier, rules=rules, spot_checks=spot_checks),
        len(batch),
    )


async def classify_each(
    batch: Sequence[Incoming],
    *,
    classifier: Served,
    rules: Rules,
    spot_checks: SpotChecks = NO_SPOT_CHECKS,
) -> AsyncGenerator[tuple[int, Outcome], None]:
    """Triage a batch of events that were read (`agents/reading.py`).

    Rules that read no label are applied first, and an event that such a rule ends never reaches the
    model. Rules that read labels are applied to the model's answer. In a condition, `now` is when
    the event entered its topic, so that an event that is read again is decided the same. The last
    day of a rule is judged by the clock of the rules. Of the events that the small model ends,
    `spot_checks` draws those that a person checks.

    Yields:
        The outcome of each event with its place in the batch, as soon as it is known: `Triaged`,
        `Escalated`, `Reviewed` if a person must decide, or `DeadLettered` if it could not be read.

    Raises:
        InferenceError: the model itself failed; the events without an outcome are not decided.
    """
    undecided: list[_Undecided] = []
    for row, incoming in enumerate(batch):
        event = _content(incoming)
        if isinstance(event, DeadLettered):
            yield row, event
            continue
        first = _before_model(row, event, incoming, classifier, rules)
        if isinstance(first, _Undecided):
            undecided.append(first)
        else:
            yield row, first
        await asyncio.sleep(0)  # a document of a megabyte takes a while: let heartbeats pass
    for domain in classifier.domains:
        waiting = [each for each in undecided if each.event.domain == domain]
        decided = classifier.classify_each(domain, [each.event for each in waiting])
        async with aclosing(decided):
            async for place, decision in decided:
                each = waiting[place]
                yield each.row, _after_model(each, decision, classifier, rules, spot_checks)
                await asyncio.sleep(0)


def _content(incoming: Incoming) -> Event | DeadLettered:
    if incoming.element is None:
        raise AssertionError(f"the record at {incoming.origin} was given to the model unread")
    return incoming.element.content


def _before_model(
    row: int, event: Event, incoming: Incoming, classifier: Served, rules: Rules
) -> _Undecided | Outcome:
    ruling = rules.before_model(event, now=_received_at(incoming))
    if ruling is None or ruling.needs_model:
        return _Undecided(row, event, incoming, ruling)
    return Triaged(_ended_by_rule(event, incoming, ruling, classifier))


def _ended_by_rule(
    event: Event, incoming: Incoming, ruling: Ruling, classifier: Served
) -> TriagedEvent:
    """The event as a rule alone ends it: it has the labels that the rule sets and no others."""
    return _first_revision(
        event,
        incoming,
        classifier,
        status="final",
        decided_by="rule",
        labels=ruling.labels,
        queue=ruling.queue or ruling.labels[classifier.queue_axis(event.domain)].value,
        reasons=[ruling.reason],
        inference_s=0.0,
    )


def _after_model(
    undecided: _Undecided,
    decision: Decision,
    classifier: Served,
    rules: Rules,
    spot_checks: SpotChecks,
) -> Outcome:
    event, now = undecided.event, undecided.received_at
    triaged = _decided_by_model(event, undecided.incoming, decision, classifier)
    ruling = rules.after_model(event, triaged.labels, undecided.ruling, now=now)
    if ruling is not None:
        triaged = _ruled(triaged, ruling, classifier.deciding(event.domain))
    if triaged.status == "needs_review":
        return Reviewed(Case(event=event, triaged=triaged, risk=decision.risk, escalation=RULE))
    if triaged.status == "provisional":
        return escalated(
            Case(event=event, triaged=triaged, risk=decision.risk, escalation=decision.escalation),
            undecided.incoming,
        )
    reason = decision.person or rules.needs_person(event, triaged.labels, now=now)
    if triaged.decided_by == "slm" and reason:
        held = replace(triaged, status="provisional", reasons=[*triaged.reasons, reason])
        return escalated(
            Case(event=event, triaged=held, risk=decision.risk, escalation=HIGH_IMPACT),
            undecided.incoming,
        )
    if triaged.decided_by != "slm":
        return Triaged(triaged)
    probability = spot_checks.draw(triaged, undecided.incoming.received_at_s)
    if probability is None:
        return Triaged(triaged)
    check = Case(event=event, triaged=triaged, risk=decision.risk, escalation=SPOT_CHECK)
    return Triaged(triaged, spot_check=replace(check, probability=probability))


def _decided_by_model(
    event: Event, incoming: Incoming, decision: Decision, classifier: Served
) -> TriagedEvent:
    return _first_revision(
        event,
        incoming,
        classifier,
        status="final" if decision.accepted else "provisional",
        decided_by="slm",
        labels=decision.labels,
        queue=decision.labels[classifier.queue_axis(event.domain)].value,
        reasons=[reason for reason in (decision.reason, decision.note) if reason],
        inference_s=decision.inference_s,
    )


def _first_revision(
    event: Event,
    incoming: Incoming,
    classifier: Served,
    *,
    status: Status,
    decided_by: DecidedBy,
    labels: dict[str, Label],
    queue: str,
    reasons: list[str],
    inference_s: float,
) -> TriagedEvent:
    return TriagedEvent(
        id=event.id,
        domain=event.domain,
        tenant=event.tenant,
        source=event.source,
        revision=0,
        status=status,
        decided_by=decided_by,
        labels=labels,
        queue=queue,
        reasons=reasons,
        model=classifier.model_of(event.domain),
        calibration=classifier.calibration(event.domain, event.tenant),
        enrichment=None,
        cost_usd=0.0,
        timing=timing(incoming.received_at_s, inference_s),
        origin=incoming.origin,
        input_digest=input_digest(event),
        title=plain_title(event),
        occurred_at=event.occurred_at,
        stated=plain_stated(event.stated),
        link=plain_link(event.link),
    )


def _ruled(triaged: TriagedEvent, ruling: Ruling, deciding: Sequence[str]) -> TriagedEvent:
    """The small model's decision as a rule changes it.

    A rule that only sets labels ends the event if it sets every deciding axis.
    """
    labels = {**triaged.labels, **ruling.labels}
    ruled = replace(
        triaged,
        labels=labels,
        queue=ruling.queue or queue_of(labels, triaged.queue),
        reasons=[*triaged.reasons, ruling.reason],
    )
    if ruling.action == "review":
        return replace(ruled, status="needs_review", decided_by="rule")
    if ruling.action == "label" and not ruling.labels.keys() >= set(deciding):
        return ruled
    return replace(ruled, status="final", decided_by="rule")


def _received_at(incoming: Incoming) -> datetime:
    return datetime.fromtimestamp(incoming.received_at_s, UTC)
