"""One record, or one batch, must never stop a worker or its partition."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from streams.config import Settings, StormsSection
from streams.kafka.admin import create_topics
from streams.kafka.connection import connection
from streams.local.brokers import Broker
from streams.topics import Topics
from tests.conftest import settings_for
from tests.faults.killed_worker import DEADLY
from tests.figures import tell
from tests.outputs import Outputs, dead_letter_origin
from tests.processes import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(240)]

MEGABYTE = 1 << 20


@pytest.fixture
async def one_partition(broker: Broker, tiny_model: Path) -> Settings:
    """Settings whose topics have one partition, so that nothing goes round what is hostile."""
    settings = settings_for(broker.bootstrap_servers, tiny_model, partitions=1)
    await create_topics(settings)
    return settings


async def send_batch(
    settings: Settings, values: list[bytes], *, compression: str | None = None
) -> None:
    """Send values as one batch to the tickets topic."""
    producer = AIOKafkaProducer(
        **connection(settings.kafka),
        compression_type=compression,
        max_batch_size=1 << 30,
        max_request_size=1 << 30,
        linger_ms=200,
    )
    await producer.start()
    topic = Topics(settings.topics.prefix).input("tickets")
    try:
        receipts = [await producer.send(topic, value) for value in values]
        await asyncio.gather(*receipts)
    finally:
        await producer.stop()


def ticket(number: int, text: str = "card payment") -> bytes:
    """A good ticket."""
    return orjson.dumps({"id": f"good-{number}", "text": f"{text} {number}"})


def good_ids(outputs: Outputs) -> set[str]:
    """The ids of the good tickets that were triaged."""
    return {triaged.id for triaged in outputs.triaged if triaged.id.startswith("good-")}


def reasons(outputs: Outputs) -> list[str]:
    """The class of the error in each dead letter."""
    headers = [dict(letter.headers) for letter in outputs.dead_letters]
    return [(each["__connect.errors.exception.class.name"] or b"").decode() for each in headers]


@pytest.mark.parametrize(
    ("compression", "hostile"),
    [
        ("zstd", [b"x" * (4 * MEGABYTE)] * 30),
        ("gzip", [b"x" * (64 * MEGABYTE)]),
        ("lz4", [b"x" * (4 * MEGABYTE)] * 30),
        ("snappy", [b"x" * (1 * MEGABYTE)] * 30),
    ],
)
async def test_a_batch_that_grows_when_it_is_decompressed(
    one_partition: Settings, tmp_path: Path, compression: str, hostile: list[bytes]
) -> None:
    """14 kB would take 5 GB of memory, at each restart, and nothing behind it would be read."""
    settings = one_partition
    await send_batch(settings, hostile, compression=compression)
    await send_batch(settings, [ticket(number) for number in range(50)])
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    worker.start()
    try:
        await asyncio.to_thread(worker.wait_until_ready)
        outputs = Outputs(settings)
        await outputs.read_until(
            lambda: len(good_ids(outputs)) == 50 and len(outputs.dead_letters) == len(hostile)
        )
        peak = worker.peak_memory()
    finally:
        worker.kill()
    assert reasons(outputs) == ["BatchTooLarge"] * len(hostile)
    assert {dead_letter_origin(letter)[2] for letter in outputs.dead_letters} == set(
        range(len(hostile))
    )
    tell(f"{compression} batch of {sum(map(len, hostile)) >> 20} MB: worker at {peak >> 20} MB")
    assert peak < 1 << 30


async def test_an_event_that_kills_every_worker(one_partition: Settings, tmp_path: Path) -> None:
    """Each worker that gets the partition would die, and nothing behind the event be read."""
    settings = one_partition
    values = [ticket(number) for number in range(60)]
    values[30] = orjson.dumps({"id": "deadly", "text": DEADLY.decode()})
    await send_batch(settings, values)
    worker = WorkerProcess(settings, tmp_path / "worker.log", "tests.faults.killed_worker")
    deaths = 0
    outputs = Outputs(settings)

    async def restart() -> None:
        nonlocal deaths
        while True:
            if not worker.alive:
                deaths += worker.process is not None
                worker.start()
            await asyncio.sleep(0.2)

    restarting = asyncio.create_task(restart())
    try:
        await outputs.read_until(
            lambda: len(good_ids(outputs)) == 59 and bool(outputs.dead_letters), timeout_s=150
        )
    finally:
        restarting.cancel()
        if worker.alive:
            worker.kill()
    assert reasons(outputs) == ["WorkerKilled"], (
        [dead_letter_origin(letter) for letter in outputs.dead_letters],
        worker.log(),
    )
    assert [dead_letter_origin(letter)[2] for letter in outputs.dead_letters] == [30]
    tell(f"an event that kills its worker: {deaths} deaths, then a dead letter; 59 of 59 others")
    assert deaths <= 4


async def test_a_storm_of_invalid_events_pauses_its_partition(
    broker: Broker, tiny_model: Path, tmp_path: Path
) -> None:
    """A producer that lost its schema would turn a whole topic into dead letters."""
    settings = settings_for(broker.bootstrap_servers, tiny_model, partitions=1)
    settings = msgspec.structs.replace(settings, storms=StormsSection(max_run=50, pause_s=600.0))
    await create_topics(settings)
    await send_batch(settings, [b"not json"] * 3000)
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    worker.start()
    try:
        await until(lambda: "is paused because" in worker.get("/ready")[1])
        status, reason = worker.get("/ready")
        outputs = Outputs(settings)
        await outputs.read_until(lambda: len(outputs.dead_letters) >= 50)
        await asyncio.sleep(3.0)
        await outputs.read_until(lambda: len(outputs.dead_letters) >= 50)
        metrics = worker.get("/metrics")[1]
    finally:
        worker.kill()
    tell(f"3,000 invalid events in a row: {len(outputs.dead_letters)} dead letters, then a pause")
    assert len(outputs.dead_letters) < 1500
    assert status == 503
    assert f"{settings.topics.prefix}.tickets.v1[0] is paused" in reason
    assert re.search(r'triage_problems{kind="paused",.*} 1\.0', metrics)


async def until(condition: Callable[[], Any], timeout_s: float = 90.0) -> None:
    """Wait until a condition holds, which may block for a moment."""
    async with asyncio.timeout(timeout_s):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.2)
