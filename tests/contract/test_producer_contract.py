"""What callers rely on in `streams.kafka.producer.Producer`: of the double, and of a broker."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import msgspec
import pytest
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from streams.config import Settings
from streams.errors import DeliveryFailed, RecordTooLarge
from streams.kafka.admin import create_topics
from streams.kafka.producer import Producer, Receipt
from streams.kafka.reader import reading, until_end
from streams.kafka.record import Record
from streams.topics import MAX_MESSAGE_BYTES, Topics
from tests.doubles import TOPICS, FakeProducer
from tests.patience import PATIENCE_S

HEADERS = [("traceparent", b"00-1"), ("empty", None), ("traceparent", b"again")]


@dataclass
class Bench:
    """A running producer, and a topic on which its records can be read."""

    producer: Producer
    topic: str
    settings: Settings | None

    def record(self, value: bytes | None, key: bytes | None = b"k") -> Record:
        """One record for the topic; all with the same key are on one partition."""
        return Record(self.topic, key, value, HEADERS)

    async def written(self) -> list[Record]:
        """The records on the topic."""
        if self.settings is None:
            assert isinstance(self.producer, FakeProducer)
            return self.producer.sent
        async with reading(self.settings.kafka, [self.topic], from_beginning=True) as consumer:
            return [
                Record(self.topic, record.key, record.value, record.headers)
                async for record in until_end(consumer)
            ]


@pytest.fixture
async def bench(settings_of_broker: Settings | None) -> AsyncIterator[Bench]:
    """A producer that runs, and is stopped after the test."""
    if settings_of_broker is None:
        yield Bench(FakeProducer(prompt=True), TOPICS.input("alerts"), None)
        return
    await create_topics(settings_of_broker)
    producer = Producer(settings_of_broker.kafka)
    await producer.start()
    topics = Topics(settings_of_broker.topics.prefix)
    yield Bench(producer, topics.input("alerts"), settings_of_broker)
    await producer.stop()


async def test_records_of_a_partition_are_written_in_the_order_of_sending(bench: Bench) -> None:
    """An older revision would replace a newer one, or the audit chain be out of order."""
    records = [bench.record(b"%d" % number) for number in range(50)]
    receipts = [await bench.producer.send(record) for record in records]
    await bench.producer.confirm(receipts)
    assert await bench.written() == records
    offsets = [receipt.result().offset for receipt in receipts]
    assert offsets == sorted(set(offsets))


async def test_confirm_returns_only_after_every_receipt_has_resolved(bench: Bench) -> None:
    """An offset would be settled although an output is not on the broker."""
    prompt = await bench.producer.send(bench.record(b"prompt"))
    late: Receipt = asyncio.get_running_loop().create_future()
    confirming = asyncio.create_task(bench.producer.confirm([prompt, late]))
    await bench.producer.confirm([prompt])
    await asyncio.sleep(0.01)
    assert not confirming.done()
    late.set_result(prompt.result())
    await asyncio.wait_for(confirming, PATIENCE_S)
    await bench.producer.confirm([])


async def test_delivered_says_what_confirm_says(bench: Bench) -> None:
    """The pipeline would settle an event whose output the broker refused."""
    prompt = await bench.producer.send(bench.record(b"prompt"))
    await bench.producer.delivered([prompt])
    await bench.producer.delivered([])
    large = await bench.producer.send(bench.record(bytes(MAX_MESSAGE_BYTES + 1)))
    with pytest.raises(RecordTooLarge) as error:
        await bench.producer.delivered([prompt, large])
    assert error.value.reason == bench.topic
    lost: Receipt = asyncio.get_running_loop().create_future()
    lost.set_exception(KafkaError("gone"))
    with pytest.raises(DeliveryFailed, match="gone"):
        await bench.producer.delivered([large, lost])
    assert bench.producer.leaderless() == []


async def test_a_record_too_large_fails_alone(bench: Bench) -> None:
    """The largest event of a batch would fail the others, or stop the worker."""
    before, large, after = [
        await bench.producer.send(bench.record(value))
        for value in (b"before", bytes(MAX_MESSAGE_BYTES + 1), b"after")
    ]
    with pytest.raises(RecordTooLarge) as error:
        await bench.producer.confirm([before, large, after])
    assert error.value.reason == bench.topic
    # The pipeline asks again for each event of the batch.
    await bench.producer.confirm([before])
    with pytest.raises(RecordTooLarge, match=bench.topic):
        await bench.producer.confirm([large])
    await bench.producer.confirm([after])
    await bench.producer.confirm([await bench.producer.send(bench.record(b"later"))])
    assert [record.value for record in await bench.written()] == [b"before", b"after", b"later"]


async def test_a_record_that_the_broker_finds_too_large_is_too_large(bench: Bench) -> None:
    """A broker with a smaller limit than ours would stop the worker, not make a dead letter."""
    refused: Receipt = asyncio.get_running_loop().create_future()
    refused.set_exception(MessageSizeTooLargeError("t"))
    with pytest.raises(RecordTooLarge) as error:
        await bench.producer.confirm([refused])
    assert error.value.reason == str(MessageSizeTooLargeError("t"))


async def test_a_failed_delivery_counts_before_a_record_too_large(bench: Bench) -> None:
    """A dead letter would be written for an event whose other output was lost."""
    large = await bench.producer.send(bench.record(bytes(MAX_MESSAGE_BYTES + 1)))
    lost: Receipt = asyncio.get_running_loop().create_future()
    lost.set_exception(KafkaError("gone"))
    with pytest.raises(DeliveryFailed, match="gone"):
        await bench.producer.confirm([large, lost])


async def test_a_missing_acknowledgement_is_a_failed_delivery(bench: Bench) -> None:
    """The worker would wait for ever, and keep its partitions."""
    timeout_s = {"delivery_timeout_s": 0.05}
    bench.producer._kafka = msgspec.structs.replace(bench.producer._kafka, **timeout_s)
    missing: Receipt = asyncio.get_running_loop().create_future()
    with pytest.raises(DeliveryFailed, match="within"):
        await asyncio.wait_for(bench.producer.confirm([missing]), PATIENCE_S)
    assert not missing.cancelled()


@pytest.mark.parametrize(
    ("key", "value", "written"),
    [
        (None, None, b""),
        (b"k", None, None),
        (b"", b"", b""),
        (None, b"\xff", b"\xff"),
    ],
    ids=["neither", "no value", "both empty", "no key"],
)
async def test_keys_and_values_that_are_missing_or_empty(
    bench: Bench, key: bytes | None, value: bytes | None, written: bytes | None
) -> None:
    """A dead letter without a key or value could not be written, or would come back changed."""
    record = bench.record(value, key)
    await bench.producer.confirm([await bench.producer.send(record)])
    assert await bench.written() == [replace(record, value=written)]


async def test_a_stopped_producer_takes_no_records(bench: Bench) -> None:
    """An output would be lost while the worker stops, and its offset be committed."""
    receipt = await bench.producer.send(bench.record(b"before"))
    await bench.producer.confirm([receipt])
    await bench.producer.stop()
    await bench.producer.stop()
    with pytest.raises(DeliveryFailed, match="not running"):
        await bench.producer.send(bench.record(b"after"))
    await bench.producer.confirm([receipt])
    assert [record.value for record in await bench.written()] == [b"before"]
