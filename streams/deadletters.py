"""Dead letters after the fact: finding them, and sending them back to where they came from."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from agents.outcomes import Incoming
from streams.config import Settings
from streams.delivery import Delivery, RecordTooLarge
from streams.outputs import ATTEMPT_HEADER, DISPOSITION_HEADER, ERROR_PREFIX, VALUE_BYTES_HEADER, Record
from streams.reader import reading, until_quiet
from streams.topics import Topics

PREVIEW_CHARS = 80


@dataclass(frozen=True, slots=True)
class Letter:
    """One record of the dead-letter topic."""

    record: Incoming

    def header(self, name: str) -> str:
        """The last header of that name, as text; empty where there is none."""
        values = [value for key, value in self.record.headers if key == name]
        return (values[-1] or b"").decode("utf-8", "replace") if values else ""

    @property
    def stage(self) -> str:
        """The step that refused it."""
        return self.header(f"{ERROR_PREFIX}stage")

    @property
    def poison(self) -> bool:
        """Whether no retry can help."""
        return self.header(DISPOSITION_HEADER) == "poison"

    @property
    def whole(self) -> bool:
        """Whether it holds its original value; one that was too large for the topic does not."""
        return not self.header(VALUE_BYTES_HEADER)

    def line(self) -> str:
        """One line for a person."""
        where = "{}[{}]@{}".format(*(self.header(f"{ERROR_PREFIX}{part}") for part in ("topic", "partition", "offset")))
        preview = (self.record.value or b"").decode("utf-8", "replace")[:PREVIEW_CHARS]
        why = self.header(f"{ERROR_PREFIX}exception.message")
        return f"{where}  {self.stage}  {self.header(DISPOSITION_HEADER)}  {why}  {preview!r}"

    def describe(self) -> dict[str, Any]:
        """Everything, for a program."""
        return {
            "topic": self.header(f"{ERROR_PREFIX}topic"),
            "partition": self.header(f"{ERROR_PREFIX}partition"),
            "offset": self.header(f"{ERROR_PREFIX}offset"),
            "stage": self.stage,
            "error": self.header(f"{ERROR_PREFIX}exception.class.name"),
            "message": self.header(f"{ERROR_PREFIX}exception.message"),
            "disposition": self.header(DISPOSITION_HEADER),
            "attempt": self.header(ATTEMPT_HEADER),
            "key": None if self.record.key is None else self.record.key.decode("utf-8", "replace"),
            "value": None if self.record.value is None else self.record.value.decode("utf-8", "replace"),
        }

    def original(self) -> Record:
        """The record as it first was, but for the count of attempts, which goes along."""
        kept = [(name, value) for name, value in self.record.headers if not name.startswith(ERROR_PREFIX)]
        kept = [(name, value) for name, value in kept if name != DISPOSITION_HEADER]
        return Record(self.header(f"{ERROR_PREFIX}topic"), self.record.key, self.record.value, kept)


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
            if stage in (None, letter.stage):
                yield letter


async def replay(settings: Settings, *, stage: str | None, poison: bool, limit: int | None) -> Replay:
    """Send dead letters back. A consumer group of its own remembers how far it has looked, so none goes twice.

    One group for each way of asking: what one filter leaves must still be there for the next.

    Raises:
        BrokerUnreachable: nothing answers there.
        DeliveryFailed: the broker did not take one; those before it are replayed and remembered.
    """
    topics = Topics(settings.topics.prefix)
    group_id = f"{settings.kafka.group_id}-replay-{stage or 'every-stage'}-{'all' if poison else 'retryable'}"
    delivery = Delivery(settings.kafka)
    replayed = left = 0
    looked_at: dict[TopicPartition, int] = {}
    await delivery.start()
    try:
        async with reading(settings.kafka, [topics.deadletter], from_beginning=True, group_id=group_id) as consumer:
            async for record in until_quiet(consumer):
                letter = Letter(record)
                wanted = stage in (None, letter.stage) and (poison or not letter.poison)
                seen = {TopicPartition(record.origin.topic, record.origin.partition): record.origin.offset + 1}
                looked_at |= seen
                if not wanted or not letter.whole or letter.header(f"{ERROR_PREFIX}topic") not in set(topics):
                    left += 1
                    continue
                try:
                    await delivery.confirm([await delivery.send(letter.original())])
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
        await delivery.stop()
    return Replay(replayed, left)
