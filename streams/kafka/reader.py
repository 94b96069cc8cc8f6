"""Read topics from outside the pipeline: for commands, the demo, the audit trail and the memories.

Nothing here commits an offset; with a `group_id` the caller may.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError

from agents.outcomes import Incoming
from streams.config import KafkaSection
from streams.errors import BrokerUnreachable, DamagedBatch, StreamError
from streams.kafka.bootstrap import reachable_connection
from streams.kafka.connection import consumer_options, unreachable
from streams.kafka.record import from_record
from streams.topics import MAX_MESSAGE_BYTES

QUIET_S = 2.0
POLL_MS = 1_000
SILENCE_S = 30.0
"""How long a broker may send nothing although it says that there are more records."""


@asynccontextmanager
async def open_consumer(
    kafka: KafkaSection, *topics: str, **options: Any
) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer that commits nothing by itself; `options` are those of aiokafka.

    Raises:
        BrokerUnreachable: no broker answers there.
    """
    consumer = AIOKafkaConsumer(
        *topics,
        **await reachable_connection(kafka),
        **consumer_options(kafka),
        enable_auto_commit=False,
        **options,
    )
    try:
        try:
            await consumer.start()
        except (KafkaError, OSError) as error:
            raise unreachable(kafka, error) from None
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def reading(
    kafka: KafkaSection,
    topics: Sequence[str],
    *,
    from_beginning: bool,
    group_id: str | None = None,
    check_crcs: bool = True,
) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer of these topics.

    With a `group_id` it resumes where that group last committed.

    Raises:
        BrokerUnreachable: no broker answers there.
    """
    async with open_consumer(
        kafka,
        *topics,
        group_id=group_id,
        auto_offset_reset="earliest" if from_beginning else "latest",
        max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
        check_crcs=check_crcs,
    ) as consumer:
        yield consumer


async def committed_offsets(
    kafka: KafkaSection, partitions: Sequence[TopicPartition], group_id: str
) -> dict[TopicPartition, int]:
    """How far a group has committed; 0 where it has not. Nobody joins the group to ask.

    Raises:
        BrokerUnreachable: no broker answers there, or it does not tell.
    """
    async with open_consumer(kafka, group_id=group_id) as consumer:
        consumer.assign(list(partitions))
        try:
            return {each: await consumer.committed(each) or 0 for each in partitions}
        except (KafkaError, OSError) as error:
            raise unreachable(kafka, error) from None


async def until_quiet(
    consumer: AIOKafkaConsumer, quiet_s: float = QUIET_S
) -> AsyncIterator[Incoming]:
    """Yield every record until none has come for `quiet_s` seconds.

    That is taken for the end of the topic. The broker is not asked for the end, because not every
    broker gives the right answer.
    """
    while batches := await consumer.getmany(timeout_ms=int(quiet_s * 1000)):
        for records in batches.values():
            for record in records:
                yield from_record(record)


async def since(
    kafka: KafkaSection, topics: Sequence[str], from_s: float
) -> AsyncIterator[Incoming]:
    """Yield every record written from `from_s` (seconds since the epoch) until now.

    One partition follows the other, each in the order of its offsets.

    Raises:
        StreamError: no broker answers, or what it sends cannot be read.
    """
    async with reading(kafka, topics, from_beginning=True) as consumer:
        await seek_recent(consumer, 0, from_s)
        async for record in until_end(consumer):
            yield record


async def follow(
    kafka: KafkaSection, topics: Sequence[str], from_s: float
) -> AsyncIterator[Incoming]:
    """Yield every record written from `from_s` (seconds since the epoch) on, without end.

    Raises:
        BrokerUnreachable: no broker answers there.
    """
    async with reading(kafka, topics, from_beginning=True) as consumer:
        await seek_recent(consumer, 0, from_s)
        while True:
            yield from_record(await consumer.getone())


async def until_end(consumer: AIOKafkaConsumer) -> AsyncIterator[Incoming]:
    """Yield every record up to where each partition ends now, one partition after the other.

    Raises:
        BrokerUnreachable: the broker says that there are more records and sends none.
        DamagedBatch: a batch cannot be read; the message names its offset.
        StreamError: the broker refuses to send records.
    """
    ends: dict[TopicPartition, int] = await consumer.end_offsets(list(consumer.assignment()))
    for partition, end in sorted(ends.items()):
        async for record in _until_offset(consumer, partition, end):
            yield record


async def seek_recent(
    consumer: AIOKafkaConsumer, records: int, since_s: float | None = None
) -> None:
    """Seek so many `records` back from the end of every partition.

    With `since_s` (seconds since the epoch), seek to the first record written since then, if that
    is earlier.
    """
    ends: dict[TopicPartition, int] = await consumer.end_offsets(list(consumer.assignment()))
    begins = ends if since_s is None else await _offsets_since(consumer, ends, since_s)
    for partition, end in ends.items():
        consumer.seek(partition, max(0, min(begins[partition], end - records)))


async def _offsets_since(
    consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int], since_s: float
) -> dict[TopicPartition, int]:
    since_ms = max(0, int(since_s * 1000))
    try:
        firsts = await consumer.offsets_for_times(dict.fromkeys(ends, since_ms))
    except KafkaError:
        # This broker cannot look up times: read from the beginning.
        return dict.fromkeys(ends, 0)
    return {
        partition: first.offset if first else ends[partition] for partition, first in firsts.items()
    }


async def _until_offset(
    consumer: AIOKafkaConsumer, partition: TopicPartition, end: int
) -> AsyncIterator[Incoming]:
    name = f"{partition.topic}[{partition.partition}]"
    max_records: int | None = None
    last_heard_s = time.monotonic()
    while (position := await consumer.position(partition)) < end:
        try:
            batches = await consumer.getmany(partition, timeout_ms=POLL_MS, max_records=max_records)
        except Exception as error:
            if _is_refusal(error):
                raise StreamError(
                    f"{name} cannot be read ({type(error).__name__}); check the broker's log"
                ) from None
            if max_records is None:
                # Read this place again, one record at a time, to learn which offset is damaged.
                max_records = 1
                consumer.seek(partition, position)
                continue
            raise DamagedBatch(
                f"{name}@{position} begins a damaged batch ({type(error).__name__}); "
                "compare the broker's replicas and restore it"
            ) from error
        for record in batches.get(partition, []):
            yield from_record(record)
        if batches:
            last_heard_s = time.monotonic()
        elif time.monotonic() - last_heard_s > SILENCE_S:
            raise BrokerUnreachable(
                f"{name} ends at {end}, and nothing came from {position} on; check the broker"
            )


def _is_refusal(error: Exception) -> bool:
    """Whether the broker refused to answer, so that the bytes of the records are not at fault."""
    return isinstance(error, KafkaError) and not isinstance(error, CorruptRecordException)
