"""A backlog of many short events through one worker: its rate and its memory, part by part."""

import statistics
from dataclasses import dataclass

from benchmarks.pipeline import resident_mb
from benchmarks.scaling.curve import even
from benchmarks.scaling.workers import (
    Workers,
    fill,
    output_counts,
    prepare,
    short_tickets,
    working,
)

PER_EVENT_S = 0.02
"""How long an event may take before the run is given up."""


@dataclass(frozen=True, slots=True)
class Part:
    """After so many events: the rate since the part before, and the worker's resident memory."""

    events: int
    events_per_s: float
    resident_mb: float


async def measure(servers: str, count: int, parts: int, *, cost_ms: float) -> list[Part]:
    """The parts of a backlog of `count` events, which is there before the worker starts."""
    settings = await prepare(servers, f"soak-{count}")
    await fill(settings, short_tickets(even(count)))
    found: list[Part] = []
    async with working(Workers(settings, cost_ms)) as workers:
        await workers.start("w0")
        process = workers.running["w0"]
        last_s = last = None
        async for at_s, seen in output_counts(settings, count, 120 + count * PER_EVENT_S):
            if last_s is None or last is None:
                last_s, last = at_s, seen
            if seen >= count * (len(found) + 1) / parts:
                rate = (seen - last) / max(1e-9, at_s - last_s)
                found.append(Part(seen, rate, resident_mb(process.pid)))
                last_s, last = at_s, seen
    return found


def growth_mb(parts: list[Part]) -> float:
    """How much the memory grows per 100,000 events: the slope after the first part."""
    if len(parts) < 3:
        return 0.0
    later = parts[1:]
    events = [part.events / 100_000 for part in later]
    return statistics.linear_regression(events, [part.resident_mb for part in later]).slope
