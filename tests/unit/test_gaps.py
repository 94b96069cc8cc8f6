"""Gaps in the offsets: those that the topic has, and those that hide lost records."""

import asyncio
import logging

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, OffsetOutOfRangeError

from streams.config import KafkaSection
from streams.errors import OffsetGap
from streams.kafka import gaps
from streams.kafka.gaps import WORTH_A_WARNING, GapCheck
from streams.kafka.offsets import Gap, Partition
from tests.kafka_log import KafkaLog
from tests.patience import PATIENCE_S

P = Partition("t", 0)
END = 100


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> KafkaLog:
    """The partition that is checked; every offset of it has a record."""
    partition_log = KafkaLog({TopicPartition(*P): END})
    partition_log.install(monkeypatch, gaps)
    return partition_log


@pytest.fixture
def check() -> GapCheck:
    """A check that has not connected yet."""
    return GapCheck(KafkaSection())


async def test_skipped_records_are_an_error_and_are_named(log: KafkaLog, check: GapCheck) -> None:
    """Records that the consumer jumped over would be committed and lost."""
    log.gaps = set(range(5))
    with pytest.raises(OffsetGap, match=r"offsets 3 to 6 of t\[0\] were skipped"):
        await check.verify(Gap(P, 3, 7))


async def test_offsets_without_a_record_are_no_error(log: KafkaLog, check: GapCheck) -> None:
    """Each transaction marker would stop the worker."""
    log.gaps = {3, 4, 5, 6}
    await check.verify(Gap(P, 3, 7))
    assert log.options["group_id"] is None, "a member of the group would start a rebalance"


async def test_one_connection_serves_all_gaps(log: KafkaLog, check: GapCheck) -> None:
    """On a topic with transactions, every second record would open a connection."""
    log.gaps = {3, 8}
    await asyncio.gather(check.verify(Gap(P, 3, 4)), check.verify(Gap(P, 8, 9)))
    assert log.opened == 1
    await check.stop()
    assert log.stopped == 1


async def test_a_check_that_never_connected_can_be_stopped(log: KafkaLog, check: GapCheck) -> None:
    """A worker without a gap would end with an error."""
    await check.stop()
    assert log.stopped == 0


@pytest.mark.parametrize(
    ("begin", "size", "warns"),
    [
        (1, WORTH_A_WARNING, True),
        (1, WORTH_A_WARNING - 1, False),
        (0, 5 * WORTH_A_WARNING, False),
    ],
    ids=["long", "short", "expired before the group began"],
)
async def test_only_a_long_gap_is_worth_a_warning(
    log: KafkaLog,
    check: GapCheck,
    caplog: pytest.LogCaptureFixture,
    begin: int,
    size: int,
    warns: bool,
) -> None:
    """Retention would take unread events silently, or each transaction would be logged."""
    log.gaps = set(range(begin, begin + size))
    with caplog.at_level(logging.WARNING):
        await check.verify(Gap(P, begin, begin + size))
    assert ["no longer exist" in message for message in caplog.messages] == [True] * warns


@pytest.mark.parametrize("when", ["connecting", "reading"])
async def test_a_broker_that_refuses_leaves_the_gap_unchecked(
    log: KafkaLog, check: GapCheck, when: str
) -> None:
    """A gap that nobody could check would be taken for an empty one."""
    if when == "connecting":
        log.refusal = KafkaConnectionError()
    else:
        log.damaged, log.error = {TopicPartition(*P): 3}, OffsetOutOfRangeError({})
    with pytest.raises(OffsetGap, match="could not be checked"):
        await check.verify(Gap(P, 3, 7))


async def test_a_silent_broker_leaves_the_gap_unchecked(
    log: KafkaLog, check: GapCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker would hang at the gap for ever."""
    monkeypatch.setattr(gaps, "TIMEOUT_S", 0.02)
    log.silent = True
    with pytest.raises(OffsetGap, match=r"could not be checked \(TimeoutError"):
        await asyncio.wait_for(check.verify(Gap(P, 3, 7)), PATIENCE_S)
