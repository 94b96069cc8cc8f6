"""Rebalances of a real group: who is told what, and where each partition is read on."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from streams.config import Settings
from streams.kafka.admin import create_topics
from streams.kafka.commit_note import CommitNote
from streams.kafka.connection import connection
from streams.kafka.member import Committed, GroupMember
from streams.kafka.offsets import Partition
from streams.topics import Topics
from tests.patience import until

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(120)]

RECORDS = 6


class Reader:
    """A member that begins each partition at its start, and commits what it gives up."""

    def __init__(self, settings: Settings) -> None:
        self.told: list[tuple[str, int]] = []
        self.reads: set[Partition] = set()
        self.member = GroupMember(
            settings.kafka,
            {Topics(settings.topics.prefix).input("tickets")},
            on_assigned=self._on_assigned,
            on_revoked=self._on_revoked,
        )

    async def _on_assigned(self, partitions: set[Partition]) -> None:
        self.told.append(("assigned", len(partitions)))
        self.reads |= partitions
        for partition in partitions:
            self.member.seek(partition, 0)

    async def _on_revoked(self, partitions: set[Partition]) -> None:
        self.told.append(("revoked", len(partitions)))
        if partitions:
            commits = {each: Committed(1, CommitNote()) for each in partitions}
            assert await self.member.commit(commits)
        self.reads.clear()


async def test_partitions_stay_where_they_are_while_workers_come_and_go(
    settings: Settings,
) -> None:
    """All partitions would stand still whenever one worker starts or ends."""
    await create_topics(settings)
    topic = Topics(settings.topics.prefix).input("tickets")
    async with AsyncExitStack() as stack:
        producer = AIOKafkaProducer(**connection(settings.kafka))
        await producer.start()
        stack.push_async_callback(producer.stop)
        for number in range(4 * RECORDS):
            await producer.send_and_wait(topic, b"%d" % number, partition=number % 4)
        first, second = Reader(settings), Reader(settings)
        await first.member.start()
        stack.push_async_callback(first.member.stop)
        await until(lambda: len(first.reads) == 4)
        for partition in first.reads:
            assert (await read(first, partition)) == 0
        first.told.clear()

        await second.member.start()
        stack.push_async_callback(second.member.stop)
        await until(lambda: (len(first.reads), len(second.reads)) == (2, 2))
        assert not first.reads & second.reads
        assert first.told == [("revoked", 4), ("assigned", 2)]
        committed = await second.member.committed(second.reads)
        assert {each.offset for each in committed.values()} == {1}
        kept = set(first.reads)
        for partition in kept:
            assert [await read(first, partition) for _ in range(3)] == [0, 1, 2]
        first.told.clear()

        await second.member.stop()
        await until(lambda: len(first.reads) == 4)
        assert first.told == [("assigned", 2)]
        for partition in kept:
            assert await read(first, partition) == 3, "what was kept is read on where it was"


async def test_a_worker_of_before_shares_the_group(settings: Settings) -> None:
    """An update would have to stop all workers first."""
    await create_topics(settings)
    topic = Topics(settings.topics.prefix).input("tickets")
    async with AsyncExitStack() as stack:
        old = AIOKafkaConsumer(
            topic,
            **connection(settings.kafka),
            group_id=settings.kafka.group_id,
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            session_timeout_ms=6000,
            heartbeat_interval_ms=1000,
        )
        await old.start()
        stack.push_async_callback(old.stop)
        await until(lambda: len(old.assignment()) == 4)
        new, newer = Reader(settings), Reader(settings)
        for reader in (new, newer):
            await reader.member.start()
            stack.push_async_callback(reader.member.stop)
        await until(
            lambda: (
                len(new.reads) + len(newer.reads) + len(old.assignment()) == 4
                and new.reads
                and newer.reads
                and old.assignment()
            )
        )
        assert not new.reads & newer.reads
        assert new.member.group_problem is newer.member.group_problem is None
        # The leader may be a worker of before or not; without it, it is not.
        await old.stop()
        await until(lambda: (len(new.reads), len(newer.reads)) == (2, 2))
        assert not new.reads & newer.reads


async def read(reader: Reader, partition: Partition) -> int:
    """The offset of the next record of a partition."""
    async with asyncio.timeout(30):
        while (record := await reader.member.read(partition, wait=True)) is None:
            reader.member.check()
    offset: int = record.offset
    return offset
