"""Reading topics from outside the pipeline: for `watch`, `deadletters` and the demo."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError

from agents.outcomes import Incoming
from streams.config import KafkaSection
from streams.errors import BrokerUnreachable, DamagedBatch, StreamError
from streams.kafka.connection import connection, unreachable
from streams.kafka.record import from_record
from streams.topics import MAX_MESSAGE_BYTES

QUIET_S = 2.0
POLL_MS = 1_000
SILENCE_S = 30.0


@asynccontextmanager
async def reading(
    kafka: KafkaSection,
    topics: Sequence[str],
    *,
    from_beginning: bool,
    group_id: str | None = None,
    check_crcs: bool = True,
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of these topics; with a `group_id` it goes on where that group last committed.

    Raises:
        BrokerUnreachable: nothing answers there.
    """
    consumer = AIOKafkaConsumer(
        *topics,
        **connection(kafka),
        group_id=group_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest" if from_beginning else "latest",
        max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
        check_crcs=check_crcs,
    )
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        await consumer.stop()
        raise unreachable(kafka, error) from None
    try:
        yield consumer
    finally:
        await consumer.stop()


async def until_quiet(
    consumer: AIOKafkaConsumer, quiet_s: float = QUIET_S
) -> AsyncIterator[Incoming]:
    """Every record until none has come for `quiet_s`: the end of a topic, without asking the broker where it is,
    which not every broker answers truly.
    """  # noqa: D205 - one thought
    while batches := await consumer.getmany(timeout_ms=int(quiet_s * 1000)):
        for records in batches.values():
            for record in records:
                yield from_record(record)


async def since(
    kafka: KafkaSection, topics: Sequence[str], from_s: float
) -> AsyncIterator[Incoming]:
    """Every record written from `from_s` (seconds since the epoch) until now, partition by partition in order.

    Raises:
        StreamError: nothing answers there, or what is there cannot be read.
    """
    async with reading(kafka, topics, from_beginning=True) as consumer:
        await seek_recent(consumer, 0, from_s)
        async for record in until_end(consumer):
            yield record


async def follow(
    kafka: KafkaSection, topics: Sequence[str], from_s: float
) -> AsyncIterator[Incoming]:
    """Every record written from `from_s` (seconds since the epoch) on, without end.

    Raises:
        BrokerUnreachable: nothing answers there.
    """
    async with reading(kafka, topics, from_beginning=True) as consumer:
        await seek_recent(consumer, 0, from_s)
        while True:
            yield from_record(await consumer.getone())


async def until_end(consumer: AIOKafkaConsumer) -> AsyncIterator[Incoming]:
    """Every record up to where each partition ends now, one partition after the other.

    Raises:
        BrokerUnreachable: the broker says there are more and sends none.
        DamagedBatch: says from which offset on.
        StreamError: the broker refuses.
    """
    ends: dict[TopicPartition, int] = await consumer.end_offsets(list(consumer.assignment()))
    for partition, end in sorted(ends.items()):
        async for record in _until(consumer, partition, end):
            yield record


async def seek_recent(
    consumer: AIOKafkaConsumer, records: int, since_s: float | None = None
) -> None:
    """Go so many records back from the end of every partition, or to the first since then, whichever is earlier."""
    ends: dict[TopicPartition, int] = await consumer.end_offsets(list(consumer.assignment()))
    begins = ends
    if since_s is not None:
        try:
            found = await consumer.offsets_for_times(
                dict.fromkeys(ends, max(0, int(since_s * 1000)))
            )
            begins = {
                partition: place.offset if place else ends[partition]
                for partition, place in found.items()
            }
        except KafkaError:  # a broker that cannot look up times: from the beginning then
            begins = dict.fromkeys(ends, 0)
    for partition, end in ends.items():
        consumer.seek(partition, max(0, min(begins[partition], end - records)))


async def _until(
    consumer: AIOKafkaConsumer, partition: TopicPartition, end: int
) -> AsyncIterator[Incoming]:
    at_most: int | None = None
    heard_s = time.monotonic()
    while (position := await consumer.position(partition)) < end:
        where = f"{partition.topic}[{partition.partition}]"
        try:
            batches = await consumer.getmany(partition, timeout_ms=POLL_MS, max_records=at_most)
        except Exception as error:
            if isinstance(error, KafkaError) and not isinstance(error, CorruptRecordException):
                raise StreamError(
                    f"{where} cannot be read ({type(error).__name__}); check the broker's log"
                ) from None
            if at_most is None:  # once more and one by one, to say where exactly
                at_most = 1
                consumer.seek(partition, position)
                continue
            what = f"{where}@{position} begins a damaged batch ({type(error).__name__})"
            raise DamagedBatch(f"{what}; compare the broker's replicas and restore it") from error
        for record in batches.get(partition, []):
            yield from_record(record)
        if batches:
            heard_s = time.monotonic()
        elif time.monotonic() - heard_s > SILENCE_S:
            raise BrokerUnreachable(
                f"{where} ends at {end}, and nothing came from {position} on; check the broker"
            )
