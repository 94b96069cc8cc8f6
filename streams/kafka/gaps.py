"""Tell a gap that the topic really has from records that the consumer jumped over.

Compaction, retention and transaction markers leave gaps in a partition's offsets. A consumer that
resumes in the wrong place after a rebalance leaves gaps too, and those are lost events. So a second
consumer, outside the group, reads one record from where the gap begins. If it gets the record that
we were given, nothing lies in the gap.
"""

import asyncio
import logging

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.config import KafkaSection
from streams.errors import BrokerUnreachable, OffsetGap
from streams.kafka.bootstrap import reachable_connection
from streams.kafka.connection import consumer_options
from streams.kafka.offsets import Gap

log = logging.getLogger(__name__)

TIMEOUT_S = 15.0
WORTH_A_WARNING = 10
"""Transactions leave gaps of one or two offsets all the time. A larger gap comes from retention or
compaction."""


class GapCheck:
    """Checks gaps; connects when it is first needed."""

    def __init__(self, kafka: KafkaSection) -> None:
        self._kafka = kafka
        self._consumer: AIOKafkaConsumer | None = None
        self._consumer_lock = asyncio.Lock()

    async def verify(self, gap: Gap) -> None:
        """Return if the gap holds no records.

        Raises:
            OffsetGap: the gap holds records, or it could not be checked.
        """
        try:
            async with self._consumer_lock:
                first = await asyncio.wait_for(self._first_offset(gap), TIMEOUT_S)
        except (BrokerUnreachable, KafkaError, TimeoutError) as error:
            raise OffsetGap(
                f"{_name(gap)} could not be checked ({type(error).__name__}); restart the worker"
            ) from error
        if first < gap.received:
            raise OffsetGap(
                f"{_name(gap)} were skipped by the consumer; restart the worker to read them"
            )
        # A group without a commit expects offset 0, although the topic's first records have
        # expired. That needs no warning.
        if gap.expected and gap.received - gap.expected >= WORTH_A_WARNING:
            log.warning(
                "%s no longer exist: retention or compaction took them before they were read",
                _name(gap),
            )

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def _first_offset(self, gap: Gap) -> int:
        """The offset of the first record at or after the beginning of the gap."""
        if self._consumer is None:
            self._consumer = AIOKafkaConsumer(
                **await reachable_connection(self._kafka),
                **consumer_options(self._kafka),
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
    topic, partition = gap.partition
    return f"offsets {gap.expected} to {gap.received - 1} of {topic}[{partition}]"
