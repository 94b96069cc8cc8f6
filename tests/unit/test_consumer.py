"""The group consumer over a Kafka in memory: what it reads, commits, says and forgets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError, KafkaError

from agents.outcomes import DeadLettered
from schemas.audit.record import UnreadOffsets
from streams.config import HttpSection, KafkaSection, Settings, StormsSection
from streams.errors import BrokerUnreachable, OffsetGap, StreamError
from streams.kafka.commit_note import CommitNote
from streams.kafka.member import Committed
from streams.kafka.offsets import Partition
from streams.metrics import Metrics
from streams.pipeline import consumer as module
from streams.pipeline import partition_reader
from streams.pipeline.consumer import GroupConsumer
from streams.pipeline.in_flight import InFlight
from streams.pipeline.quarantine import KILLED, SUSPICIOUS_STARTS
from tests.kafka_group import Cluster, Log
from tests.patience import run_ready_tasks

FAST, SLOW = Partition("fast", 0), Partition("slow", 0)


class FakePipeline:
    """An agent pipeline that notes what it accepts; its events end at once unless they are held."""

    def __init__(self, name: str, bench: "Bench") -> None:
        self.name = name
        self.bench = bench
        self.accepted: list[InFlight] = []
        self.calls: list[str] = []
        self.holds = False
        self.drains = True
        self.error: Exception | None = None
        self.why_waiting: str | None = None
        self.while_waiting: Callable[[], None] = lambda: None

    async def accept(self, in_flight: InFlight) -> None:
        """Accept a record; one that is held is never accepted."""
        if self.error:
            raise self.error
        self.accepted.append(in_flight)
        if not self.holds:
            self.bench.end(in_flight)

    def discard(self) -> None:
        """Note the call."""
        self.calls.append("discard")

    async def wait_until_idle(self, _: float) -> None:
        """Note the call, and let events end in the meantime."""
        self.calls.append("wait_until_idle")
        self.while_waiting()

    def start(self) -> None:
        """Note the call."""
        self.calls.append("start")

    async def drain(self, _: float) -> bool:
        """Note the call."""
        self.calls.append("drain")
        return self.drains

    async def stop(self) -> None:
        """Note the call."""
        self.calls.append("stop")


class Bench:
    """A group consumer of two topics, and its cluster; it commits when the test says so."""

    def __init__(self, cluster: Cluster, commit_interval_s: float = 3600) -> None:
        self.cluster = cluster
        self.now_s = 0.0
        self.failures: list[BaseException] = []
        self.expired: list[UnreadOffsets] = []
        self.recorded = asyncio.Event()
        self.losses_on_record = 0
        self.metrics = Metrics()
        self.group = GroupConsumer(
            Settings(
                kafka=KafkaSection(commit_interval_s=commit_interval_s),
                storms=StormsSection(max_run=2),
                http=HttpSection(progress_timeout_s=60),
            ),
            metrics=self.metrics,
            fail=self.failures.append,
            on_expired=self._on_expired,
            clock=lambda: self.now_s,
        )
        self.fast, self.slow = FakePipeline("fast", self), FakePipeline("slow", self)
        for pipeline in (self.fast, self.slow):
            self.group.route(pipeline.name, pipeline)  # type: ignore[arg-type] # a double

    def end(self, in_flight: InFlight, *, invalid: bool = False) -> None:
        """End a record, as its pipeline does."""
        self.group.offsets.settle([in_flight.pending_offset])
        self.group.on_ended(in_flight, invalid=invalid)

    async def _on_expired(self, offsets: UnreadOffsets) -> None:
        self.expired.append(offsets)
        await self.recorded.wait()
        self.losses_on_record += 1

    async def joined(self) -> "Bench":
        """Start, and get all partitions."""
        await self.group.start()
        await self.cluster.member.assign_all()
        await self.until(lambda: self.group.assigned)
        return self

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds, at most five seconds."""
        async with asyncio.timeout(5):
            while not condition():
                assert not self.failures, self.failures
                await asyncio.sleep(0.001)

    async def accepted(self, pipeline: FakePipeline, count: int) -> None:
        """Wait until a pipeline has accepted so many records."""
        await self.until(lambda: len(pipeline.accepted) >= count)

    def kinds(self) -> list[str]:
        """The kinds of the problems that there are."""
        return [problem.kind for problem in self.group.problems()]

    async def crash(self) -> None:
        """End as a process that is killed: nothing is committed any more."""
        for tasks in (self.group._tasks, self.group._assignment_tasks):
            await module._cancel(tasks)
        for agent in self.group.app.agents.values():
            await agent.stop()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Two topics of one empty partition each."""
    made = Cluster(FAST, SLOW)
    made.install(monkeypatch)
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    monkeypatch.setattr(partition_reader, "RETRY_S", 0.001)
    return made


@pytest.fixture
async def bench(cluster: Cluster) -> AsyncIterator[Bench]:
    """A consumer that has not started."""
    made = Bench(cluster)
    yield made
    await made.group.stop()


async def test_only_what_is_settled_is_committed(bench: Bench, cluster: Cluster) -> None:
    """An event would be committed before its output is published."""
    bench.fast.holds = True
    cluster.logs[FAST].fill(3)
    await bench.joined()
    await bench.accepted(bench.fast, 3)
    bench.end(bench.fast.accepted[1])
    await bench.group._commit()
    assert cluster.committed(FAST).offset == 0
    bench.end(bench.fast.accepted[0])
    await bench.group._commit()
    assert cluster.committed(FAST).offset == 2


async def test_a_slow_topic_holds_up_no_other(bench: Bench, cluster: Cluster) -> None:
    """While the LLM is slow, no new event would be triaged."""

    async def never(in_flight: InFlight) -> None:
        await asyncio.Event().wait()

    bench.slow.accept = never  # type: ignore[method-assign]
    cluster.logs[SLOW].fill(2000)
    cluster.logs[FAST].fill(50)
    await bench.joined()
    await bench.accepted(bench.fast, 50)
    assert bench.group.offsets.in_flight() < 100, "the slow topic is not read into memory"


async def test_a_slow_partition_holds_up_no_other_of_its_topic(
    bench: Bench, cluster: Cluster
) -> None:
    """A record of a thousand events would delay every record of the other partitions."""
    other = Partition("fast", 1)
    cluster.logs[FAST].fill(5)
    cluster.logs[other] = Log(other)
    cluster.logs[other].fill(5)
    gate = asyncio.Event()
    taken: list[Partition] = []

    async def accept(in_flight: InFlight) -> None:
        partition = in_flight.pending_offset.partition
        taken.append(partition)
        if partition == FAST:
            await gate.wait()
        bench.end(in_flight)

    bench.fast.accept = accept  # type: ignore[method-assign]
    await bench.joined()
    await bench.until(lambda: taken.count(other) == 5)
    assert taken.count(FAST) == 1, "its next record waits until this one is taken"
    gate.set()
    await bench.until(lambda: taken.count(FAST) == 5)


async def test_a_refused_commit_is_tried_again(bench: Bench, cluster: Cluster) -> None:
    """After one refusal, the partition would never be committed again."""
    cluster.logs[FAST].fill(1)
    await bench.joined()
    await bench.accepted(bench.fast, 1)
    cluster.commit_error = KafkaError("no")
    await bench.group._commit()
    cluster.commit_error = None
    await bench.group._commit()
    await bench.group._commit()
    assert [commit[FAST].offset for commit in cluster.history if FAST in commit] == [0, 1]
    count = bench.metrics.registry.get_sample_value
    assert count("triage_commits_total", {"result": "taken"}) == 1
    assert count("triage_commits_total", {"result": "refused"}) == 1


async def test_a_revocation_commits_what_ends_in_time_and_forgets_the_rest(
    bench: Bench, cluster: Cluster
) -> None:
    """Batches that end later would be committed for a partition that another worker has."""
    bench.fast.holds = True
    cluster.logs[FAST].fill(2)
    await bench.joined()
    await bench.accepted(bench.fast, 2)
    first, second = bench.fast.accepted
    bench.fast.while_waiting = lambda: bench.end(first)
    await bench.group._on_revoked({FAST, SLOW})
    assert bench.fast.calls[-2:] == ["discard", "wait_until_idle"]
    assert cluster.committed(FAST).offset == 1
    assert not bench.group.assigned
    assert not bench.group.offsets.still_assigned(second.pending_offset)
    bench.end(second)
    await bench.group._commit()
    assert cluster.committed(FAST).offset == 1


async def test_records_that_wait_for_their_agent_are_dropped_when_they_are_revoked(
    bench: Bench, cluster: Cluster
) -> None:
    """They would be triaged by this worker and by the new owner of the partition."""
    accepting = asyncio.Event()
    accept = bench.fast.accept

    async def wait(in_flight: InFlight) -> None:
        await accepting.wait()
        await accept(in_flight)

    bench.fast.accept = wait  # type: ignore[method-assign]
    cluster.logs[FAST].fill(40)
    await bench.joined()
    await bench.until(lambda: bench.group.offsets.in_flight() > 0)
    await cluster.member.assign_all(SLOW)
    accepting.set()
    cluster.logs[SLOW].fill(1)
    await bench.accepted(bench.slow, 1)
    assert len(bench.fast.accepted) <= 1, "the one that the agent had"


async def test_after_a_rebalance_reading_goes_on_at_the_commit(
    bench: Bench, cluster: Cluster
) -> None:
    """Events would be read twice by two readers, or not at all."""
    cluster.logs[FAST].fill(5)
    await bench.joined()
    await bench.accepted(bench.fast, 5)
    for _ in range(3):
        await cluster.member.assign_all()
        cluster.logs[FAST].fill(1)
    await bench.accepted(bench.fast, 8)
    await asyncio.sleep(0.02)
    offsets = [in_flight.incoming.origin.offset for in_flight in bench.fast.accepted]
    assert offsets == list(range(8))


async def test_a_rebalance_does_not_cut_off_the_record_of_a_loss(
    bench: Bench, cluster: Cluster
) -> None:
    """An audit record that is not sent to its end stops the worker, or the loss has no record."""
    cluster.commit(FAST, 2)
    cluster.logs[FAST].fill(9)
    cluster.logs[FAST].expire(6)
    await bench.joined()
    await bench.until(lambda: bench.expired)
    await cluster.member.assign_all(SLOW)
    await run_ready_tasks()
    bench.recorded.set()
    await bench.until(lambda: bench.losses_on_record)
    assert bench.expired == [UnreadOffsets(topic="fast", partition=0, first=2, last=5)]
    assert bench.fast.accepted == []


async def test_a_rebalance_while_readers_begin_leaves_none_behind(
    bench: Bench, cluster: Cluster
) -> None:
    """A partition of another worker would be read, or one of ours be read twice."""
    cluster.commit(FAST, 0)
    cluster.logs[FAST].fill(3)
    await bench.group.start()
    cluster.takes_commits.clear()
    await cluster.member.assign_all()
    await asyncio.sleep(0.01)
    assert bench.group._readers == {}, "none reads before it is noted that this worker began"
    await cluster.member.assign_all(SLOW)
    cluster.takes_commits.set()
    await bench.until(lambda: bench.group.assigned)
    await asyncio.sleep(0.01)
    assert set(bench.group._readers) == {SLOW}
    assert bench.fast.accepted == []


async def test_commits_of_the_group_that_cannot_be_read_are_asked_for_again(
    bench: Bench, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """After one error of the coordinator, the worker would read nothing or everything."""
    cluster.commit(FAST, 2)
    cluster.logs[FAST].fill(3)
    await bench.group.start()
    cluster.member.offset_errors = [KafkaError("loading"), KafkaError("loading")]
    await cluster.member.assign_all()
    await bench.accepted(bench.fast, 1)
    assert bench.fast.accepted[0].incoming.origin.offset == 2
    assert "cannot be read" in caplog.text


async def test_drain_commits_last(bench: Bench, cluster: Cluster) -> None:
    """After each normal restart, the events of the last second would be triaged again."""
    cluster.logs[FAST].fill(1)
    await bench.joined()
    await bench.accepted(bench.fast, 1)
    assert await bench.group.drain()
    assert bench.fast.calls[-1] == "drain"
    assert cluster.committed(FAST).offset == 1


async def test_drain_says_whether_all_batches_ended(bench: Bench) -> None:
    """The log would say that everything was drained although events will be read again."""
    bench.slow.drains = False
    assert not await bench.group.drain()


async def test_a_silent_broker_does_not_hold_up_the_last_commit(
    bench: Bench,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A worker would hang in a rebalance or when it stops, and be killed."""
    monkeypatch.setattr(module, "FINAL_COMMIT_TIMEOUT_S", 0.01)
    cluster.logs[FAST].fill(1)
    await bench.joined()
    await bench.accepted(bench.fast, 1)
    cluster.takes_commits.clear()
    await asyncio.wait_for(bench.group.drain(), 5)
    assert caplog.messages == [
        "the broker did not take the last commit; some events will be triaged again"
    ]
    cluster.takes_commits.set()
    await bench.group._commit()
    assert cluster.committed(FAST).offset == 1, "it was not marked as committed"


