"""Whatever the order of reading, settling, rebalancing and seeking: no commit ever passes an event that is not done."""

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
    """A partition as the broker has it, and the consumer's place in it."""

    existing: list[int] = field(default_factory=list)
    end: int = 0
    committed: int = 0
    position: int = 0
    handed_out: bool = False
    """Whether anything was read since this assignment began."""
    line: list[PendingOffset] = field(default_factory=list)
    """Tickets of the present line, oldest first."""
    ever_settled: set[int] = field(default_factory=set)
    seen_done: int = -1
    """The largest committable offset seen in the present line."""

    def next_offset(self) -> int | None:
        """What the consumer reads next."""
        return next((offset for offset in self.existing if offset >= self.position), None)

    def new_line(self, position: int) -> None:
        """Reading goes on at an earlier place: what was read from there on belongs to the past."""
        self.position, self.seen_done = position, -1
        self.line = [ticket for ticket in self.line if ticket.offset < position]


class LedgerMachine(RuleBasedStateMachine):
    """A broker, a consumer and a ledger between them."""

    @initialize()
    def begin(self) -> None:
        """Empty partitions, nothing committed."""
        self.logs = {partition: Log() for partition in PARTITIONS}
        self.offsets = OffsetTracker(lambda partition: self.logs[partition].committed)
        self.past: list[tuple[Partition, PendingOffset]] = []

    @rule(partition=partitions, skipped=st.integers(0, 3) | st.just(0), count=st.integers(1, 4))
    def append(self, partition: Partition, skipped: int, count: int) -> None:
        """Records arrive; compaction and transaction markers leave holes before them."""
        log = self.logs[partition]
        first = log.end + skipped
        log.existing += range(first, first + count)
        log.end = first + count

    @rule(partition=partitions)
    def read(self, partition: Partition) -> None:
        """One record is handed out; holes before it are reported, and only holes."""
        log = self.logs[partition]
        offset = log.next_offset()
        if offset is None:
            return
        expected = log.position if log.handed_out else log.committed
        found = self.offsets.gap(partition, offset)
        assert found == (Gap(partition, expected, offset) if offset > expected else None)
        log.line.append(self.offsets.take(partition, offset))
        log.position, log.handed_out = offset + 1, True

    @rule(data=st.data())
    def settle_any(self, data: st.DataObject) -> None:
        """Batches end in any order, over several partitions at once."""
        open_ = [(p, t) for p, log in self.logs.items() for t in log.line if not t.settled]
        if open_:
            self._settle(
                data.draw(st.lists(st.sampled_from(open_), unique_by=lambda each: id(each[1])))
            )

    @rule(partition=partitions)
    def settle_all(self, partition: Partition) -> None:
        """A partition is worked off: all of it may be committed."""
        log = self.logs[partition]
        self._settle((partition, ticket) for ticket in log.line)
        if log.line:
            assert self.offsets.positions()[partition] == log.line[-1].offset + 1

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def settle_past(self, data: st.DataObject) -> None:
        """A batch that began before the rebalance ends after it."""
        before = (self.offsets.committable(), self.offsets.positions(), self.offsets.in_flight())
        self._settle([data.draw(st.sampled_from(self.past))])
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
            self.offsets.committed(offsets)
            assert not self.offsets.committable()
        else:
            assert self.offsets.committable() == offsets

    @rule()
    def rebalance(self) -> None:
        """Everything is taken away and comes back where the group has committed."""
        self.offsets.forget()
        for partition, log in self.logs.items():
            self.past += [(partition, ticket) for ticket in log.line]
            log.line = []
            log.new_line(log.committed)
            log.handed_out = False
        assert not self.offsets.committable()
        assert self.offsets.in_flight() == 0

    @rule(partition=partitions, data=st.data())
    def seek_back(self, partition: Partition, data: st.DataObject) -> None:
        """The consumer goes back on its own and reads again what it has read."""
        log = self.logs[partition]
        if not log.line:
            return
        target = data.draw(st.sampled_from(log.line)).offset
        self.past += [(partition, ticket) for ticket in log.line if ticket.offset >= target]
        log.new_line(target)
        # The ledger learns of it with the record itself.
        log.line.append(self.offsets.take(partition, target))
        log.position = target + 1

    @invariant()
    def nothing_unsettled_is_passed(self) -> None:
        """A commit never passes an unsettled event, and never goes back by itself."""
        for partition, offset in self.offsets.committable().items():
            log = self.logs[partition]
            unsettled = [ticket.offset for ticket in log.line if not ticket.settled]
            assert offset <= min(unsettled, default=log.position)
            assert offset >= log.seen_done, "it went back without a seek"
            log.seen_done = offset

    @invariant()
    def what_is_committed_was_delivered(self) -> None:
        """The point of it all: what a crash now would skip is out."""
        for log in self.logs.values():
            assert (
                set(filter(lambda offset: offset < log.committed, log.existing)) <= log.ever_settled
            )

    @invariant()
    def in_flight_is_what_is_behind_an_unsettled_event(self) -> None:
        """The count the metrics show."""
        expected = 0
        for log in self.logs.values():
            first = next(
                (i for i, ticket in enumerate(log.line) if not ticket.settled), len(log.line)
            )
            expected += len(log.line) - first
        assert self.offsets.in_flight() == expected

    def _settle(self, tickets: Iterable[tuple[Partition, PendingOffset]]) -> None:
        tickets = list(tickets)
        for partition, ticket in tickets:
            self.logs[partition].ever_settled.add(ticket.offset)
        self.offsets.settle(ticket for _, ticket in tickets)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=250, stateful_step_count=40, deadline=None)
