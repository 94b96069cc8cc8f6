"""Which offsets may be committed: the heart of "nothing is ever lost".

Faust commits what it has acked, and it acks events whose agent raised, events it skipped in a rebalance, and
offsets beyond a gap at the head of its list. So it is told to track nothing (`acks=False`), and this ledger alone
says how far each partition is done: an offset may be committed only when it and every one before it that was taken
in this assignment has been settled, which a lane does after the broker has acknowledged all outputs.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class Partition(NamedTuple):
    """A topic's partition; equal to Faust's and aiokafka's own tuples."""

    topic: str
    partition: int


class Gap(NamedTuple):
    """Offsets `expected` up to, not including, `found` were never handed to us."""

    partition: Partition
    expected: int
    found: int


@dataclass(slots=True, eq=False)
class PendingOffset:
    """One event's place in line: taken when it is read, settled when all its outputs are acknowledged."""

    progress: "_Progress"
    offset: int
    taken_at_s: float
    settled: bool = False


@dataclass(slots=True, eq=False)
class _Progress:
    """One partition during one assignment."""

    expected: int
    """The offset that comes next, where nothing has been skipped."""
    done: int | None = None
    """Every offset taken before this one is settled; what a commit may say."""
    committed: int | None = None
    forgotten: bool = False
    """The partition was taken away; whoever has it now reads on from the last commit."""
    pending: deque[PendingOffset] = field(default_factory=deque)


class OffsetTracker:
    """The tickets of every assigned partition. Not thread-safe: it lives on the event loop.

    `start_offset(partition)` says where the group's committed offset puts a newly assigned partition.
    """

    def __init__(
        self,
        start_offset: Callable[[Partition], int],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start_offset = start_offset
        self._clock = clock
        self._partitions: dict[Partition, _Progress] = {}

    def gap(self, partition: Partition, offset: int) -> Gap | None:
        """Offsets that were skipped if `offset` came next; compaction and transactions leave such gaps, so may bugs."""
        progress = self._progress(partition)
        return Gap(partition, progress.expected, offset) if offset > progress.expected else None

    def take(self, partition: Partition, offset: int) -> PendingOffset:
        """Put an event in line. An offset seen before means the consumer went back: from there the line is anew."""
        progress = self._progress(partition)
        if offset < progress.expected:
            progress.pending = deque(
                ticket for ticket in progress.pending if ticket.offset < offset
            )
            progress.done = None if progress.done is None else min(progress.done, offset)
        if progress.done is None:
            progress.done = offset
        progress.expected = offset + 1
        ticket = PendingOffset(progress, offset, self._clock())
        progress.pending.append(ticket)
        return ticket

    def settle(self, tickets: Iterable[PendingOffset]) -> None:
        """Mark events as done; tickets of an earlier assignment change nothing."""
        for ticket in tickets:
            ticket.settled = True
            progress = ticket.progress
            while progress.pending and progress.pending[0].settled:
                progress.done = progress.pending.popleft().offset + 1

    def holds(self, ticket: PendingOffset) -> bool:
        """Whether the event is still ours to end: its partition has not been taken away since it was read."""
        return not ticket.progress.forgotten

    def committable(self) -> dict[Partition, int]:
        """The next offset to read of every partition that has moved since its last commit."""
        return {
            partition: progress.done
            for partition, progress in self._partitions.items()
            if progress.done is not None and progress.committed != progress.done
        }

    def committed(self, offsets: dict[Partition, int]) -> None:
        """Note that the broker has taken these."""
        for partition, offset in offsets.items():
            if progress := self._partitions.get(partition):
                progress.committed = offset

    def forget(self) -> None:
        """Partitions were revoked: every outstanding ticket belongs to the past and can no longer be committed."""
        for progress in self._partitions.values():
            progress.forgotten = True
        self._partitions.clear()

    def in_flight(self) -> int:
        """How many events of this assignment are not settled."""
        return sum(len(progress.pending) for progress in self._partitions.values())

    def progress_age_s(self) -> dict[Partition, float]:
        """For each partition how long its oldest unsettled event has been waiting, in seconds; 0 when idle."""
        now = self._clock()
        return {
            partition: now - progress.pending[0].taken_at_s if progress.pending else 0.0
            for partition, progress in self._partitions.items()
        }

    def positions(self) -> dict[Partition, int]:
        """For each partition the offset up to which every event is settled."""
        return {
            p: progress.done
            for p, progress in self._partitions.items()
            if progress.done is not None
        }

    def _progress(self, partition: Partition) -> _Progress:
        progress = self._partitions.get(partition)
        if progress is None:
            start = self._start_offset(partition)
            progress = self._partitions[partition] = _Progress(expected=start)
        return progress
