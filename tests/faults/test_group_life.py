"""What is slow, stuck or new in a group concerns nobody else."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import msgspec
import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import NewTopic
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from streams.config import Settings
from streams.kafka.admin import admin_client, create_topics
from streams.kafka.connection import connection
from streams.kafka.record import Record
from streams.local.brokers import Broker
from streams.local.brokers.kafka import KafkaCluster
from streams.topics import Topics
from tests.conftest import settings_for
from tests.figures import tell
from tests.integration.test_llm_pipeline import by_number, produce, serving
from tests.integration.test_pipeline import send
from tests.llm_server import ok, slow
from tests.llm_tier import configured, endpoint
from tests.outputs import Outputs
from tests.processes import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(300)]


def tickets(settings: Settings, name: str, count: int) -> list[Record]:
    """Tickets for the input topic, with ids that begin with `name`."""
    topic = Topics(settings.topics.prefix).input("tickets")
    ids = [f"{name}-{number}" for number in range(count)]
    return [
        Record(topic, id_.encode(), orjson.dumps({"id": id_, "text": f"card {id_}"})) for id_ in ids
    ]


def ids_of(outputs: Outputs, name: str) -> set[str]:
    """The ids of the triaged tickets that begin with `name`."""
    return {triaged.id for triaged in outputs.triaged if triaged.id.startswith(f"{name}-")}


async def test_classification_does_not_wait_for_a_slow_llm(
    settings: Settings, tmp_path: Path
) -> None:
    """With 700 cases waiting for answers of 5 s, no new event would be triaged for minutes."""
    with serving(slow(5.0, ok())) as server:
        settings = configured(
            endpoint(server.base_url, timeout_s=20.0, concurrency=2), settings=settings
        )
        await create_topics(settings)
        await produce(settings, [by_number(number) for number in range(700)])
        worker = WorkerProcess(settings, tmp_path / "worker.log")
        await asyncio.to_thread(worker.start)
        try:
            await asyncio.to_thread(worker.wait_until_ready)
            async with asyncio.timeout(60):
                while not server.requests:
                    await asyncio.sleep(0.1)
            started_s = time.monotonic()
            await send(settings, tickets(settings, "new", 40))
            outputs = Outputs(settings)
            await outputs.read_until(
                lambda: len(ids_of(outputs, "new")) == 40,
                [Topics(settings.topics.prefix).triaged("tickets")],
                timeout_s=60,
            )
            took_s = time.monotonic() - started_s
        finally:
            worker.kill()
    tell(f"700 cases wait for an LLM of 5 s: 40 of 40 new tickets triaged in {took_s:.0f} s")


async def test_every_worker_gets_partitions_and_survivors_take_over(
    broker: Broker, tiny_model: Path, tmp_path: Path
) -> None:
    """The third of three workers would get nothing, and leave the group when it is needed."""
    settings = settings_for(broker.bootstrap_servers, tiny_model)
    await create_topics(settings)
    workers = [WorkerProcess(settings, tmp_path / f"worker{number}.log") for number in range(3)]
    try:
        for worker in workers:
            await asyncio.to_thread(worker.start)
        for worker in workers:
            await asyncio.to_thread(worker.wait_until_ready)
        async with asyncio.timeout(60):
            while not all(await asyncio.gather(*(shares(worker) for worker in workers))):
                await asyncio.sleep(0.5)
        counts = [len(await shares(worker)) for worker in workers]
        assert sum(counts) == 16
        for worker in workers[:2]:
            await asyncio.to_thread(worker.kill)
        await send(settings, tickets(settings, "late", 40))
        outputs = Outputs(settings)
        await outputs.read_until(lambda: len(ids_of(outputs, "late")) == 40, timeout_s=60)
    finally:
        for worker in workers:
            if worker.alive:
                worker.kill()
    tell(f"3 workers on 4 partitions of 4 topics: {counts}; after two kill -9, 40 of 40 events out")


async def shares(worker: WorkerProcess) -> list[str]:
    """The partitions of a worker, as its metrics name them."""
    _, metrics = await asyncio.to_thread(worker.get, "/metrics")
    return [
        line
        for line in metrics.splitlines()
        if line.startswith("triage_offset_progress_age_seconds{")
    ]


async def test_a_worker_waits_for_workers_of_another_version(
    settings: Settings, tmp_path: Path
) -> None:
    """In a rolling update from a version with another protocol, new workers would end or hang."""
    await create_topics(settings)
    topic = Topics(settings.topics.prefix).input("tickets")
    old = AIOKafkaConsumer(
        topic,
        **connection(settings.kafka),
        group_id=settings.kafka.group_id,
        partition_assignment_strategy=[RangePartitionAssignor],
        session_timeout_ms=6000,
        heartbeat_interval_ms=1000,
    )
    await old.start()
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    await asyncio.to_thread(worker.start)
    try:
        async with asyncio.timeout(60):
            while "workers of another version" not in (await ready(worker))[1]:
                await asyncio.sleep(0.5)
        assert (await ready(worker))[0] == 503
        await old.stop()
        await asyncio.to_thread(worker.wait_until_ready)
    finally:
        await old.stop()
        worker.kill()


async def ready(worker: WorkerProcess) -> tuple[int, str]:
    """The answer of `/ready`."""
    return await asyncio.to_thread(worker.get, "/ready")


async def test_an_output_without_a_leader_holds_up_only_its_own(
    tiny_model: Path, tmp_path: Path
) -> None:
    """All tickets would wait for one partition, and all alerts when the worker ends after that."""
    cluster = KafkaCluster(brokers=3)
    await asyncio.to_thread(cluster.start)
    worker = None
    try:
        settings = settings_for(cluster.bootstrap_servers, tiny_model)
        topics = settings.topics
        settings = msgspec.structs.replace(
            settings, topics=msgspec.structs.replace(topics, replication=3)
        )
        names = Topics(topics.prefix)
        lonely = names.triaged("tickets")
        async with admin_client(settings) as client:
            # Node 3 alone has partition 3 of the triaged tickets.
            placement = {0: [1], 1: [1], 2: [2], 3: [3]}
            await client.create_topics([NewTopic(lonely, -1, -1, replica_assignments=placement)])
        await create_topics(settings)
        worker = WorkerProcess(settings, tmp_path / "worker.log")
        await asyncio.to_thread(worker.start)
        await asyncio.to_thread(worker.wait_until_ready)
        await asyncio.to_thread(cluster.kill_node, 2)
        await send(settings, tickets(settings, "t", 400))
        outputs = Outputs(settings)
        await outputs.read_until(lambda: len(ids_of(outputs, "t")) >= 270, timeout_s=120)
        async with asyncio.timeout(60):  # the controller must notice that the node is gone
            while f"{lonely}[3] has no leader" not in (await ready(worker))[1]:
                await asyncio.sleep(0.5)
        status, _ = await ready(worker)
        out = len(ids_of(outputs, "t"))
        await asyncio.to_thread(cluster.start_node, 2)
        await outputs.read_until(lambda: len(ids_of(outputs, "t")) == 400, timeout_s=120)
        copies = Counter((triaged.id, triaged.revision) for triaged in outputs.triaged)
    finally:
        if worker is not None and worker.alive:
            worker.kill()
        await asyncio.to_thread(cluster.stop)
    assert out < 400
    assert status == 503
    tell(
        f"one of four output partitions without a leader: {out} of 400 tickets flow, all 400 out "
        f"when it is back, {sum(copies.values()) - len(copies)} duplicates"
    )
