"""Stand-ins for what needs a broker, and events to put through them."""

import asyncio
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.structs import RecordMetadata

from agents.outcomes import Incoming
from schemas.event import Event, Origin
from schemas.triaged import CalibrationInfo, Case, Label, ModelInfo, Timing, TriagedEvent
from streams.config import KafkaSection
from streams.delivery import Delivery, Receipt, RecordTooLarge
from streams.outputs import Headers, Record

INPUT = "triage.alerts.v1"


def incoming(offset: int = 0, value: bytes | None = b"{}", key: bytes | None = None, headers: Any = ()) -> Incoming:
    """One record of the alerts topic."""
    return Incoming(value, key, headers, Origin(topic=INPUT, partition=0, offset=offset), 1_700_000_000.0)


def triaged(id_: str = "e-1", **changes: Any) -> TriagedEvent:
    """One decision."""
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
        model=ModelInfo(name="m", digest="d", compute_type="int8"),
        calibration=CalibrationInfo(alpha=0.02, delta=0.1, n=100, threshold=0.1, digest="c"),
        enrichment=None,
        cost_usd=0.0,
        timing=Timing(
            received_at="2026-01-01T00:00:00.000Z", triaged_at="2026-01-01T00:00:01.000Z", inference_s=0.01, total_s=1.0
        ),
        origin=Origin(topic=INPUT, partition=0, offset=0),
    )
    return msgspec.structs.replace(event, **changes)


def case(id_: str = "e-1", **changes: Any) -> Case:
    """One event with its decision."""
    return Case(event=Event(id=id_, kind="alert", text="x"), triaged=triaged(id_, **changes))


def acknowledged(topic: str) -> RecordMetadata:
    """What the broker says of a record it has."""
    return RecordMetadata(topic, 0, TopicPartition(topic, 0), 0, 0, 0, 0)


class FakeDelivery(Delivery):
    """Everything of `Delivery` but the producer: the test, or `prompt`, resolves the receipts.

    A record whose value is longer than `takes_bytes` of its topic is refused as too large.
    """

    def __init__(
        self, *, prompt: bool = False, takes_bytes: dict[str, int] | None = None, timeout_s: float = 60
    ) -> None:
        super().__init__(KafkaSection(delivery_timeout_s=timeout_s))
        self.prompt = prompt
        self.takes_bytes = takes_bytes or {}
        self.sent: list[Record] = []
        self.receipts: list[Receipt] = []

    async def send(self, record: Record) -> Receipt:
        """Hand out a receipt."""
        receipt: Receipt = asyncio.get_running_loop().create_future()
        if record.topic in self.takes_bytes and len(record.value or b"") > self.takes_bytes[record.topic]:
            receipt.set_exception(RecordTooLarge(record.topic))
        elif self.prompt:
            receipt.set_result(acknowledged(record.topic))
        self.sent.append(record)
        self.receipts.append(receipt)
        return receipt

    def acknowledge(self, *indices: int) -> None:
        """Resolve some receipts, or all that are open."""
        for index in indices or range(len(self.receipts)):
            if not self.receipts[index].done():
                self.receipts[index].set_result(acknowledged(self.sent[index].topic))


def text(headers: Headers) -> dict[str, str]:
    """Headers for reading; fails on a name that is there twice."""
    assert len({name for name, _ in headers}) == len(headers)
    return {name: (value or b"").decode() for name, value in headers}
