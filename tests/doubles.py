"""Doubles of what needs a broker, and records to send through them.

Each double is the real class over a fake of the library or of the topic below it. So there is no
second implementation of the logic. `tests/contract` runs the same tests on the doubles and on the
real ones.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from agents.outcomes import Incoming
from schemas.codec import encode
from schemas.event import Headers
from schemas.triaged import TriagedEvent
from streams.answered import Answered
from streams.config import KafkaSection
from streams.kafka.offsets import Partition
from streams.kafka.producer import Producer, Receipt
from streams.kafka.record import Record
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


class FakeClient:
    """aiokafka's producer, without a broker.

    With `prompt` records are acknowledged at once, otherwise by `acknowledge`. A record whose value
    is longer than `takes_bytes` of its topic is refused as too large. Audit records are kept apart
    and acknowledged at once, unless the test `awaits_audit`.
    """

    def __init__(self, *, prompt: bool, takes_bytes: dict[str, int], awaits_audit: bool) -> None:
        self.prompt = prompt
        self.takes_bytes = takes_bytes
        self.awaits_audit = awaits_audit
        self.refusal: Exception | None = None
        self.stopped = 0
        self.client = SimpleNamespace(_request_timeout_ms=0)
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
        self.acknowledge = self._client.acknowledge

    async def _connect(self, *, idempotent: bool) -> FakeClient:  # noqa: ARG002 - see `Producer`
        return self._client


class FakeFaust:
    """Faust's app, without a broker. `calls` are those of its methods."""

    def __init__(self, *_: str, **options: Any) -> None:
        self.options = options
        self.conf = SimpleNamespace()
        self.consumer: Any = None
        self.calls: list[str] = []
        self.crash_reason: BaseException | None = None
        self._crashed = asyncio.Event()
        self._on_assigned: list[Callable[[], Awaitable[None]]] = []
        self.on_partitions_assigned = SimpleNamespace(connect=self._on_assigned.append)
        self.on_partitions_revoked = SimpleNamespace(connect=lambda _: None)

    def topic(self, name: str, **_: Any) -> str:
        """Return a stand-in for the topic."""
        return name

    def agent(self, _: str, *, name: str) -> Callable[[Any], None]:  # noqa: ARG002 - see Faust
        """Return a decorator that starts no agent."""
        return lambda _: None

    def finalize(self) -> None:
        """Note the call."""
        self.calls.append("finalize")

    async def start(self) -> None:
        """Note the call."""
        self.calls.append("start")

    async def stop(self) -> None:
        """Note the call."""
        self.calls.append("stop")

    async def assign(self) -> None:
        """Say that partitions are assigned."""
        for call in self._on_assigned:
            await call()

    def crash(self, reason: BaseException | None) -> None:
        """Give up, as Faust does after an error of its own."""
        self.crash_reason = reason
        self._crashed.set()


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