async def test_a_worker_that_is_stopped_while_it_starts_has_nothing_to_commit(
    bench: Bench,
) -> None:
    """SIGTERM in the first second would end in a traceback, because there is no consumer yet."""
    assert await bench.group.drain()
    await bench.group._on_revoked(set())
    assert list(bench.group.problems()) == []
    assert bench.group.lag() == {}


async def test_partitions_that_come_while_the_worker_stops_are_not_begun(
    bench: Bench, cluster: Cluster
) -> None:
    """SIGTERM just before the first assignment would end with an error, and exit code 1."""
    await bench.group.start()
    await bench.group.stop()
    await bench.group._on_assigned({FAST})
    for _ in range(5):
        await asyncio.sleep(0)
    assert bench.failures == []
    assert not bench.group.assigned


async def test_a_broker_that_refuses_ends_the_start(bench: Bench, cluster: Cluster) -> None:
    """The worker would run without a consumer."""
    cluster.refusal = KafkaConnectionError("no")
    with pytest.raises(BrokerUnreachable):
        await bench.group.start()


async def test_commits_and_gauges_follow_from_start_to_stop(cluster: Cluster) -> None:
    """Nothing would be committed while the worker runs, or something after it has left."""
    bench = Bench(cluster, commit_interval_s=0.001)
    cluster.logs[FAST].fill(4)
    await bench.joined()
    await bench.until(lambda: FAST in cluster.commits and cluster.committed(FAST).offset == 4)
    await bench.until(
        lambda: (
            'consumer_lag_events{partition="0",topic="fast"} 0.0' in bench.metrics.render().decode()
        )
    )
    await bench.group.stop()
    cluster.logs[FAST].fill(1)
    await asyncio.sleep(0.01)
    assert cluster.committed(FAST).offset == 4
    assert (bench.fast.calls[0], bench.fast.calls[-1], bench.failures) == ("start", "stop", [])
    assert cluster.member.calls == ["start", "stop"]
    assert not [task for task in asyncio.all_tasks() if "Partition" in repr(task)]


