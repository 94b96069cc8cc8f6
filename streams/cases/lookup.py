"""Reads one record again, by its place."""

import asyncio
from contextlib import AsyncExitStack

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.event import Origin
from streams.cases.entries import Entry, EntryReader
from streams.config import KafkaSection
from streams.errors import BrokerUnreachable
from streams.kafka.reader import reading
from streams.kafka.record import from_record

TIMEOUT_S = 10.0


class RecordLookup:
    """Reads single records with a consumer that is opened when it is first needed."""

    def __init__(self, kafka: KafkaSection, reader: EntryReader) -> None:
        self._kafka = kafka
        self._reader = reader
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._consumer: AIOKafkaConsumer | None = None

    async def read(self, place: Origin) -> Entry | None:
        """The decision in the record at a place; None if the record is gone or not believed.

        Raises:
            BrokerUnreachable: the broker does not answer.
        """
        async with self._lock:
            try:
                return await self._read(place)
            except (KafkaError, TimeoutError) as error:
                await self._close()
                raise BrokerUnreachable(
                    f"{place.topic}[{place.partition}]@{place.offset} cannot be read "
                    f"({type(error).__name__}); check the broker"
                ) from None

    async def close(self) -> None:
        """Disconnect."""
        async with self._lock:
            await self._close()

    async def _close(self) -> None:
        self._consumer = None
        await self._stack.aclose()

    async def _read(self, place: Origin) -> Entry | None:
        consumer = await self._connected()
        partition = TopicPartition(place.topic, place.partition)
        consumer.assign([partition])
        async with asyncio.timeout(TIMEOUT_S):
            begin = (await consumer.beginning_offsets([partition]))[partition]
            end = (await consumer.end_offsets([partition]))[partition]
            if not begin <= place.offset < end:
                return None
            consumer.seek(partition, place.offset)
            record = from_record(await consumer.getone(partition))
        return self._reader.read(record) if record.origin.offset == place.offset else None

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            opening = reading(self._kafka, [], from_beginning=True)
            self._consumer = await self._stack.enter_async_context(opening)
        return self._consumer
