"""Find the event that kills every worker that reads it.

A crash leaves no trace of the event that caused it. But each worker notes in the group's commits
that it begins to read a partition, and removes the note when it has got any further. If several
workers began at the same offset and none got further, the next one processes the events of that
partition one at a time, and notes before each which one it is. If it dies too, the event that it
has noted becomes a dead letter.

The unit is the record. Of one that holds several events nobody knows which of them it was, so all
of them go into one dead letter, and none of the records beside it does.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from agents.outcomes import DeadLettered
from streams.kafka.commit_note import CommitNote, LastRecord
from streams.kafka.member import Committed
from streams.kafka.offsets import Partition

log = logging.getLogger(__name__)

SUSPICIOUS_STARTS = 2
"""After so many workers that got no further, events are processed one at a time."""
SUSPECTS = 1000
"""At most so many events are processed one at a time: as many as may be unsettled at once."""
LONGEST_S = 60.0
"""For so long at most, because all other partitions wait meanwhile. If the worker dies again later,
it has got further by then."""

KILLED = DeadLettered(
    "worker",
    "WorkerKilled",
    "several workers ended while they processed this record, the last one processed nothing else; "
    "look at their logs and memory limits before it is replayed",
)

Commit = Callable[[dict[Partition, Committed]], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Turn:
    """How one event is to be processed."""

    alone: bool = False
    """Nothing else may be processed until it has ended."""
    outcome: DeadLettered | None = None


@dataclass(slots=True)
class _Suspicion:
    """The events of one partition of which one may be the killer: those before `end`."""

    end: int
    killer: int | None


class Quarantine:
    """Which partitions of this worker are under suspicion.

    While there is one, no other partition is read: if the worker dies, it must be clear why.
    """

    def __init__(self, commit: Commit, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._commit = commit
        self._clock = clock
        self._suspicions: dict[Partition, _Suspicion] = {}
        self._until_s = 0.0
        self._none = asyncio.Event()
        self._none.set()
        self._one_at_a_time = asyncio.Lock()

    def begin(self, partitions: dict[Partition, Committed]) -> dict[Partition, Committed]:
        """Begin an assignment, given what was committed.

        Returns:
            What to commit before the first event is read: the same offsets, with a note that
            another worker has begun there.
        """
        self.forget()
        self._until_s = self._clock() + LONGEST_S
        for partition, (offset, note) in partitions.items():
            if note.trying is not None or note.starts >= SUSPICIOUS_STARTS:
                self._suspicions[partition] = _Suspicion(offset + SUSPECTS, note.trying)
                log.warning(
                    "%d workers ended at offset %d of %s; its events are processed one at a time",
                    note.starts,
                    offset,
                    partition,
                )
        if self._suspicions:
            self._none.clear()
        return {
            partition: Committed(offset, CommitNote(note.last, note.starts + 1, note.trying))
            for partition, (offset, note) in partitions.items()
        }

    @asynccontextmanager
    async def turn(
        self, partition: Partition, offset: int, last: LastRecord | None = None
    ) -> AsyncIterator[Turn]:
        """Wait for the turn of an event; it ends when the block ends.

        `last` is the last settled record, by which the next worker recognises the log.
        """
        suspicion = await self._wait(partition, offset)
        if suspicion is None:
            yield Turn()
            return
        try:
            yield await self._alone(suspicion, partition, offset, last)
        finally:
            self._one_at_a_time.release()

    async def ended(self, partition: Partition, committed: Committed) -> None:
        """Take back the note of the event that was tried, because it has ended.

        Call it within its turn. Otherwise this event, too, would be taken for the killer if the
        next one, of another partition, ends the worker.
        """
        await self._commit({partition: committed})

    def caught_up(self, partition: Partition) -> None:
        """Note that every event of the partition was read: the killer is not among them."""
        self._clear(partition)

    def forget(self) -> None:
        """Forget all partitions, because they were revoked, or because it took too long."""
        self._suspicions.clear()
        self._none.set()

    async def _wait(self, partition: Partition, offset: int) -> _Suspicion | None:
        """Wait for a turn. If the event must be alone, its suspicion is returned with the lock."""
        suspicion = self._suspicions.get(partition)
        if suspicion is not None and offset >= suspicion.end:
            self._clear(partition)
        while self._suspicions:
            suspicion = self._suspicions.get(partition)
            turn = self._none.wait if suspicion is None else self._one_at_a_time.acquire
            if not await self._in_time(turn):
                continue
            if suspicion is None or self._suspicions.get(partition) is suspicion:
                return suspicion
            self._one_at_a_time.release()
        return None

    async def _in_time(self, turn: Callable[[], Awaitable[object]]) -> bool:
        """Wait for a turn, but only until the quarantine is over for everybody."""
        left_s = self._until_s - self._clock()
        if left_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await turn()
                    return True
        # Otherwise a suspicious event that hangs would hold up all partitions.
        self.forget()
        return False

    async def _alone(
        self, suspicion: _Suspicion, partition: Partition, offset: int, last: LastRecord | None
    ) -> Turn:
        if offset == suspicion.killer:
            log.error("offset %d of %s killed several workers: a dead letter", offset, partition)
            return Turn(alone=True, outcome=KILLED)
        await self._commit({partition: Committed(offset, CommitNote(last, 0, offset))})
        return Turn(alone=True)

    def _clear(self, partition: Partition) -> None:
        if self._suspicions.pop(partition, None) and not self._suspicions:
            self._none.set()
