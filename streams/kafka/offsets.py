"""Which offsets may be committed. That nothing is ever lost depends on this module.

Faust's own bookkeeping cannot be used: it acks an event whose agent raised an error, it acks events
that it skipped in a rebalance, and it commits offsets beyond a gap at the head of its list. So
`OffsetTracker` alone says how far each partition is done.

An offset may be committed only if it is settled, and every offset before it that was taken in this
assignment is settled too. An agent pipeline settles an offset only after the broker has
acknowledged all outputs of all events of the record.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka import TopicPartition

from streams.kafka.commit_note import LastRecord


class Partition(TopicPartition):  # type: ignore[misc] # aiokafka has no types
    """A topic's partition: aiokafka's tuple, with a name for people."""

    __slots__ = ()

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


class Gap(NamedTuple):
    """The consumer was not given the offsets from `expected` up to, not including, `received`."""

    partition: Partition
    expected: int
    received: int


@dataclass(slots=True, eq=False)
class PendingOffset:
    """The offset of one record: taken when the record is read, settled when its events have ended.

    An event has ended when the broker has acknowledged all of its outputs.
    """

    progress: "_PartitionProgress"
    offset: int
    taken_at_s: float
    size: int = 0
    fingerprint: int = 0
    events: int = 1
    """How many events the record holds; see `OffsetTracker.note_events`."""
    settled: bool = False

    @property
    def partition(self) -> Partition:
        """The partition that the event was read from."""
        return self.progress.partition


@dataclass(slots=True, eq=False)
class _PartitionProgress:
    """How far one partition is done in one assignment."""

    partition: Partition
    expected: int
    """The next offset, if none is skipped."""
    position: int | None = None
    """Every offset taken before this one is settled, so this is the offset to commit."""
    committed: int | None = None
    """The position that needs no commit, because it is the last one or the start."""
    revoked: bool = False
    """The partition was taken away. Its new owner reads on from the last commit."""
    pending: deque[PendingOffset] = field(default_factory=deque)
    """In the order in which they were taken, from the oldest unsettled one on."""
    last: LastRecord | None = None
    """The record before `position`, as far as it was read in this assignment."""
    unsettled: int = 0
    """How many events are unsettled; a record may hold several."""
    unsettled_bytes: int = 0
    room: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever an event is settled."""

    def add(self, pending_offset: PendingOffset) -> None:
        self.pending.append(pending_offset)
        self.unsettled += pending_offset.events
        self.unsettled_bytes += pending_offset.size

    def settle(self, pending_offset: PendingOffset) -> None:
        if pending_offset.settled:
            return
        pending_offset.settled = True
        self.unsettled -= pending_offset.events
        self.unsettled_bytes -= pending_offset.size
        while self.pending and self.pending[0].settled:
            first = self.pending.popleft()
            self.position = first.offset + 1
            self.last = LastRecord(first.offset, first.fingerprint)
        self.room.set()

    def go_back(self, offset: int) -> None:
        """Forget what was taken from `offset` on."""
        while self.pending and self.pending[-1].offset >= offset:
            later = self.pending.pop()
            if not later.settled:
                self.unsettled -= later.events
                self.unsettled_bytes -= later.size
                later.settled = True
        if self.position is not None and self.position > offset:
            self.position = offset
            self.last = None  # it is read again


