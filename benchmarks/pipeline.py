"""The whole pipeline on a real broker: throughput from a backlog, latency at a steady rate, memory over a long run."""

import asyncio
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from schemas.codec import decode
from schemas.event import DOMAINS, Domain
from schemas.triaged import TriagedEvent
from streams.config import Settings, TopicsSection, load
from streams.errors import StreamError
from streams.kafka.admin import create_topics
from streams.kafka.producer import Producer
from streams.kafka.reader import reading
from streams.kafka.record import Record
from streams.local.demo import at, worker
from streams.topics import Topics

WINDOW = 1000
PATIENCE_S = 900.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A revision 0 as a subscriber saw it."""

    triaged: TriagedEvent
    input_at_s: float
    seen_at_s: float

    @property
    def added_s(self) -> float:
        """What the pipeline added to the model's own time."""
        return max(0.0, self.seen_at_s - self.input_at_s - self.triaged.timing.inference_s)


async def prepare(bootstrap_servers: str, name: str) -> Settings:
    """Settings with topics of their own on a broker."""
    settings = at(load(environ=os.environ), bootstrap_servers)
    kafka = msgspec.structs.replace(settings.kafka, group_id=name)
    settings = msgspec.structs.replace(settings, kafka=kafka, topics=TopicsSection(prefix=name))
    await create_topics(settings)
    return settings


async def throughput(settings: Settings, events: list[tuple[Domain, bytes]]) -> float:
    """Events per second from a backlog, between the first and the last answer."""
    await send(settings, events)
    async with worker(settings):
        arrivals = await collect(settings, len(events))
    times = sorted(arrival.seen_at_s for arrival in arrivals)
    return (len(times) - 1) / (times[-1] - times[0])


async def latency(
    settings: Settings, events: list[tuple[Domain, bytes]], rate: float
) -> list[Arrival]:
    """Arrivals while events come at a steady rate."""
    async with worker(settings):
        sending = asyncio.create_task(send(settings, events, rate=rate))
        arrivals = await collect(settings, len(events))
        await sending
    return arrivals


async def memory(
    settings: Settings, events: list[tuple[Domain, bytes]], marks: Iterable[int]
) -> dict[int, float]:
    """The worker's resident memory in MB after each number of events."""
    found: dict[int, float] = {}
    async with worker(settings) as process:
        sending = asyncio.create_task(send(settings, events))
        names = [Topics(settings.topics.prefix).triaged(domain) for domain in DOMAINS]
        seen = 0
        async with reading(settings.kafka, names, from_beginning=True) as consumer:
            for mark in marks:
                while seen < mark:
                    for records in (await consumer.getmany(timeout_ms=500)).values():
                        seen += sum(b'"revision":0,' in record.value for record in records)
                found[mark] = resident_mb(process.pid)
        await sending
    return found


async def send(
    settings: Settings, events: Iterable[tuple[Domain, bytes]], *, rate: float | None = None
) -> None:
    """Produce events, as fast as they are taken or at a rate."""
    names, delivery = Topics(settings.topics.prefix), Producer(settings.kafka)
    await delivery.start()
    receipts, started_s = [], time.perf_counter()
    for number, (domain, value) in enumerate(events):
        if rate:
            await asyncio.sleep(max(0.0, started_s + number / rate - time.perf_counter()))
        receipts.append(
            await delivery.send(Record(names.input(domain), str(number).encode(), value))
        )
        if len(receipts) >= WINDOW:
            await delivery.confirm(receipts)
            receipts.clear()
    await delivery.confirm(receipts)
    await delivery.stop()


async def collect(settings: Settings, count: int) -> list[Arrival]:
    """Read revision 0 of `count` events."""
    names = [Topics(settings.topics.prefix).triaged(domain) for domain in DOMAINS]
    arrivals: list[Arrival] = []
    async with reading(settings.kafka, names, from_beginning=True) as consumer:
        deadline_s = time.monotonic() + PATIENCE_S
        while len(arrivals) < count:
            if time.monotonic() > deadline_s:
                raise StreamError(
                    f"only {len(arrivals)} of {count} events came out; look at the worker's log"
                )
            for records in (await consumer.getmany(timeout_ms=500)).values():
                seen_at_s = time.time()
                decoded = [decode(record.value, TriagedEvent) for record in records]
                arrivals += [
                    Arrival(t, _received_s(t), seen_at_s) for t in decoded if t.revision == 0
                ]
    return arrivals


def resident_mb(pid: int) -> float:
    """VmRSS of a process."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:  # noqa: PTH123 - a kernel file
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def _received_s(triaged: TriagedEvent) -> float:
    return datetime.fromisoformat(triaged.timing.received_at).timestamp()
