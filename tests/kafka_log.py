"""aiokafka's consumer over partitions in memory, some of whose records cannot be read."""

import asyncio
from collections.abc import Iterable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, UnsupportedVersionError
from aiokafka.structs import OffsetAndTimestamp

from streams.audit import trail, verify
from streams.config import Settings
from tests.chains import Appended

START_MS = 1_770_000_000_000
"""When the first record of each partition was written; one more follows every second."""
READ_TOGETHER = 3


class KafkaLog:
    """A consumer of these partitions; `ends` says how many records each of them has.

    A `damaged` record fails its whole batch with `error`. A wrong CRC fails nothing if the consumer
    does not check CRCs. `refusal` is the error of a broker that does not let the consumer connect.
    `options` are those of the consumer that was opened last. `cluster` is the id of the cluster.
    """

    def __init__(self, ends: dict[TopicPartition, int]) -> None:
        self.ends = ends
        self.positions = dict.fromkeys(ends, 0)
        self.damaged: dict[TopicPartition, int] = {}
        self.begins: dict[TopicPartition, int] = {}
        self.gaps: set[int] = set()
        self.error: Exception = CorruptRecordException()
        self.refusal: Exception | None = None
        self.silent = False
        self.cluster = ""
        self.grows_by = 0
        self.knows_times = True
        self.options: dict[str, Any] = {}
        self.opened = self.stopped = self.rewound = 0
        self._appended: dict[tuple[TopicPartition, int], Appended] = {}
        # It fetches nothing, so its pace does not matter.
        self._fetcher = SimpleNamespace(_proc_fetch_request=None)

    @classmethod
    def of(cls, topic: str, appended: Iterable[Appended]) -> "KafkaLog":
        """A topic that holds these records."""
        log = cls({})
        for record in appended:
            log.append(topic, record)
        return log

    def append(self, topic: str, record: Appended) -> None:
        """Write one more record."""
        partition = TopicPartition(topic, record.place.partition)
        self._appended[partition, record.place.offset] = record
        self.ends[partition] = record.place.offset + 1
        self.positions.setdefault(partition, 0)

    def install(self, monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
        """Let this module open this consumer."""
        monkeypatch.setattr(module, "AIOKafkaConsumer", self.open)
        for asks in (trail, verify):
            monkeypatch.setattr(asks, "cluster_id", self._cluster_id)

    async def _cluster_id(self, _: Settings) -> str:
        return self.cluster

    def open(self, *_: str, **options: Any) -> "KafkaLog":
        """One more consumer, as `AIOKafkaConsumer` makes it."""
        self.opened += 1
        self.options = options
        self.positions = dict.fromkeys(self.ends, 0)
        return self

    async def start(self) -> None:
        """Connect, unless the broker refuses."""
        if self.refusal:
            raise self.refusal

    async def stop(self) -> None:
        """Disconnect."""
        self.stopped += 1

    async def committed(self, partition: TopicPartition) -> int | None:
        """How far the group has committed: up to the end, but for one record."""
        return max(0, self.ends[partition] - 1) or None

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read these partitions, which must exist."""
        assert set(partitions) <= set(self.ends)

    def assignment(self) -> set[TopicPartition]:
        """All partitions."""
        return set(self.ends)

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the partitions end now; they grow after each call."""
        ends = {partition: self.ends[partition] for partition in partitions}
        self.ends = {partition: end + self.grows_by for partition, end in self.ends.items()}
        return ends

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Where the partitions begin now."""
        return {partition: self.begins.get(partition, 0) for partition in partitions}

    async def offsets_for_times(
        self, times: dict[TopicPartition, int]
    ) -> dict[TopicPartition, Any]:
        """For each partition the first record since then, or None."""
        if not self.knows_times:
            raise UnsupportedVersionError
        firsts = {p: -(-max(0, at_ms - START_MS) // 1000) for p, at_ms in times.items()}
        return {
            p: OffsetAndTimestamp(first, 0) if first < self.ends[p] else None
            for p, first in firsts.items()
        }

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from this offset."""
        self.positions[partition] = offset

    async def seek_to_beginning(self) -> None:
        """Read every partition again."""
        self.rewound += 1
        self.positions = dict.fromkeys(self.ends, 0)

    async def position(self, partition: TopicPartition) -> int:
        """The offset of the next record."""
        return self.positions[partition]

    async def getmany(
        self, *partitions: TopicPartition, max_records: int | None = None, **_: int
    ) -> dict[TopicPartition, list[Any]]:
        """Some records of each partition; a batch with a damaged record fails as a whole."""
        await asyncio.sleep(0)
        batches = {}
        for partition in partitions or tuple(self.ends):
            start = self.positions[partition]
            end = min(self.ends[partition], start + (max_records or READ_TOGETHER))
            if self.silent or start == end:
                continue
            if start <= self.damaged.get(partition, -1) < end and not self._is_overlooked():
                raise self.error
            self.positions[partition] = end
            batches[partition] = [
                self._record(partition, offset)
                for offset in range(start, end)
                if offset not in self.gaps
            ]
        return batches

    async def getone(self, *partitions: TopicPartition) -> Any:
        """The next record; waits until there is one."""
        while True:
            for records in (await self.getmany(*partitions, max_records=1)).values():
                if records:
                    return records[0]

    def _is_overlooked(self) -> bool:
        """Whether nobody notices the damage."""
        is_crc = isinstance(self.error, CorruptRecordException)
        return is_crc and not self.options.get("check_crcs", True)

    def _record(self, partition: TopicPartition, offset: int) -> Any:
        appended = self._appended.get((partition, offset))
        return SimpleNamespace(
            topic=partition.topic,
            partition=partition.partition,
            offset=offset,
            value=appended.value if appended else b"v",
            key=appended.key if appended else None,
            headers=appended.headers if appended else (),
            timestamp=START_MS + 1000 * offset,
        )
