"""Doubles of what needs a broker, and records to send through them.

Each double is the real class over a fake of the library or of the topic below it. So there is no
second implementation of the logic. `tests/contract` runs the same tests on the doubles and on the
real ones.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from aiokafka import TopicPartition
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from agents.cases import Known
from agents.outcomes import Incoming
from schemas.codec import encode
from schemas.errors import InvalidEvent
from schemas.event import Domain, Headers
from schemas.triaged import TriagedEvent
from streams.answered import Answered
from streams.config import KafkaSection
from streams.kafka.offsets import Partition
from streams.kafka.producer import Producer, Receipt
from streams.kafka.record import Record
from streams.models.served import ServedModels
from streams.topics import MAX_MESSAGE_BYTES, Topics
from tests.records import record

TOPICS = Topics("triage")
INPUT = TOPICS.input("alerts")
INPUT_PARTITION = Partition(INPUT, 2)
"""The partition of the records that `incoming` and `tests.records.record` make."""


def incoming(
    offset: int = 0, value: bytes | None = b"{}", key: bytes | None = None, headers: Any = ()
) -> Incoming:
    """One record of the alerts topic."""
    return replace(record(value, offset=offset), key=key, headers=headers)


def header_texts(headers: Headers) -> dict[str, str]:
    """Headers as text; fails if a name occurs twice."""
    assert len({name for name, _ in headers}) == len(headers)
    return {name: (value or b"").decode() for name, value in headers}


def models_of(classifier: Any) -> ServedModels:
    """The models of a worker that serves a stand-in of a classifier, and never another one."""
    stand_in = SimpleNamespace(
        serving=classifier,
        pinned=lambda: classifier,
        label_sets=classifier.label_sets,
        allowed_labels=classifier.label_sets,
    )
    return cast("ServedModels", stand_in)


class FakeClient:
    """aiokafka's producer, without a broker.

    With `prompt` records are acknowledged at once, otherwise by `acknowledge`. A record whose value
    is longer than `takes_bytes` of its topic is refused as too large. Audit records are kept apart
    and acknowledged at once, unless the test `awaits_audit`. A record for a topic in `refusals` is
    refused, with the errors that are there. `leaders` says which partitions have a leader.
    """

    def __init__(self, *, prompt: bool, takes_bytes: dict[str, int], awaits_audit: bool) -> None:
        self.prompt = prompt
        self.takes_bytes = takes_bytes
        self.awaits_audit = awaits_audit
        self.refusal: Exception | None = None
        self.refusals: dict[str, list[Exception]] = {}
        self.leaders: dict[Partition, bool] = {}
        self._message_accumulator = SimpleNamespace(_batch_ttl=30)
        self.stopped = 0
        self.client = SimpleNamespace(_request_timeout_ms=0, cluster=FakeMetadata(self.leaders))
        self.sent: list[Record] = []
        self.audited: list[Record] = []
        self.receipts: list[Receipt] = []
        self._metadata: list[RecordMetadata] = []
        self._ends: Counter[str] = Counter()

    async def send(
        self, topic: str, *, value: bytes | None, key: bytes | None, headers: Headers
    ) -> Receipt:
        """Take a record, as aiokafka does."""
        assert key is not None or value is not None, "aiokafka refuses such a record"
        if self.refusals.get(topic):
            raise self.refusals[topic].pop(0)
        if len(value or b"") > self.takes_bytes.get(topic, MAX_MESSAGE_BYTES):
            raise MessageSizeTooLargeError(topic)
        sent = Record(topic, key, value, headers)
        receipt: Receipt = asyncio.get_running_loop().create_future()
        metadata = RecordMetadata(topic, 0, TopicPartition(topic, 0), self._ends[topic], 0, 0, 0)
        self._ends[topic] += 1
        if topic == TOPICS.audit and not self.awaits_audit:
            self.audited.append(sent)
            receipt.set_result(metadata)
            return receipt
        if self.prompt:
            receipt.set_result(metadata)
        self.sent.append(sent)
        self.receipts.append(receipt)
        self._metadata.append(metadata)
        return receipt

    def acknowledge(self, *indices: int) -> None:
        """Acknowledge the records at these indices of `sent`, or all of them."""
        for index in indices or range(len(self.receipts)):
            if not self.receipts[index].done():
                self.receipts[index].set_result(self._metadata[index])

    async def start(self) -> None:
        """Connect, unless there is a `refusal`."""
        if self.refusal:
            raise self.refusal

    async def stop(self) -> None:
        """Close, as aiokafka does."""
        self.stopped += 1


class FakeMetadata:
    """What aiokafka knows of the topics that it writes to."""

    def __init__(self, leaders: dict[Partition, bool]) -> None:
        self._leaders = leaders

    def topics(self) -> set[str]:
        """The topics."""
        return {partition.topic for partition in self._leaders}

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """All partitions of a topic."""
        return {number for name, number in self._leaders if name == topic} or None

    def available_partitions_for_topic(self, topic: str) -> set[int] | None:
        """The partitions of a topic that have a leader; None if it is not known."""
        led = {p.partition for p, leads in self._leaders.items() if p.topic == topic and leads}
        return led or None


class FakeProducer(Producer):
    """The real producer over a `FakeClient`, which takes the same arguments. It is started."""

    def __init__(
        self,
        *,
        prompt: bool = False,
        takes_bytes: dict[str, int] | None = None,
        timeout_s: float = 60,
        awaits_audit: bool = False,
    ) -> None:
        super().__init__(KafkaSection(delivery_timeout_s=timeout_s))
        self._client = FakeClient(
            prompt=prompt, takes_bytes=takes_bytes or {}, awaits_audit=awaits_audit
        )
        self._producer = self._client
        self.sent = self._client.sent
        self.audited = self._client.audited
        self.receipts = self._client.receipts
        self.refusals = self._client.refusals
        self.acknowledge = self._client.acknowledge

    async def _connect(self, *, idempotent: bool) -> FakeClient:  # noqa: ARG002 - see `Producer`
        return self._client


class KnownCases:
    """`agents.cases.Cases` over what is known of these events; more may be added to `known`."""

    def __init__(self, *known: Known) -> None:
        self.known = list(known)
        self.asked = 0

    async def find(self, id_: str, *, domain: Domain | None, tenant: str | None) -> Known | None:
        """The latest that was added about the one event that fits."""
        self.asked += 1
        fits = {
            (known.current.domain, known.current.tenant): known
            for known in self.known
            if known.current.id == id_
            and domain in (None, known.current.domain)
            and tenant in (None, known.current.tenant)
        }
        if len(fits) > 1:
            raise InvalidEvent("belongs to several events", stage="validate")
        return next(iter(fits.values()), None)


class FakeAnswered(Answered):
    """The real memory of answers, over a triaged topic that holds the `published` events.

    `noted` are the answers that were noted.
    """

    def __init__(self, *published: TriagedEvent) -> None:
        super().__init__(KafkaSection(), TOPICS)
        self.noted: list[TriagedEvent] = []
        self._published = published

    def note(self, triaged: TriagedEvent) -> None:
        """Remember the answer, and list it."""
        self.noted.append(triaged)
        super().note(triaged)

    async def _published_since(self, _: float) -> AsyncIterator[Incoming]:
        for offset, triaged in enumerate(self._published):
            yield record(encode(triaged), offset=offset, topic=TOPICS.triaged(triaged.domain))
