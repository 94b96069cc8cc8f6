"""Who stamps the records of the topics that `triage topics create` makes."""

import time

import pytest
from aiokafka import AIOKafkaProducer

from streams.config import Settings
from streams.kafka.admin import create_topics
from streams.kafka.connection import connection
from streams.kafka.reader import reading, until_end
from streams.topics import Topics

YEAR_S = 365 * 86_400.0


@pytest.mark.kafka
async def test_a_producer_cannot_choose_when_its_record_came_in(settings: Settings) -> None:
    """A sender could have its record deleted before it is read, or move it to another day."""
    await create_topics(settings)
    names = list(Topics(settings.topics.prefix))
    started_s = time.time()
    producer = AIOKafkaProducer(**connection(settings.kafka))
    await producer.start()
    try:
        for name in names:
            for years in (-5, 5):
                stamp_ms = int((started_s + years * YEAR_S) * 1000)
                # A compacted topic takes no record without a key.
                await producer.send_and_wait(name, b"x", b"key", timestamp_ms=stamp_ms)
    finally:
        await producer.stop()
    async with reading(settings.kafka, names, from_beginning=True) as consumer:
        received_s = [record.received_at_s async for record in until_end(consumer)]
    assert len(received_s) == 2 * len(names)
    assert min(received_s) > started_s - 60
    assert max(received_s) < time.time() + 60
