"""This worker's member of the group, over aiokafka's consumer in memory."""

import asyncio
import logging
from typing import Any

import pytest
from aiokafka.errors import (
    CommitFailedError,
    ConsumerStoppedError,
    CorruptRecordException,
    GroupAuthorizationFailedError,
    IllegalStateError,
    InconsistentGroupProtocolError,
    KafkaConnectionError,
    KafkaError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
    UnknownError,
)

from streams.config import KafkaSection
from streams.errors import (
    BatchTooLarge,
    BrokerUnreachable,
    DamagedBatch,
    NoPosition,
    OutOfRange,
    StreamError,
)
from streams.kafka import member as module
from streams.kafka.batches import CorruptBatch
from streams.kafka.commit_note import CommitNote, LastRecord
from streams.kafka.member import (
    NEVER_MS,
    PROBLEM_S,
    Committed,
    GroupMember,
)
from streams.kafka.offsets import Partition
from tests.kafka_group import Cluster, Consumer

P, Q = Partition("t", 0), Partition("t", 1)
GROUP_PROBLEM = "this worker may not use the group triage; allow Read on the group"


class Bench:
    """A member of a group, its cluster, and the rebalances that it was told of."""

    def __init__(self, cluster: Cluster) -> None:
        self.now_s = 0.0
        self.cluster = cluster
        self.rebalances: list[tuple[str, set[Partition]]] = []
        self.member = GroupMember(
            KafkaSection(session_timeout_s=9, heartbeat_interval_s=2),
            {"t"},
            on_assigned=self._on_assigned,
            on_revoked=self._on_revoked,
            clock=lambda: self.now_s,
        )

    async def _on_assigned(self, partitions: set[Partition]) -> None:
        self.rebalances.append(("assigned", partitions))

    async def _on_revoked(self, partitions: set[Partition]) -> None:
        self.rebalances.append(("revoked", partitions))

    async def joined(self) -> "Bench":
        """Start, and get all partitions at offset 0."""
        await self.member.start()
        await self.consumer.assign_all()
        for partition in self.cluster.logs:
            self.member.seek(partition, 0)
        return self

    @property
    def consumer(self) -> Consumer:
        """The consumer that this member opened."""
        return self.cluster.member


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A member that has not started."""
    cluster = Cluster(P, Q)
    cluster.install(monkeypatch)
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    return Bench(cluster)


async def test_aiokafka_neither_commits_nor_resets_nor_leaves_by_itself(bench: Bench) -> None:
    """Events would be committed before they end, or skipped, or a busy worker leave the group."""
    await bench.joined()
    options = bench.consumer.options
    assert options["enable_auto_commit"] is False
    assert options["auto_offset_reset"] == "none"
    assert options["max_poll_interval_ms"] == NEVER_MS
    assert (options["session_timeout_ms"], options["heartbeat_interval_ms"]) == (9000, 2000)
    assert options["group_id"] == "triage"
    assert bench.consumer.topics == ["t"]


async def test_rebalances_are_passed_on_with_our_partitions(bench: Bench) -> None:
    """Nothing would be read, or go on being read after it was taken away."""
    await bench.joined()
    await bench.consumer.assign_all(Q)
    assert bench.rebalances == [
        ("revoked", set()),
        ("assigned", {P, Q}),
        ("revoked", {P, Q}),
        ("assigned", {Q}),
    ]
    assert all(str(partition).startswith("t[") for partition in bench.rebalances[1][1])
    assert bench.member.assignment() == {Q}


@pytest.mark.parametrize("refusal", [KafkaConnectionError("no"), OSError("no"), KeyError("bug")])
async def test_a_start_that_fails_leaves_nothing_open(bench: Bench, refusal: Exception) -> None:
    """A connection would stay open, and the message be a traceback."""
    bench.cluster.refusal = refusal
    expected = KeyError if isinstance(refusal, KeyError) else BrokerUnreachable
    with pytest.raises(expected):
        await bench.member.start()
    assert bench.consumer.calls == ["start", "stop"]
    assert bench.member.assignment() == set()


async def test_a_start_that_is_cancelled_leaves_nothing_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is stopped while it connects would end with a warning of aiokafka."""

    async def hang(self: Consumer) -> None:
        self.calls.append("start")
        await asyncio.Event().wait()

    monkeypatch.setattr(Consumer, "start", hang)
    starting = asyncio.create_task(bench.member.start())
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert bench.consumer.calls == ["start", "stop"]


async def test_a_member_is_stopped_once_and_takes_nothing_after(bench: Bench) -> None:
    """A commit after the end would raise an error that looks like a bug."""
    await bench.member.stop()
    await bench.joined()
    await bench.member.stop()
    await bench.member.stop()
    assert bench.consumer.calls == ["start", "stop"]
    assert bench.member.assignment() == set()
    with pytest.raises(BrokerUnreachable, match="not running"):
        await bench.member.commit({P: Committed(1, CommitNote())})


