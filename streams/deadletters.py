"""Find dead letters, and send them back to the topics they came from."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.outcomes import Incoming
from schemas.deadletter import DeadLetterHeaders, original_headers
from streams.config import Settings
from streams.errors import RecordTooLarge
from streams.kafka.producer import Producer
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
        headers = self.headers
        origin = f"{headers.topic}[{headers.partition}]@{headers.offset}"
        preview = (self.record.value or b"").decode("utf-8", "replace")[:PREVIEW_CHARS]
        return f"{origin}  {headers.stage}  {headers.disposition}  {headers.message}  {preview!r}"

    def describe(self) -> dict[str, Any]:
        """All of it, for a program."""
        headers = self.headers
        return {
            "topic": headers.topic,
            "partition": headers.partition,
            "offset": headers.offset,
            "stage": headers.stage,
            "error": headers.error,
            "message": headers.message,
            "disposition": headers.disposition,
            "attempt": headers.attempt,
            "key": _text(self.record.key),
            "value": _text(self.record.value),
        }

    def original(self) -> Record:
        """The record as it was first read, with the count of its attempts."""
        headers = original_headers(self.record.headers)
        return Record(self.headers.topic, self.record.key, self.record.value, headers)


@dataclass(frozen=True, slots=True)
class Replay:
    """How many dead letters `replay` sent back, and how many of those it looked at it left."""

    replayed: int
    left: int


async def find(settings: Settings, *, stage: str | None = None) -> AsyncIterator[Letter]:
    """Yield every dead letter on the topic, oldest first; with `stage` only those of that stage.

    Raises:
        BrokerUnreachable: no broker answers.
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
    """Send dead letters back, at most `limit` of them.

    A consumer group of its own remembers how far the topic was looked at, so no letter is sent
    twice. Each combination of `stage` and `poison` has its own group: a letter that one of them
    leaves must still be there for the next.

    Raises:
        BrokerUnreachable: no broker answers.
        DeliveryFailed: the broker did not take a letter. Those before it are replayed, and the
            group remembers that.
    """
    topics = Topics(settings.topics.prefix)
    known_topics = set(topics)

    def selects(letter: Letter) -> bool:
        headers = letter.headers
        return (
            stage in (None, headers.stage)
            and (poison or not headers.poison)
            and headers.whole
            and headers.topic in known_topics
        )

    producer = Producer(settings.kafka)
    await producer.start()
    try:
        async with reading(
            settings.kafka,
            [topics.deadletter],
            from_beginning=True,
            group_id=_group_id(settings, stage=stage, poison=poison),
        ) as consumer:
            return await _replay(consumer, producer, selects, limit)
    finally:
        await producer.stop()


def _group_id(settings: Settings, *, stage: str | None, poison: bool) -> str:
    disposition = "all" if poison else "retryable"
    return f"{settings.kafka.group_id}-replay-{stage or 'every-stage'}-{disposition}"


async def _replay(
    consumer: AIOKafkaConsumer,
    producer: Producer,
    selects: Callable[[Letter], bool],
    limit: int | None,
) -> Replay:
    replayed = left = 0
    looked_at: dict[TopicPartition, int] = {}
    async for record in until_quiet(consumer):
        letter = Letter(record)
        partition = TopicPartition(record.origin.topic, record.origin.partition)
        looked_at[partition] = record.origin.offset + 1
        if not selects(letter) or not await _send_back(letter, producer):
            left += 1
            continue
        # At once, because the next send may fail; and only what was looked at, because the
        # consumer has fetched more.
        await consumer.commit({partition: looked_at[partition]})
        replayed += 1
        if replayed == limit:
            break
    if looked_at:
        await consumer.commit(looked_at)
    return Replay(replayed, left)


async def _send_back(letter: Letter, producer: Producer) -> bool:
    """Returns False if the letter is too large; it stays, and must not block those behind it."""
    try:
        await producer.confirm([await producer.send(letter.original())])
    except RecordTooLarge:
        return False
    return True


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")
