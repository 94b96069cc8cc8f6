"""Measures one worker, ours or a peer's: from a backlog, at steady rates, and what it uses."""

import asyncio
import json
import signal
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import pipeline
from benchmarks.peers.environments import (
    NotRunError,
    Peer,
    start_arguments,
    variables,
)
from schemas.event import DOMAINS, Domain
from streams.config import Settings
from streams.errors import StreamError
from streams.kafka.reader import reading
from streams.local.demo import worker
from streams.topics import Topics

Events = list[tuple[Domain, bytes]]
Running = Callable[[Settings], AbstractAsyncContextManager[int]]
"""Runs a worker with these settings, and gives the id of its process."""

START_TIMEOUT_S, STOP_TIMEOUT_S = 120.0, 30.0
KEEPS_UP = 0.95
"""A worker is not measured at a rate above this share of its own rate from a backlog."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the producer to a subscriber, while so many events a second arrive."""

    rate: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Speed:
    """What a worker does from a backlog, and its latency at the rates that it keeps up with.

    CPU time and memory are those of the worker's process, without Kafka and the clients.
    """

    events_per_s: float
    cpu_s_per_1000: float
    resident_mb: float
    latencies: list[Latency] = field(default_factory=list)


@dataclass(slots=True)
class _Arrivals:
    """When each event, by its number, was first seen, and the CPU seconds used until then."""

    seen_s: dict[int, float] = field(default_factory=dict)
    first_count: int = 0
    first_cpu_s: float = 0.0


@asynccontextmanager
async def ours(settings: Settings) -> AsyncIterator[int]:
    """Our own worker."""
    async with worker(settings) as process:
        yield process.pid


def running(peer: Peer, python: Path, directory: Path, threads: int) -> Running:
    """How a peer's worker is run, with a model from this directory."""

    @asynccontextmanager
    async def run(settings: Settings) -> AsyncIterator[int]:
        topics = Topics(settings.topics.prefix)
        specification = {
            "model": peer.model,
            "directory": str(directory),
            "batch": peer.batch,
            "threads": threads,
            "bootstrap_servers": settings.kafka.bootstrap_servers,
            "group_id": settings.kafka.group_id,
            "topics": {
                topics.input(domain): (domain, topics.triaged(domain)) for domain in DOMAINS
            },
        }
        process = await asyncio.create_subprocess_exec(
            *start_arguments(python, "worker", json.dumps(specification)),
            env=variables(threads),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await _wait_until_ready(process)
            yield process.pid
        finally:
            await _end(process)

    return run


async def measure(
    run: Running, servers: str, name: str, events: Events, rates: list[float], seconds: float
) -> Speed:
    """Measure a worker from a backlog of all events, and for so many seconds at each rate.

    Raises:
        NotRunError: it did not start, or its answers did not come.
    """
    try:
        speed = await _backlog(run, await pipeline.prepare(servers, f"{name}-backlog"), events)
        for rate in rates:
            if rate > KEEPS_UP * speed.events_per_s:
                continue
            settings = await pipeline.prepare(servers, f"{name}-at-{rate:.0f}")
            speed.latencies.append(
                await _latency(run, settings, events[: int(rate * seconds)], rate)
            )
    except StreamError as error:
        raise NotRunError(str(error)) from None
    return speed


async def _backlog(run: Running, settings: Settings, events: Events) -> Speed:
    await pipeline.send(settings, events)
    async with run(settings) as pid:
        arrivals = await _collect(settings, len(events), pid)
        used_cpu_s = pipeline.cpu_s(pid) - arrivals.first_cpu_s
        resident_mb = pipeline.resident_mb(pid)
    times = arrivals.seen_s.values()
    # The first answers came together, so they say nothing about the rate.
    counted = len(times) - arrivals.first_count
    return Speed(
        events_per_s=counted / (max(times) - min(times)),
        cpu_s_per_1000=used_cpu_s / counted * 1000,
        resident_mb=resident_mb,
    )


async def _latency(run: Running, settings: Settings, events: Events, rate: float) -> Latency:
    async with run(settings) as pid:
        sending = asyncio.create_task(pipeline.send(settings, events, rate=rate))
        arrivals = await _collect(settings, len(events), pid)
        sent_s = await sending
    delays_ms = [(seen_s - sent_s[number]) * 1000 for number, seen_s in arrivals.seen_s.items()]
    percentiles = statistics.quantiles(delays_ms, n=100)
    return Latency(rate, percentiles[49], percentiles[98])


async def _collect(settings: Settings, count: int, pid: int) -> _Arrivals:
    """Wait until the first answer about each event is on the output topics."""
    names = [Topics(settings.topics.prefix).triaged(domain) for domain in DOMAINS]
    arrivals = _Arrivals()
    deadline_s = time.monotonic() + pipeline.PATIENCE_S
    async with reading(settings.kafka, names, from_beginning=True) as consumer:
        while len(arrivals.seen_s) < count:
            if time.monotonic() > deadline_s:
                raise StreamError(f"only {len(arrivals.seen_s)} of {count} answers came in time")
            fetched = await consumer.getmany(timeout_ms=500)
            seen_at_s, first = time.time(), not arrivals.seen_s
            for record in (record for records in fetched.values() for record in records):
                number = int(record.key.decode().rsplit("-", 1)[1])
                arrivals.seen_s.setdefault(number, seen_at_s)
            if first and arrivals.seen_s:
                arrivals.first_count, arrivals.first_cpu_s = (
                    len(arrivals.seen_s),
                    pipeline.cpu_s(pid),
                )
    return arrivals


async def _wait_until_ready(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)
    except TimeoutError:
        raise NotRunError(f"its worker was not ready within {START_TIMEOUT_S:.0f} s") from None
    if line.strip() != b"ready":
        raise NotRunError("its worker ended before it was ready")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