async def test_records_are_read_one_at_a_time_and_none_is_none(bench: Bench) -> None:
    """Records would be lost behind a damaged one, or a reader wait for a partition in vain."""
    await bench.joined()
    bench.cluster.logs[P].fill(2)
    records = [await bench.member.read(P, wait=False) for _ in range(2)]
    assert [record.offset for record in records if record] == [0, 1]
    assert await bench.member.read(P, wait=False) is None
    assert await bench.member.read(Q, wait=True) is None
    bench.member.seek(P, 1)
    record = await bench.member.read(P, wait=True)
    assert record is not None
    assert record.offset == 1


async def test_a_place_that_the_log_does_not_have_is_out_of_range(bench: Bench) -> None:
    """What was lost would be skipped without a word."""
    await bench.joined()
    bench.member.seek(P, 1)
    with pytest.raises(OutOfRange, match=r"t\[0\]"):
        await bench.member.read(P, wait=False)


async def test_a_partition_without_a_place_says_so(bench: Bench) -> None:
    """A new group would begin anywhere."""
    await bench.joined()
    bench.consumer.positions.clear()
    with pytest.raises(NoPosition, match=r"t\[0\]"):
        await bench.member.read(P, wait=False)


@pytest.mark.parametrize(
    "error",
    [CorruptRecordException("CRC"), RecordTooLargeError("size"), ValueError("not enough bytes")],
)
async def test_a_damaged_batch_is_named(bench: Bench, error: Exception) -> None:
    """One flipped byte would stop the worker, for every topic."""
    await bench.joined()
    bench.consumer.errors[P] = [error]
    with pytest.raises(DamagedBatch, match=rf"t\[0\] cannot be read on \({type(error).__name__}"):
        await bench.member.read(P, wait=False)
    assert bench.member.group_problem is None


async def test_the_offsets_of_a_damaged_batch_are_named(bench: Bench) -> None:
    """An operator could not tell which events are at stake, nor where to go on."""
    await bench.joined()
    bench.consumer.errors[P] = [CorruptBatch("CorruptRecordException", 7, 9)]
    with pytest.raises(DamagedBatch, match="the batch of offsets 7 to 9 is damaged"):
        await bench.member.read(P, wait=False)


async def test_a_batch_that_is_too_large_is_not_damaged(bench: Bench) -> None:
    """Its partition would wait for somebody to mend it."""
    await bench.joined()
    bench.consumer.errors[P] = [BatchTooLarge("t", 0, 0, 3)]
    with pytest.raises(BatchTooLarge):
        await bench.member.read(P, wait=False)


