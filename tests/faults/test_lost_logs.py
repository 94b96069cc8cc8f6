"""A log that lost its end, its beginning, or everything: nothing is skipped in silence."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic, RecordsToDelete

from streams.config import Settings
from streams.kafka.admin import admin_client, create_topics
from streams.kafka.connection import connection
from streams.kafka.offsets import Partition
from streams.local.brokers import Broker
from streams.local.brokers.kafka import KafkaCluster
from streams.topics import Topics
from tests.conftest import settings_for
from tests.faults.account import committed_offsets
from tests.figures import tell
from tests.outputs import Outputs
from tests.processes import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(240)]


@pytest.fixture
async def settings(broker: Broker, tiny_model: Path) -> Settings:
    """Settings whose topics have one partition."""
    settings = settings_for(broker.bootstrap_servers, tiny_model, partitions=1)
    await create_topics(settings)
    return settings


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[KafkaCluster]:
    """A broker whose files can be reached."""
    with KafkaCluster(data_dir=tmp_path / "kafka") as cluster:
        yield cluster


def input_topic(settings: Settings) -> str:
    """The topic that these tests lose."""
    return Topics(settings.topics.prefix).input("tickets")


async def send(settings: Settings, name: str, count: int) -> set[str]:
    """Send tickets, and return their ids."""
    ids = [f"{name}-{number}" for number in range(count)]
    producer = AIOKafkaProducer(**connection(settings.kafka))
    await producer.start()
    try:
        for id_ in ids:
            value = orjson.dumps({"id": id_, "text": f"card payment {id_}"})
            await producer.send(input_topic(settings), value, key=id_.encode())
        await producer.flush()
    finally:
        await producer.stop()
    return set(ids)


async def make_again(settings: Settings) -> None:
    """Delete the topic, and create it again."""
    topic = input_topic(settings)
    async with admin_client(settings) as client:
        await client.delete_topics([topic])
        for _ in range(100):
            try:
                response = await client.create_topics([NewTopic(topic, 1, 1)])
            except Exception:  # noqa: BLE001 - it is still being deleted
                response = None
            if response is not None and not response.topic_errors[0][1]:
                return
            await asyncio.sleep(0.2)
    raise AssertionError("the topic could not be created again")


async def triaged(outputs: Outputs, ids: set[str], timeout_s: float = 90.0) -> None:
    """Wait until all of these ids are triaged."""
    await outputs.read_until(
        lambda: ids <= {triaged.id for triaged in outputs.triaged}, timeout_s=timeout_s
    )


async def committed(settings: Settings, offset: int) -> None:
    """Wait until the group has committed this offset of the topic."""
    async with asyncio.timeout(60):
        while (await committed_offsets(settings)).get(input_topic(settings), {}).get(0) != offset:
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("again", [100, 600], ids=["shorter", "longer"])
async def test_a_log_that_was_lost_while_no_worker_ran(
    kafka: KafkaCluster, tiny_model: Path, tmp_path: Path, again: int
) -> None:
    """The group would go on at its old offset, and skip what stands before it, with a lag of 0."""
    settings = settings_for(kafka.bootstrap_servers, tiny_model, partitions=1)
    await create_topics(settings)
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    outputs = Outputs(settings)
    await asyncio.to_thread(worker.start)
    try:
        await triaged(outputs, await send(settings, "before", 400))
        await committed(settings, 400)
        await asyncio.to_thread(worker.kill)
        await asyncio.to_thread(lose_log, kafka, tmp_path / "kafka", input_topic(settings))
        ids = await send(settings, "after", again)
        await asyncio.to_thread(worker.start)
        await triaged(outputs, ids)
        metrics = worker.get("/metrics")[1]
    finally:
        if worker.alive:
            worker.kill()
    assert re.search(r"triage_rewound_partitions_total{.*tickets.*} 1\.0", metrics), worker.log()
    tell(f"a log lost under a commit of 400, then {again} events: {again} of {again} out")


def lose_log(kafka: KafkaCluster, data_dir: Path, topic: str) -> None:
    """Stop the broker, delete its log of a topic, as a restored volume may, and start it again."""
    kafka.stop_node(0)
    (log,) = data_dir.glob(f"node-*/data/{topic}-0")
    shutil.rmtree(log)
    kafka.start_node(0)


async def test_a_log_that_is_lost_under_a_running_worker(
    settings: Settings, tmp_path: Path
) -> None:
    """New events would not be read for as long as clients keep what they know of a topic."""
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    outputs = Outputs(settings)
    await asyncio.to_thread(worker.start)
    try:
        await triaged(outputs, await send(settings, "before", 400))
        await committed(settings, 400)
        await make_again(settings)
        ids = await send(settings, "after", 200)
        started_s = asyncio.get_running_loop().time()
        await triaged(outputs, ids)
        took_s = asyncio.get_running_loop().time() - started_s
    finally:
        worker.kill()
    tell(f"a topic made again under a worker: 200 of 200 out after {took_s:.0f} s")


async def test_retention_that_overtakes_the_group(settings: Settings, tmp_path: Path) -> None:
    """Events would be gone, and nobody would know how many."""
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    outputs = Outputs(settings)
    await asyncio.to_thread(worker.start)
    try:
        await triaged(outputs, await send(settings, "before", 100))
        await committed(settings, 100)
        await asyncio.to_thread(worker.end)
        await send(settings, "expired", 50)
        async with admin_client(settings) as client:
            partition = Partition(input_topic(settings), 0)
            await client.delete_records({partition: RecordsToDelete(before_offset=150)})
        ids = await send(settings, "after", 20)
        await asyncio.to_thread(worker.start)
        await triaged(outputs, ids)
        metrics, log = worker.get("/metrics")[1], worker.log()
    finally:
        if worker.alive:
            worker.kill()
    assert re.search(r"triage_expired_events_total{.*tickets.*} 50\.0", metrics)
    assert "offsets 100 to 149" in log
