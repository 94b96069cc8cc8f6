"""A log that lost its end, its beginning, or everything: nothing is skipped in silence."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic, RecordsToDelete

from schemas.audit.record import UnreadOffsets, UnreadRecord, unseal
from streams.audit.verify import verify
from streams.config import Settings
from streams.deadletters import Letter, PlaceOfRecord, skip
from streams.errors import StreamError
from streams.kafka.admin import admin_client, create_topics
from streams.kafka.connection import connection
from streams.kafka.offsets import Partition
from streams.kafka.reader import reading, until_end
from streams.local.brokers import Broker
from streams.local.brokers.kafka import KafkaCluster
from streams.topics import Topics
from tests.conftest import settings_for
from tests.faults.account import committed_offsets
from tests.faults.test_hostile_records import send_batch
from tests.figures import tell
from tests.outputs import Outputs
from tests.processes import WorkerProcess, run_triage

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
    (unread,) = await unread_records(settings)
    assert unread.offsets == UnreadOffsets(
        topic=input_topic(settings), partition=0, first=100, last=149
    )
    assert (unread.cause, unread.by, unread.reason) == ("expired", None, None)


async def unread_records(settings: Settings) -> list[UnreadRecord]:
    """What the audit topic says of offsets that nobody has read; the topic must be whole."""
    report = await verify(settings)
    assert (report.ok, report.many) == (True, 0)
    topic = Topics(settings.topics.prefix).audit
    async with reading(settings.kafka, [topic], from_beginning=True) as consumer:
        records = [unseal(each.value or b"").record async for each in until_end(consumer)]
    return [record for record in records if isinstance(record, UnreadRecord)]


@contextmanager
def flipped(broker: Broker, topic: str, text: bytes) -> Iterator[None]:
    """The log of the topic on the disk of the broker, with a bit changed in this text."""
    assert isinstance(broker, KafkaCluster)
    log = broker._nodes[0].directory / "data" / f"{topic}-0" / f"{0:020}.log"
    at = log.read_bytes().index(text)
    with log.open("r+b") as stream:
        for bits in (1, 0):
            stream.seek(at)
            stream.write(bytes([text[0] ^ bits]))
            stream.flush()
            if bits:
                yield


def triage_skip(settings: Settings, *arguments: str) -> tuple[int, str]:
    """The exit code of `triage deadletters skip`, and what it prints on both streams."""
    done = run_triage(settings, "deadletters", "skip", *arguments)
    return done.returncode, done.stdout + done.stderr


async def test_a_damaged_batch_is_stepped_over_on_the_record(
    broker: Broker, settings: Settings, tmp_path: Path
) -> None:
    """One flipped byte would stop a partition for ever, or events be lost without a word."""
    topic = input_topic(settings)
    place = PlaceOfRecord(topic, 0, 3)
    for name in ("before", "bad", "after"):
        ids = [f"{name}-{number}" for number in range(3)]
        await send_batch(
            settings, [orjson.dumps({"id": id_, "text": f"card {id_}"}) for id_ in ids]
        )
    with pytest.raises(StreamError, match=r"offset 0 .* can be read"):
        await skip(settings, place, by="dana", reason="no reason")
    worker, outputs = WorkerProcess(settings, tmp_path / "worker.log"), Outputs(settings)
    with flipped(broker, topic, b"card bad-1"):
        worker.start()
        try:
            await triaged(outputs, {f"before-{number}" for number in range(3)})
            async with asyncio.timeout(60):
                while f"skip '{place}'" not in (await asyncio.to_thread(worker.get, "/ready"))[1]:
                    await asyncio.sleep(0.2)
            with pytest.raises(StreamError, match=r"has members \(1\); stop all workers"):
                await skip(settings, place, by="dana", reason="a worker still runs")
            assert await asyncio.to_thread(worker.end) == 0
        finally:
            worker.kill()
        with pytest.raises(StreamError, match=f"begins at 3 .* give {re.escape(str(place))}"):
            await skip(settings, place._replace(offset=0), by="dana", reason="mistyped")
        options = (str(place), "--by", "dana", "--reason", "disk 3, ticket 4711")
        planned = await asyncio.to_thread(triage_skip, settings, *options)
        assert planned[0] == 0
        assert (
            "at most 3 records are lost\nthe next batch begins at offset 6\nnothing was done"
            in (planned[1])
        )
        assert await unread_records(settings) == []
        done = await asyncio.to_thread(triage_skip, settings, *options, "--yes")
        assert (done[0], "it is stepped over" in done[1]) == (0, True)
        worker.start()
        try:
            await triaged(outputs, {f"after-{number}" for number in range(3)})
            await asyncio.to_thread(worker.wait_until_ready)
        finally:
            worker.kill()
    assert not any(triaged.id.startswith("bad") for triaged in outputs.triaged)
    (letter,) = [Letter(record) for record in outputs.dead_letters]
    headers = letter.headers
    assert (letter.original_record, headers.stage, headers.poison) == (str(place), "fetch", True)
    assert "offsets 3 to 5" in headers.message
    assert headers.message.endswith("dana stepped over it: disk 3, ticket 4711")
    (unread,) = await unread_records(settings)
    assert unread.offsets == UnreadOffsets(topic=topic, partition=0, first=3, last=5)
    assert (unread.cause, unread.by) == ("damaged", "dana")
    assert unread.reason == "disk 3, ticket 4711"
