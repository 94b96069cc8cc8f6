"""Getting records onto the topics, and knowing that they are there.

A direct aiokafka producer instead of `Topic.send`: the broker's acknowledgement is one await away and batches
are twice as quick.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from streams.config import KafkaSection
from streams.errors import BrokerUnreachable, DeliveryFailed
from streams.kafka.connection import connection
from streams.kafka.record import Record
from streams.topics import MAX_MESSAGE_BYTES

log = logging.getLogger(__name__)

Receipt = asyncio.Future[RecordMetadata]
MAX_BATCH_BYTES = 128 * 1024
STOP_TIMEOUT_S = 1.0


class RecordTooLarge(Exception):  # noqa: N818 - told apart from a failing broker, never shown to a person
    """The topic does not take a record of this size, now or on any retry."""


class Producer:
    """Produces with acks=all, idempotently where the broker can, lingering a little to fill batches."""

    def __init__(self, kafka: KafkaSection) -> None:
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnreachable: nothing answers, or it refuses the producer.
        """
        if self._kafka.idempotence != "off":
            try:
                self._producer = await self._connect(idempotent=True)
            except KafkaError as error:
                if self._kafka.idempotence == "on":
                    raise self._unreachable(error) from None
                log.info(
                    "this broker has no idempotent producers; retries may duplicate a record, never lose one"
                )
        if self._producer is None:
            try:
                self._producer = await self._connect(idempotent=False)
            except KafkaError as error:
                raise self._unreachable(error) from None

    async def stop(self) -> None:
        """Flush and disconnect, within a second even when the broker is gone."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            try:
                await asyncio.wait_for(producer.stop(), timeout=STOP_TIMEOUT_S)
            except (TimeoutError, KafkaError) as error:
                log.warning("the producer did not close cleanly: %s", type(error).__name__)

    async def send(self, record: Record) -> Receipt:
        """Hand one record to the producer. Records are delivered in the order handed over; the receipt resolves
        when the broker has acknowledged.

        Raises:
            DeliveryFailed: the producer no longer takes records.
        """  # noqa: D205 - one thought
        if self._producer is None:
            raise DeliveryFailed("the producer is not running; the worker is stopping")
        # Kafka takes a record of neither key nor value, aiokafka refuses to send it: an empty value is the nearest.
        value = b"" if record.key is None and record.value is None else record.value
        try:
            receipt: Receipt = await self._producer.send(
                record.topic, value=value, key=record.key, headers=list(record.headers)
            )
        except MessageSizeTooLargeError:
            receipt = asyncio.get_running_loop().create_future()
            receipt.set_exception(RecordTooLarge(record.topic))
        except (KafkaError, AssertionError, TypeError) as error:
            raise DeliveryFailed(
                f"a record for {record.topic} could not be sent: {error!r}; check the broker"
            ) from error
        return receipt

    async def confirm(self, receipts: Sequence[Receipt]) -> None:
        """Wait for the broker's acknowledgement of all of them.

        Raises:
            RecordTooLarge: the broker will never take one of them.
            DeliveryFailed: the broker did not acknowledge all of them in time.
        """
        # Waiting through `shield` and gathering exceptions: one failure must not leave others unobserved.
        gathered = asyncio.gather(*receipts, return_exceptions=True)
        try:
            # Not `wait_for`: until Python 3.12 it swallows a cancellation that comes together with the result.
            async with asyncio.timeout(self._kafka.delivery_timeout_s):
                results = await asyncio.shield(gathered)
        except TimeoutError:
            gathered.add_done_callback(_observe)
            raise DeliveryFailed(
                f"the broker acknowledged no output for {self._kafka.delivery_timeout_s:.0f} s; check that it is up"
            ) from None
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            if not isinstance(failure, RecordTooLarge | MessageSizeTooLargeError):
                raise DeliveryFailed(
                    f"the broker did not take an output: {failure!r}; check its log"
                ) from failure
        if failures:
            raise RecordTooLarge(str(failures[0]))

    async def _connect(self, *, idempotent: bool) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(**self._arguments(idempotent=idempotent))
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    def _arguments(self, *, idempotent: bool) -> dict[str, Any]:
        kafka = self._kafka
        return connection(kafka) | {
            "acks": "all",
            "enable_idempotence": idempotent,
            "linger_ms": kafka.linger_ms,
            "compression_type": None if kafka.compression == "none" else kafka.compression,
            "max_batch_size": MAX_BATCH_BYTES,
            "max_request_size": MAX_MESSAGE_BYTES,
            # Also how long aiokafka keeps a batch whose leader is away: as patient as we are.
            "request_timeout_ms": int(kafka.delivery_timeout_s * 1000),
        }

    def _unreachable(self, error: Exception) -> BrokerUnreachable:
        return BrokerUnreachable(
            f"no producer could be started at {self._kafka.bootstrap_servers} ({type(error).__name__}); "
            "check kafka.bootstrap_servers and that the broker is up"
        )


def _observe(gathered: "asyncio.Future[Any]") -> None:
    if not gathered.cancelled():
        gathered.exception()
