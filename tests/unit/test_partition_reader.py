"""The reader of one partition, through everything that can happen to a log."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiokafka.errors import LeaderNotAvailableError

from schemas.audit.record import UnreadOffsets
from streams.config import KafkaSection, PipelineSection, StormsSection
from streams.errors import OffsetGap
from streams.kafka import member as member_module
from streams.kafka.commit_note import CommitNote
from streams.kafka.gaps import GapCheck
from streams.kafka.member import Committed, GroupMember
from streams.kafka.offsets import OffsetTracker, Partition
from streams.metrics import Metrics
from streams.pipeline import partition_reader as module
from streams.pipeline.in_flight import InFlight
from streams.pipeline.partition_reader import MAX_UNSETTLED_BYTES, PartitionReader
from streams.pipeline.quarantine import KILLED, SUSPICIOUS_STARTS, Quarantine
from streams.pipeline.storms import Storms
from tests.kafka_group import Cluster
from tests.patience import run_ready_tasks

P = Partition("t", 0)


class Bench:
    """A reader, over a log that the test changes; its events end at once, or when they are told."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.log = cluster.logs[P]
        self.metrics = Metrics()
        self.storms = Storms(StormsSection(max_run=3, pause_s=3600))
        self.quarantine = Quarantine(self._commit)
        self.offsets = OffsetTracker(lambda _: self.reader.start)
        self.gaps = GapCheck(KafkaSection())
        self.ends_at_once = True
        self.events: list[InFlight] = []
        self.expired: list[UnreadOffsets] = []
        self.recorded = asyncio.Event()
        self.recorded.set()
        self.member = GroupMember(
            KafkaSection(), ["t"], on_assigned=self._on_rebalance, on_revoked=self._on_rebalance
        )
        self.reader: PartitionReader
        self.task: asyncio.Task[None]

    async def _on_rebalance(self, _: set[Partition]) -> None:
        pass

    async def _commit(self, commits: dict[Partition, Committed]) -> bool:
        return await self.member.commit(commits)

    async def start(self, committed: Committed | None = None, **pipeline: Any) -> None:
        """Get the partition, with this commit of the group, and begin to read."""
        await self.member.start()
        await self.cluster.member.assign_all()
        if committed is not None:
            self.quarantine.begin({P: committed})
        self.reader = PartitionReader(
            P,
            committed,
            member=self.member,
            offsets=self.offsets,
            gaps=self.gaps,
            storms=self.storms,
            quarantine=self.quarantine,
            pipeline=PipelineSection(**pipeline),
            metrics=self.metrics,
            hand_over=self._hand_over,
            on_expired=self._on_expired,
        )
        self.task = asyncio.create_task(self.reader.run())

    async def restart(self) -> None:
        """Crash, and let a new worker begin at what would have been committed."""
        committed = self.committable()
        self.task.cancel()
        self.offsets = OffsetTracker(lambda _: self.reader.start)
        self.events = []
        await self.start(committed)

    async def _on_expired(self, offsets: UnreadOffsets) -> None:
        self.expired.append(offsets)
        await self.recorded.wait()

    async def _hand_over(self, in_flight: InFlight) -> None:
        self.events.append(in_flight)
        if self.ends_at_once:
            self.end(in_flight)

    def end(self, *events: InFlight) -> None:
        """Let events end."""
        self.offsets.settle(event.pending_offset for event in events)

    def committable(self) -> Committed:
        """What would be committed now."""
        return self.reader.committable(self.offsets.committable().get(P))

    def offsets_read(self) -> list[int]:
        """The offsets of the events that were handed over."""
        return [event.incoming.origin.offset for event in self.events]

    def values(self) -> list[bytes]:
        """The values of the events that were handed over."""
        return [event.incoming.value or b"" for event in self.events]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds, at most five seconds."""
        async with asyncio.timeout(5):
            while not condition():
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.001)

    async def caught_up(self) -> None:
        """Wait until the reader has read all that there is, twice."""
        for _ in range(2):
            self.reader.caught_up = False
            await self.until(lambda: self.reader.caught_up)

    def counted(self, name: str) -> float:
        """The value of a counter of the topic."""
        return self.metrics.registry.get_sample_value(f"triage_{name}_total", {"topic": "t"}) or 0


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """A log of ten records, and a reader of it that has not started."""
    cluster = Cluster(P)
    cluster.install(monkeypatch)
    for retrying in (module, member_module):
        monkeypatch.setattr(retrying, "RETRY_S", 0.001)
    made = Bench(cluster)
    made.log.fill(10)
    yield made
    made.task.cancel()
    await asyncio.gather(made.task, return_exceptions=True)
    await made.gaps.stop()


async def test_everything_is_read_once_and_in_order(bench: Bench) -> None:
    """Events would be missing, or triaged twice."""
    await bench.start()
    await bench.caught_up()
    assert bench.offsets_read() == list(range(10))
    bench.log.fill(2)
    await bench.caught_up()
    assert bench.offsets_read() == list(range(12))
    assert bench.committable().offset == 12


async def test_a_reader_begins_at_the_commit(bench: Bench) -> None:
    """Each rebalance would triage everything again, or skip something."""
    await bench.start(Committed(7, CommitNote()))
    await bench.caught_up()
    assert bench.offsets_read() == [7, 8, 9]


async def test_the_next_worker_goes_on_where_this_one_ended(bench: Bench) -> None:
    """The record by which the log is recognised would be triaged again after each restart."""
    await bench.start()
    await bench.caught_up()
    await bench.restart()
    bench.log.fill(1)
    await bench.caught_up()
    assert bench.offsets_read() == [10]
    assert bench.counted("rewound_partitions") == 0


async def test_a_log_that_lost_its_end_is_read_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """What is written to the log in place of what was lost would never be read."""
    await bench.start()
    await bench.caught_up()
    bench.events.clear()
    bench.log.truncate(4)
    await bench.until(lambda: bench.counted("rewound_partitions"))
    bench.log.fill(3)
    await bench.caught_up()
    assert bench.offsets_read() == list(range(7))
    assert bench.values()[4:] == [b"10", b"11", b"12"]
    assert bench.committable().offset == 7, "the commit goes back with the reader"
    assert any("is read again from offset 0" in message for message in caplog.messages)


async def test_a_log_that_lost_its_end_while_nobody_read_it_is_read_again(bench: Bench) -> None:
    """After an unclean election, the first 400 of 600 new events were never triaged."""
    await bench.start()
    await bench.caught_up()
    bench.log.truncate(4)
    await bench.restart()
    bench.log.fill(1)
    await bench.until(lambda: len(bench.events) == 5)
    assert bench.counted("rewound_partitions") == 1


@pytest.mark.parametrize("length", [1, 9, 10, 11, 30])
async def test_a_log_that_was_made_again_is_recognised(bench: Bench, length: int) -> None:
    """The events below the commit of the topic that was deleted would never be triaged."""
    await bench.start()
    await bench.caught_up()
    bench.log.recreate()
    bench.log.fill(length)
    await bench.restart()
    await bench.until(lambda: bench.counted("rewound_partitions") or length == 9)
    if length == 9:
        # It ends where the last record was: the next record shows that it is another log.
        bench.log.fill(1)
    await bench.until(lambda: len(bench.events) >= length)
    await bench.caught_up()
    assert bench.offsets_read() == list(range(bench.log.end))
    assert bench.counted("rewound_partitions") == 1
    assert bench.counted("expired_events") == 0


async def test_a_log_that_is_empty_again_is_committed_as_such(bench: Bench) -> None:
    """The next worker would begin behind the records of the new log."""
    await bench.start(Committed(10, CommitNote()))
    await bench.caught_up()
    bench.log.recreate()
    await bench.until(lambda: bench.counted("rewound_partitions"))
    assert bench.committable() == Committed(0, CommitNote())


async def test_events_in_flight_end_before_a_lost_log_is_read_again(bench: Bench) -> None:
    """Their offsets would be settled in the new log."""
    bench.ends_at_once = False
    await bench.start()
    await bench.until(lambda: len(bench.events) == 10)
    bench.log.truncate(0)
    await asyncio.sleep(0.02)
    assert bench.counted("rewound_partitions") == 0
    bench.end(*bench.events)
    await bench.until(lambda: bench.counted("rewound_partitions"))
    assert bench.committable() == Committed(0, CommitNote())


async def test_what_retention_took_is_counted_and_the_rest_is_read(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Events would be lost without a word, or the partition be stuck, or all of it read again."""
    caplog.set_level(logging.ERROR)
    await bench.start(Committed(2, CommitNote()))
    await bench.caught_up()
    bench.log.fill(30)
    bench.log.expire(25)
    await bench.until(lambda: bench.events and bench.offsets_read()[-1] == 39)
    assert bench.offsets_read() == [*range(2, 10), *range(25, 40)]
    assert bench.counted("expired_events") == 15
    assert bench.counted("rewound_partitions") == 0
    assert (bench.committable().offset, bench.task.done()) == (40, False)


