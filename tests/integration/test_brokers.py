"""Both local brokers, as real processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.local.brokers import Broker
from streams.local.brokers.embedded import EmbeddedBroker
from streams.local.brokers.java import kafka_available
from streams.local.brokers.kafka import KafkaCluster
from streams.local.brokers.loopback import free_ports, is_free

REASON = kafka_available()
# In CI nothing is skipped: a test fails there if Kafka is missing.
needs_kafka = pytest.mark.skipif(
    REASON is not None and not os.environ.get("CI"), reason=str(REASON)
)
real_kafka = [pytest.mark.kafka, needs_kafka]
CLI = "from streams.cli.broker import broker; broker()"


async def _create(servers: str, topic: str, copies: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=copies)])
    finally:
        await admin.close()


async def _produce(servers: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        await producer.send_and_wait(topic, value)


async def _consume(servers: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest")
    async with consumer, asyncio.timeout(30):
        return [(await consumer.getone()).value for _ in range(count)]


def _ended(port: int) -> bool:
    """Whether nothing listens on the port, and no process has it in its command line."""
    address = f"127.0.0.1:{port}".encode()
    is_named = any(address in _read(file) for file in Path("/proc").glob("[0-9]*/cmdline"))
    return is_free(port) and not is_named


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.broker
@pytest.mark.parametrize("make", [EmbeddedBroker, pytest.param(KafkaCluster, marks=real_kafka)])
async def test_a_record_goes_through(make: type[EmbeddedBroker | KafkaCluster]) -> None:
    """All demos and integration tests would fail, or would leave processes behind."""
    broker: Broker = make()
    await asyncio.to_thread(broker.start)
    try:
        await _create(broker.bootstrap_servers, "t")
        await _produce(broker.bootstrap_servers, "t", b"one")
        assert await _consume(broker.bootstrap_servers, "t", 1) == [b"one"]
    finally:
        await asyncio.to_thread(broker.stop)
    assert _ended(int(broker.bootstrap_servers.rpartition(":")[2]))


@pytest.mark.kafka
@needs_kafka
async def test_a_killed_node_comes_back_with_its_records() -> None:
    """A fault test that stops the broker would lose acknowledged records, or the address."""
    cluster = KafkaCluster()
    await asyncio.to_thread(cluster.start)
    try:
        await _create(cluster.bootstrap_servers, "t")
        for value, end in ((b"one", cluster.kill_node), (b"two", cluster.stop_node)):
            await _produce(cluster.bootstrap_servers, "t", value)
            await asyncio.to_thread(end, 0)
            await asyncio.to_thread(cluster.start_node, 0)
        assert await _consume(cluster.bootstrap_servers, "t", 2) == [b"one", b"two"]
    finally:
        await asyncio.to_thread(cluster.stop)


@pytest.mark.kafka
@needs_kafka
async def test_three_nodes_carry_on_with_two() -> None:
    """Replicated records would be lost if one of three nodes is killed."""
    cluster = KafkaCluster(3)
    await asyncio.to_thread(cluster.start)
    try:
        await _create(cluster.bootstrap_servers, "t", copies=3)
        await asyncio.to_thread(cluster.kill_node, 1)
        await _produce(cluster.bootstrap_servers, "t", b"one")
        assert await _consume(cluster.bootstrap_servers, "t", 1) == [b"one"]
        await asyncio.to_thread(cluster.start_node, 1)
    finally:
        await asyncio.to_thread(cluster.stop)


@pytest.mark.broker
@pytest.mark.parametrize("engine", ["embedded", pytest.param("kafka", marks=real_kafka)])
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)]
)
def test_the_command_ends_with_its_broker(engine: str, number: signal.Signals, status: int) -> None:
    """`triage broker` would leave a broker behind, or would not end in order."""
    port = free_ports(1)[0]
    command = [sys.executable, "-c", CLI, "--engine", engine, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert f"127.0.0.1:{port}" in process.stdout.readline()
        assert process.stdout.readline() == f"TRIAGE_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:{port}\n"
        process.send_signal(number)
        assert process.wait(30) == status
    deadline = time.monotonic() + 30
    while not _ended(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _ended(port)