async def test_that_a_worker_began_is_noted_before_it_reads(bench: Bench, cluster: Cluster) -> None:
    """An event that kills workers would leave no trace."""
    bench.fast.holds = True
    cluster.commit(FAST, 0, CommitNote(starts=1))
    cluster.logs[FAST].fill(2)
    await bench.joined()
    await bench.accepted(bench.fast, 2)
    await bench.group._commit()
    assert cluster.committed(FAST) == Committed(0, CommitNote(starts=2)), "nothing has ended yet"
    bench.end(bench.fast.accepted[0])
    await bench.group._commit()
    assert cluster.committed(FAST).offset == 1
    assert cluster.committed(FAST).note.starts == 0


async def test_the_note_of_a_partition_without_events_is_removed(
    bench: Bench, cluster: Cluster
) -> None:
    """After a few restarts, every quiet partition would be under suspicion."""
    cluster.commit(FAST, 0, CommitNote(starts=1))
    await bench.joined()
    await bench.until(lambda: bench.group._readers[FAST].caught_up)
    await bench.group._commit()
    assert cluster.committed(FAST) == Committed(0, CommitNote())
    await bench.group._commit()
    assert len(cluster.history) == 2, "once"


async def test_the_note_stays_while_the_last_event_is_in_flight(
    bench: Bench, cluster: Cluster
) -> None:
    """The event that kills workers would be forgotten if nothing follows it."""
    bench.fast.holds = True
    cluster.commit(FAST, 0, CommitNote(starts=1))
    cluster.logs[FAST].fill(1)
    await bench.joined()
    await bench.accepted(bench.fast, 1)
    await bench.until(lambda: bench.group._readers[FAST].caught_up)
    await bench.group._commit()
    assert cluster.committed(FAST) == Committed(0, CommitNote(starts=2))


