"""How the producer connects, disconnects and fails; `tests/contract` has what callers rely on."""

import asyncio
import math
from typing import Any

import pytest
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    UnknownTopicOrPartitionError,
    UnsupportedVersionError,
)
from aiokafka.producer.message_accumulator import MessageAccumulator

from streams.config import KafkaSection
from streams.errors import BrokerUnreachable, DeliveryFailed
from streams.kafka import producer as module
from streams.kafka.offsets import Partition
from streams.kafka.producer import BUSY_LINGER_MS, Producer, Receipt
from streams.kafka.record import Record
from tests.doubles import INPUT, FakeClient, FakeProducer
from tests.patience import PATIENCE_S

RECORD = Record(INPUT, b"k", b"v", [])


class Broker:
    """Where aiokafka's producers connect; `refusals` are the errors of the first ones."""

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = list(refusals)
        self.clients: list[FakeClient] = []
        self.idempotent: list[bool] = []
        self.options: list[dict[str, Any]] = []

    def client(self, *, enable_idempotence: bool, acks: str, **options: Any) -> FakeClient:
        """One more client, as `AIOKafkaProducer` makes it."""
        assert acks == "all"
        client = FakeClient(prompt=True, takes_bytes={}, awaits_audit=False)
        client.refusal = self.refusals.pop(0) if self.refusals else None
        self.clients.append(client)
        self.idempotent.append(enable_idempotence)
        self.options.append(options)
        return client


async def answering(_: KafkaSection) -> dict[str, Any]:
    """The arguments of a client, as if a broker had answered."""
    return {}


def producer_at(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, idempotence: Any = "auto"
) -> Producer:
    """A producer for this broker, which is not started."""
    monkeypatch.setattr(module, "AIOKafkaProducer", broker.client)
    monkeypatch.setattr(module, "reachable_connection", answering)
    return Producer(KafkaSection(idempotence=idempotence))


@pytest.mark.parametrize(
    ("idempotence", "refusals", "asked"),
    [
        ("auto", [], [True]),
        ("auto", [UnsupportedVersionError()], [True, False]),
        ("on", [], [True]),
        ("off", [], [False]),
    ],
)
async def test_idempotence_is_asked_for_as_configured(
    monkeypatch: pytest.MonkeyPatch, idempotence: str, refusals: list[Exception], asked: list[bool]
) -> None:
    """Retries would duplicate records, or a broker without idempotence could not be used."""
    broker = Broker(*refusals)
    producer = producer_at(broker, monkeypatch, idempotence)
    await producer.start()
    assert broker.idempotent == asked
    await producer.confirm([await producer.send(RECORD)])
    assert [record.value for record in broker.clients[-1].sent] == [b"v"]


@pytest.mark.parametrize(
    ("idempotence", "refusals", "named"),
    [
        ("auto", [UnsupportedVersionError(), KafkaConnectionError()], "KafkaConnectionError"),
        ("on", [UnsupportedVersionError()], "UnsupportedVersionError"),
        ("off", [KafkaConnectionError()], "KafkaConnectionError"),
        ("auto", [ClusterAuthorizationFailedError()], "grant Write on the output topics"),
    ],
)
async def test_a_broker_that_takes_no_producer_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, idempotence: str, refusals: list[Exception], named: str
) -> None:
    """A worker would start without what was configured, or leave a connection open."""
    broker = Broker(*refusals)
    producer = producer_at(broker, monkeypatch, idempotence)
    with pytest.raises(BrokerUnreachable, match=named) as caught:
        await producer.start()
    assert "\n" not in str(caught.value)
    assert [client.stopped for client in broker.clients] == [1] * len(refusals)
    with pytest.raises(DeliveryFailed, match="not running"):
        await producer.send(RECORD)


@pytest.mark.parametrize("fails", [True, False], ids=["fails", "hangs"])
async def test_a_broker_that_is_gone_does_not_hold_up_the_stop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: bool
) -> None:
    """The worker would hang when it stops, and be killed."""
    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.01)
    producer = FakeProducer()

    async def stop() -> None:
        if fails:
            raise KafkaConnectionError
        await asyncio.Event().wait()

    monkeypatch.setattr(producer._client, "stop", stop)
    await asyncio.wait_for(producer.stop(), PATIENCE_S)
    error = "KafkaConnectionError" if fails else "TimeoutError"
    assert caplog.messages == [f"the producer did not close cleanly: {error}"]


