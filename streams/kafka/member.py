"""This worker's member of the consumer group: everything that is asked of aiokafka's consumer.

Faust has a consumer of its own. It is not used: one slow topic stops it for all others, it skips
records that are older than those it has seen, and it can leave the group and not come back. Here
each partition is read on its own, and nothing is skipped without an error.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import (
    CommitFailedError,
    ConsumerStoppedError,
    CorruptRecordException,
    GroupAuthorizationFailedError,
    IllegalStateError,
    InconsistentGroupProtocolError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import OffsetAndMetadata

from streams.config import KafkaSection
from streams.errors import (
    BatchTooLarge,
    BrokerUnreachable,
    DamagedBatch,
    NoPosition,
    OutOfRange,
    StreamError,
)
from streams.kafka.batches import CorruptBatch
from streams.kafka.bootstrap import reachable_connection
from streams.kafka.commit_note import CommitNote
from streams.kafka.connection import member_options, unreachable
from streams.kafka.fetching import BUSY_RESPONSES, FETCH_PAUSE_S, announce, pace
from streams.kafka.offsets import Partition

log = logging.getLogger(__name__)

FETCH_WAIT_MS = 100
"""A broker keeps a fetch for so long if there is nothing new. A partition that was just read is
part of the next fetch only, so an event may wait for so long."""
MAX_PARTITION_FETCH_BYTES = 4 * 1024 * 1024
MAX_FETCH_BYTES = 16 * 1024 * 1024
METADATA_MAX_AGE_MS = 30_000
"""New partitions, and topics that were deleted and made again, are noticed within this time."""
NEVER_MS = 2**31 - 1
READ_WAIT_S = 1.0
FIRST_OFFSET_WAIT_S = 5.0
RETRY_S = 1.0
PROBLEM_S = 5.0
"""A problem of the group has ended when it did not come up again for so long."""

OnPartitions = Callable[[set[Partition]], Awaitable[None]]


class Committed(NamedTuple):
    """What the group has committed for a partition."""

    offset: int
    note: CommitNote


@dataclass(slots=True)
class _Waiting:
    """A reader that waits for records of a partition, and when the broker last answered."""

    last_response_ms: int | None
    since_s: float


class GroupMember:
    """One member of the consumer group, over the given topics.

    `on_assigned` and `on_revoked` are called in a rebalance, with all partitions of this member.
    Partitions stay ours until `on_revoked` has returned.
    """

    def __init__(
        self,
        kafka: KafkaSection,
        topics: Collection[str],
        *,
        on_assigned: OnPartitions,
        on_revoked: OnPartitions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kafka = kafka
        self._topics = sorted(topics)
        self._listener = _Listener(on_assigned, on_revoked)
        self._clock = clock
        self._waiting: dict[Partition, _Waiting] = {}
        self._arrived: defaultdict[Partition, asyncio.Event] = defaultdict(asyncio.Event)
        """Set when records of a partition have come since its reader last looked."""
        self._consumer: AIOKafkaConsumer | None = None
        self._problem_until_s = 0.0
        self.group_problem: str | None = None
        """Why this member cannot take part in the group; None if it can."""

    async def start(self) -> None:
        """Connect, and begin to join the group. Partitions are assigned later.

        Raises:
            BrokerUnreachable: no broker answers.
        """
        consumer = AIOKafkaConsumer(
            **await reachable_connection(self._kafka),
            **member_options(self._kafka),
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            fetch_max_bytes=MAX_FETCH_BYTES,
            max_partition_fetch_bytes=MAX_PARTITION_FETCH_BYTES,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            # Otherwise a member whose pipelines are all full would leave the group.
            max_poll_interval_ms=NEVER_MS,
        )
        try:
            await consumer.start()
        except BaseException as error:
            await consumer.stop()
            if isinstance(error, KafkaError | OSError):
                raise unreachable(self._kafka, error) from None
            raise
        pace(consumer, FETCH_PAUSE_S, after=BUSY_RESPONSES)
        announce(consumer, self._note_arrival)
        self._consumer = consumer
        consumer.subscribe(self._topics, listener=self._listener)

    async def stop(self) -> None:
        """Leave the group and disconnect."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()

    def assignment(self) -> set[Partition]:
        """The partitions of this member; none before `start`."""
        if self._consumer is None:
            return set()
        return {Partition(*partition) for partition in self._consumer.assignment()}

    async def read(self, partition: Partition, *, wait: bool) -> Any | None:
        """The next record of a partition, or None if there is none now.

        With `wait`, it waits a second for one.

        Raises:
            NoPosition: call `seek` first.
            OutOfRange: the log does not have the offset to read.
            BatchTooLarge: the next batch grows too large when it is decompressed.
            DamagedBatch: the next batch cannot be read. It is read again by the next call after
                `seek`.
        """
        try:
            if wait:
                await self._wait_for_records(partition)
            # One at a time: aiokafka would lose the records before a damaged one.
            found = await self._open.getmany(partition, timeout_ms=0, max_records=1)
        except OffsetOutOfRangeError:
            raise OutOfRange(f"{partition} does not have the offset to read next") from None
        except NoOffsetForPartitionError:
            raise NoPosition(f"{partition} has no commit") from None
        except BatchTooLarge:
            raise
        except (CorruptRecordException, RecordTooLargeError) as error:
            raise self._damaged(partition, error) from error
        except (ConsumerStoppedError, IllegalStateError):
            await asyncio.Event().wait()  # the partition was taken away; the reader is cancelled
            return None
        except KafkaError as error:
            self._note_group_problem(error)
            await asyncio.sleep(RETRY_S)
            return None
        except Exception as error:  # damaged bytes make a parser raise anything
            raise self._damaged(partition, error) from error
        records = found.get(partition)
        return records[0] if records else None

    async def _wait_for_records(self, partition: Partition) -> None:
        arrived = self._arrived[partition]
        with suppress(TimeoutError):
            async with asyncio.timeout(READ_WAIT_S):
                await arrived.wait()
        arrived.clear()

    def _note_arrival(self, partition: TopicPartition) -> None:
        self._arrived[Partition(*partition)].set()

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on at this offset; what was fetched of the partition is dropped."""
        self._open.seek(partition, offset)

    async def first_offset(self, partition: Partition) -> int:
        """The first offset that the log of the partition still has.

        Raises:
            KafkaError: the broker does not say.
        """
        firsts: dict[Any, int] = await self._open.beginning_offsets([partition])
        return firsts[partition]

    async def first_offsets(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """`first_offset` of several partitions, without those whose leader does not answer soon."""
        asked = [
            asyncio.create_task(asyncio.wait_for(self.first_offset(partition), FIRST_OFFSET_WAIT_S))
            for partition in partitions
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return {
            partition: answer
            for partition, answer in zip(partitions, answers, strict=True)
            if isinstance(answer, int)
        }

    async def committed(self, partitions: Collection[Partition]) -> dict[Partition, Committed]:
        """What the group has committed; a partition without a commit is not in it.

        Raises:
            KafkaError: the group's coordinator does not say.
        """
        # Not the public `committed`: that leaves out the metadata.
        commits = await self._open._coordinator.fetch_committed_offsets(  # noqa: SLF001 - see above
            list(partitions)
        )
        return {
            Partition(*partition): Committed(commit.offset, CommitNote.decode(commit.metadata))
            for partition, commit in commits.items()
            if commit.offset >= 0
        }

    async def commit(self, offsets: Mapping[Partition, Committed]) -> bool:
        """Commit; false if the broker refuses, for instance because a rebalance came before."""
        commits = {
            partition: OffsetAndMetadata(commit.offset, commit.note.encode())
            for partition, commit in offsets.items()
        }
        try:
            await self._open.commit(commits)
        except (CommitFailedError, IllegalStateError):
            return False
        except KafkaError as error:
            log.warning("the broker refused a commit (%s)", type(error).__name__)
            self._note_group_problem(error)
            return False
        return True

    def highwater(self, partition: Partition) -> int | None:
        """The end of the partition at the last fetch; None if it was not fetched yet."""
        end: int | None = self._open.highwater(partition)
        return end

    async def at_end(self, partition: Partition) -> bool:
        """Whether everything that the broker had at the last fetch was read; false before it."""
        end = self.highwater(partition)
        return end is not None and await self._open.position(partition) >= end

    def check(self) -> None:
        """Look for errors of the group, and note when the broker last answered; call it often.

        Raises:
            StreamError: the member cannot go on, and must be made anew.
        """
        coordinator = self._open._coordinator  # noqa: SLF001 - without a reader nothing reports it
        fetching = self._open._fetcher.error_future  # noqa: SLF001 - nothing else reports it
        if coordinator._coordination_task.done() or fetching.done():  # noqa: SLF001
            raise StreamError("the consumer has ended by an error of its own; restart the worker")
        try:
            coordinator.check_errors()
        except KafkaError as error:
            self._note_group_problem(error)
        # Not as soon as there are partitions: they stay assigned while the group cannot be joined.
        if self._clock() >= self._problem_until_s:
            self.group_problem = None

    def silence_s(self, waiting: Collection[Partition]) -> dict[Partition, float]:
        """For each partition that a reader waits for: how long no broker has answered, in seconds.

        Call it often, because it looks for what has changed since the last call.
        """
        now_s = self._clock()
        for partition in set(self._waiting) - set(waiting):
            del self._waiting[partition]
        for partition in waiting:
            response_ms = self._open.last_poll_timestamp(partition)
            seen = self._waiting.get(partition)
            if seen is None or seen.last_response_ms != response_ms:
                self._waiting[partition] = _Waiting(response_ms, now_s)
        return {partition: now_s - seen.since_s for partition, seen in self._waiting.items()}

    @property
    def _open(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise BrokerUnreachable("the consumer is not running; the worker is stopping")
        return self._consumer

    def _damaged(self, partition: Partition, error: Exception) -> DamagedBatch:
        if not isinstance(error, CorruptBatch):
            return DamagedBatch(
                f"{partition} cannot be read on ({type(error).__name__}): a batch is damaged; "
                "compare the broker's replicas and restore it"
            )
        return DamagedBatch(
            f"{partition} cannot be read on ({error.what}): the batch of offsets {error.first} to "
            f"{error.last} is damaged; compare the broker's replicas and restore it, or step over "
            f"it with `triage deadletters skip '{partition}@{error.first}'`"
        )

    def _note_group_problem(self, error: KafkaError) -> None:
        problem = _group_problem(error, self._kafka.group_id)
        if problem != self.group_problem:
            log.error("%s", problem)
        self.group_problem = problem
        self._problem_until_s = self._clock() + PROBLEM_S


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka has no types
    """Passes rebalances on. What it raises is only logged by aiokafka, so it must not raise."""

    def __init__(self, on_assigned: OnPartitions, on_revoked: OnPartitions) -> None:
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self._on_revoked({Partition(*partition) for partition in revoked})

    async def on_partitions_assigned(self, assigned: Any) -> None:
        await self._on_assigned({Partition(*partition) for partition in assigned})


def _group_problem(error: KafkaError, group_id: str) -> str:
    match error:
        case GroupAuthorizationFailedError():
            return f"this worker may not use the group {group_id}; allow Read on the group"
        case TopicAuthorizationFailedError():
            return f"this worker may not read {error}; allow Read on the topic"
        case InconsistentGroupProtocolError():
            return (
                f"the group {group_id} has workers of another version; this worker takes over "
                "when they have stopped"
            )
        case _:
            return f"the group {group_id} cannot be joined ({error!r}); check the broker's log"
