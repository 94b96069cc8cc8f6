"""Records as an agent receives them, and triaged events and cases for tests."""

from typing import Any

import msgspec
import orjson

from agents.outcomes import DeadLettered, Incoming, Outcome, Triaged
from schemas.agreement import input_digest
from schemas.codec import encode
from schemas.event import KIND_OF_DOMAIN, Event, Origin, Stated
from schemas.triaged import CalibrationInfo, Case, Label, ModelInfo, Timing, TriagedEvent

RECEIVED_AT_S = 1_770_000_000.25
RECEIVED_AT = "2026-02-02T02:40:00.250Z"


def record(value: object, *, offset: int = 0, topic: str = "triage.alerts.v1") -> Incoming:
    """One record. A value that is neither bytes nor None is written as JSON."""
    if isinstance(value, msgspec.Struct):
        value = encode(value)
    elif value is not None and not isinstance(value, bytes):
        value = orjson.dumps(value)
    origin = Origin(topic=topic, partition=2, offset=offset)
    return Incoming(value=value, key=None, headers=(), origin=origin, received_at_s=RECEIVED_AT_S)


def triaged(id_: str = "e-1", **changes: Any) -> TriagedEvent:
    """A decision of the small model about an alert, which is accepted and final."""
    event = TriagedEvent(
        id=id_,
        domain="alerts",
        tenant="default",
        source=None,
        revision=0,
        status="final",
        decided_by="slm",
        labels={"queue": Label(value="cloud", confidence=0.9)},
        queue="cloud",
        reasons=["sure"],
        model=ModelInfo(name="m", digest="d" * 64, compute_type="int8"),
        calibration=CalibrationInfo(alpha=0.02, delta=0.1, n=100, threshold=0.1, digest="c" * 64),
        enrichment=None,
        cost_usd=0.0,
        timing=Timing(
            received_at="2026-01-01T00:00:00.000Z",
            triaged_at="2026-01-01T00:00:01.000Z",
            inference_s=0.01,
            total_s=1.0,
        ),
        origin=Origin(topic="triage.alerts.v1", partition=0, offset=0),
    )
    return msgspec.structs.replace(event, **changes)


def case(id_: str = "e-1", **changes: Any) -> Case:
    """The case of `triaged`, with its event."""
    return _agreeing(Event(id=id_, kind="alert", text="x"), triaged(id_, **changes))


def provisional(**changes: Any) -> TriagedEvent:
    """A decision of the small model about a ticket, which is escalated and provisional."""
    fields: dict[str, Any] = {
        "domain": "tickets",
        "tenant": "acme",
        "source": "chat",
        "status": "provisional",
        "labels": {
            "queue": Label(value="top_up", confidence=0.4, abstained=True),
            "priority": Label(value="low", confidence=0.9),
        },
        "queue": "top_up",
        "reasons": ["estimated risk 0.6000 on queue is not below the threshold 0.1000"],
        "origin": Origin(topic="triage.tickets.v1", partition=1, offset=7),
        "title": "my top-up is gone",
        "occurred_at": "2026-01-01T00:00:00Z",
        "stated": Stated(priority="low", original={"priority": "P4"}),
        "link": "https://desk.example.com/t-1",
    }
    return triaged("t-1", **fields | changes)


def unsure(**changes: Any) -> Case:
    """The case of `provisional`, with its event."""
    event = Event(
        id="t-1",
        kind="ticket",
        text="my top-up is gone",
        attributes={"channel": "chat"},
        tenant="acme",
    )
    return _agreeing(event, provisional(**changes))


def _agreeing(event: Event, decision: TriagedEvent) -> Case:
    """A case whose event says of itself what its decision says."""
    event = msgspec.structs.replace(
        event,
        id=decision.id,
        kind=KIND_OF_DOMAIN[decision.domain],
        tenant=decision.tenant,
        source=decision.source,
    )
    decision = msgspec.structs.replace(decision, input_digest=input_digest(event))
    return Case(event=event, triaged=decision)


ABOUT_THE_EVENT = ("input_digest", "title", "occurred_at", "stated", "link")
"""The fields of a triaged event that every revision has as the first one had."""


def about_the_event(triaged_event: TriagedEvent) -> dict[str, Any]:
    """What a decision says about its event."""
    return {name: getattr(triaged_event, name) for name in ABOUT_THE_EVENT}


def decision(outcome: Outcome) -> TriagedEvent:
    """The triaged event of an outcome that is not a dead letter."""
    assert not isinstance(outcome, DeadLettered), outcome.message
    if isinstance(outcome, Triaged):
        return outcome.triaged
    return outcome.case.triaged
