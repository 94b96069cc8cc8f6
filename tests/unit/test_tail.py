"""Reading topics up to their end: all of it, no more, and where it cannot be read one sentence that says so."""

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
from streams.errors import BrokerUnreachable, StreamError
from streams.kafka import reader as tail
from streams.kafka.reader import DamagedBatch, follow, seek_recent, since, until_end

A, B = TopicPartition("t", 0), TopicPartition("t", 1)
START_MS = 1_000_000
"""When the first record of each partition was written; one a second follows."""
READ_TOGETHER = 3


class Log:
    """A consumer over partitions of so many records, some of which cannot be read."""

    def __init__(self, **records: int) -> None:
        self.ends = {{"a": A, "b": B}[name]: count for name, count in records.items()}
        self.positions = dict.fromkeys(self.ends, 0)
        self.damaged: dict[TopicPartition, int] = {}
        self.holes: set[int] = set()
        self.error: Exception = CorruptRecordException()
        self.silent = False
        self.grows_by = 0
        self.knows_times = True

    def assignment(self) -> set[TopicPartition]:
        """Every partition."""
        return set(self.ends)

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Where they end now; from then on they grow."""
        ends = {partition: self.ends[partition] for partition in partitions}
        self.ends = {partition: end + self.grows_by for partition, end in self.ends.items()}
        return ends

    async def offsets_for_times(
        self, times: dict[TopicPartition, int]
    ) -> dict[TopicPartition, Any]:
        """The first record since then, None where there is none."""
        if not self.knows_times:
            raise UnsupportedVersionError
        firsts = {p: -(-max(0, at_ms - START_MS) // 1000) for p, at_ms in times.items()}
        return {
            p: OffsetAndTimestamp(first, 0) if first < self.ends[p] else None
            for p, first in firsts.items()
        }

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go there."""
        self.positions[partition] = offset

    async def position(self, partition: TopicPartition) -> int:
        """Where the next record is read."""
        return self.positions[partition]

    async def getmany(
        self, partition: TopicPartition, *, max_records: int | None = None, **_: int
    ) -> dict[TopicPartition, list[Any]]:
        """Some records; a batch with a damaged one fails as a whole."""
        at = self.positions[partition]
        to = min(self.ends[partition], at + (max_records or READ_TOGETHER))
        if self.silent or at == to:
            return {}
        if at <= self.damaged.get(partition, -1) < to:
            raise self.error
        self.positions[partition] = to
        return {
            partition: [
                _record(partition, offset) for offset in range(at, to) if offset not in self.holes
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
    """Where each record was."""
    return [(one.origin.partition, one.origin.offset) async for one in records]


def read(log: Log) -> AsyncIterator[Incoming]:
    """All of it."""
    return until_end(log)  # type: ignore[arg-type] # all it asks of a consumer


async def test_every_record_up_to_the_end() -> None:
    """The last records, or a whole partition, would be missing from an audit or a bill."""
    assert await places(read(Log(a=7, b=2))) == [(0, n) for n in range(7)] + [(1, 0), (1, 1)]
    assert await places(read(Log(a=0, b=1))) == [(1, 0)]


async def test_the_end_is_where_it_was_at_the_start() -> None:
    """On a busy topic a command would never come back."""
    log = Log(a=2)
    log.grows_by = 1_000
    assert len(await places(read(log))) < 2 + READ_TOGETHER


async def test_offsets_without_a_record_are_no_end() -> None:
    """Transactions and compaction leave holes; reading would stop at the first, or wait there for ever."""
    log = Log(a=6)
    log.holes = {0, 1, 2, 5}
    assert await places(read(log)) == [(0, 3), (0, 4)]


async def test_a_damaged_batch_is_said_by_its_place() -> None:
    """The person who restores it would have to search for it; everything before it is read."""
    log = Log(a=9)
    log.damaged = {A: 7}
    records = read(log)
    assert [(await anext(records)).origin.offset for _ in range(7)] == list(range(7))
    with pytest.raises(DamagedBatch, match=r"t\[0\]@7 .*CorruptRecordException") as caught:
        await anext(records)
    assert "\n" not in str(caught.value)


async def test_bytes_that_cannot_be_taken_apart_are_damage() -> None:
    """What is inside aiokafka's parser would come out as a traceback."""
    log = Log(a=3)
    log.damaged, log.error = {A: 1}, ValueError("not enough bytes")
    with pytest.raises(DamagedBatch, match=r"t\[0\]@1"):
        await places(read(log))


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError(), KafkaError()])
async def test_a_broker_that_refuses_is_no_damage(error: KafkaError) -> None:
    """A missing permission would be reported as a record that somebody has changed."""
    log = Log(a=3)
    log.damaged, log.error = {A: 1}, error
    with pytest.raises(StreamError, match=type(error).__name__) as caught:
        await places(read(log))
    assert not isinstance(caught.value, DamagedBatch)
    assert "\n" not in str(caught.value)


async def test_a_broker_that_falls_silent_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command would hang, or take half a topic for all of it."""
    monkeypatch.setattr(tail, "SILENCE_S", 0.0)
    log = Log(a=3)
    log.silent = True
    with pytest.raises(BrokerUnreachable, match=r"t\[0\] ends at 3.*from 0"):
        await places(read(log))


async def sought(log: Log, *args: Any) -> dict[TopicPartition, int]:
    """Where reading begins."""
    await seek_recent(log, *args)  # type: ignore[arg-type] # all it asks of a consumer
    return log.positions


async def test_the_last_records_of_each_partition() -> None:
    """A chain would be continued from the wrong record."""
    assert await sought(Log(a=7, b=2), 3) == {A: 4, B: 0}
    assert await sought(Log(a=7, b=2), 0) == {A: 7, B: 2}


async def test_the_first_record_since_a_time() -> None:
    """Answers given just before a restart would be missed; a partition with none since is at its end."""
    assert await sought(Log(a=7, b=2), 0, START_MS / 1000 + 3) == {A: 3, B: 2}
    assert await sought(Log(a=7, b=2), 5, START_MS / 1000 + 3) == {A: 2, B: 0}
    assert await sought(Log(a=7), 0, -60.0) == {A: 0}, "before any clock"


async def test_without_times_everything_is_read() -> None:
    """A broker that cannot look up times would have everything answered before paid again."""
    log = Log(a=7, b=2)
    log.knows_times = False
    assert await sought(log, 0, START_MS / 1000 + 3) == {A: 0, B: 0}


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """What `reading` gives."""
    opened = Log(a=5)

    @asynccontextmanager
    async def reading(*_: Any, from_beginning: bool) -> AsyncIterator[Log]:
        assert from_beginning
        yield opened

    monkeypatch.setattr(tail, "reading", reading)
    return opened


async def test_since_ends_and_follow_goes_on(log: Log) -> None:
    """A worker would wait for ever before its first case; or the library stop growing after the first read."""
    at_s = START_MS / 1000 + 3
    assert await places(since(KafkaSection(), ["t"], at_s)) == [(0, 3), (0, 4)]
    log.positions = {A: 0}
    following = follow(KafkaSection(), ["t"], at_s)
    assert [(await anext(following)).origin.offset for _ in range(2)] == [3, 4]
    log.ends = {A: 6}
    one = await anext(following)
    assert (one.origin.offset, one.received_at_s) == (5, (START_MS + 5000) / 1000)
    await following.aclose()  # type: ignore[attr-defined] # it is a generator
