"""What may happen to the topics that workers read."""

import asyncio
import re

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewPartitions, NewTopic, RecordsToDelete

from schemas.event import DOMAINS
from streams.kafka.admin import admin_client
from streams.kafka.connection import connection
from tests.chaos.cluster import BROKERS
from tests.chaos.run import Run
from tests.faults.account import committed_offsets

COMPACTED = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "segment.ms": "1000",
    "delete.retention.ms": "100",
}


async def expire_unread(run: Run) -> None:
    """Let retention delete half of what a group that is behind has not read.

    The records are deleted by a request, which does to the log what retention does.
    """
    for worker in run.workers:
        await run.end(worker)
    await asyncio.sleep(8)
    run.sender.paused = True
    await run.sender.flush()
    committed = await committed_offsets(run.settings)
    names = [run.topics.input(domain) for domain in DOMAINS]
    ends = await _ends(run, names)
    expired, deletions = 0, {}
    for partition, end in ends.items():
        first = committed.get(partition.topic, {}).get(partition.partition, 0)
        middle = (first + end) // 2
        expired += middle - first
        deletions[partition] = RecordsToDelete(before_offset=middle)
    async with admin_client(run.settings) as client:
        await client.delete_records(deletions)
    run.expect_lost(expired, f"retention deleted {expired} events before the group read them")
    run.sender.paused = False
    for worker in run.workers:
        worker.start()
    for worker in run.workers:
        await run.ready(worker)
    await asyncio.sleep(5)
    counted = sum(_expired(worker.get("/metrics")[1]) for worker in run.workers)
    run.notes.append(f"triage_expired_events_total counts {counted} of these {expired}")
    if counted != expired:
        run.problems.append("the metric does not count every expired event")


def _expired(metrics: str) -> int:
    found = re.findall(r"^triage_expired_events_total\{.*\} (\S+)$", metrics, re.MULTILINE)
    return int(sum(float(value) for value in found))


async def _ends(run: Run, names: list[str]) -> dict[TopicPartition, int]:
    consumer = AIOKafkaConsumer(**connection(run.settings.kafka))
    await consumer.start()
    try:
        numbers = range(run.scenario.partitions)
        partitions = [TopicPartition(name, number) for name in names for number in numbers]
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        return ends
    finally:
        await consumer.stop()


async def make_compacted(run: Run) -> None:
    """Make the input topic of tickets so that the brokers compact it."""
    name = run.topics.input("tickets")
    configs = run.topics.configs(name) | COMPACTED
    topic = NewTopic(name, run.scenario.partitions, BROKERS, topic_configs=configs)
    async with admin_client(run.settings) as client:
        response = await client.create_topics([topic])
    assert not response.topic_errors[0][1], response


async def compact(run: Run) -> None:
    """Send versions of tickets, and tombstones; let the brokers compact while no worker runs."""
    for worker in run.workers:
        await run.end(worker)
    ids = [f"version-{number}" for number in range(100)]
    deleted, kept = ids[:20], ids[20:]
    for id_ in ids:
        await run.sender.send_value("tickets", id_, run.sender.event(id_))
    await run.sender.flush()
    for id_ in deleted:
        await run.sender.send_value("tickets", id_, None)
    for id_ in kept:
        await run.sender.send_value("tickets", id_, run.sender.event(id_))
    await run.sender.flush()
    for id_ in deleted:
        del run.sender.acknowledged[id_]  # nobody expects an answer for them
    await _until_compacted(run, ids)
    for id_ in deleted:
        await run.sender.send_value("tickets", f"{id_}-again", None)
    await run.sender.flush()
    for id_ in deleted:
        del run.sender.acknowledged[f"{id_}-again"]
    for worker in run.workers:
        worker.start()
    for worker in run.workers:
        await run.ready(worker)
    await run.out(kept, "the last versions are out")
    run.notes.append("100 first versions were compacted away; 20 ids ended in a tombstone")


