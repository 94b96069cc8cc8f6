"""Read one partition, from where its group left it, as fast as its events end.

Each partition has a reader of its own, so none waits for another. A reader hands a record over when
there is room for it; it goes on by itself after everything that a broker's log can do to it, and
says meanwhile what it waits for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from aiokafka.errors import KafkaError

from agents.outcomes import DeadLettered, Incoming
from schemas.audit.record import UnreadOffsets
from schemas.deadletter import NEVER_READ
from schemas.event import Origin
from streams.config import PipelineSection
from streams.errors import BatchTooLarge, DamagedBatch, NoPosition, OutOfRange
from streams.kafka.commit_note import CommitNote, LastRecord, fingerprint
from streams.kafka.gaps import GapCheck
from streams.kafka.member import Committed, GroupMember
from streams.kafka.offsets import OffsetTracker, Partition
from streams.kafka.record import from_record
from streams.metrics import Metrics
from streams.pipeline.in_flight import InFlight
from streams.pipeline.quarantine import Quarantine
from streams.pipeline.storms import Storms

log = logging.getLogger(__name__)

MAX_UNSETTLED_BYTES = 8 * 1024 * 1024
"""Of so many bytes of one partition the events may be unsettled; a larger event waits alone."""
RETRY_S = 10.0

HandOver = Callable[[InFlight], Awaitable[None]]
OnExpired = Callable[[UnreadOffsets], Coroutine[Any, Any, None]]
"""Returns when the loss of these offsets is on record."""


class PartitionReader:
    """The reader of one partition in one assignment.

    `hand_over` gives a record to the agent of its topic, and waits while that is busy.
    `on_expired` is called with the offsets that retention took, before the reader goes on.
    """

    def __init__(
        self,
        partition: Partition,
        committed: Committed | None,
        *,
        member: GroupMember,
        offsets: OffsetTracker,
        gaps: GapCheck,
        storms: Storms,
        quarantine: Quarantine,
        pipeline: PipelineSection,
        metrics: Metrics,
        hand_over: HandOver,
        on_expired: OnExpired,
    ) -> None:
        self.partition = partition
        self.problem: str | None = None
        """Why the partition cannot be read on; None if it can."""
        self.waits_for_records = False
        self.caught_up = False
        """Whether the broker had no more records when it last answered."""
        self.start = committed.offset if committed else 0
        """The offset of the first record to take."""
        self._is_new = committed is None
        self._last = committed.note.last if committed else None
        """The record before `start`, as it was when it was read; None if that is not known."""
        self._member = member
        self._offsets = offsets
        self._gaps = gaps
        self._storms = storms
        self._quarantine = quarantine
        self._pipeline = pipeline
        self._metrics = metrics
        self._hand_over = hand_over
        self._on_expired = on_expired

    async def run(self) -> None:
        """Read until it is cancelled.

        Raises:
            OffsetGap: records were jumped over although they exist.
            DeliveryFailed: a loss could not be recorded.
        """
        self._seek()
        while True:
            try:
                await self._read()
            except NoPosition:
                self._seek()
            except OutOfRange:
                await self._restart()
            except BatchTooLarge as error:
                await self._leave_out(error)
            except DamagedBatch as error:
                await self._wait_and_seek(str(error))

    def committable(self, position: int | None) -> Committed:
        """What to commit now; without a `position`, the partition has not moved."""
        if position is None:
            position = self._offsets.positions().get(self.partition, self.start)
        return Committed(position, CommitNote(self._last_settled()))

    async def _read(self) -> None:
        record = await self._member.read(self.partition, wait=False)
        if record is None:
            record = await self._wait_for_record()
        # Not only `record is None`: a broker that does not answer may have more records.
        self.caught_up = record is None and await self._member.at_end(self.partition)
        if self.caught_up:
            self.problem = None
            self._quarantine.caught_up(self.partition)
        elif record is not None and await self._is_wanted(record):
            self.problem = None
            await self._take(record)

    async def _wait_for_record(self) -> Any | None:
        self.waits_for_records = True
        try:
            return await self._member.read(self.partition, wait=True)
        finally:
            self.waits_for_records = False

    async def _is_wanted(self, record: Any) -> bool:
        """Whether a record is to be processed; it is not if it only shows which log this is."""
        if record.offset >= self.start:
            return True
        if self._last is not None and record.offset == self._last.offset:
            mark = fingerprint(record.key, record.value, record.timestamp)
            if mark != self._last.fingerprint:
                await self._read_all_again("is not the log that was read before")
        return False

    async def _take(self, record: Any) -> None:
        gap = self._offsets.gap(self.partition, record.offset)
        if gap is not None:
            await self._gaps.verify(gap)
        await self._in_turn(from_record(record), record.timestamp)

    async def _in_turn(
        self, incoming: Incoming, timestamp_ms: int, outcome: DeadLettered | None = None
    ) -> None:
        """Hand a record over when its partition has room and is not paused."""
        size = len(incoming.value or b"") + len(incoming.key or b"")
        await self._offsets.wait_for_room(
            self.partition, self._pipeline.max_unsettled_events, MAX_UNSETTLED_BYTES
        )
        alone = await self._storms.wait(self.partition)
        offset = incoming.origin.offset
        last = self._last_settled()
        async with self._quarantine.turn(self.partition, offset, last) as turn:
            pending_offset = self._offsets.take(
                self.partition,
                offset,
                size=size,
                fingerprint=fingerprint(incoming.key, incoming.value, timestamp_ms),
            )
            await self._hand_over(InFlight(incoming, pending_offset, outcome or turn.outcome))
            if alone or turn.alone:
                await self._offsets.wait_until_settled(self.partition)
            if turn.alone:
                await self._quarantine.ended(self.partition, self.committable(None))

    def _seek(self) -> None:
        """Go to the next record, or to the last settled one to see if it is still the same."""
        self._member.seek(self.partition, self._asked())

    def _asked(self) -> int:
        """The offset that is read next."""
        expected = self._offsets.expected(self.partition)
        return self._last.offset if self._last and expected == self.start else expected

    def _last_settled(self) -> LastRecord | None:
        """The record before the position, in this assignment or in the commit that it began at."""
        return self._offsets.last_settled(self.partition) or self._last

    async def _restart(self) -> None:
        """Find the place to read on, because the log does not have the offset that comes next."""
        await self._offsets.wait_until_settled(self.partition)
        expected = self._offsets.expected(self.partition)
        first = await self._first_offset()
        if self._asked() >= first:
            await self._read_all_again("ends before what was read of it")
            return
        is_unread = self._is_new and expected == self.start
        if expected < first and not is_unread:
            await self._note_expired(expected, first - 1)
        self._begin_at(max(first, expected))

    async def _note_expired(self, first: int, last: int) -> None:
        topic, partition = self.partition
        self._metrics.expired.labels(topic=topic).inc(last - first + 1)
        log.error(
            "offsets %d to %d of %s no longer exist: retention took them before they were "
            "read; raise retention.ms or add workers",
            first,
            last,
            self.partition,
        )
        # Before a commit goes over them: a worker that dies here leaves that to the next one.
        await self._on_expired(
            UnreadOffsets(topic=topic, partition=partition, first=first, last=last)
        )

    async def _read_all_again(self, what: str) -> None:
        """The log is another one, or lost its end: no offset means what it meant."""
        await self._offsets.wait_until_settled(self.partition)
        first = await self._first_offset()
        self._metrics.rewound.labels(topic=self.partition.topic).inc()
        log.error(
            "%s %s (a deleted topic, an unclean election or a restored volume): it is read again "
            "from offset %d, and events that are still in it are triaged again",
            self.partition,
            what,
            first,
        )
        self._begin_at(first)

    async def _first_offset(self) -> int:
        """Where the log begins; waits until the broker says it."""
        while True:
            try:
                return await self._member.first_offset(self.partition)
            except KafkaError as error:
                # Just after an election, the partition may have no leader.
                log.warning("the beginning of %s is not known (%r)", self.partition, error)
                await asyncio.sleep(RETRY_S)

    def _begin_at(self, offset: int) -> None:
        self._last = None
        self._is_new = False
        self.start = offset
        self._offsets.forget_partition(self.partition)
        self._member.seek(self.partition, offset)

    async def _leave_out(self, error: BatchTooLarge) -> None:
        """Make a dead letter, without a value, of each record of a batch that is too large."""
        log.error("%s", error)
        first = max(error.first, self._offsets.expected(self.partition))
        letter = DeadLettered(NEVER_READ, "BatchTooLarge", str(error))
        for offset in range(first, error.last + 1):
            origin = Origin(
                topic=self.partition.topic, partition=self.partition.partition, offset=offset
            )
            await self._in_turn(Incoming(None, None, (), origin, 0.0), 0, letter)
        self._member.seek(self.partition, error.last + 1)

    async def _wait_and_seek(self, problem: str) -> None:
        if problem != self.problem:
            log.error("%s", problem)
        self.problem = problem
        await asyncio.sleep(RETRY_S)
        self._member.seek(self.partition, self._offsets.expected(self.partition))
