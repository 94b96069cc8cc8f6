"""One partition of the workers' group while no worker runs: what they cannot read, and a commit.

Nobody joins the group here. A broker takes such a commit only while the group has no members.
"""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, KafkaError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import OffsetAndMetadata

from streams.config import KafkaSection, Settings
from streams.errors import BatchTooLarge, DamagedBatch, StreamError
from streams.kafka.admin import admin_client, group_members
from streams.kafka.batches import CorruptBatch
from streams.kafka.commit_note import CommitNote
from streams.kafka.offsets import Partition
from streams.kafka.reader import open_consumer, until_end

HEADER_BYTES = 8
"""A batch begins with its first offset, in so many bytes."""
MAX_BYTES = 1024 * 1024
"""A broker sends one whole batch also if it is larger."""
WAIT_MS = 500
READ_UNCOMMITTED = 0
GROUP_PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Damage:
    """The offsets `first` to `last` that the group cannot read; `what` is the class of the error.

    `at_end` says that the log ends behind them.
    """

    partition: Partition
    first: int
    last: int
    what: str
    at_end: bool

    @property
    def count(self) -> int:
        """How many offsets these are: the batch has at most as many records."""
        return self.last - self.first + 1

    @property
    def next(self) -> int:
        """Where the group goes on if it steps over them."""
        return self.last + 1


async def check_stopped(settings: Settings) -> None:
    """Refuse to go on while the group has members.

    Raises:
        BrokerUnreachable: no broker answers.
        StreamError: it has some, or the broker does not say who they are.
    """
    kafka = settings.kafka
    async with admin_client(settings) as client:
        try:
            members = await group_members(client, kafka.group_id, patience_s=GROUP_PATIENCE_S)
        except KafkaError as error:
            todo = "check its log, and run this once more"
            if not error.retriable:
                todo = "use the credentials of a worker"
            raise StreamError(
                f"the broker does not say who is in the group {kafka.group_id} "
                f"({type(error).__name__}); {todo}"
            ) from None
    if members:
        raise StreamError(
            f"the group {kafka.group_id} has members ({len(members)}); stop all workers, and wait "
            f"{kafka.session_timeout_s:.0f} s for those that were killed"
        )


@asynccontextmanager
async def stopped_group(kafka: KafkaSection, partition: Partition) -> AsyncIterator["StoppedGroup"]:
    """Open a partition of the group; see `check_stopped`.

    Raises:
        BrokerUnreachable: no broker answers.
        StreamError: there is no such partition.
    """
    group_id = kafka.group_id
    async with open_consumer(kafka, group_id=group_id, auto_offset_reset="none") as consumer:
        try:
            # `partitions_for_topic` knows the topic only after it was asked for.
            consumer.assign([partition])
            await consumer._client.force_metadata_update()  # noqa: SLF001 - there is no public way
            if partition.partition not in (consumer.partitions_for_topic(partition.topic) or ()):
                raise StreamError(f"there is no partition {partition}; see what /ready names")
            yield StoppedGroup(consumer, group_id, partition)
        except KafkaError as error:
            raise StreamError(
                f"the broker does not say what the group has read of {partition} "
                f"({type(error).__name__}); check its log"
            ) from None


class StoppedGroup:
    """A partition of the group; from `stopped_group`."""

    def __init__(self, consumer: AIOKafkaConsumer, group_id: str, partition: Partition) -> None:
        self._consumer = consumer
        self._group_id = group_id
        self._partition = partition

    async def damage(self) -> Damage:
        """The damaged batch at which the group stands. It is read as a worker reads it.

        Raises:
            BatchTooLarge: the batch is not damaged, but too large.
            BrokerUnreachable: the broker sends nothing.
            StreamError: what is there can be read, or it is not known where the batch ends.
        """
        self._consumer.seek(self._partition, await self._position())
        try:
            async for record in until_end(self._consumer):
                raise StreamError(
                    f"offset {record.origin.offset} of {self._partition} can be read; start the "
                    "workers, and wait until they name a damaged batch"
                )
        except DamagedBatch as error:
            if isinstance(error.__cause__, BatchTooLarge):
                raise error.__cause__ from None
            if not isinstance(error.__cause__, CorruptBatch):
                raise StreamError(
                    f"the header of the batch is damaged, too: {error}, or find its last offset "
                    "as docs/how-to/kafka.md says"
                ) from None
            return await self._bounded(error.__cause__)
        raise StreamError(f"the group has read {self._partition} to its end; nothing is damaged")

    async def commit(self, offset: int) -> None:
        """Let the group go on at this offset.

        Raises:
            StreamError: the broker does not take the commit.
        """
        # Without the record before it: that cannot be read to compare it.
        commit = OffsetAndMetadata(offset, CommitNote().encode())
        try:
            await self._consumer.commit({self._partition: commit})
        except CommitFailedError:
            raise StreamError(
                f"the group {self._group_id} has members again; stop all workers, and run this "
                "once more"
            ) from None
        except KafkaError as error:
            raise StreamError(
                f"the broker does not take the commit ({type(error).__name__}); check its log, "
                "and run this once more"
            ) from None

    async def _position(self) -> int:
        committed: int | None = await self._consumer.committed(self._partition)
        if committed is not None:
            return committed
        firsts: dict[Any, int] = await self._consumer.beginning_offsets([self._partition])
        return firsts[self._partition]

    async def _bounded(self, batch: CorruptBatch) -> Damage:
        """The damage, if the next batch begins where the header of this one says that it ends."""
        begin = await self._next_batch(batch.last + 1)
        if begin not in (None, batch.last + 1):
            raise StreamError(
                f"the header of the damaged batch says that it ends at {batch.last} of "
                f"{self._partition}, but the next one begins at {begin}; find its last offset as "
                "docs/how-to/kafka.md says"
            )
        return Damage(self._partition, batch.first, batch.last, batch.what, at_end=begin is None)

    async def _next_batch(self, offset: int) -> int | None:
        """The first offset of the batch that holds `offset`; None if the log ends there.

        Not by the consumer: it gives records, and does not say where a batch begins.
        """
        topic, partition = self._partition
        client = self._consumer._client  # noqa: SLF001 - see above
        response = await client.send(
            client.cluster.leader_for_partition(self._partition),
            FetchRequest(
                WAIT_MS, 1, MAX_BYTES, READ_UNCOMMITTED, [(topic, [(partition, offset, MAX_BYTES)])]
            ),
        )
        ((_, ((_, code, highwater, *_, records),)),) = response.topics
        if code:
            raise StreamError(
                f"offset {offset} of {self._partition}, behind the damaged batch, cannot be read "
                f"({for_code(code).__name__}); find the end of the batch as docs/how-to/kafka.md "
                "says"
            )
        if len(records or b"") < HEADER_BYTES:
            if highwater > offset:
                raise StreamError(
                    f"the broker sends nothing of {self._partition} from {offset} on; check its log"
                )
            return None
        begin: int
        (begin,) = struct.unpack_from(">q", records)
        return begin