async def _until_compacted(run: Run, ids: list[str]) -> None:
    """Wait until no id has two records on the topic."""
    name = run.topics.input("tickets")
    async with asyncio.timeout(120):
        while True:
            await asyncio.sleep(2)
            ends = await _ends(run, [name])
            keys = await _keys(run, ends)
            if all(keys.count(id_.encode()) <= 1 for id_ in ids):
                return


async def _keys(run: Run, ends: dict[TopicPartition, int]) -> list[bytes]:
    consumer = AIOKafkaConsumer(**connection(run.settings.kafka), auto_offset_reset="earliest")
    await consumer.start()
    keys: list[bytes] = []
    try:
        consumer.assign(list(ends))
        await consumer.seek_to_beginning(*ends)
        while any([await consumer.position(part) < end for part, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                keys += [record.key for record in records]
    finally:
        await consumer.stop()
    return keys


async def abort_transactions(run: Run) -> None:
    """Send tickets in transactions, of which every second one is aborted."""
    producer = AIOKafkaProducer(
        **connection(run.settings.kafka), transactional_id=f"{run.settings.topics.prefix}-sender"
    )
    topic, loop = run.topics.input("tickets"), asyncio.get_running_loop()
    aborted: set[str] = set()
    await producer.start()
    try:
        for number in range(10):
            is_aborted = number % 2 == 0
            ids = [f"transaction-{number}-{event}" for event in range(10)]
            await producer.begin_transaction()
            for id_ in ids:
                await producer.send_and_wait(topic, run.sender.event(id_), key=id_.encode())
            await asyncio.sleep(1)
            if is_aborted:
                await producer.abort_transaction()
                aborted.update(ids)
            else:
                await producer.commit_transaction()
                run.sender.acknowledged |= dict.fromkeys(ids, loop.time())
    finally:
        await producer.stop()
    await run.out(run.sender.ids, "all that was committed is out")
    triaged = aborted & run.observer.seen_at_s.keys()
    run.notes.append(f"{len(triaged)} of {len(aborted)} events of aborted transactions came out")
    if triaged:
        run.problems.append("events of aborted transactions are triaged")


async def add_partitions(run: Run) -> None:
    """Add partitions to an input topic, and send to them only."""
    before = run.scenario.partitions
    async with admin_client(run.settings) as client:
        await client.create_partitions({run.topics.input("tickets"): NewPartitions(before + 2)})
    await asyncio.sleep(3)  # the sender hears of them
    started_s = asyncio.get_running_loop().time()
    ids = [
        await run.sender.send_one("tickets", partition=before + number % 2) for number in range(20)
    ]
    if await run.out(ids, "what was sent to the new partitions is out"):
        took_s = asyncio.get_running_loop().time() - started_s
        run.notes.append(f"20 events on new partitions were out after {took_s:.0f} s")


async def recreate_topic(run: Run) -> None:
    """Make an input topic again, and send fewer events than were read of it before."""
    await _recreate(run, 20)


async def recreate_topic_longer(run: Run) -> None:
    """Make an input topic again, and send more events at once than were read of it before.

    So the offset to read next exists in the new log, and the events before it could be skipped.
    """
    await _recreate(run, 1000)


async def _recreate(run: Run, burst: int) -> None:
    """Delete an input topic of which everything is triaged, make it again, and send a burst."""
    run.sender.paused = True
    await run.out(run.sender.ids, "all that was sent is out")
    name = run.topics.input("tickets")
    topic = NewTopic(name, run.scenario.partitions, BROKERS, topic_configs=run.topics.configs(name))
    async with admin_client(run.settings) as client:
        await client.delete_topics([name])
        async with asyncio.timeout(60):
            while (await client.create_topics([topic])).topic_errors[0][1]:
                await asyncio.sleep(0.3)
    started_s = asyncio.get_running_loop().time()
    ids = [await run.sender.send_one("tickets") for _ in range(burst)]
    run.sender.paused = False
    if await run.out(ids, "what was sent to the new topic is out"):
        took_s = asyncio.get_running_loop().time() - started_s
        run.notes.append(f"{burst} events on the new topic were out after {took_s:.0f} s")
