"""Whether outputs and offsets could be committed in one transaction, with this client library.

Kafka fences a worker that commits after a rebalance by the generation of its group (KIP-447). The
client library does not send the generation, so only the transactional id can fence.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import ProducerFenced

from streams.config import Settings
from streams.kafka.admin import admin_client
from tests.figures import tell

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

TRANSACTIONS = 50
BATCH = 20


class TransactionalWorker:
    """Reads one partition as a member of a group, and commits with its outputs in transactions."""

    def __init__(self, settings: Settings, names: tuple[str, str], transactional_id: str) -> None:
        self.servers = settings.kafka.bootstrap_servers
        self.source, self.target = names
        self.group = settings.kafka.group_id
        self.transactional_id = transactional_id

    @asynccontextmanager
    async def running(self) -> AsyncIterator["TransactionalWorker"]:
        """Join the group, and begin after its partition was assigned."""
        self.consumer = AIOKafkaConsumer(
            self.source,
            bootstrap_servers=self.servers,
            group_id=self.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=6000,
            heartbeat_interval_ms=1000,
        )
        await self.consumer.start()
        async with asyncio.timeout(60):
            while not self.consumer.assignment():
                await asyncio.sleep(0.1)
        self.producer = AIOKafkaProducer(
            bootstrap_servers=self.servers, transactional_id=self.transactional_id
        )
        # This ends whatever transaction an earlier producer of the same id has left open.
        await self.producer.start()
        try:
            yield self
        finally:
            await self.consumer.stop()
            await self.producer.stop()

    async def process(self) -> int:
        """Begin a transaction with the output of the next record; returns the record's offset."""
        async with asyncio.timeout(60):
            record = await self.consumer.getone()
        await self.producer.begin_transaction()
        await self.producer.send_and_wait(self.target, record.value)
        return int(record.offset)

    async def commit(self, offset: int) -> None:
        """Commit the output and the offset after the record."""
        offsets = {TopicPartition(self.source, 0): offset + 1}
        await self.producer.send_offsets_to_transaction(offsets, self.group)
        await self.producer.commit_transaction()

    def leave(self) -> None:
        """Be taken for dead by the group, and not notice: as after a long pause of the process."""
        coordinator = self.consumer._coordinator
        coordinator._heartbeat_task.cancel()


@pytest.fixture
async def names(settings: Settings) -> tuple[str, str]:
    """An input topic with one record, and an output topic."""
    name = uuid.uuid4().hex[:8]
    source, target = f"in-{name}", f"out-{name}"
    async with admin_client(settings) as client:
        await client.create_topics([NewTopic(topic, 1, 1) for topic in (source, target)])
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers)
    await producer.start()
    await producer.send_and_wait(source, b"event")
    await producer.stop()
    return source, target


async def committed_values(settings: Settings, topic: str) -> list[bytes]:
    """What a consumer reads that reads only what was committed."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=settings.kafka.bootstrap_servers,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        found = await consumer.getmany(timeout_ms=3000)
        return [record.value for records in found.values() for record in records]
    finally:
        await consumer.stop()


async def test_a_transactional_id_per_worker_does_not_fence_a_zombie(
    settings: Settings, names: tuple[str, str]
) -> None:
    """If this ever fails, workers could commit in transactions with one producer each."""
    zombie = TransactionalWorker(settings, names, f"{names[0]}-worker-1")
    other = TransactionalWorker(settings, names, f"{names[0]}-worker-2")
    async with zombie.running():
        offset = await zombie.process()
        zombie.leave()
        async with other.running():
            await other.commit(await other.process())
            await zombie.commit(offset)
    assert await committed_values(settings, names[1]) == [b"event", b"event"]


async def test_a_transactional_id_per_partition_fences_a_zombie(
    settings: Settings, names: tuple[str, str]
) -> None:
    """A worker that was taken for dead would commit what its successor has committed already."""
    shared_id = f"{names[0]}-partition-0"
    zombie = TransactionalWorker(settings, names, shared_id)
    other = TransactionalWorker(settings, names, shared_id)
    async with zombie.running():
        offset = await zombie.process()
        zombie.leave()
        async with other.running():
            await other.commit(await other.process())
            with pytest.raises(ProducerFenced):
                await zombie.commit(offset)
    assert await committed_values(settings, names[1]) == [b"event"]


async def test_what_a_transaction_costs(settings: Settings, names: tuple[str, str]) -> None:
    """The cost of exactly once would be a guess."""
    offsets = {TopicPartition(names[0], 0): 1}
    plain = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap_servers, enable_idempotence=True
    )
    transactional = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap_servers, transactional_id=names[0]
    )
    for producer in (plain, transactional):
        await producer.start()
    took_s = {plain: 0.0, transactional: 0.0}
    try:
        for _ in range(TRANSACTIONS):
            for producer in (plain, transactional):
                started_s = time.perf_counter()
                if producer is transactional:
                    await producer.begin_transaction()
                sent = [await producer.send(names[1], b"x" * 500) for _ in range(BATCH)]
                await asyncio.gather(*sent)
                if producer is transactional:
                    await producer.send_offsets_to_transaction(offsets, settings.kafka.group_id)
                    await producer.commit_transaction()
                took_s[producer] += time.perf_counter() - started_s
    finally:
        for producer in (plain, transactional):
            await producer.stop()
    plain_ms, transaction_ms = (1000 * took_s[producer] / TRANSACTIONS for producer in took_s)
    tell(
        f"{BATCH} records acknowledged in {plain_ms:.1f} ms, in a transaction with their offsets "
        f"in {transaction_ms:.1f} ms"
    )
    assert transaction_ms > plain_ms
