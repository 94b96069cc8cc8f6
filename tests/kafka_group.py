"""aiokafka's consumer of a group, over partitions in memory: their logs, their commits, its errors.

`GroupMember` and `GapCheck` work on it as they are.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata

from streams.config import KafkaSection
from streams.errors import BatchTooLarge
from streams.kafka import gaps, member
from streams.kafka.commit_note import CommitNote
from streams.kafka.member import Committed
from streams.kafka.offsets import Partition

START_MS = 1_770_000_000_000
WAIT_S = 0.001
"""A consumer that finds no record waits for so long, whatever its caller allows."""


@dataclass
class Log:
    """The log of one partition, and all that a broker can do to it.

    A batch is `too_large` or `damaged` from its first to its last offset.
    """

    partition: Partition
    first: int = 0
    end: int = 0
    records: dict[int, Any] = field(default_factory=dict)
    too_large: tuple[int, int] | None = None
    damaged: tuple[int, int] | None = None
    silent: bool = False
    """No broker answers for this partition."""
    written: int = 0

    def append(self, value: bytes | None = None, key: bytes | None = None) -> int:
        """Write a record, whose value is unique if none is given; returns its offset."""
        offset = self.end
        self.records[offset] = SimpleNamespace(
            topic=self.partition.topic,
            partition=self.partition.partition,
            offset=offset,
            key=key,
            value=b"%d" % self.written if value is None else value,
            headers=(),
            timestamp=START_MS + self.written,
        )
        self.end += 1
        self.written += 1
        return offset

    def fill(self, count: int) -> None:
        """Write so many records."""
        for _ in range(count):
            self.append()

    def truncate(self, end: int) -> None:
        """Lose the end of the log, as in an unclean election."""
        self.end = end
        self.records = {offset: kept for offset, kept in self.records.items() if offset < end}

    def recreate(self) -> None:
        """Delete the topic and make it again."""
        self.first = self.end = 0
        self.records.clear()

    def expire(self, first: int) -> None:
        """Let retention delete everything before this offset."""
        self.first, self.end = first, max(first, self.end)
        self.records = {offset: kept for offset, kept in self.records.items() if offset >= first}

    def compact(self, *offsets: int) -> None:
        """Remove single records."""
        for offset in offsets:
            self.records.pop(offset, None)

    def next_offset(self, position: int) -> int | None:
        """The offset of the first record from a position on."""
        return min((offset for offset in self.records if offset >= position), default=None)


async def answering(_: KafkaSection) -> dict[str, Any]:
    """The arguments of a client, as if a broker had answered."""
    return {}


class Cluster:
    """The partitions of some topics, what the group has committed, and the consumers opened."""

    def __init__(self, *partitions: Partition) -> None:
        self.logs = {partition: Log(partition) for partition in partitions}
        self.commits: dict[Partition, OffsetAndMetadata] = {}
        self.history: list[dict[Partition, Committed]] = []
        """Every commit that was taken."""
        self.commit_error: Exception | None = None
        self.takes_commits = asyncio.Event()
        self.takes_commits.set()
        self.refusal: Exception | None = None
        self.consumers: list[Consumer] = []

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the members of groups and the gap checks open consumers of this cluster."""
        for module in (member, gaps):
            monkeypatch.setattr(module, "AIOKafkaConsumer", self.open)
            monkeypatch.setattr(module, "reachable_connection", answering)
        # These consumers announce no records, so a reader looks for them itself.
        monkeypatch.setattr(member, "READ_WAIT_S", WAIT_S)

    def open(self, **options: Any) -> "Consumer":
        """One more consumer, as `AIOKafkaConsumer` makes it."""
        consumer = Consumer(self, options)
        self.consumers.append(consumer)
        return consumer

    @property
    def member(self) -> "Consumer":
        """The consumer of the group that was opened last."""
        return next(
            consumer for consumer in reversed(self.consumers) if consumer.options["group_id"]
        )

    def commit(self, partition: Partition, offset: int, note: CommitNote | str = "") -> None:
        """Let the group have committed this."""
        text = note if isinstance(note, str) else note.encode()
        self.commits[partition] = OffsetAndMetadata(offset, text)

    def committed(self, partition: Partition) -> Committed:
        """What the group has committed."""
        commit = self.commits[partition]
        return Committed(commit.offset, CommitNote.decode(commit.metadata))


