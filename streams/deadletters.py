"""Dead letters after the fact: finding them, and sending them back to where they came from."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from aiokafka import TopicPartition

from agents.outcomes import Incoming
from schemas.deadletter import DeadLetterHeaders, original_headers
from streams.config import Settings
from streams.kafka.producer import Producer, RecordTooLarge
from streams.kafka.reader import reading, until_quiet
from streams.kafka.record import Record
from streams.topics import Topics

PREVIEW_CHARS = 80


@dataclass(frozen=True)
class Letter:
    """One record of the dead-letter topic."""

    record: Incoming

    @cached_property
    def headers(self) -> DeadLetterHeaders:
        """What its headers say."""
        return DeadLetterHeaders.read(self.record.headers)

    def line(self) -> str:
        """One line for a person."""
        said = self.headers
        where = f"{said.topic}[{said.partition}]@{said.offset}"
        preview = (self.record.value or b"").decode("utf-8", "replace")[:PREVIEW_CHARS]
        return f"{where}  {said.stage}  {said.disposition}  {said.message}  {preview!r}"

    def describe(self) -> dict[str, Any]:
        """Everything, for a program."""
        said = self.headers
        return {
            "topic": said.topic,
            "partition": said.partition,
            "offset": said.offset,
            "stage": said.stage,
            "error": said.error,
            "message": said.message,
            "disposition": said.disposition,
            "attempt": said.attempt,
            "key": _text(self.record.key),
            "value": _text(self.record.value),
        }

    def original(self) -> Record:
        """The record as it was first read, with the count of its attempts."""
        headers = original_headers(self.record.headers)
        return Record(self.headers.topic, self.record.key, self.record.value, headers)


@dataclass(frozen=True, slots=True)
class Replay:
    """What `replay` did."""

    replayed: int
    left: int


async def find(settings: Settings, *, stage: str | None = None) -> AsyncIterator[Letter]:
    """Every dead letter kept, oldest first.

    Raises:
        BrokerUnreachable: nothing answers there.
    """
    topics = Topics(settings.topics.prefix)
    async with reading(settings.kafka, [topics.deadletter], from_beginning=True) as consumer:
        async for record in until_quiet(consumer):
            letter = Letter(record)
            if stage in (None, letter.headers.stage):
                yield letter


async def replay(
    settings: Settings, *, stage: str | None, poison: bool, limit: int | None
) -> Replay:
    """Send dead letters back. A consumer group of its own remembers how far it has looked, so none goes twice.

    One group for each way of asking: what one filter leaves must still be there for the next.

    Raises:
        BrokerUnreachable: nothing answers there.
        DeliveryFailed: the broker did not take one; those before it are replayed and remembered.
    """
    topics = Topics(settings.topics.prefix)
    group_id = f"{settings.kafka.group_id}-replay-{stage or 'every-stage'}-{'all' if poison else 'retryable'}"
    producer = Producer(settings.kafka)
    replayed = left = 0
    looked_at: dict[TopicPartition, int] = {}
    await producer.start()
    try:
        async with reading(
            settings.kafka, [topics.deadletter], from_beginning=True, group_id=group_id
        ) as consumer:
            async for record in until_quiet(consumer):
                letter = Letter(record)
                wanted = stage in (None, letter.headers.stage) and (
                    poison or not letter.headers.poison
                )
                seen = {
                    TopicPartition(
                        record.origin.topic, record.origin.partition
                    ): record.origin.offset + 1
                }
                looked_at |= seen
                if (
                    not wanted
                    or not letter.headers.whole
                    or letter.headers.topic not in set(topics)
                ):
                    left += 1
                    continue
                try:
                    await producer.confirm([await producer.send(letter.original())])
                except RecordTooLarge:  # it stays where it is, and must not keep those behind it
                    left += 1
                    continue
                # At once, and only what was looked at: the consumer has fetched further, and the next send may fail.
                await consumer.commit(seen)
                replayed += 1
                if replayed == limit:
                    break
            if looked_at:
                await consumer.commit(looked_at)
    finally:
        await producer.stop()
    return Replay(replayed, left)


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")
