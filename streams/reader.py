"""Reading topics from outside the pipeline: for `watch`, `deadletters` and the demo."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from agents.outcomes import Incoming
from schemas.event import Origin
from streams.config import KafkaSection
from streams.connection import connection, unreachable
from streams.topics import MAX_MESSAGE_BYTES

QUIET_S = 2.0


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


async def until_quiet(consumer: AIOKafkaConsumer, quiet_s: float = QUIET_S) -> AsyncIterator[Incoming]:
    """Every record until none has come for `quiet_s`: the end of a topic, without asking the broker where it is,
    which not every broker answers truly.
    """  # noqa: D205 - one thought
    while batches := await consumer.getmany(timeout_ms=int(quiet_s * 1000)):
        for records in batches.values():
            for record in records:
                yield from_record(record)


def from_record(record: Any) -> Incoming:
    """An aiokafka record as ours."""
    origin = Origin(topic=record.topic, partition=record.partition, offset=record.offset)
    return Incoming(record.value, record.key, list(record.headers), origin, record.timestamp / 1000)
