"""Measures the whole pipeline on a real broker.

Throughput is measured from a backlog, and memory over a long run.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from benchmarks.load import NO_CACHE
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
    """When a subscriber saw revision 0 of an event.

    `input_at_s` is when the pipeline received the event. Both times are in seconds since the epoch.
    """

    triaged: TriagedEvent
    input_at_s: float
    seen_at_s: float


async def prepare(bootstrap_servers: str, name: str) -> Settings:
    """Create topics with this prefix on a broker, and return settings for them."""
    settings = at(load(environ=os.environ | NO_CACHE), bootstrap_servers)
    kafka = msgspec.structs.replace(settings.kafka, group_id=name)
    settings = msgspec.structs.replace(settings, kafka=kafka, topics=TopicsSection(prefix=name))
    await create_topics(settings)
    return settings


async def throughput(settings: Settings, events: list[tuple[Domain, bytes]]) -> float:
    """Events per second from a backlog, between the first and the last output."""
    await send(settings, events)
    async with worker(settings):
        arrivals = await collect(settings, len(events))
    times = sorted(arrival.seen_at_s for arrival in arrivals)
    return (len(times) - 1) / (times[-1] - times[0])


async def memory(
    settings: Settings, events: list[tuple[Domain, bytes]], marks: Iterable[int]
) -> dict[int, float]:
    """The worker's resident memory in MB after each number of events."""
    memory_mb: dict[int, float] = {}
    async with worker(settings) as process:
        sending = asyncio.create_task(send(settings, events))
        names = [Topics(settings.topics.prefix).triaged(domain) for domain in DOMAINS]
        seen = 0
        async with reading(settings.kafka, names, from_beginning=True) as consumer:
            for mark in marks:
                while seen < mark:
                    for records in (await consumer.getmany(timeout_ms=500)).values():
                        seen += sum(b'"revision":0,' in record.value for record in records)
                memory_mb[mark] = resident_mb(process.pid)
        await sending
    return memory_mb


async def send(
    settings: Settings,
    events: Iterable[tuple[Domain, bytes]],
    *,
    rate: float | None = None,
    on_sent: Callable[[int], None] = lambda _: None,
) -> list[float]:
    """Produce events, at a rate in events per second or as fast as the broker accepts them.

    `on_sent` is called with the number of each event when it is sent. The result is when each was
    sent, in seconds since the epoch.
    """
    names, producer = Topics(settings.topics.prefix), Producer(settings.kafka)
    await producer.start()
    receipts, started_s = [], time.perf_counter()
    sent_s: list[float] = []
    try:
        for number, (domain, value) in enumerate(events):
            if rate:
                await asyncio.sleep(max(0.0, started_s + number / rate - time.perf_counter()))
            record = Record(names.input(domain), str(number).encode(), value)
            sent_s.append(time.time())
            on_sent(number)
            receipts.append(await producer.send(record))
            if len(receipts) >= WINDOW:
                await producer.confirm(receipts)
                receipts.clear()
        await producer.confirm(receipts)
    finally:
        await producer.stop()
    return sent_s


async def collect(settings: Settings, count: int) -> list[Arrival]:
    """Read revision 0 of `count` events.

    Raises:
        StreamError: the events do not arrive within `PATIENCE_S`.
    """
    names = [Topics(settings.topics.prefix).triaged(domain) for domain in DOMAINS]
    arrivals: list[Arrival] = []
    async with reading(settings.kafka, names, from_beginning=True) as consumer:
        deadline_s = time.monotonic() + PATIENCE_S
        while len(arrivals) < count:
            if time.monotonic() > deadline_s:
                raise StreamError(
                    f"only {len(arrivals)} of {count} events arrived; look at the worker's log"
                )
            for records in (await consumer.getmany(timeout_ms=500)).values():
                seen_at_s = time.time()
                seen = (arrival_of(record.value, seen_at_s) for record in records)
                arrivals += [arrival for arrival in seen if arrival is not None]
    return arrivals


def arrival_of(value: bytes, seen_at_s: float) -> Arrival | None:
    """The arrival of a record of a triaged topic; None for a later revision."""
    triaged = decode(value, TriagedEvent)
    if triaged.revision:
        return None
    return Arrival(triaged, _received_s(triaged), seen_at_s)


def resident_mb(pid: int) -> float:
    """The resident memory of a process (VmRSS)."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:  # noqa: PTH123 - a kernel file
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def cpu_s(pid: int) -> float:
    """The CPU seconds that a process has used: those of the program and of the kernel for it."""
    return _cpu_s(_stat(Path(f"/proc/{pid}")))


def group_cpu_s(group: int | None) -> float:
    """The CPU seconds that the processes of a process group have used which still run."""
    total_s = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = _stat(folder)
            if int(fields[2]) == group:
                total_s += _cpu_s(fields)
    return total_s


def _stat(folder: Path) -> list[str]:
    """The fields of a process after its name, which may hold spaces."""
    return (folder / "stat").read_text("ascii", "replace").rsplit(")", 1)[1].split()


def _cpu_s(fields: list[str]) -> float:
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _received_s(triaged: TriagedEvent) -> float:
    return datetime.fromisoformat(triaged.timing.received_at).timestamp()