@pytest.mark.parametrize("error", [ConsumerStoppedError(), IllegalStateError("not assigned")])
async def test_a_reader_whose_partition_was_taken_away_waits_for_its_end(
    bench: Bench, error: Exception
) -> None:
    """An ordinary rebalance would stop the worker, or be read as a problem of the group."""
    await bench.joined()
    bench.consumer.errors[P] = [error]
    reading = asyncio.create_task(bench.member.read(P, wait=False))
    await asyncio.sleep(0.01)
    assert not reading.done()
    assert bench.member.group_problem is None
    reading.cancel()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (GroupAuthorizationFailedError("triage"), GROUP_PROBLEM),
        (
            TopicAuthorizationFailedError("t"),
            "this worker may not read .*t.*; allow Read on the topic",
        ),
        (
            InconsistentGroupProtocolError(),
            "the group triage has workers of another version; .* takes over when they have stopped",
        ),
        (
            UnknownError(),
            r"the group triage cannot be joined \(.*UnknownError.*\); check the broker's log",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("where", ["reading", "checking"])
async def test_an_error_of_the_group_is_a_sentence(
    bench: Bench, caplog: pytest.LogCaptureFixture, error: Any, sentence: str, where: str
) -> None:
    """A worker would be alive and idle, and nobody would know why."""
    await bench.joined()
    for _ in range(2):
        bench.consumer._coordinator.pending = [error]
        if where == "reading":
            assert await bench.member.read(P, wait=False) is None
        else:
            bench.member.check()
    assert bench.member.group_problem is not None
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(logged) == 1, "once, not at each attempt"
    with pytest.raises(AssertionError, match=f"^{sentence}$"):
        raise AssertionError(bench.member.group_problem)


async def test_a_problem_of_the_group_ends_when_it_no_longer_comes_up(bench: Bench) -> None:
    """A worker would stay unready, or a lasting problem show for a moment every second."""
    await bench.joined()
    bench.consumer._coordinator.pending = [GroupAuthorizationFailedError("triage")]
    bench.member.check()
    assert bench.member.group_problem == GROUP_PROBLEM, "partitions are assigned, and yet"
    bench.now_s = PROBLEM_S - 1
    bench.consumer._coordinator.pending = [GroupAuthorizationFailedError("triage")]
    bench.member.check()
    bench.now_s = 2 * PROBLEM_S - 2
    bench.member.check()
    assert bench.member.group_problem == GROUP_PROBLEM
    bench.now_s = 2 * PROBLEM_S
    bench.member.check()
    assert bench.member.group_problem is None


@pytest.mark.parametrize("which", ["coordination", "fetching"])
async def test_a_consumer_that_has_died_is_an_error(bench: Bench, which: str) -> None:
    """A worker that reads nothing any more would look alive for ever."""
    await bench.joined()
    bench.member.check()
    if which == "coordination":
        bench.consumer._coordinator._coordination_task.set_result(None)
    else:
        bench.consumer._fetcher.error_future.set_result(None)
    with pytest.raises(StreamError, match="restart the worker"):
        bench.member.check()


async def test_aiokafka_still_has_what_is_used_of_its_insides() -> None:
    """After an upgrade, errors of the group would end the worker with an AttributeError."""
    from aiokafka.consumer.fetcher import Fetcher
    from aiokafka.consumer.group_coordinator import GroupCoordinator

    names = GroupCoordinator.__init__.__code__.co_names
    assert {"_coordination_task", "_pending_exception"} <= set(names)
    assert {"check_errors", "fetch_committed_offsets"} <= set(dir(GroupCoordinator))
    assert isinstance(Fetcher.error_future, property)


async def test_notes_come_back_with_the_commits(bench: Bench) -> None:
    """The next worker would not know which log was read, or that an event kills workers."""
    await bench.joined()
    commits = {
        P: Committed(7, CommitNote(LastRecord(6, 123), 2, 7)),
        Q: Committed(0, CommitNote()),
    }
    assert await bench.member.commit(commits)
    assert await bench.member.committed([P, Q]) == commits


async def test_commits_of_other_programs_have_no_note_and_no_commit_is_none(bench: Bench) -> None:
    """A group whose offsets were reset with Kafka's tools could not be read."""
    await bench.joined()
    bench.cluster.commit(P, 9, "reset by an operator")
    bench.cluster.commit(Q, -1)
    committed = await bench.member.committed([P, Q])
    assert committed == {P: Committed(9, CommitNote())}
    assert all(isinstance(partition, Partition) for partition in committed)


@pytest.mark.parametrize(
    ("error", "is_problem"),
    [
        (CommitFailedError("rebalanced"), False),
        (IllegalStateError("not assigned"), False),
        (KafkaError("disk full"), True),
    ],
)
async def test_a_refused_commit_is_no_error(
    bench: Bench, error: Exception, is_problem: bool
) -> None:
    """Each rebalance would stop the worker, or a broker that refuses all commits be unnoticed."""
    await bench.joined()
    bench.cluster.commit_error = error
    assert not await bench.member.commit({P: Committed(1, CommitNote())})
    assert (bench.member.group_problem is not None) == is_problem


async def test_a_partition_is_at_its_end_when_the_broker_has_said_so(bench: Bench) -> None:
    """A slow answer would be taken for the end of the partition."""
    await bench.joined()
    log = bench.cluster.logs[P]
    log.fill(2)
    log.silent = True
    assert await bench.member.read(P, wait=True) is None
    assert not await bench.member.at_end(P)
    log.silent = False
    for at_end in (False, True):
        await bench.member.read(P, wait=True)
        assert await bench.member.at_end(P) == at_end
    assert bench.member.highwater(P) == 2
    assert bench.member.highwater(Q) is None
    assert await bench.member.first_offset(P) == 0


async def test_silence_grows_only_while_a_reader_waits(bench: Bench) -> None:
    """A partition whose pipeline is full would look as if its broker was away."""
    await bench.joined()
    assert bench.member.silence_s([P, Q]) == {P: 0.0, Q: 0.0}
    bench.now_s = 40.0
    assert bench.member.silence_s([P, Q]) == {P: 40.0, Q: 40.0}
    await bench.member.read(Q, wait=True)
    bench.now_s = 50.0
    assert bench.member.silence_s([P, Q]) == {P: 50.0, Q: 0.0}, "an empty answer is an answer"
    bench.now_s = 60.0
    assert bench.member.silence_s([Q]) == {Q: 10.0}
    bench.now_s = 70.0
    assert bench.member.silence_s([P, Q]) == {P: 0.0, Q: 20.0}, "its reader waits again"
