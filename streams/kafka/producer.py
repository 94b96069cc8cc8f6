"""Produce records, and wait until the broker has them.

aiokafka's producer is used directly instead of Faust's `Topic.send`. The broker's acknowledgement
is then one await away, and batches are twice as fast.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import RecordMetadata

from streams.config import KafkaSection
from streams.errors import AccessRefused, BrokerUnreachable, DeliveryFailed, RecordTooLarge
from streams.kafka.bootstrap import reachable_connection
from streams.kafka.offsets import Partition
from streams.kafka.record import Record
from streams.topics import MAX_MESSAGE_BYTES

log = logging.getLogger(__name__)

Receipt = asyncio.Future[RecordMetadata]
"""Resolves when the broker has acknowledged a record."""

MAX_BATCH_BYTES = 128 * 1024
BUSY_RECORDS, BUSY_S = 32, 0.1
"""The producer is busy if it has sent so many records within so many seconds."""
BUSY_LINGER_MS = 5
"""A busy producer waits so long to fill a batch. Each request costs the broker and the worker about
a quarter of a millisecond of processor time, however few records are in it."""
REQUEST_TIMEOUT_S = 30.0
"""How long one connection or request to a broker may take; Kafka's own clients wait as long."""
STOP_TIMEOUT_S = 1.0


