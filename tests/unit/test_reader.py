"""Reading topics: up to their end and no further, and one sentence if they cannot be read."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError

from agents.outcomes import Incoming
from streams.config import KafkaSection
from streams.errors import BrokerUnreachable, DamagedBatch, StreamError
from streams.kafka import reader
from streams.kafka.reader import follow, reading, seek_recent, since, until_end, until_quiet
from tests.kafka_log import READ_TOGETHER, START_MS, KafkaLog

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


def log_of(**records: int) -> KafkaLog:
    """A log of the partitions `a` and `b` with so many records."""
    return KafkaLog({{"a": A, "b": B}[name]: count for name, count in records.items()})


async def places(records: AsyncIterator[Incoming]) -> list[tuple[int, int]]:
    """The partition and offset of each record."""
    return [(record.origin.partition, record.origin.offset) async for record in records]


def read(log: KafkaLog) -> AsyncIterator[Incoming]:
    """Every record up to the end."""
    return until_end(log)


async def test_every_record_up_to_the_end() -> None:
    """An audit or a bill would lack the last records, or a whole partition."""
    assert await places(read(log_of(a=7, b=2))) == [(0, n) for n in range(7)] + [(1, 0), (1, 1)]
    assert await places(read(log_of(a=0, b=1))) == [(1, 0)]


async def test_the_end_is_where_it_was_at_the_start() -> None:
    """On a busy topic, a command would never end."""
    log = log_of(a=2)
    log.grows_by = 1_000
    assert len(await places(read(log))) < 2 + READ_TOGETHER


async def test_offsets_without_a_record_do_not_end_reading() -> None:
    """Reading would stop at a gap of compaction or transactions, or wait there for ever."""
    log = log_of(a=6)
    log.gaps = {0, 1, 2, 5}
    assert await places(read(log)) == [(0, 3), (0, 4)]


async def test_a_damaged_batch_is_reported_by_its_offset() -> None:
    """Whoever restores it would have to search for it. Everything before it is read."""
    log = log_of(a=9)
    log.damaged = {A: 7}
    records = read(log)
    assert [(await anext(records)).origin.offset for _ in range(7)] == list(range(7))
    with pytest.raises(DamagedBatch, match=r"t\[0\]@7 .*CorruptRecordException") as caught:
        await anext(records)
    assert "\n" not in str(caught.value)


async def test_bytes_that_cannot_be_parsed_are_damage() -> None:
    """An error in aiokafka's parser would end in a traceback."""
    log = log_of(a=3)
    log.damaged, log.error = {A: 1}, ValueError("not enough bytes")
    with pytest.raises(DamagedBatch, match=r"t\[0\]@1"):
        await places(read(log))


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError(), KafkaError()])
async def test_a_refusal_of_the_broker_is_not_damage(error: KafkaError) -> None:
    """A missing permission would be reported as a changed record."""
    log = log_of(a=3)
    log.damaged, log.error = {A: 1}, error
    with pytest.raises(StreamError, match=type(error).__name__) as caught:
        await places(read(log))
    assert not isinstance(caught.value, DamagedBatch)
    assert "\n" not in str(caught.value)


async def test_a_silent_broker_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command would hang, or take a part of a topic for all of it."""
    monkeypatch.setattr(reader, "SILENCE_S", 0.0)
    log = log_of(a=3)
    log.silent = True
    with pytest.raises(BrokerUnreachable, match=r"t\[0\] ends at 3.*from 0"):
        await places(read(log))


async def positions_after_seek(log: KafkaLog, *args: Any) -> dict[TopicPartition, int]:
    """Where reading begins after `seek_recent`."""
    await seek_recent(log, *args)
    return log.positions


async def test_the_last_records_of_each_partition() -> None:
    """A chain would be continued behind the wrong record."""
    assert await positions_after_seek(log_of(a=7, b=2), 3) == {A: 4, B: 0}
    assert await positions_after_seek(log_of(a=7, b=2), 0) == {A: 7, B: 2}


async def test_the_first_record_since_a_time() -> None:
    """Answers from just before a restart would be missed, or a quiet partition read in full."""
    assert await positions_after_seek(log_of(a=7, b=2), 0, START_MS / 1000 + 3) == {A: 3, B: 2}
    assert await positions_after_seek(log_of(a=7, b=2), 5, START_MS / 1000 + 3) == {A: 2, B: 0}
    assert await positions_after_seek(log_of(a=7), 0, -60.0) == {A: 0}, "a time before 1970"


async def test_without_times_everything_is_read() -> None:
    """With a broker that cannot look up times, every answered case would be paid again."""
    log = log_of(a=7, b=2)
    log.knows_times = False
    assert await positions_after_seek(log, 0, START_MS / 1000 + 3) == {A: 0, B: 0}


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> KafkaLog:
    """The log that the reader opens."""
    opened = log_of(a=5)
    opened.install(monkeypatch, reader)
    return opened


@pytest.mark.parametrize("refusal", [KafkaConnectionError(), OSError("no route")])
async def test_a_broker_that_does_not_answer_is_one_sentence(
    log: KafkaLog, refusal: Exception
) -> None:
    """A command would end with a traceback, or leave a connection open."""
    log.refusal = refusal
    with pytest.raises(BrokerUnreachable, match="no Kafka broker answers") as caught:
        async with reading(KafkaSection(), ["t"], from_beginning=True):
            pytest.fail("there is nothing to read")
    assert "\n" not in str(caught.value)
    assert log.stopped == 1


async def test_a_reader_disconnects_after_an_error(log: KafkaLog) -> None:
    """A command that fails while it reads would leave a connection open."""
    with pytest.raises(KeyError):
        async with reading(KafkaSection(), ["t"], from_beginning=True):
            raise KeyError
    assert log.stopped == 1


@pytest.mark.parametrize(("from_beginning", "reset"), [(True, "earliest"), (False, "latest")])
async def test_a_reader_commits_nothing_and_begins_where_it_is_told(
    log: KafkaLog, from_beginning: bool, reset: str
) -> None:
    """A command would move the offsets of a group, or show the wrong end of a topic."""
    async with reading(KafkaSection(), ["t"], from_beginning=from_beginning, group_id="g"):
        assert log.options["enable_auto_commit"] is False
        assert (log.options["group_id"], log.options["auto_offset_reset"]) == ("g", reset)


async def test_reading_until_quiet_ends_when_nothing_comes(log: KafkaLog) -> None:
    """The demo would never end, or miss the records of the second batch."""
    async with reading(KafkaSection(), ["t"], from_beginning=True) as consumer:
        assert await places(until_quiet(consumer)) == [(0, n) for n in range(5)]


async def test_since_ends_and_follow_goes_on(log: KafkaLog) -> None:
    """A worker would never begin its first case, or the library would not grow any more."""
    at_s = START_MS / 1000 + 3
    assert await places(since(KafkaSection(), ["t"], at_s)) == [(0, 3), (0, 4)]
    following = follow(KafkaSection(), ["t"], at_s)
    assert [(await anext(following)).origin.offset for _ in range(2)] == [3, 4]
    log.ends = {A: 6}
    record = await anext(following)
    assert (record.origin.offset, record.received_at_s) == (5, (START_MS + 5000) / 1000)
    await following.aclose()  # type: ignore[attr-defined] # it is a generator
