"""Stand-ins for what needs a broker, and records to put through them."""

import asyncio
from typing import Any

from aiokafka import TopicPartition
from aiokafka.structs import RecordMetadata

from agents.outcomes import Incoming
from schemas.event import Origin
from streams.config import KafkaSection
from streams.kafka.producer import Producer, Receipt, RecordTooLarge
from streams.kafka.record import Headers, Record

INPUT = "triage.alerts.v1"
AUDIT = "triage.audit.v1"


def incoming(
    offset: int = 0, value: bytes | None = b"{}", key: bytes | None = None, headers: Any = ()
) -> Incoming:
    """One record of the alerts topic."""
    return Incoming(
        value, key, headers, Origin(topic=INPUT, partition=0, offset=offset), 1_700_000_000.0
    )


def acknowledged(topic: str) -> RecordMetadata:
    """What the broker says of a record it has."""
    return RecordMetadata(topic, 0, TopicPartition(topic, 0), 0, 0, 0, 0)


class FakeProducer(Producer):
    """Everything of `Producer` but the producer: the test, or `prompt`, resolves the receipts.

    A record whose value is longer than `takes_bytes` of its topic is refused as too large. Audit records are kept
    apart and acknowledged at once, but for a test that `awaits_audit`.
    """

    def __init__(
        self,
        *,
        prompt: bool = False,
        takes_bytes: dict[str, int] | None = None,
        timeout_s: float = 60,
        awaits_audit: bool = False,
    ) -> None:
        super().__init__(KafkaSection(delivery_timeout_s=timeout_s))
        self.prompt = prompt
        self.takes_bytes = takes_bytes or {}
        self.awaits_audit = awaits_audit
        self.sent: list[Record] = []
        self.audited: list[Record] = []
        self.receipts: list[Receipt] = []

    async def send(self, record: Record) -> Receipt:
        """Hand out a receipt."""
        receipt: Receipt = asyncio.get_running_loop().create_future()
        if record.topic == AUDIT and not self.awaits_audit:
            self.audited.append(record)
            receipt.set_result(acknowledged(record.topic))
            return receipt
        if (
            record.topic in self.takes_bytes
            and len(record.value or b"") > self.takes_bytes[record.topic]
        ):
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