class Producer:
    """Produces with ``acks=all``, and idempotently if the broker can.

    Callers rely on this (`tests/contract/test_producer_contract.py` checks it):

    - Records of one partition are written in the order in which they were sent.
    - A receipt resolves only after the broker has acknowledged its record, and `confirm` returns
      only after all of its receipts have resolved.
    - `send` does not raise for a record that is too large. The receipt fails with `RecordTooLarge`,
      the records around it are delivered, and the producer takes more.
    - `confirm` reports a failed delivery before a record that is too large. It may be called again
      for the same receipts, all of them or some, and then reports the same of them.
    - A record with neither key nor value is written with an empty value.
    - A producer that was not started, or was stopped, raises `DeliveryFailed` in `send`. It may be
      stopped twice.
    """

    def __init__(self, kafka: KafkaSection, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._kafka = kafka
        self._clock = clock
        self._sent_at_s: deque[float] = deque(maxlen=BUSY_RECORDS)
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnreachable: no broker answers, or it refuses the producer.
            ConfigError: a certificate or a secret cannot be read.
        """
        if self._kafka.idempotence != "off":
            self._producer = await self._connect_idempotent()
        if self._producer is None:
            try:
                self._producer = await self._connect(idempotent=False)
            except (KafkaError, OSError) as error:
                raise self._unreachable(error) from None

    async def stop(self) -> None:
        """Flush and disconnect, within a second even if the broker is gone."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            try:
                await asyncio.wait_for(producer.stop(), timeout=STOP_TIMEOUT_S)
            except (TimeoutError, KafkaError) as error:
                log.warning("the producer did not close cleanly: %s", type(error).__name__)

    async def send(self, record: Record) -> Receipt:
        """Hand one record to the producer; see the class for the order and for large records.

        Raises:
            DeliveryFailed: the producer is not running, or does not take the record. It is
                retriable if the record's partition has no leader and no room is left for it.
        """
        if self._producer is None:
            raise DeliveryFailed("the producer is not running; the worker is stopping")
        self._choose_linger(self._producer)
        value = record.value
        if record.key is None and value is None:
            # Kafka takes a record with neither key nor value, but aiokafka refuses to send it. An
            # empty value is the nearest to it.
            value = b""
        try:
            receipt: Receipt = await self._producer.send(
                record.topic,
                value=value,
                key=record.key,
                headers=list(record.headers),
                **({} if record.partition is None else {"partition": record.partition}),
            )
        except MessageSizeTooLargeError:
            receipt = asyncio.get_running_loop().create_future()
            receipt.set_exception(RecordTooLarge(record.topic))
        except (KafkaTimeoutError, UnknownTopicOrPartitionError) as error:
            raise DeliveryFailed(
                f"a record for {record.topic} is not taken ({type(error).__name__}); check that "
                "the topic exists and its partitions have leaders",
                retriable=True,
            ) from error
        except (KafkaError, AssertionError, TypeError) as error:
            raise DeliveryFailed(
                f"a record for {record.topic} could not be sent: {error!r}; check the broker"
            ) from error
        return receipt

    async def hand_over(self, record: Record) -> Receipt:
        """Send one record, and wait while there is no room because its partition has no leader.

        Raises:
            DeliveryFailed: the producer is not running, or will never take the record.
        """
        while True:
            try:
                return await self.send(record)
            except DeliveryFailed as error:
                if not error.retriable:
                    raise
                log.warning("%s; trying again", error)

    async def delivered(self, receipts: Sequence[Receipt]) -> None:
        """Wait until the broker has acknowledged all of these records, however long it takes.

        Raises:
            DeliveryFailed: the broker will never take one of them.
            RecordTooLarge: the same, because of its size.
        """
        # Shielded, with exceptions as results: no receipt may stay unobserved because another one
        # failed.
        results = await asyncio.shield(asyncio.gather(*receipts, return_exceptions=True))
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            if not isinstance(failure, RecordTooLarge | MessageSizeTooLargeError):
                raise DeliveryFailed(
                    f"the broker did not take an output: {failure!r}; check its log"
                ) from failure
        if failures:
            raise RecordTooLarge(_reason(failures[0]))

    async def confirm(self, receipts: Sequence[Receipt]) -> None:
        """Wait as `delivered` does, but at most `kafka.delivery_timeout_s`.

        Raises:
            DeliveryFailed: also if the broker did not acknowledge all of them in time.
            RecordTooLarge: see `delivered`.
        """
        try:
            # Not `wait_for`: before Python 3.12 it loses a cancellation that comes together with
            # the result.
            async with asyncio.timeout(self._kafka.delivery_timeout_s):
                await self.delivered(receipts)
        except TimeoutError:
            raise DeliveryFailed(
                "the broker did not acknowledge every output within "
                f"{self._kafka.delivery_timeout_s:.0f} s; check that it is up"
            ) from None

    def leaderless(self) -> list[Partition]:
        """The partitions of the topics that are written to which have no leader now."""
        if self._producer is None:
            return []
        cluster = self._producer.client.cluster
        return sorted(
            Partition(topic, number)
            for topic in cluster.topics()
            for number in (cluster.partitions_for_topic(topic) or set())
            - (cluster.available_partitions_for_topic(topic) or set())
        )

    def _choose_linger(self, producer: AIOKafkaProducer) -> None:
        """A record that comes alone waits for no other one; see `BUSY_LINGER_MS`."""
        now_s = self._clock()
        self._sent_at_s.append(now_s)
        is_busy = len(self._sent_at_s) == BUSY_RECORDS and now_s - self._sent_at_s[0] < BUSY_S
        linger_ms = max(self._kafka.linger_ms, BUSY_LINGER_MS * is_busy)
        # aiokafka reads it for each batch, and has no option that follows the load.
        producer._message_accumulator._linger_time = linger_ms / 1000  # noqa: SLF001 - see above

    async def _connect_idempotent(self) -> AIOKafkaProducer | None:
        """Returns None if the broker has no idempotent producers and none is asked for."""
        try:
            return await self._connect(idempotent=True)
        except ClusterAuthorizationFailedError:
            raise AccessRefused(
                "the broker does not let us write idempotently; grant Write on the output topics, "
                "or IdempotentWrite on the cluster"
            ) from None
        except (KafkaError, OSError) as error:
            if self._kafka.idempotence == "on":
                raise self._unreachable(error) from None
        log.info(
            "this broker has no idempotent producers; "
            "retries may duplicate a record, never lose one"
        )
        return None

    async def _connect(self, *, idempotent: bool) -> AIOKafkaProducer:
        connection = await reachable_connection(self._kafka)
        producer = AIOKafkaProducer(**connection, **self._arguments(idempotent=idempotent))
        # A batch whose partition has no leader is kept, and not given up after the time limit of a
        # request. If it were, later records of its partition could be written before it.
        producer._message_accumulator._batch_ttl = math.inf  # noqa: SLF001 - there is no option
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    def _arguments(self, *, idempotent: bool) -> dict[str, Any]:
        kafka = self._kafka
        return {
            "acks": "all",
            "enable_idempotence": idempotent,
            "linger_ms": kafka.linger_ms,
            "compression_type": None if kafka.compression == "none" else kafka.compression,
            "max_batch_size": MAX_BATCH_BYTES,
            "max_request_size": MAX_MESSAGE_BYTES,
            "request_timeout_ms": int(REQUEST_TIMEOUT_S * 1000),
        }

    def _unreachable(self, error: Exception) -> BrokerUnreachable:
        return BrokerUnreachable(
            f"no producer could be started at {self._kafka.bootstrap_servers} "
            f"({type(error).__name__}); check kafka.bootstrap_servers and that the broker is up"
        )


def _reason(failure: BaseException) -> str:
    return failure.reason if isinstance(failure, RecordTooLarge) else str(failure)