async def test_retention_that_overtakes_a_stopped_group_is_counted(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """After a long outage, nobody would know how many events were lost."""
    bench.log.expire(6)
    await bench.start(Committed(2, CommitNote()))
    await bench.caught_up()
    assert bench.offsets_read() == [6, 7, 8, 9]
    assert bench.counted("expired_events") == 4
    (message,) = caplog.messages
    assert message.startswith("offsets 2 to 5 of t[0] no longer exist: retention took them")


async def test_a_loss_is_on_record_before_the_reader_goes_on(bench: Bench) -> None:
    """A worker that dies in between would leave a commit behind the loss, and no record of it."""
    bench.log.expire(6)
    bench.recorded.clear()
    await bench.start(Committed(2, CommitNote()))
    await bench.until(lambda: bench.expired)
    await run_ready_tasks()
    assert bench.expired == [UnreadOffsets(topic="t", partition=0, first=2, last=5)]
    assert (bench.events, bench.committable().offset) == ([], 2)
    bench.recorded.set()
    await bench.caught_up()
    assert (bench.offsets_read(), bench.committable().offset) == ([6, 7, 8, 9], 10)
    assert len(bench.expired) == 1


async def test_retention_that_took_only_the_last_record_read_took_nothing(bench: Bench) -> None:
    """A group that is up to date would count a loss, or read everything again."""
    await bench.start()
    await bench.caught_up()
    bench.log.expire(10)
    await bench.restart()
    bench.log.fill(2)
    await bench.caught_up()
    assert bench.offsets_read() == [10, 11]
    assert bench.counted("expired_events") == bench.counted("rewound_partitions") == 0
    assert bench.expired == []


async def test_a_new_group_on_a_log_that_begins_later_has_lost_nothing(bench: Bench) -> None:
    """A new group would report the loss of every event that there ever was."""
    bench.log.expire(6)
    await bench.start()
    await bench.caught_up()
    assert bench.offsets_read() == [6, 7, 8, 9]
    assert bench.counted("expired_events") == 0


async def test_a_new_group_that_is_overtaken_later_has_lost_something(bench: Bench) -> None:
    """Until its first restart, a new group would lose events without a word."""
    bench.ends_at_once = False
    await bench.start(None, max_unsettled_events=2)
    await bench.until(lambda: len(bench.events) == 2)
    bench.log.fill(10)
    bench.log.expire(15)
    # What the consumer has fetched before is not in the log any more, but is read.
    bench.ends_at_once = True
    bench.end(*bench.events)
    await bench.until(lambda: bench.offsets_read()[-1] == 19)
    assert bench.counted("expired_events") == 20 - len(bench.events)
    assert bench.counted("expired_events") >= 12


async def test_a_beginning_that_the_broker_does_not_tell_is_asked_for_again(bench: Bench) -> None:
    """Just after an election the partition has no leader: the worker would stop."""
    bench.log.expire(6)
    await bench.start()
    bench.cluster.member.offset_errors = [LeaderNotAvailableError(), LeaderNotAvailableError()]
    await bench.until(lambda: bench.offsets_read() == [6, 7, 8, 9])
    assert bench.cluster.member.offset_errors == []


async def test_compaction_leaves_gaps_that_are_no_loss(bench: Bench) -> None:
    """A compacted topic or a transaction would stop the worker."""
    bench.log.compact(0, 3, 4, 9)
    await bench.start()
    await bench.caught_up()
    assert bench.offsets_read() == [1, 2, 5, 6, 7, 8]


async def test_a_gap_that_is_no_gap_stops_the_reader(bench: Bench) -> None:
    """Records that the consumer jumped over would be committed with the next one."""
    await bench.start()
    await bench.caught_up()
    bench.log.fill(5)
    bench.member.seek(P, 13)
    with pytest.raises(OffsetGap, match=r"offsets 10 to 12 of t\[0\] were skipped"):
        await bench.until(lambda: False)
    assert bench.committable().offset == 10


async def test_the_last_record_may_have_been_compacted(bench: Bench) -> None:
    """The first record of the next worker would be taken for that of another log."""
    await bench.start()
    await bench.caught_up()
    bench.log.compact(8, 9)
    bench.log.fill(3)
    await bench.restart()
    await bench.caught_up()
    assert bench.offsets_read() == [10, 11, 12]
    assert bench.counted("rewound_partitions") == 0


async def test_each_record_of_a_batch_that_is_too_large_is_a_dead_letter(bench: Bench) -> None:
    """The worker would be killed by it at every restart, and nothing behind it be read."""
    bench.log.too_large = (3, 6)
    await bench.start()
    await bench.caught_up()
    assert bench.offsets_read() == list(range(10))
    for event in bench.events:
        is_left_out = 3 <= event.incoming.origin.offset <= 6
        assert (event.outcome is not None) == is_left_out
        assert (event.incoming.value is None) == is_left_out
    letter = bench.events[3].outcome
    assert letter is not None
    assert (letter.stage, letter.error) == ("fetch", "BatchTooLarge")
    assert "offsets 3 to 6" in letter.message
    assert bench.committable().offset == 10


async def test_a_reader_may_begin_in_the_middle_of_a_batch_that_is_too_large(
    bench: Bench,
) -> None:
    """Records that have their dead letters would get them again, or be committed without."""
    bench.log.too_large = (3, 6)
    await bench.start()
    await bench.until(lambda: 5 in bench.offsets_read())
    committed = Committed(5, CommitNote())
    bench.task.cancel()
    await asyncio.gather(bench.task, return_exceptions=True)
    bench.offsets = OffsetTracker(lambda _: bench.reader.start)
    bench.events = []
    await bench.start(committed)
    await bench.caught_up()
    assert bench.offsets_read() == [5, 6, 7, 8, 9]


async def test_a_damaged_batch_waits_until_it_is_mended(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Events would be lost, or the worker stop for every partition."""
    bench.log.damaged = (4, 6)
    await bench.start()
    await bench.until(lambda: bench.reader.problem)
    await asyncio.sleep(0.02)
    assert bench.offsets_read() == [0, 1, 2, 3]
    assert "t[0] cannot be read on (CorruptRecordException)" in (bench.reader.problem or "")
    problems = [message for message in caplog.messages if "cannot be read on" in message]
    assert len(problems) == 1, "once, not at each attempt"
    assert not bench.reader.caught_up
    assert not bench.reader.waits_for_records, "its broker answers"
    bench.log.damaged = None
    await bench.caught_up()
    assert bench.offsets_read() == list(range(10))
    assert bench.reader.problem is None


async def test_a_damaged_batch_that_is_gone_is_no_problem_any_more(bench: Bench) -> None:
    """A partition that was mended would keep the worker unready until its next event."""
    bench.log.damaged = (9, 9)
    await bench.start()
    await bench.until(lambda: bench.reader.problem)
    bench.log.compact(9)
    bench.log.damaged = None
    await bench.caught_up()
    assert bench.reader.problem is None
    assert bench.committable().offset == 9


async def test_a_broker_that_is_silent_is_waited_for(bench: Bench) -> None:
    """A partition whose broker is away would be taken for one that is read to its end."""
    bench.log.silent = True
    await bench.start(Committed(0, CommitNote(None, SUSPICIOUS_STARTS)))
    await bench.until(lambda: bench.reader.waits_for_records)
    await asyncio.sleep(0.01)
    assert not bench.reader.caught_up
    assert bench.quarantine._suspicions, "nothing was read that could have cleared it"
    bench.log.silent = False
    await bench.caught_up()
    assert len(bench.events) == 10


async def test_no_more_events_are_read_than_may_be_unsettled(bench: Bench) -> None:
    """A slow agent would fill the memory with the events of one partition."""
    bench.ends_at_once = False
    await bench.start(None, max_unsettled_events=3)
    await bench.until(lambda: len(bench.events) == 3)
    await asyncio.sleep(0.01)
    assert bench.offsets_read() == [0, 1, 2]
    bench.end(bench.events[1])
    await bench.until(lambda: len(bench.events) == 4)
    assert bench.committable().offset == 0


async def test_large_events_are_bounded_in_bytes(bench: Bench) -> None:
    """A thousand events of 12 MB each would kill the worker."""
    bench.ends_at_once = False
    bench.log.append(bytes(MAX_UNSETTLED_BYTES))
    bench.log.append(b"behind")
    await bench.start()
    await bench.until(lambda: len(bench.events) == 11)
    await asyncio.sleep(0.01)
    assert len(bench.events) == 11
    bench.end(bench.events[10])
    await bench.until(lambda: len(bench.events) == 12)


async def test_a_paused_partition_is_read_one_event_at_a_time(bench: Bench) -> None:
    """After a storm of garbage, a whole batch of it would be let through at each attempt."""
    bench.storms = Storms(StormsSection(max_run=1, pause_s=0.001))
    bench.ends_at_once = False
    await bench.start()
    await bench.until(lambda: len(bench.events) == 10)
    for _ in range(3):
        bench.storms.note(P, invalid=True)
    bench.end(*bench.events)
    bench.log.fill(2)
    await bench.until(lambda: len(bench.events) == 11)
    await asyncio.sleep(0.02)
    assert len(bench.events) == 11, "the second one waits for the end of the first"
    bench.end(bench.events[10])
    bench.storms.note(P, invalid=False)
    await bench.until(lambda: len(bench.events) == 12)


async def test_a_suspicious_partition_is_read_one_event_at_a_time(bench: Bench) -> None:
    """The event that kills workers could not be told from those beside it."""
    bench.ends_at_once = False
    await bench.start(Committed(2, CommitNote(None, SUSPICIOUS_STARTS)))
    await bench.until(lambda: len(bench.events) == 1)
    await asyncio.sleep(0.01)
    assert bench.offsets_read() == [2]
    assert bench.cluster.committed(P) == Committed(2, CommitNote(None, 0, 2))
    assert bench.committable().offset == 2, "it has not ended"
    bench.end(bench.events[0])
    await bench.until(lambda: len(bench.events) == 2)
    noted = bench.cluster.committed(P)
    assert (noted.offset, noted.note.trying) == (3, 3)
    assert noted.note.last is not None, "or a log that is lost now would not be noticed"
    assert noted.note.last.offset == 2


async def test_the_note_of_an_event_ends_with_it(bench: Bench) -> None:
    """The last event of one partition would be taken for the killer that another partition has."""
    bench.log.expire(9)
    await bench.start(Committed(9, CommitNote(None, SUSPICIOUS_STARTS)))
    await bench.until(lambda: bench.offsets_read() == [9])
    await bench.until(lambda: bench.cluster.committed(P).note.trying is None)
    assert bench.cluster.committed(P).offset == 10


async def test_the_event_that_kills_workers_becomes_a_dead_letter(bench: Bench) -> None:
    """The partition would be stuck at it for ever."""
    await bench.start(Committed(2, CommitNote(None, 1, 2)))
    await bench.caught_up()
    outcomes = {event.incoming.origin.offset: event.outcome for event in bench.events}
    assert outcomes.pop(2) == KILLED
    assert set(outcomes.values()) == {None}
    assert bench.committable().offset == 10


async def test_a_commit_never_passes_an_event_in_flight(bench: Bench) -> None:
    """A worker that leaves while an event is in flight would commit it, and it would be lost."""
    bench.ends_at_once = False
    await bench.start(Committed(2, CommitNote()))
    await bench.until(lambda: len(bench.events) == 8)
    assert bench.reader.committable(None) == Committed(2, CommitNote())
    bench.end(bench.events[0])
    committed = bench.committable()
    assert committed.offset == 3
    assert committed.note.last is not None
    assert committed.note.last.offset == 2
    bench.offsets.mark_committed({P: 3})
    assert bench.reader.committable(None) == committed
