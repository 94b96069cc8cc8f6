"""Reading topics from some time on, up to where they end now or further; saying where they cannot be read."""

import logging
import time
from collections.abc import AsyncIterator, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError

from agents.outcomes import Incoming
from streams.config import KafkaSection
from streams.errors import BrokerUnreachable, DamagedBatch, StreamError
from streams.reader import from_record, reading

log = logging.getLogger(__name__)

POLL_MS = 1_000
SILENCE_S = 30.0


async def since(kafka: KafkaSection, topics: Sequence[str], from_s: float) -> AsyncIterator[Incoming]:
    """Every record written from `from_s` (seconds since the epoch) until now, partition by partition in order.

    Raises:
        StreamError: nothing answers there, or what is there cannot be read.
    """
    async with reading(kafka, topics, from_beginning=True) as consumer:
        await seek_recent(consumer, 0, from_s)
        async for record in until_end(consumer):
            yield record


async def follow(kafka: KafkaSection, topics: Sequence[str], from_s: float) -> AsyncIterator[Incoming]:
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


async def seek_recent(consumer: AIOKafkaConsumer, records: int, since_s: float | None = None) -> None:
    """Go so many records back from the end of every partition, or to the first since then, whichever is earlier."""
    ends: dict[TopicPartition, int] = await consumer.end_offsets(list(consumer.assignment()))
    begins = ends
    if since_s is not None:
        try:
            found = await consumer.offsets_for_times(dict.fromkeys(ends, max(0, int(since_s * 1000))))
            begins = {partition: place.offset if place else ends[partition] for partition, place in found.items()}
        except KafkaError:  # a broker that cannot look up times: from the beginning then
            begins = dict.fromkeys(ends, 0)
    for partition, end in ends.items():
        consumer.seek(partition, max(0, min(begins[partition], end - records)))


async def _until(consumer: AIOKafkaConsumer, partition: TopicPartition, end: int) -> AsyncIterator[Incoming]:
    at_most: int | None = None
    heard_s = time.monotonic()
    while (position := await consumer.position(partition)) < end:
        where = f"{partition.topic}[{partition.partition}]"
        try:
            batches = await consumer.getmany(partition, timeout_ms=POLL_MS, max_records=at_most)
        except Exception as error:
            if isinstance(error, KafkaError) and not isinstance(error, CorruptRecordException):
                raise StreamError(f"{where} cannot be read ({type(error).__name__}); check the broker's log") from None
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
            raise BrokerUnreachable(f"{where} ends at {end}, and nothing came from {position} on; check the broker")
