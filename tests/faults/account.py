"""The books of a fault test: what went in, what came out, and whether a commit ever ran ahead of the outputs."""

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
    """Follows a pipeline's outputs and committed offsets while faults are injected.

    `overruns` lists inputs whose offset was committed although none of their outputs was on the topics yet.
    """

    settings: Settings
    copies: dict[str, list[TriagedEvent]] = field(default_factory=lambda: defaultdict(list))
    origins: dict[str, set[tuple[int, int]]] = field(default_factory=lambda: defaultdict(set))
    dead_letters: list[tuple[str, int, int]] = field(default_factory=list)
    overruns: set[tuple[str, int, int]] = field(default_factory=set)
    audits: int = 0
    highest_committed: int = 0

    async def follow(self, stop: asyncio.Event) -> None:
        """Read outputs and audit commits until told to stop; then read what is left."""
        topics = Topics(self.settings.topics.prefix)
        outputs = [*(topics.triaged(domain) for domain in DOMAINS), topics.deadletter]
        consumer = await _consumer(self.settings, outputs)
        try:
            while not stop.is_set():
                with suppress(
                    KafkaError, OSError
                ):  # the broker is one of the things that are stopped
                    await self._audit(consumer)
                await asyncio.sleep(AUDIT_EVERY_S)
            await self._read_to_end(consumer)
        finally:
            await consumer.stop()

    async def _audit(self, consumer: AIOKafkaConsumer) -> None:
        """First the commits, then the outputs up to now: whatever a commit covers must be among them."""
        committed = await committed_offsets(self.settings)
        await self._read_to_end(consumer)
        topics = Topics(self.settings.topics.prefix)
        for domain in DOMAINS:
            topic = topics.input(domain)
            for partition, offset in committed.get(topic, {}).items():
                seen = self.origins[topic]
                self.overruns |= {
                    (topic, partition, o) for o in range(offset) if (partition, o) not in seen
                }
        self.highest_committed = sum(sum(offsets.values()) for offsets in committed.values())
        self.audits += 1

    async def _read_to_end(self, consumer: AIOKafkaConsumer) -> None:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(p) < end for p, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    self._note(record)

    def _note(self, record: Any) -> None:
        if record.topic.endswith(".deadletter.v1"):
            headers = dict(record.headers)
            where = [
                headers[f"__connect.errors.{part}"].decode()
                for part in ("topic", "partition", "offset")
            ]
            self.dead_letters.append((where[0], int(where[1]), int(where[2])))
            self.origins[where[0]].add((int(where[1]), int(where[2])))
            return
        triaged = decode(record.value, TriagedEvent)
        assert record.key == triaged.id.encode()
        self.copies[triaged.id].append(triaged)
        self.origins[triaged.origin.topic].add((triaged.origin.partition, triaged.origin.offset))

    def missing(self, ids: Sequence[str]) -> list[str]:
        """Ids that went in and never came out."""
        return [id_ for id_ in ids if id_ not in self.copies]

    def unended(self) -> list[str]:
        """Escalated ids without a later revision."""
        return [
            id_
            for id_, copies in self.copies.items()
            if any(copy.status == "provisional" for copy in copies)
            and all(copy.revision == 0 for copy in copies)
        ]

    def disagreeing(self) -> list[str]:
        """Ids of which two copies of one revision differ in anything but their timing."""
        return [
            id_
            for id_, copies in self.copies.items()
            if len(_answers(copies)) != len({c.revision for c in copies})
        ]

    def duplicates(self) -> int:
        """Copies beyond the first of each revision of each id."""
        return sum(len(copies) - len(_revisions(copies)) for copies in self.copies.values())


async def committed_offsets(settings: Settings) -> dict[str, dict[int, int]]:
    """The group's committed offsets: topic → partition → offset."""
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
    partitions = [
        TopicPartition(topic, p) for topic in topics for p in range(settings.topics.partitions)
    ]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    return consumer


def _revisions(copies: Sequence[TriagedEvent]) -> set[int]:
    return {copy.revision for copy in copies}


def _answers(copies: Sequence[TriagedEvent]) -> set[str]:
    """Everything two copies must agree on, one string a distinct answer."""
    return {
        repr(
            (
                c.revision,
                c.status,
                c.decided_by,
                c.labels,
                c.queue,
                c.reasons,
                c.model,
                c.calibration,
                c.origin,
            )
        )
        for c in copies
    }