async def test_a_record_that_is_not_taken_is_a_failed_delivery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error of aiokafka would pass through, and the event be taken for poison."""
    producer = FakeProducer()

    async def send(*_: Any, **__: Any) -> Receipt:
        raise KafkaError("leader not available")

    monkeypatch.setattr(producer._client, "send", send)
    with pytest.raises(
        DeliveryFailed, match=f"{INPUT} could not be sent: .*leader not available"
    ) as caught:
        await producer.send(RECORD)
    assert not caught.value.retriable


@pytest.mark.parametrize("error", [KafkaTimeoutError(), UnknownTopicOrPartitionError()])
async def test_a_record_without_a_leader_may_be_sent_again(error: Exception) -> None:
    """One output partition without a leader would stop the worker, and all that it does."""
    producer = FakeProducer(prompt=True)
    producer.refusals[INPUT] = [error]
    with pytest.raises(DeliveryFailed, match="partitions have leaders") as caught:
        await producer.send(RECORD)
    assert caught.value.retriable
    assert producer.sent == []
    await producer.delivered([await producer.send(RECORD)])


async def test_a_batch_without_a_leader_is_never_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Later records of its partition would be written before it."""
    broker = Broker()
    producer = producer_at(broker, monkeypatch)
    await producer.start()
    (client,) = broker.clients
    assert client._message_accumulator._batch_ttl == math.inf
    assert "_batch_ttl" in MessageAccumulator.__init__.__code__.co_names, "aiokafka renamed it"


async def test_only_a_busy_producer_waits_to_fill_a_batch() -> None:
    """A record that comes alone would wait for others, or each would cost a request under load."""
    now_s = [100.0]
    producer = FakeProducer(prompt=True)
    producer._clock = lambda: now_s[0]
    accumulator = producer._client._message_accumulator
    lingers = []
    for pause_s in (*[0.02] * 20, *[0.001] * 40, 1.0):
        now_s[0] += pause_s
        await producer.send(RECORD)
        lingers.append(accumulator._linger_time)
    assert lingers[:20] == [0.0] * 20, "fifty records a second"
    assert lingers[55:60] == [BUSY_LINGER_MS / 1000] * 5
    assert lingers[60] == 0.0
    assert "_linger_time" in MessageAccumulator._append_batch.__code__.co_names, "it was renamed"


async def test_delivered_waits_longer_than_confirm() -> None:
    """A broker that is away for minutes would stop the worker."""
    producer = FakeProducer(timeout_s=0.01)
    receipt = await producer.send(RECORD)
    waiting = asyncio.create_task(producer.delivered([receipt]))
    with pytest.raises(DeliveryFailed, match="within"):
        await producer.confirm([receipt])
    assert not waiting.done()
    producer.acknowledge()
    await asyncio.wait_for(waiting, 5)


async def test_partitions_without_a_leader_are_named() -> None:
    """A worker whose outputs wait would be ready, and nobody would know for what it waits."""
    producer = FakeProducer()
    assert producer.leaderless() == []
    producer._client.leaders |= {
        Partition("t", 2): False,
        Partition("t", 0): True,
        Partition("t", 1): False,
        Partition("s", 0): False,
    }
    expected = [Partition("s", 0), Partition("t", 1), Partition("t", 2)]
    assert producer.leaderless() == expected
    assert str(producer.leaderless()[0]) == "s[0]"
    await producer.stop()
    assert producer.leaderless() == []


async def test_what_fails_after_the_timeout_is_not_logged() -> None:
    """The log would show an error, with its traceback, that has been reported already."""
    logged: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
    producer = FakeProducer(timeout_s=0.01)
    receipt = await producer.send(RECORD)
    with pytest.raises(DeliveryFailed, match="within"):
        await producer.confirm([receipt])
    receipt.set_exception(KafkaError("gone"))
    producer.receipts.clear()
    del receipt
    await asyncio.sleep(0.01)
    assert logged == []


async def test_a_silent_broker_does_not_hold_up_the_others_for_a_whole_delivery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One broker that swallows packets would block every new connection for two minutes."""
    broker = Broker()
    await producer_at(broker, monkeypatch).start()
    assert broker.options[0]["request_timeout_ms"] == 30_000
