"""No commit passes an event that has not ended, in any order of events.

The order of reading, settling, rebalancing and seeking is drawn at random.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streams.kafka.offsets import Gap, OffsetTracker, Partition, PendingOffset

PARTITIONS = [Partition("alerts", 0), Partition("alerts", 1), Partition("tickets", 0)]
partitions = st.sampled_from(PARTITIONS)


@dataclass
class Log:
    """A partition on the broker, and the consumer's position in it."""

    existing: list[int] = field(default_factory=list)
    end: int = 0
    committed: int = 0
    position: int = 0
    read_since_assigned: bool = False
    """Whether anything was read since this assignment began."""
    pending: list[PendingOffset] = field(default_factory=list)
    """What was read since the last assignment or seek, and before a seek's target; oldest first."""
    ever_settled: set[int] = field(default_factory=set)
    max_committable: int = -1
    """The largest committable offset since the last assignment or seek."""

    def next_offset(self) -> int | None:
        """The offset that the consumer reads next."""
        return next((offset for offset in self.existing if offset >= self.position), None)

    def go_back(self, position: int) -> None:
        """Read on at an earlier position: what was read from there on does not count any more."""
        self.position, self.max_committable = position, -1
        self.pending = [pending for pending in self.pending if pending.offset < position]


class OffsetTrackerMachine(RuleBasedStateMachine):
    """A broker, a consumer, and an offset tracker between them."""

    @initialize()
    def begin(self) -> None:
        """Begin with empty partitions and no commits."""
        self.logs = {partition: Log() for partition in PARTITIONS}
        self.offsets = OffsetTracker(lambda partition: self.logs[partition].committed)
        self.outdated: list[tuple[Partition, PendingOffset]] = []

    @rule(partition=partitions, skipped=st.integers(0, 3) | st.just(0), count=st.integers(1, 4))
    def append(self, partition: Partition, skipped: int, count: int) -> None:
        """Records arrive; compaction and transaction markers leave gaps before them."""
        log = self.logs[partition]
        first = log.end + skipped
        log.existing += range(first, first + count)
        log.end = first + count

    @rule(partition=partitions)
    def read(self, partition: Partition) -> None:
        """One record is read; a gap before it is reported, and nothing else is."""
        log = self.logs[partition]
        offset = log.next_offset()
        if offset is None:
            return
        expected = log.position if log.read_since_assigned else log.committed
        gap = self.offsets.gap(partition, offset)
        assert gap == (Gap(partition, expected, offset) if offset > expected else None)
        log.pending.append(self._take(partition, offset))
        log.position, log.read_since_assigned = offset + 1, True

    @rule(data=st.data())
    def settle_any(self, data: st.DataObject) -> None:
        """Batches end in any order, over several partitions at once."""
        unsettled = [
            (partition, pending)
            for partition, log in self.logs.items()
            for pending in log.pending
            if not pending.settled
        ]
        if unsettled:
            subsets = st.lists(st.sampled_from(unsettled), unique_by=lambda pair: id(pair[1]))
            self._settle(data.draw(subsets))

    @rule(partition=partitions)
    def settle_all(self, partition: Partition) -> None:
        """All events of a partition end: all of it may be committed."""
        log = self.logs[partition]
        self._settle((partition, pending) for pending in log.pending)
        if log.pending:
            assert self.offsets.positions()[partition] == log.pending[-1].offset + 1

    @precondition(lambda self: self.outdated)
    @rule(data=st.data())
    def settle_outdated(self, data: st.DataObject) -> None:
        """A batch that began before the rebalance ends after it."""
        before = (self.offsets.committable(), self.offsets.positions(), self.offsets.in_flight())
        self._settle([data.draw(st.sampled_from(self.outdated))])
        assert (
            self.offsets.committable(),
            self.offsets.positions(),
            self.offsets.in_flight(),
        ) == before

    @rule(accepted=st.booleans())
    def commit(self, accepted: bool) -> None:
        """The broker takes the commit, or refuses it and is asked again."""
        offsets = self.offsets.committable()
        if accepted:
            for partition, offset in offsets.items():
                self.logs[partition].committed = offset
            self.offsets.mark_committed(offsets)
            assert not self.offsets.committable()
        else:
            assert self.offsets.committable() == offsets

    @rule(partition=partitions)
    def begin_again(self, partition: Partition) -> None:
        """A partition is read again from its last commit, and no other one is."""
        positions = self.offsets.positions()
        self.offsets.forget_partition(partition)
        log = self.logs[partition]
        self.outdated += [(partition, pending) for pending in log.pending]
        log.pending = []
        log.go_back(log.committed)
        log.read_since_assigned = False
        positions.pop(partition, None)
        assert self.offsets.positions() == positions

    @rule()
    def rebalance(self) -> None:
        """All partitions are revoked, and assigned again at the group's commits."""
        self.offsets.forget()
        for partition, log in self.logs.items():
            self.outdated += [(partition, pending) for pending in log.pending]
            log.pending = []
            log.go_back(log.committed)
            log.read_since_assigned = False
        assert not self.offsets.committable()
        assert self.offsets.in_flight() == 0

    @rule(partition=partitions, data=st.data())
    def seek_back(self, partition: Partition, data: st.DataObject) -> None:
        """The consumer goes back on its own, and reads again what it has read."""
        log = self.logs[partition]
        if not log.pending:
            return
        target = data.draw(st.sampled_from(log.pending)).offset
        self.outdated += [
            (partition, pending) for pending in log.pending if pending.offset >= target
        ]
        log.go_back(target)
        # The tracker learns of it with the record itself.
        log.pending.append(self._take(partition, target))
        log.position = target + 1

    @invariant()
    def nothing_unsettled_is_passed(self) -> None:
        """A commit never passes an unsettled event, and never goes back without a seek."""
        for partition, offset in self.offsets.committable().items():
            log = self.logs[partition]
            unsettled = [pending.offset for pending in log.pending if not pending.settled]
            assert offset <= min(unsettled, default=log.position)
            assert offset >= log.max_committable, "it went back without a seek"
            log.max_committable = offset

    @invariant()
    def what_is_committed_was_settled(self) -> None:
        """A crash now would skip only events that have ended."""
        for log in self.logs.values():
            assert (
                set(filter(lambda offset: offset < log.committed, log.existing)) <= log.ever_settled
            )

    @invariant()
    def in_flight_counts_from_the_first_unsettled_event(self) -> None:
        """The metrics would show another number of events in flight."""
        expected = 0
        for log in self.logs.values():
            first = next(
                (i for i, pending in enumerate(log.pending) if not pending.settled),
                len(log.pending),
            )
            expected += len(log.pending) - first
        assert self.offsets.in_flight() == expected

    @invariant()
    def room_is_counted_right(self) -> None:
        """A partition would be stuck, or more of it be read than memory allows."""
        for partition, log in self.logs.items():
            progress = self.offsets._progress(partition)
            unsettled = [pending for pending in log.pending if not pending.settled]
            assert progress.unsettled == len(unsettled)
            assert progress.unsettled_bytes == sum(pending.size for pending in unsettled)
            assert self.offsets.is_settled(partition) == (not unsettled)

    @invariant()
    def the_last_record_is_before_the_position(self) -> None:
        """The next worker would take the log for another one, or not notice that it is."""
        for partition, position in self.offsets.positions().items():
            last = self.offsets.last_settled(partition)
            if last is not None:
                assert last.offset < position
                assert last.fingerprint == 10 * last.offset
                between = range(last.offset + 1, position)
                assert not set(between) & set(self.logs[partition].existing)

    def _take(self, partition: Partition, offset: int) -> PendingOffset:
        return self.offsets.take(partition, offset, size=offset % 7, fingerprint=10 * offset)

    def _settle(self, pairs: Iterable[tuple[Partition, PendingOffset]]) -> None:
        pairs = list(pairs)
        for partition, pending in pairs:
            self.logs[partition].ever_settled.add(pending.offset)
        self.offsets.settle(pending for _, pending in pairs)


TestOffsetTracker = OffsetTrackerMachine.TestCase
TestOffsetTracker.settings = settings(max_examples=250, stateful_step_count=40)