class OffsetTracker:
    """The pending offsets of every assigned partition.

    Not thread-safe: use it from the event loop only. `start_offset(partition)` gives the offset at
    which the group resumes a newly assigned partition.
    """

    def __init__(
        self,
        start_offset: Callable[[Partition], int],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start_offset = start_offset
        self._clock = clock
        self._partitions: dict[Partition, _PartitionProgress] = {}

    def expected(self, partition: Partition) -> int:
        """The next offset of the partition, if none is skipped."""
        return self._progress(partition).expected

    def gap(self, partition: Partition, offset: int) -> Gap | None:
        """The offsets that are skipped if `offset` comes next.

        Compaction and transactions leave such gaps, and so may bugs.
        """
        expected = self._progress(partition).expected
        return Gap(partition, expected, offset) if offset > expected else None

    def take(
        self, partition: Partition, offset: int, *, size: int = 0, fingerprint: int = 0
    ) -> PendingOffset:
        """Track the offset of an event that was read; `size` is that of its record in bytes.

        An offset that was taken before means that the consumer went back. What was taken from there
        on is then tracked anew, and its earlier pending offsets change nothing any more.
        """
        progress = self._progress(partition)
        if offset < progress.expected:
            progress.go_back(offset)
        if progress.position is None:
            # Nothing is to be committed yet. A commit would only remove the note that we began.
            progress.position = progress.committed = offset
        progress.expected = offset + 1
        pending_offset = PendingOffset(progress, offset, self._clock(), size, fingerprint)
        progress.add(pending_offset)
        return pending_offset

    def note_events(self, pending_offset: PendingOffset, events: int) -> None:
        """Note how many events a record holds, once it was decoded; each needs room of its own."""
        if not pending_offset.settled:
            pending_offset.progress.unsettled += events - pending_offset.events
        pending_offset.events = events

    def settle(self, pending_offsets: Iterable[PendingOffset]) -> None:
        """Mark records as ended. Pending offsets of an earlier assignment change nothing."""
        for pending_offset in pending_offsets:
            pending_offset.progress.settle(pending_offset)

    async def wait_for_room(self, partition: Partition, events: int, size: int) -> None:
        """Wait until fewer than so many events, of fewer bytes, of the partition are unsettled.

        An event that is larger than `size` alone has room when no other event is unsettled.
        """
        progress = self._progress(partition)
        while progress.unsettled >= events or progress.unsettled_bytes >= size:
            progress.room.clear()
            await progress.room.wait()

    async def wait_until_settled(self, partition: Partition) -> None:
        """Wait until every event of the partition that was read has ended."""
        await self.wait_for_room(partition, 1, 1)

    def still_assigned(self, pending_offset: PendingOffset) -> bool:
        """Whether the partition has not been taken away since the event was read."""
        return not pending_offset.progress.revoked

    def committable(self) -> dict[Partition, int]:
        """For each partition that has moved since its last commit: the next offset to read."""
        return {
            partition: progress.position
            for partition, progress in self._partitions.items()
            if progress.position is not None and progress.committed != progress.position
        }

    def mark_committed(self, offsets: dict[Partition, int]) -> None:
        """Note that the broker has taken these commits."""
        for partition, offset in offsets.items():
            if progress := self._partitions.get(partition):
                progress.committed = offset

    def is_settled(self, partition: Partition) -> bool:
        """Whether every event of the partition that was read has ended."""
        progress = self._partitions.get(partition)
        return progress is None or not progress.unsettled

    def last_settled(self, partition: Partition) -> LastRecord | None:
        """The record before the position of the partition; None if it was not read by us."""
        progress = self._partitions.get(partition)
        return progress.last if progress else None

    def forget(self) -> None:
        """Forget all partitions, because they were revoked.

        The pending offsets taken until now can no longer be committed.
        """
        for partition in tuple(self._partitions):
            self.forget_partition(partition)

    def forget_partition(self, partition: Partition) -> None:
        """Forget one partition, as `forget` does."""
        if progress := self._partitions.pop(partition, None):
            progress.revoked = True

    def in_flight(self) -> int:
        """How many records wait to be settled, or wait for a record before them."""
        return sum(len(progress.pending) for progress in self._partitions.values())

    def progress_age_s(self) -> dict[Partition, float]:
        """For each partition: how long its oldest unsettled event has waited, in seconds.

        0 if the partition has no unsettled event.
        """
        now = self._clock()
        return {
            partition: now - progress.pending[0].taken_at_s if progress.pending else 0.0
            for partition, progress in self._partitions.items()
        }

    def positions(self) -> dict[Partition, int]:
        """For each partition: the offset up to which every event is settled."""
        return {
            partition: progress.position
            for partition, progress in self._partitions.items()
            if progress.position is not None
        }

    def _progress(self, partition: Partition) -> _PartitionProgress:
        progress = self._partitions.get(partition)
        if progress is None:
            start = self._start_offset(partition)
            progress = self._partitions[partition] = _PartitionProgress(partition, expected=start)
        return progress
