"""The ledger by example; `tests/property/test_ledger.py` has every other order."""

from aiokafka import TopicPartition

from streams.kafka.offsets import Gap, OffsetTracker, Partition

P = Partition("t", 0)


def offsets(start: int = 0) -> OffsetTracker:
    """A ledger whose group has committed `start`."""
    return OffsetTracker(lambda _: start)


def test_a_gap_at_the_head_is_never_committed_over() -> None:
    """Faust's own list answers 2590 here, and event 2585 is lost."""
    book = offsets(2585)
    tickets = [book.take(P, offset) for offset in range(2585, 2590)]
    book.settle(tickets[1:])
    assert book.committable() == {P: 2585}
    book.settle(tickets[:1])
    assert book.committable() == {P: 2590}


def test_a_commit_is_offered_once() -> None:
    """An idle partition would be committed every second for ever."""
    book = offsets()
    book.settle([book.take(P, 0)])
    book.committed({P: 1})
    assert book.committable() == {}


def test_a_commit_of_a_partition_that_is_gone_is_ignored() -> None:
    """The broker's answer may come after the rebalance; it would bring the partition back."""
    book = offsets()
    book.settle([book.take(P, 0)])
    book.forget()
    book.committed({P: 1})
    assert book.committable() == {}
    assert book.positions() == {}


def test_a_hole_before_the_first_record_is_reported() -> None:
    """A consumer that resumes past the committed offset would lose what is between, unseen."""
    book = offsets(5)
    assert book.gap(P, 5) is None
    assert book.gap(P, 8) == Gap(P, 5, 8)
    book.take(P, 8)
    assert book.gap(P, 9) is None
    assert book.gap(P, 11) == Gap(P, 9, 11)


def test_the_age_is_the_oldest_unsettled_events() -> None:
    """`/ready` would call a stuck partition healthy, or an idle one stuck."""
    now = [100.0]
    book = OffsetTracker(lambda _: 0, clock=lambda: now[0])
    first, second = book.take(P, 0), book.take(P, 1)
    now[0] = 130.0
    book.settle([second])
    assert book.progress_age_s() == {P: 30.0}
    book.settle([first])
    assert book.progress_age_s() == {P: 0.0}


def test_going_back_keeps_what_is_unfinished_before() -> None:
    """The event before the place the consumer went back to would be committed although it is not done."""
    book = offsets()
    first, second, third = (book.take(P, offset) for offset in range(3))
    book.settle([third])
    again = book.take(P, 1)
    book.settle([again, second])
    assert book.committable() == {P: 0}
    book.settle([first])
    assert book.committable() == {P: 2}


def test_an_event_is_ours_until_its_partition_goes() -> None:
    """An answer that comes after the rebalance would be published beside the new owner's; a late one not at all."""
    book = offsets()
    mine, again = book.take(P, 0), book.take(P, 0)
    assert book.holds(mine)
    book.settle([mine])
    assert book.holds(mine)
    book.forget()
    assert not book.holds(mine)
    assert not book.holds(again)
    assert book.holds(book.take(P, 0)), "the partition came back"
    assert not book.holds(again)


def test_a_partition_is_the_clients_own() -> None:
    """Offsets keyed by another type would be committed for no partition at all."""
    assert {TopicPartition("t", 0): 1}[P] == 1
