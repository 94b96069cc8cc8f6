"""What comes out of the pipeline during a fault, when, and how far its group is behind."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.event import DOMAINS
from streams.config import Settings
from streams.kafka.connection import connection
from streams.topics import MAX_MESSAGE_BYTES, Topics
from tests.faults.account import Account

SAMPLE_EVERY_S = 1.0
ANSWER_TIMEOUT_S = 5.0
METADATA_MAX_AGE_MS = 2_000
TROUBLE = (KafkaError, OSError, TimeoutError, AssertionError)
"""What clients raise while brokers are away. Some of aiokafka asserts that a broker is known."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment of a run: seconds since its start, how many events were sent, how many are out.

    `lag` is how many records the group has not committed; None if no broker says so.
    """

    at_s: float
    sent: int
    out: int
    lag: int | None


class Observer:
    """Reads the outputs of a pipeline, and keeps when each id appeared first.

    It goes on by itself when brokers come back. It reads at every broker directly.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = Topics(settings.topics.prefix)
        self._consumer: AIOKafkaConsumer | None = None
        self.account = Account(settings)
        self.seen_at_s: dict[str, float] = {}
        """When the first output of an id was read, on the clock of the event loop."""
        self.dead_ids: list[str] = []

    async def follow(self) -> None:
        """Read until it is cancelled."""
        loop = asyncio.get_running_loop()
        consumer = await self._opened()
        while True:
            try:
                batches = await consumer.getmany(timeout_ms=200)
            except TROUBLE:
                await asyncio.sleep(0.5)
                continue
            for record in (record for records in batches.values() for record in records):
                self.account.note(record)
                id_ = (record.key or b"").decode()
                self.seen_at_s.setdefault(id_, loop.time())
                if record.topic == self._topics.deadletter:
                    self.dead_ids.append(id_)

    async def read_to_end(self) -> bool:
        """Wait until everything that is on the topics now was read; false if it takes too long.

        `follow` must be running.
        """
        consumer = await self._opened()
        with suppress(*TROUBLE):
            async with asyncio.timeout(60):
                ends = await consumer.end_offsets(consumer.assignment())
                while any([await consumer.position(part) < end for part, end in ends.items()]):
                    await asyncio.sleep(0.2)
                return True
        return False

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def _opened(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            names = [*(self._topics.triaged(domain) for domain in DOMAINS), self._topics.deadletter]
            consumer = AIOKafkaConsumer(
                **connection(self._settings.kafka),
                auto_offset_reset="earliest",
                max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
                metadata_max_age_ms=METADATA_MAX_AGE_MS,
            )
            await consumer.start()
            numbers = range(self._settings.topics.partitions)
            consumer.assign([TopicPartition(name, number) for name in names for number in numbers])
            self._consumer = consumer
        return self._consumer


class LagMeter:
    """Asks the brokers how far the group is behind."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: AIOKafkaAdminClient | None = None
        self._ends: AIOKafkaConsumer | None = None

    async def measure(self) -> int | None:
        """How many records of the topics that workers read are not committed; None if unknown."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await self._measure()
        except TROUBLE:
            await self.stop()
            return None

    async def stop(self) -> None:
        """Disconnect."""
        admin, self._admin = self._admin, None
        ends, self._ends = self._ends, None
        with suppress(*TROUBLE):
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                if admin is not None:
                    await admin.close()
                if ends is not None:
                    await ends.stop()

    async def _measure(self) -> int:
        arguments = connection(self._settings.kafka)
        if self._admin is None:
            self._admin = AIOKafkaAdminClient(**arguments)
            await self._admin.start()
        if self._ends is None:
            self._ends = AIOKafkaConsumer(**arguments, metadata_max_age_ms=METADATA_MAX_AGE_MS)
            await self._ends.start()
        partitions = await self._partitions(self._admin)
        ends = await self._ends.end_offsets(partitions)
        committed = await self._committed(self._admin)
        return sum(
            max(0, end - committed[partition.topic].get(partition.partition, 0))
            for partition, end in ends.items()
        )

    async def _partitions(self, admin: AIOKafkaAdminClient) -> list[TopicPartition]:
        topics = Topics(self._settings.topics.prefix)
        names = [*(topics.input(domain) for domain in DOMAINS), topics.enrichment]
        described: Iterable[Any] = await admin.describe_topics(names)
        return [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in described
            for partition in topic["partitions"]
        ]

    async def _committed(self, admin: AIOKafkaAdminClient) -> dict[str, dict[int, int]]:
        offsets = await admin.list_consumer_group_offsets(self._settings.kafka.group_id)
        committed: dict[str, dict[int, int]] = defaultdict(dict)
        for partition, entry in offsets.items():
            committed[partition.topic][partition.partition] = max(0, entry.offset)
        return committed
