"""The offset tracker by example; `tests/property/test_offsets.py` checks every other order."""

from aiokafka import TopicPartition

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
    assert tracker.committable() == {P: 2585}
    tracker.settle(pending[:1])
    assert tracker.committable() == {P: 2590}


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
    assert tracker.committable() == {P: 0}
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