async def test_a_worker_that_leaves_removes_its_note(bench: Bench, cluster: Cluster) -> None:
    """Each deployment in the middle of a slow event would raise suspicion."""
    bench.fast.holds = True
    cluster.commit(FAST, 0, CommitNote(starts=1))
    cluster.logs[FAST].fill(2)
    await bench.joined()
    await bench.accepted(bench.fast, 2)
    await bench.group.drain()
    assert cluster.committed(FAST) == Committed(0, CommitNote()), "and commits no event in flight"


@pytest.mark.parametrize("ended", [0, 1])
async def test_a_worker_that_leaves_in_a_quarantine_neither_commits_nor_accuses_its_event(
    bench: Bench, cluster: Cluster, ended: int
) -> None:
    """The event in flight would be lost, or become a dead letter of the next worker."""
    bench.fast.holds = True
    cluster.commit(FAST, 0, CommitNote(starts=SUSPICIOUS_STARTS))
    cluster.logs[FAST].fill(3)
    await bench.joined()
    for number in range(ended):
        await bench.accepted(bench.fast, number + 1)
        bench.end(bench.fast.accepted[number])
        await bench.group._commit()
    await bench.accepted(bench.fast, ended + 1)
    await bench.until(lambda: cluster.committed(FAST).note.trying == ended)
    await bench.group._on_revoked({FAST, SLOW})
    committed = cluster.committed(FAST)
    assert committed.offset == ended
    assert (committed.note.trying, committed.note.starts) == (None, 0)


