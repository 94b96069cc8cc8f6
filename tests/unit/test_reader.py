"""Reading topics: up to their end and no further, and one sentence if they cannot be read."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    KafkaError,
    TopicAuthorizationFailedError,
    UnsupportedVersionError,
)
from aiokafka.structs import OffsetAndTimestamp

from agents.outcomes import Incoming
from streams.config import KafkaSection
from streams.errors import BrokerUnreachable, DamagedBatch, StreamError
from streams.kafka import reader
from streams.kafka.reader import follow, seek_recent, since, until_end

A, B = TopicPartition("t", 0), TopicPartition("t", 1)
START_MS = 1_000_000
"""When the first record of each partition was written; one more follows every second."""
READ_TOGETHER = 3


class Log:
    """A consumer of partitions with so many records, some of which cannot be read."""

    def __init__(self, **records: int) -> None:
        self.ends = {{"a": A, "b": B}[name]: count for name, count in records.items()}
        self.positions = dict.fromkeys(self.ends, 0)
        self.damaged: dict[TopicPartition, int] = {}
        self.gaps: set[int] = set()
        self.error: Exception = CorruptRecordException()
        self.silent = False
        self.grows_by = 0
        self.knows_times = True

    def assignment(self) -> set[TopicPartition]:
        """All partitions."""
        return set(self.ends)

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the partitions end now; they grow after each call."""
        ends = {partition: self.ends[partition] for partition in partitions}
        self.ends = {partition: end + self.grows_by for partition, end in self.ends.items()}
        return ends

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

    async def position(self, partition: TopicPartition) -> int:
        """The offset of the next record."""
        return self.positions[partition]

    async def getmany(
        self, partition: TopicPartition, *, max_records: int | None = None, **_: int
    ) -> dict[TopicPartition, list[Any]]:
        """Some records; a batch with a damaged record fails as a whole."""
        start = self.positions[partition]
        end = min(self.ends[partition], start + (max_records or READ_TOGETHER))
        if self.silent or start == end:
            return {}
        if start <= self.damaged.get(partition, -1) < end:
            raise self.error
        self.positions[partition] = end
        return {
            partition: [
                _record(partition, offset)
                for offset in range(start, end)
                if offset not in self.gaps
            ]
        }

    async def getone(self) -> Any:
        """The next record of the first partition."""
        batches = await self.getmany(A, max_records=1)
        return batches[A][0]


def _record(partition: TopicPartition, offset: int) -> Any:
    return SimpleNamespace(
        topic=partition.topic,
        partition=partition.partition,
        offset=offset,
        value=b"v",
        key=None,
        headers=(),
        timestamp=START_MS + 1000 * offset,
    )


async def places(records: AsyncIterator[Incoming]) -> list[tuple[int, int]]:
    """The partition and offset of each record."""
    return [(record.origin.partition, record.origin.offset) async for record in records]


def read(log: Log) -> AsyncIterator[Incoming]:
    """Every record up to the end."""
    return until_end(log)


async def test_every_record_up_to_the_end() -> None:
    """An audit or a bill would lack the last records, or a whole partition."""
    assert await places(read(Log(a=7, b=2))) == [(0, n) for n in range(7)] + [(1, 0), (1, 1)]
    assert await places(read(Log(a=0, b=1))) == [(1, 0)]


async def test_the_end_is_where_it_was_at_the_start() -> None:
    """On a busy topic, a command would never end."""
    log = Log(a=2)
    log.grows_by = 1_000
    assert len(await places(read(log))) < 2 + READ_TOGETHER


async def test_offsets_without_a_record_do_not_end_reading() -> None:
    """Reading would stop at a gap of compaction or transactions, or wait there for ever."""
    log = Log(a=6)
    log.gaps = {0, 1, 2, 5}
    assert await places(read(log)) == [(0, 3), (0, 4)]


async def test_a_damaged_batch_is_reported_by_its_offset() -> None:
    """Whoever restores it would have to search for it. Everything before it is read."""
    log = Log(a=9)
    log.damaged = {A: 7}
    records = read(log)
    assert [(await anext(records)).origin.offset for _ in range(7)] == list(range(7))
    with pytest.raises(DamagedBatch, match=r"t\[0\]@7 .*CorruptRecordException") as caught:
        await anext(records)
    assert "\n" not in str(caught.value)


async def test_bytes_that_cannot_be_parsed_are_damage() -> None:
    """An error in aiokafka's parser would end in a traceback."""
    log = Log(a=3)
    log.damaged, log.error = {A: 1}, ValueError("not enough bytes")
    with pytest.raises(DamagedBatch, match=r"t\[0\]@1"):
        await places(read(log))


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError(), KafkaError()])
async def test_a_refusal_of_the_broker_is_not_damage(error: KafkaError) -> None:
    """A missing permission would be reported as a changed record."""
    log = Log(a=3)
    log.damaged, log.error = {A: 1}, error
    with pytest.raises(StreamError, match=type(error).__name__) as caught:
        await places(read(log))
    assert not isinstance(caught.value, DamagedBatch)
    assert "\n" not in str(caught.value)


async def test_a_silent_broker_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command would hang, or take a part of a topic for all of it."""
    monkeypatch.setattr(reader, "SILENCE_S", 0.0)
    log = Log(a=3)
    log.silent = True
    with pytest.raises(BrokerUnreachable, match=r"t\[0\] ends at 3.*from 0"):
        await places(read(log))


async def positions_after_seek(log: Log, *args: Any) -> dict[TopicPartition, int]:
    """Where reading begins after `seek_recent`."""
    await seek_recent(log, *args)
    return log.positions


async def test_the_last_records_of_each_partition() -> None:
    """A chain would be continued behind the wrong record."""
    assert await positions_after_seek(Log(a=7, b=2), 3) == {A: 4, B: 0}
    assert await positions_after_seek(Log(a=7, b=2), 0) == {A: 7, B: 2}


async def test_the_first_record_since_a_time() -> None:
    """Answers from just before a restart would be missed, or a quiet partition read in full."""
    assert await positions_after_seek(Log(a=7, b=2), 0, START_MS / 1000 + 3) == {A: 3, B: 2}
    assert await positions_after_seek(Log(a=7, b=2), 5, START_MS / 1000 + 3) == {A: 2, B: 0}
    assert await positions_after_seek(Log(a=7), 0, -60.0) == {A: 0}, "a time before 1970"


async def test_without_times_everything_is_read() -> None:
    """With a broker that cannot look up times, every answered case would be paid again."""
    log = Log(a=7, b=2)
    log.knows_times = False
    assert await positions_after_seek(log, 0, START_MS / 1000 + 3) == {A: 0, B: 0}


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """The consumer that `reading` opens."""
    opened = Log(a=5)

    @asynccontextmanager
    async def open_log(*_: Any, from_beginning: bool) -> AsyncIterator[Log]:
        assert from_beginning
        yield opened

    monkeypatch.setattr(reader, "reading", open_log)
    return opened


async def test_since_ends_and_follow_goes_on(log: Log) -> None:
    """A worker would never begin its first case, or the library would not grow any more."""
    at_s = START_MS / 1000 + 3
    assert await places(since(KafkaSection(), ["t"], at_s)) == [(0, 3), (0, 4)]
    log.positions = {A: 0}
    following = follow(KafkaSection(), ["t"], at_s)
    assert [(await anext(following)).origin.offset for _ in range(2)] == [3, 4]
    log.ends = {A: 6}
    record = await anext(following)
    assert (record.origin.offset, record.received_at_s) == (5, (START_MS + 5000) / 1000)
    await following.aclose()  # type: ignore[attr-defined] # it is a generator