class Consumer:
    """The part of `AIOKafkaConsumer` that is used."""

    def __init__(self, cluster: Cluster, options: dict[str, Any]) -> None:
        self.cluster = cluster
        self.options = options
        self.topics: list[str] = []
        self.listener: Any = None
        self.calls: list[str] = []
        self.assigned: set[Partition] = set()
        self.positions: dict[Partition, int] = {}
        self.highwaters: dict[Partition, int] = {}
        self.responses: dict[Partition, int] = {}
        self.errors: dict[Partition, list[Exception]] = {}
        """What the next reads of a partition raise."""
        self.offset_errors: list[Exception] = []
        """What the next questions for the beginning of a log, or for the commits, raise."""
        self._coordinator = Coordinator(self)
        self._fetcher = SimpleNamespace(error_future=asyncio.Future(), _proc_fetch_request=None)

    async def start(self) -> None:
        """Connect, unless the cluster refuses."""
        self.calls.append("start")
        if self.cluster.refusal:
            raise self.cluster.refusal

    async def stop(self) -> None:
        """Disconnect."""
        self.calls.append("stop")

    def subscribe(self, topics: list[str], listener: Any) -> None:
        """Join the group; partitions come by `assign_all`."""
        self.topics, self.listener = topics, listener

    def assign(self, partitions: Iterable[Any]) -> None:
        """Read these partitions without a group."""
        self.assigned = {Partition(*partition) for partition in partitions}

    async def assign_all(self, *partitions: Partition) -> None:
        """Do a rebalance, after which these partitions are assigned, or else all of the topics."""
        await self.listener.on_partitions_revoked(self.assigned)
        every = {partition for partition in self.cluster.logs if partition.topic in self.topics}
        self.assigned = set(partitions) or every
        self.positions.clear()
        self.highwaters.clear()
        self.responses.clear()
        await self.listener.on_partitions_assigned(self.assigned)

    def assignment(self) -> set[Partition]:
        """The assigned partitions."""
        return self.assigned

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on at this offset."""
        if partition not in self.assigned:
            raise IllegalStateError(f"No current assignment for partition {partition}")
        self.positions[Partition(*partition)] = offset

    async def position(self, partition: Partition) -> int:
        """The offset to read next."""
        return self.positions[partition]

    def highwater(self, partition: Partition) -> int | None:
        """The end of the log at the last response."""
        return self.highwaters.get(partition)

    def last_poll_timestamp(self, partition: Partition) -> int | None:
        """When the last response came; here, the number of responses."""
        return self.responses.get(partition)

    async def beginning_offsets(self, partitions: list[Partition]) -> dict[Partition, int]:
        """Where the logs begin."""
        if self.offset_errors:
            raise self.offset_errors.pop(0)
        return {partition: self.cluster.logs[partition].first for partition in partitions}

    async def commit(self, commits: dict[Partition, OffsetAndMetadata]) -> None:
        """Commit, when the cluster takes commits."""
        await self.cluster.takes_commits.wait()
        if self.cluster.commit_error:
            raise self.cluster.commit_error
        assert set(commits) <= self.assigned
        self.cluster.commits |= commits
        self.cluster.history.append(
            {partition: self.cluster.committed(partition) for partition in commits}
        )

    async def getmany(
        self, partition: Partition, *, timeout_ms: int, max_records: int
    ) -> dict[Partition, list[Any]]:
        """The next record of a partition."""
        assert max_records == 1, "aiokafka loses the records before a damaged one"
        self._coordinator.check_errors()
        await asyncio.sleep(WAIT_S if timeout_ms else 0)
        if self.errors.get(partition):
            raise self.errors[partition].pop(0)
        if partition not in self.positions:
            raise NoOffsetForPartitionError(partition)
        log = self.cluster.logs[partition]
        if log.silent:
            return {}
        record = self._next(log)
        self.responses[partition] = self.responses.get(partition, 0) + 1
        self.highwaters[partition] = log.end
        return {partition: [record]} if record else {}

    async def getone(self, partition: Any) -> Any:
        """The next record; waits until there is one."""
        while not (found := await self.getmany(Partition(*partition), timeout_ms=1, max_records=1)):
            pass
        return found[Partition(*partition)][0]

    def _next(self, log: Log) -> Any | None:
        position = self.positions[log.partition]
        if not log.first <= position <= log.end:
            raise OffsetOutOfRangeError({log.partition: position})
        offset = log.next_offset(position)
        if offset is None:
            self.positions[log.partition] = log.end
            return None
        if log.damaged and log.damaged[0] <= offset <= log.damaged[1]:
            raise CorruptRecordException("Invalid CRC")
        if log.too_large and log.too_large[0] <= offset <= log.too_large[1]:
            topic, number = log.partition
            raise BatchTooLarge(topic, number, offset, log.too_large[1])
        self.positions[log.partition] = offset + 1
        return log.records[offset]


class Coordinator:
    """The part of aiokafka's group coordinator that is used."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._coordination_task: asyncio.Future[None] = asyncio.Future()
        self.pending: list[KafkaError] = []
        """The errors of the group that nobody has seen yet."""

    def check_errors(self) -> None:
        """Raise the next error of the group."""
        if self.pending:
            raise self.pending.pop(0)

    async def fetch_committed_offsets(
        self, partitions: list[Partition]
    ) -> dict[Partition, OffsetAndMetadata]:
        """What the group has committed, with its metadata."""
        if self._consumer.offset_errors:
            raise self._consumer.offset_errors.pop(0)
        commits = self._consumer.cluster.commits
        return {partition: commits[partition] for partition in partitions if partition in commits}
