"""One worker on a real broker: first a backlog, then steady arrivals at several rates."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer

from benchmarks.earlier import workers_of
from benchmarks.load import mixed
from benchmarks.pipeline import Arrival, arrival_of, cpu_s, group_cpu_s, prepare, send
from schemas.event import DOMAINS, Domain
from streams.config import Settings
from streams.errors import StreamError
from streams.kafka.reader import reading
from streams.local.brokers.kafka import KafkaCluster
from streams.local.demo import worker
from streams.topics import Topics

ALONE_PER_S = 4.0
WARM_UP = 150
SUSTAINED = 0.95
"""Arrivals are sustained if events come out at this share of the rate at which they come in."""
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Point:
    """What subscribers saw while events came at a steady rate.

    `share` is that of the rate at which the worker drains a backlog; 0 if the events came alone.
    `rate` and `out_rate` are in events per second, the others in milliseconds from when the event
    was written to its topic: `p50_ms` and `p99_ms` until a subscriber had it, and `inference_ms`
    the median of its own forward pass.
    """

    share: float
    rate: float
    out_rate: float
    p50_ms: float
    p99_ms: float
    inference_ms: float
    events: int

    @property
    def is_sustained(self) -> bool:
        """Whether events come out as fast as they come in."""
        return self.out_rate >= SUSTAINED * self.rate


@dataclass(frozen=True, slots=True)
class Session:
    """What was measured of one worker: the rate from a backlog, and the points.

    `cpu_ms` is the processor time in milliseconds that an event of the backlog takes in each of the
    processes: the worker, the broker, and this one, which is producer and subscriber.
    """

    drained_per_s: float
    points: list[Point]
    cpu_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """How many events the backlog has, for which shares of the rate events arrive, how long."""

    backlog: int = 1500
    shares: Sequence[float] = (0.2, 0.4, 0.6, 0.8, 0.85, 1.0)
    seconds: float = 8.0
    alone: int = 40


async def measure(
    broker: KafkaCluster, name: str, plan: Plan, *, source: Path | None, capacity: float | None
) -> Session:
    """Run a session under the topic prefix `name`.

    The worker is that of the directory `source`, for instance a work tree of an earlier commit;
    without it, that of this one. The shares are those of `capacity` in events per second; without
    it, of the rate that was just measured.
    """
    settings = await prepare(broker.bootstrap_servers, name)
    with workers_of(source):
        async with worker(settings) as process, _subscriber(settings) as subscriber:
            subscription = _Subscription(settings, subscriber)
            await subscription.arrivals(WARM_UP, rate=30.0)
            before_s = _processor_s(process.pid, broker)
            arrivals = await subscription.arrivals(plan.backlog, rate=None)
            after_s = _processor_s(process.pid, broker)
            cpu_ms = {
                name: (after_s[name] - before_s[name]) * 1000 / plan.backlog for name in after_s
            }
            drained = _rate(arrivals)
            points = [
                _point(0.0, ALONE_PER_S, await subscription.arrivals(plan.alone, ALONE_PER_S))
            ]
            for share in plan.shares:
                rate = share * (capacity or drained)
                count = max(60, int(rate * plan.seconds))
                points.append(_point(share, rate, await subscription.arrivals(count, rate)))
    return Session(drained, points, cpu_ms)


def _processor_s(worker_pid: int, broker: KafkaCluster) -> dict[str, float]:
    """The processor time in seconds that everyone has used until now."""
    (server,) = broker._servers  # noqa: SLF001 - only a benchmark asks
    return {
        "worker": cpu_s(worker_pid),
        "broker": group_cpu_s(server.process_group),
        "producer and subscriber": time.process_time(),
    }


class _Subscription:
    """Sends events, and takes their revisions 0 from the triaged topics."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer) -> None:
        self._settings = settings
        self._consumer = consumer
        self._runs = 0

    async def arrivals(self, count: int, rate: float | None) -> list[Arrival]:
        """Send so many events at a rate, or at once, and wait until all have arrived.

        Raises:
            StreamError: they do not arrive within `PATIENCE_S` after the last was sent.
        """
        self._runs += 1
        events = list(_named(count, f"r{self._runs}"))
        sending = asyncio.create_task(send(self._settings, events, rate=rate))
        arrivals: list[Arrival] = []
        async for arrival in self._new(sending):
            if arrival.triaged.id.startswith(f"r{self._runs}-"):
                arrivals.append(arrival)
            if len(arrivals) == count:
                break
        await sending
        return sorted(arrivals, key=lambda arrival: arrival.seen_at_s)

    async def _new(self, sending: asyncio.Task[Any]) -> AsyncIterator[Arrival]:
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            for records in (await self._consumer.getmany(timeout_ms=500)).values():
                seen_at_s = time.time()
                for record in records:
                    arrival = arrival_of(record.value, seen_at_s)
                    if arrival is not None:
                        yield arrival
            if not sending.done():
                deadline_s = time.monotonic() + PATIENCE_S
        raise StreamError("events did not arrive; look at the worker's log")


@asynccontextmanager
async def _subscriber(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    names = [Topics(settings.topics.prefix).triaged(domain) for domain in DOMAINS]
    async with reading(settings.kafka, names, from_beginning=True) as consumer:
        yield consumer


def _named(count: int, run: str) -> Iterator[tuple[Domain, bytes]]:
    for number, (domain, value) in enumerate(mixed(count)):
        yield domain, orjson.dumps(orjson.loads(value) | {"id": f"{run}-{number}"})


def _rate(arrivals: Sequence[Arrival]) -> float:
    """Events per second between the first and the last one that was seen."""
    return (len(arrivals) - 1) / (arrivals[-1].seen_at_s - arrivals[0].seen_at_s)


def _point(share: float, rate: float, arrivals: Sequence[Arrival]) -> Point:
    """The figures of some arrivals, without the first tenth: the rate has just changed there."""
    by_input = sorted(arrivals, key=lambda arrival: arrival.input_at_s)
    settled = by_input[len(by_input) // 10 :]
    waits_ms = [(each.seen_at_s - each.input_at_s) * 1000 for each in settled]
    percentiles = statistics.quantiles(waits_ms, n=100)
    passes_ms = [each.triaged.timing.inference_s * 1000 for each in settled]
    return Point(
        share=share,
        rate=rate,
        out_rate=_rate(sorted(settled, key=lambda each: each.seen_at_s)),
        p50_ms=percentiles[49],
        p99_ms=percentiles[98],
        inference_ms=statistics.median(passes_ms),
        events=len(settled),
    )