async def live(bench: Bench, killer: int, last: int) -> list[InFlight]:
    """Let a worker end events until it has ended the last one, or is killed by one."""
    bench.fast.holds = True
    ended: list[InFlight] = []
    await bench.joined()
    while not ended or ended[-1].incoming.origin.offset < last:
        await bench.accepted(bench.fast, len(ended) + 1)
        in_flight = bench.fast.accepted[len(ended)]
        if in_flight.incoming.origin.offset == killer and in_flight.outcome is None:
            await bench.crash()
            return ended
        ended.append(in_flight)
        bench.end(in_flight)
    await bench.group.drain()
    await bench.group.stop()
    return ended


async def test_an_event_that_kills_every_worker_is_found(cluster: Cluster) -> None:
    """No worker would ever get past it."""
    cluster.commit(FAST, 0)
    cluster.logs[FAST].fill(6)
    lives = [await live(Bench(cluster), 2, 5) for _ in range(SUSPICIOUS_STARTS + 2)]
    offsets = [[in_flight.incoming.origin.offset for in_flight in ended] for ended in lives]
    assert offsets == [[0, 1]] * (SUSPICIOUS_STARTS + 1) + [[2, 3, 4, 5]]
    assert [in_flight.outcome for in_flight in lives[-1]] == [KILLED, None, None, None]
    assert cluster.committed(FAST).offset == 6
    assert cluster.committed(FAST).note.trying is None


async def test_a_gap_stops_the_worker(bench: Bench, cluster: Cluster) -> None:
    """Records that the consumer jumped over would be committed with the next one."""
    cluster.logs[FAST].fill(5)
    bench.slow.holds = True
    await bench.joined()
    await bench.accepted(bench.fast, 5)
    cluster.logs[FAST].fill(5)
    cluster.member.positions[FAST] = 8
    async with asyncio.timeout(5):
        while not bench.failures:
            await asyncio.sleep(0.001)
    assert [type(error) for error in bench.failures] == [OffsetGap]


async def test_an_error_in_the_agent_stops_the_worker(bench: Bench, cluster: Cluster) -> None:
    """Faust would restart the agent behind the failed record."""
    bench.fast.error = AttributeError("a bug")
    cluster.logs[FAST].fill(2)
    await bench.joined()
    async with asyncio.timeout(5):
        while not bench.failures:
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    assert [type(error) for error in bench.failures] == [AttributeError]
    assert bench.group.offsets.positions().get(FAST) == 0


async def test_an_error_of_the_member_stops_the_worker(cluster: Cluster) -> None:
    """Nothing would be read or committed any more, and nobody would notice."""
    bench = Bench(cluster, commit_interval_s=0.001)
    await bench.joined()
    cluster.member._fetcher.error_future.set_result(None)
    async with asyncio.timeout(5):
        while not bench.failures:
            await asyncio.sleep(0.001)
    assert [type(error) for error in bench.failures] == [StreamError]
    await bench.group.stop()


async def test_the_lag_is_what_is_not_settled(bench: Bench, cluster: Cluster) -> None:
    """Prometheus would show no lag while events wait, or the lag of a partition never read."""
    bench.fast.holds = True
    cluster.commit(FAST, 4)
    cluster.logs[FAST].fill(6)
    await bench.joined()
    await bench.accepted(bench.fast, 2)
    assert bench.group.lag() == {FAST: 2}
    assert (bench.group.backlog("fast"), bench.group.backlog("slow")) == (2, 0)
    for in_flight in bench.fast.accepted:
        bench.end(in_flight)
    assert bench.group.lag() == {FAST: 0}
    cluster.member.assigned = {SLOW}
    assert bench.group.lag() == {}


