"""Records as an agent is given them."""

import msgspec
import orjson

from agents.outcomes import DeadLettered, Incoming, Outcome, Triaged
from schemas.codec import encode
from schemas.event import Event, Origin
from schemas.triaged import CalibrationInfo, Case, Label, ModelInfo, Timing, TriagedEvent

RECEIVED_AT_S = 1_770_000_000.25
RECEIVED_AT = "2026-02-02T02:40:00.250Z"


def record(value: object, *, offset: int = 0, topic: str = "triage.alerts.v1") -> Incoming:
    """One record; anything but bytes and None is written as JSON."""
    if isinstance(value, msgspec.Struct):
        value = encode(value)
    elif value is not None and not isinstance(value, bytes):
        value = orjson.dumps(value)
    origin = Origin(topic=topic, partition=2, offset=offset)
    return Incoming(value=value, key=None, headers=(), origin=origin, received_at_s=RECEIVED_AT_S)


def provisional(**changes: object) -> TriagedEvent:
    """A small model's unsure answer about a ticket."""
    triaged = TriagedEvent(
        id="t-1",
        domain="tickets",
        tenant="acme",
        source="chat",
        revision=0,
        status="provisional",
        decided_by="slm",
        labels={
            "queue": Label(value="top_up", confidence=0.4, abstained=True),
            "priority": Label(value="low", confidence=0.9),
        },
        queue="top_up",
        reasons=["estimated risk 0.6000 on queue is not below the threshold 0.1000"],
        model=ModelInfo(name="tiny", digest="d" * 64, compute_type="int8"),
        calibration=CalibrationInfo(alpha=0.02, delta=0.1, n=100, threshold=0.1, digest="c" * 64),
        enrichment=None,
        cost_usd=0.0,
        timing=Timing(
            received_at="2026-02-02T02:30:00.000Z",
            triaged_at="2026-02-02T02:30:00.010Z",
            inference_s=0.01,
            total_s=0.01,
        ),
        origin=Origin(topic="triage.tickets.v1", partition=1, offset=7),
    )
    return msgspec.structs.replace(triaged, **changes)


def case(**changes: object) -> Case:
    """The same with its event."""
    event = Event(id="t-1", kind="ticket", text="my top-up is gone", attributes={"channel": "chat"}, tenant="acme")
    return Case(event=event, triaged=provisional(**changes))


def decision(outcome: Outcome) -> TriagedEvent:
    """The triaged event of an outcome that has one."""
    assert not isinstance(outcome, DeadLettered), outcome.message
    return outcome.triaged if isinstance(outcome, Triaged) else outcome.case.triaged
