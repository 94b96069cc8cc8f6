"""Workers with a stand-in of the model, and the topics and events that they work on."""

import asyncio
import itertools
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass, field

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from msgspec.structs import replace

from benchmarks.load import SHORT_TEXTS
from benchmarks.scaling.stand_in import COST, Role, role, stand_ins
from streams.config import Settings, TopicsSection, as_environment, load
from streams.errors import StreamError
from streams.kafka.admin import create_topics
from streams.kafka.bootstrap import reachable_connection
from streams.local.demo import at
from streams.topics import Topics
from streams.worker import Worker

PARTITIONS = 16
START_TIMEOUT_S = 120.0
POLL_S = 0.25
WINDOW = 5_000


async def prepare(servers: str, name: str, partitions: int = PARTITIONS) -> Settings:
    """Topics with this prefix and so many partitions, and settings for them."""
    settings = at(load(environ=os.environ), servers)
    settings = replace(
        settings,
        kafka=replace(settings.kafka, group_id=name),
        topics=TopicsSection(prefix=name, partitions=partitions),
        spot_checks=replace(settings.spot_checks, share=0.0),
    )
    await create_topics(settings)
    return settings


@dataclass
class Workers:
    """Workers of one group, by name, all in this process.

    They are whole workers, each with its own connections. Processes of their own would take the
    processors of a small machine from the others whenever one starts, which is not what is
    measured.
    """

    settings: Settings
    cost_ms: float
    static: bool = False
    running: dict[str, tuple[Worker, asyncio.Task[None]]] = field(default_factory=dict)

    async def start(self, *names: str) -> None:
        """Start these workers at once, and return when all are ready."""
        for name in names:
            self.running[name] = self._spawn(name)
        await asyncio.gather(*(self._wait_until_ready(name) for name in names))

    async def stop(self, *names: str) -> None:
        """Let these workers drain and end, as at SIGTERM."""
        ending = [self.running.pop(name) for name in names]
        for worker, _ in ending:
            worker._ended.set()  # noqa: SLF001 - a signal would end all of them
        await asyncio.gather(*(task for _, task in ending))

    def _spawn(self, name: str) -> tuple[Worker, asyncio.Task[None]]:
        settings = replace(self.settings, http=replace(self.settings.http, port=0))
        if self.static:
            kafka = replace(settings.kafka, group_instance_id=name, session_timeout_s=60.0)
            settings = replace(settings, kafka=kafka)
        worker = Worker(settings, ["classify"])
        context = copy_context()
        context.run(role.set, Role(name, self.cost_ms))
        return worker, asyncio.create_task(worker.run(), context=context)

    async def _wait_until_ready(self, name: str) -> None:
        worker, task = self.running[name]
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s and not task.done():
            if worker._why_not_ready() is None:  # noqa: SLF001 - what /ready answers
                return
            await asyncio.sleep(POLL_S)
        raise StreamError(f"worker {name} did not become ready; see above")


@asynccontextmanager
async def working(workers: Workers) -> AsyncIterator[Workers]:
    """End all workers at the end of the block, also after an error."""
    with stand_ins():
        try:
            yield workers
        finally:
            await workers.stop(*workers.running)


@asynccontextmanager
async def process(settings: Settings, cost_ms: float) -> AsyncIterator[asyncio.subprocess.Process]:
    """One worker in a process of its own, for its memory."""
    quiet = replace(settings.log, level="error", format="plain")
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.scaling.stand_in",
        "worker",
        "--agents",
        "classify",
        env=os.environ | as_environment(replace(settings, log=quiet)) | {COST: str(cost_ms)},
        stdin=asyncio.subprocess.DEVNULL,
        process_group=0,
    )
    try:
        yield running
    finally:
        running.kill()
        await running.wait()


def short_tickets(partitions: Iterable[int], *, first: int = 0) -> Iterable[tuple[int, bytes]]:
    """A one-line ticket for each of these partitions, each with an id of its own."""
    texts = itertools.cycle(SHORT_TEXTS)
    for number, partition in enumerate(partitions, start=first):
        ticket = {"id": f"s-{number}", "kind": "ticket", "text": next(texts)}
        yield partition, orjson.dumps(ticket)


async def fill(settings: Settings, tickets: Iterable[tuple[int, bytes]]) -> None:
    """Produce these tickets, each to its partition, as fast as the broker takes them."""
    topic = Topics(settings.topics.prefix).input("tickets")
    async with producing(settings) as producer:
        receipts = []
        for partition, value in tickets:
            receipts.append(await producer.send(topic, value, partition=partition))
            if len(receipts) >= WINDOW:
                await asyncio.gather(*receipts)
                receipts.clear()
        await asyncio.gather(*receipts)


@asynccontextmanager
async def producing(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """A producer for the cluster of these settings."""
    producer = AIOKafkaProducer(**await reachable_connection(settings.kafka), linger_ms=5)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def output_counts(
    settings: Settings, count: int, timeout_s: float
) -> AsyncIterator[tuple[float, int]]:
    """The time and how many tickets have come out by then, until it is `count`.

    Times are in seconds of a monotonic clock. The counts are ends of the partitions of the topic,
    so nothing is read, and the reading takes nothing from the workers.

    Raises:
        StreamError: they did not come out in time.
    """
    topic = Topics(settings.topics.prefix).triaged("tickets")
    partitions = [TopicPartition(topic, number) for number in range(settings.topics.partitions)]
    deadline_s, seen = time.monotonic() + timeout_s, 0
    consumer = AIOKafkaConsumer(**await reachable_connection(settings.kafka))
    await consumer.start()
    try:
        while seen < count:
            if time.monotonic() > deadline_s:
                raise StreamError(f"{seen} of {count} events came out in {timeout_s:.0f} s")
            await asyncio.sleep(POLL_S)
            seen = sum((await consumer.end_offsets(partitions)).values())
            yield time.monotonic(), seen
    finally:
        await consumer.stop()


def rate_between(counts: Sequence[tuple[float, int]], low: float, high: float) -> float:
    """Events per second between these shares of the last count."""
    last = counts[-1][1]
    started_s, started = next(each for each in counts if each[1] >= low * last)
    ended_s, ended = next(each for each in counts if each[1] >= high * last)
    return (ended - started) / max(1e-9, ended_s - started_s)