async def test_callbacks_are_called_at_each_assignment(bench: Bench, cluster: Cluster) -> None:
    """What was remembered of partitions would be used after they were revoked."""
    calls: list[str] = []
    bench.group.when_assigned(lambda: calls.append("first"))
    bench.group.when_assigned(lambda: calls.append("second"))
    await bench.group.start()
    assert calls == []
    await cluster.member.assign_all()
    await cluster.member.assign_all()
    assert calls == ["first", "second"] * 2


async def test_a_cancellation_that_is_lost_is_repeated() -> None:
    """A reader that outlives its assignment would hold up the rebalance for ever."""
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work: Any) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def lose_it() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            spawn(asyncio.Event().wait())
        await asyncio.Event().wait()

    spawn(lose_it())
    await asyncio.sleep(0)
    await asyncio.wait_for(module._cancel(tasks), 5)
    assert tasks == set()


LEFT_OUT = DeadLettered("fetch", "BatchTooLarge", "too large")


@pytest.mark.parametrize(
    ("invalid", "preset", "pauses"),
    [(True, None, True), (False, None, False), (True, LEFT_OUT, False)],
    ids=["garbage", "valid", "left out by the reader"],
)
async def test_only_invalid_records_are_a_storm(
    bench: Bench, cluster: Cluster, invalid: bool, preset: DeadLettered | None, pauses: bool
) -> None:
    """One batch that is too large would pause the partition for minutes."""
    bench.fast.holds = True
    cluster.logs[FAST].fill(2)
    await bench.joined()
    await bench.accepted(bench.fast, 2)
    for in_flight in bench.fast.accepted:
        ended = InFlight(in_flight.incoming, in_flight.pending_offset, preset)
        bench.end(ended, invalid=invalid)
    assert bench.kinds() == ["paused"] * pauses


async def test_a_worker_says_what_keeps_it_from_its_events(bench: Bench, cluster: Cluster) -> None:
    """A worker that does nothing would be ready."""
    cluster.logs[SLOW].fill(1)
    cluster.logs[SLOW].damaged = (0, 0)
    await bench.joined()
    assert bench.kinds() in ([], ["damaged"])
    await bench.until(lambda: bench.kinds() == ["damaged"])
    cluster.member._coordinator.pending = [GroupAuthorizationFailedError("triage")]
    await bench.until(lambda: "group" in bench.kinds())
    bench.slow.why_waiting = "slow waits for the broker"
    problems = list(bench.group.problems())
    assert [(problem.kind, problem.partition) for problem in problems] == [
        ("group", None),
        ("damaged", SLOW),
        ("broker", None),
    ]
    assert problems[2].sentence == "slow waits for the broker"


async def test_a_broker_that_is_silent_for_long_is_a_problem(
    bench: Bench, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During an outage of the cluster the worker would be ready, and its lag 0."""
    await bench.joined()
    await cluster.member.assign_all(FAST)
    await bench.until(lambda: bench.group.assigned)
    await bench.until(lambda: bench.group._readers[FAST].waits_for_records)
    member = bench.group._member
    assert member is not None
    monkeypatch.setattr(member, "_clock", lambda: bench.now_s)
    cluster.logs[FAST].silent = True
    await bench.group._observe()
    await bench.group._commit()
    await bench.until(lambda: bench.group._readers[FAST].waits_for_records)
    bench.now_s = 30.0
    await bench.group._observe()
    assert bench.kinds() == []
    bench.now_s = 61.0
    await bench.until(lambda: bench.group._readers[FAST].waits_for_records)
    await bench.group._observe()
    await bench.group._commit()
    (problem,) = bench.group.problems()
    assert (problem.kind, problem.partition) == ("silent", FAST)
    assert problem.sentence.startswith("no broker has answered for fast[0] for 61 s")
    await cluster.member.assign_all(SLOW)
    assert bench.kinds() == []


async def test_commits_that_do_not_succeed_are_a_problem(bench: Bench, cluster: Cluster) -> None:
    """After the next restart, hours of events would be triaged again, without a warning."""
    cluster.logs[FAST].fill(1)
    await bench.joined()
    await bench.accepted(bench.fast, 1)
    cluster.commit_error = KafkaError("disk full")
    bench.now_s = 61.0
    await bench.group._commit()
    assert "commit" in bench.kinds()
    cluster.commit_error = None
    await bench.group._commit()
    assert "commit" not in bench.kinds()
    bench.now_s = 200.0
    await bench.group._commit()
    assert "commit" not in bench.kinds(), "nothing had to be committed"
