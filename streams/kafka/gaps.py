"""Telling a gap the topic really has from records the consumer jumped over.

Compaction, retention and transaction markers leave holes in a partition's offsets. So does a consumer that resumes
in the wrong place after a rebalance, and those holes are lost events. A second consumer, outside the group, reads
one record from where the hole begins: if it is the one we were handed, the hole is real.
"""

import asyncio
import logging

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.config import KafkaSection
from streams.errors import OffsetGap
from streams.kafka.connection import connection
from streams.kafka.offsets import Gap

log = logging.getLogger(__name__)

TIMEOUT_S = 15.0
WORTH_A_WARNING = 10
"""Transactions leave gaps of a record or two all the time; larger ones are somebody's retention."""


class GapCheck:
    """Looks into gaps; connects on the first one."""

    def __init__(self, kafka: KafkaSection) -> None:
        self._kafka = kafka
        self._consumer: AIOKafkaConsumer | None = None
        self._one_at_a_time = asyncio.Lock()

    async def verify(self, gap: Gap) -> None:
        """Return when nothing lies in the gap.

        Raises:
            OffsetGap: records lie in it, or it could not be looked into.
        """
        try:
            async with self._one_at_a_time:
                first = await asyncio.wait_for(self._first_offset(gap), TIMEOUT_S)
        except (KafkaError, TimeoutError) as error:
            raise OffsetGap(
                f"{_name(gap)} could not be looked into ({type(error).__name__}); restart"
            ) from error
        if first < gap.found:
            raise OffsetGap(f"{_name(gap)} were skipped by the consumer; restart to read them")
        if gap.expected and gap.found - gap.expected >= WORTH_A_WARNING:
            log.warning(
                "%s no longer exist: retention or compaction took them before they were read",
                _name(gap),
            )

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def _first_offset(self, gap: Gap) -> int:
        if self._consumer is None:
            self._consumer = AIOKafkaConsumer(
                **connection(self._kafka),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
            )
            await self._consumer.start()
        partition = TopicPartition(*gap.partition)
        self._consumer.assign([partition])
        self._consumer.seek(partition, gap.expected)
        record = await self._consumer.getone(partition)
        return int(record.offset)


def _name(gap: Gap) -> str:
    return f"offsets {gap.expected} to {gap.found - 1} of {gap.partition.topic}[{gap.partition.partition}]"
