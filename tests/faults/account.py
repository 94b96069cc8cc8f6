"""The account of a fault test: its outputs, and the commits that came too early.

A commit is too early if it covers an input whose outputs are not on the topics yet.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.codec import decode
from schemas.event import DOMAINS
from schemas.triaged import TriagedEvent
from streams.config import Settings
from streams.kafka.connection import connection
from streams.topics import MAX_MESSAGE_BYTES, Topics

AUDIT_EVERY_S = 0.3


@dataclass
class Account:
    """Follows the outputs and the committed offsets of a pipeline during faults.

    Attributes:
        settings: the settings of the pipeline.
        copies: the triaged events by id. There may be copies, and several revisions.
        origins: partition and offset of all inputs that have an output, by topic.
        dead_letters: topic, partition and offset of the inputs that became dead letters.
        overruns: the inputs whose offset was committed before any of their outputs was on a topic.
        audits: how often the commits were compared with the outputs.
        highest_committed: the sum of all committed offsets at the last audit.
    """

    settings: Settings
    copies: dict[str, list[TriagedEvent]] = field(default_factory=lambda: defaultdict(list))
    origins: dict[str, set[tuple[int, int]]] = field(default_factory=lambda: defaultdict(set))
    dead_letters: list[tuple[str, int, int]] = field(default_factory=list)
    overruns: set[tuple[str, int, int]] = field(default_factory=set)
    audits: int = 0
    highest_committed: int = 0

    async def follow(self, stop: asyncio.Event) -> None:
        """Read outputs and audit commits until `stop` is set. Then read the rest."""
        topics = Topics(self.settings.topics.prefix)
        outputs = [*(topics.triaged(domain) for domain in DOMAINS), topics.deadletter]
        consumer = await _consumer(self.settings, outputs)
        try:
            while not stop.is_set():
                with suppress(KafkaError, OSError):  # some tests stop the broker
                    await self._audit(consumer)
                await asyncio.sleep(AUDIT_EVERY_S)
            await self._read_to_end(consumer)
        finally:
            await consumer.stop()

    async def _audit(self, consumer: AIOKafkaConsumer) -> None:
        """Compare the commits with the outputs.

        The commits are read first. So the outputs of all inputs that they cover must be there.
        """
        committed = await committed_offsets(self.settings)
        await self._read_to_end(consumer)
        topics = Topics(self.settings.topics.prefix)
        for domain in DOMAINS:
            topic = topics.input(domain)
            for partition, offset in committed.get(topic, {}).items():
                covered = {(partition, input_offset) for input_offset in range(offset)}
                missing = covered - self.origins[topic]
                self.overruns |= {(topic, *place) for place in missing}
        self.highest_committed = sum(sum(offsets.values()) for offsets in committed.values())
        self.audits += 1

    async def _read_to_end(self, consumer: AIOKafkaConsumer) -> None:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(p) < end for p, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    self.note(record)

    def note(self, record: Any) -> None:
        """Take one record of an output topic into the account."""
        if record.topic.endswith(".deadletter.v1"):
            headers = dict(record.headers)
            topic, partition, offset = (
                headers[f"__connect.errors.{part}"].decode()
                for part in ("topic", "partition", "offset")
            )
            self.dead_letters.append((topic, int(partition), int(offset)))
            self.origins[topic].add((int(partition), int(offset)))
            return
        triaged = decode(record.value, TriagedEvent)
        assert record.key == triaged.id.encode()
        self.copies[triaged.id].append(triaged)
        self.origins[triaged.origin.topic].add((triaged.origin.partition, triaged.origin.offset))

    def missing(self, ids: Sequence[str]) -> list[str]:
        """The ids without any output."""
        return [id_ for id_ in ids if id_ not in self.copies]

    def unended(self) -> list[str]:
        """The ids of escalated events without a later revision."""
        return [
            id_
            for id_, copies in self.copies.items()
            if any(copy.status == "provisional" for copy in copies)
            and all(copy.revision == 0 for copy in copies)
        ]

    def disagreeing(self) -> list[str]:
        """The ids with two copies of one revision that differ in more than their timing."""
        return [
            id_
            for id_, copies in self.copies.items()
            if len(_answers(copies)) != len(_revisions(copies))
        ]

    def duplicates(self) -> int:
        """How many copies there are beyond the first of each revision of each id."""
        return sum(len(copies) - len(_revisions(copies)) for copies in self.copies.values())


async def committed_offsets(settings: Settings) -> dict[str, dict[int, int]]:
    """The committed offsets of the group, by topic and partition."""
    admin = AIOKafkaAdminClient(**connection(settings.kafka))
    try:
        await admin.start()
        offsets = await admin.list_consumer_group_offsets(settings.kafka.group_id)
    finally:
        await admin.close()
    committed: dict[str, dict[int, int]] = defaultdict(dict)
    for partition, entry in offsets.items():
        if entry.offset >= 0:
            committed[partition.topic][partition.partition] = entry.offset
    return committed


async def _consumer(settings: Settings, topics: Sequence[str]) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(
        **connection(settings.kafka),
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
    )
    await consumer.start()
    numbers = range(settings.topics.partitions)
    partitions = [TopicPartition(topic, number) for topic in topics for number in numbers]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    return consumer


def _revisions(copies: Sequence[TriagedEvent]) -> set[int]:
    return {copy.revision for copy in copies}


def _answers(copies: Sequence[TriagedEvent]) -> set[str]:
    """The different answers among the copies, as strings."""
    return {repr(_answer(copy)) for copy in copies}


def _answer(triaged: TriagedEvent) -> tuple[object, ...]:
    """All fields that must be equal in the copies of one revision."""
    return (
        triaged.revision,
        triaged.status,
        triaged.decided_by,
        triaged.labels,
        triaged.queue,
        triaged.reasons,
        triaged.model,
        triaged.calibration,
        triaged.origin,
    )
