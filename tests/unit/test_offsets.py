"""The offset tracker by example; `tests/property/test_offsets.py` checks every other order."""

import asyncio

from aiokafka import TopicPartition

from streams.kafka.commit_note import LastRecord
from streams.kafka.offsets import Gap, OffsetTracker, Partition

P = Partition("t", 0)


def tracker_from(start: int = 0) -> OffsetTracker:
    """A tracker whose group has committed `start`."""
    return OffsetTracker(lambda _: start)


def test_a_gap_at_the_head_is_never_committed_over() -> None:
    """Faust's own list gives 2590 here, and event 2585 would be lost."""
    tracker = tracker_from(2585)
    pending = [tracker.take(P, offset) for offset in range(2585, 2590)]
    tracker.settle(pending[1:])
    assert tracker.committable() == {}
    assert tracker.positions() == {P: 2585}
    tracker.settle(pending[:1])
    assert tracker.committable() == {P: 2590}


def test_a_start_is_not_offered_for_commit() -> None:
    """The note that this worker began would be removed before its first event has ended."""
    tracker = tracker_from(5)
    pending_offset = tracker.take(P, 5)
    assert tracker.committable() == {}
    assert tracker.positions() == {P: 5}
    tracker.settle([pending_offset])
    assert tracker.committable() == {P: 6}


def test_a_commit_is_offered_once() -> None:
    """An idle partition would be committed every second for ever."""
    tracker = tracker_from()
    tracker.settle([tracker.take(P, 0)])
    tracker.mark_committed({P: 1})
    assert tracker.committable() == {}


def test_a_commit_of_a_revoked_partition_is_ignored() -> None:
    """The broker's answer may come after the rebalance; it would bring the partition back."""
    tracker = tracker_from()
    tracker.settle([tracker.take(P, 0)])
    tracker.forget()
    tracker.mark_committed({P: 1})
    assert tracker.committable() == {}
    assert tracker.positions() == {}


def test_a_gap_before_the_first_record_is_reported() -> None:
    """A consumer that resumes after the committed offset would lose the events between."""
    tracker = tracker_from(5)
    assert tracker.gap(P, 5) is None
    assert tracker.gap(P, 8) == Gap(P, 5, 8)
    tracker.take(P, 8)
    assert tracker.gap(P, 9) is None
    assert tracker.gap(P, 11) == Gap(P, 9, 11)


def test_the_age_is_that_of_the_oldest_unsettled_event() -> None:
    """`/ready` would call a stuck partition healthy, or an idle one stuck."""
    now = [100.0]
    tracker = OffsetTracker(lambda _: 0, clock=lambda: now[0])
    first, second = tracker.take(P, 0), tracker.take(P, 1)
    now[0] = 130.0
    tracker.settle([second])
    assert tracker.progress_age_s() == {P: 30.0}
    tracker.settle([first])
    assert tracker.progress_age_s() == {P: 0.0}


def test_going_back_keeps_what_is_pending_before() -> None:
    """An event before the place the consumer went back to would be committed without an end."""
    tracker = tracker_from()
    first, second, third = (tracker.take(P, offset) for offset in range(3))
    tracker.settle([third])
    second_again = tracker.take(P, 1)
    tracker.settle([second_again, second])
    assert tracker.committable() == {}
    tracker.settle([first])
    assert tracker.committable() == {P: 2}


def test_an_event_is_ours_until_its_partition_is_revoked() -> None:
    """A late answer would be published beside the new owner's, or a timely one would not."""
    tracker = tracker_from()
    taken, taken_again = tracker.take(P, 0), tracker.take(P, 0)
    assert tracker.still_assigned(taken)
    tracker.settle([taken])
    assert tracker.still_assigned(taken)
    tracker.forget()
    assert not tracker.still_assigned(taken)
    assert not tracker.still_assigned(taken_again)
    assert tracker.still_assigned(tracker.take(P, 0)), "the partition was assigned again"
    assert not tracker.still_assigned(taken_again)


def test_a_partition_equals_the_clients_own() -> None:
    """Offsets under a key of another type would be committed for no partition."""
    assert {TopicPartition("t", 0): 1}[P] == 1


def test_going_back_behind_a_commit_takes_the_commit_back() -> None:
    """After a crash, what is being read again would be skipped."""
    tracker = tracker_from()
    tracker.settle([tracker.take(P, 0, fingerprint=1), tracker.take(P, 1, fingerprint=2)])
    tracker.mark_committed({P: 2})
    tracker.take(P, 1)
    assert tracker.committable() == {P: 1}
    assert tracker.last_settled(P) is None, "the record before it is not known any more"


def test_the_last_settled_record_is_the_one_before_the_position() -> None:
    """The next worker would take the log for another one, and read everything again."""
    tracker = tracker_from()
    assert tracker.last_settled(P) is None
    first, second, third = (tracker.take(P, n, fingerprint=10 + n) for n in range(3))
    tracker.settle([second])
    assert tracker.last_settled(P) is None
    tracker.settle([first])
    assert tracker.last_settled(P) == LastRecord(1, 11)
    tracker.settle([third])
    assert tracker.last_settled(P) == LastRecord(2, 12)


def test_a_partition_that_is_forgotten_begins_again() -> None:
    """A log that is read again from its beginning would be committed at its old place."""
    tracker = tracker_from()
    taken, others = tracker.take(P, 7), tracker.take(Partition("t", 1), 0)
    tracker.forget_partition(P)
    tracker.forget_partition(P)
    tracker.settle([taken])
    assert tracker.expected(P) == 0
    assert tracker.committable() == {}
    assert not tracker.still_assigned(taken)
    assert tracker.still_assigned(others)


async def has_room(tracker: OffsetTracker, events: int, size: int) -> bool:
    """Whether one more event may be read now."""
    waiting = asyncio.create_task(tracker.wait_for_room(P, events, size))
    for _ in range(3):
        await asyncio.sleep(0)
    done = waiting.done()
    waiting.cancel()
    return done


async def test_room_is_counted_in_events_and_in_bytes() -> None:
    """A slow agent would fill the memory, or a large event never be read."""
    tracker = tracker_from()
    assert await has_room(tracker, 1, 1)
    first = tracker.take(P, 0, size=70)
    second = tracker.take(P, 1, size=30)
    assert not await has_room(tracker, 2, 1000)
    assert await has_room(tracker, 3, 101)
    assert not await has_room(tracker, 3, 100)
    tracker.settle([second, second])
    assert await has_room(tracker, 2, 71)
    assert not await has_room(tracker, 2, 70)
    assert not tracker.is_settled(P)
    tracker.settle([first])
    assert await has_room(tracker, 1, 1)
    assert tracker.is_settled(P)


async def test_room_is_made_by_going_back() -> None:
    """Events that were dropped would count for ever, and the partition get stuck."""
    tracker = tracker_from()
    dropped = [tracker.take(P, offset, size=10) for offset in range(5)]
    tracker.take(P, 1, size=10)
    assert not await has_room(tracker, 2, 1000)
    assert await has_room(tracker, 3, 21)
    tracker.settle(dropped)
    assert not await has_room(tracker, 1, 1000), "the one that was read again has not ended"


async def test_those_who_wait_for_room_are_woken() -> None:
    """A reader would wait although its events have ended."""
    tracker = tracker_from()
    pending = [tracker.take(P, offset) for offset in range(2)]
    waiting = asyncio.create_task(tracker.wait_until_settled(P))
    for pending_offset in reversed(pending):
        await asyncio.sleep(0)
        assert not waiting.done()
        tracker.settle([pending_offset])
    await asyncio.wait_for(waiting, 5)
