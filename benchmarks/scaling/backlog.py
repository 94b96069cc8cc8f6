"""A backlog of many short events through one worker: its rate and its memory, part by part."""

import statistics
import time
from dataclasses import dataclass

from benchmarks.pipeline import cpu_s, resident_mb
from benchmarks.scaling.curve import even
from benchmarks.scaling.workers import (
    fill,
    output_counts,
    prepare,
    process,
    short_tickets,
)

PATIENCE_S = 120.0
"""How long the first events may take."""


@dataclass(frozen=True, slots=True)
class Part:
    """After so many events: the rate since the part before, and the worker's resident memory.

    `cpu_ms` is the processor time of the worker for each event since the part before, in
    milliseconds. Unlike the rate, it hardly depends on what else runs on the machine.
    """

    events: int
    events_per_s: float
    cpu_ms: float
    resident_mb: float


async def measure(
    servers: str, count: int, part: int, *, cost_ms: float, limit_s: float
) -> list[Part]:
    """The parts of a backlog of `count` events, which is there before the worker starts.

    A part is over after `part` events. After `limit_s` seconds no further part is measured.
    """
    settings = await prepare(servers, f"backlog-{count}")
    await fill(settings, short_tickets(even(count)))
    found: list[Part] = []
    async with process(settings, cost_ms) as running:
        last_s, last, last_cpu_s = time.monotonic(), 0, cpu_s(running.pid)
        ends_s = last_s + limit_s
        async for at_s, seen in output_counts(settings, count, PATIENCE_S + limit_s):
            if not seen:
                last_s, last_cpu_s = at_s, cpu_s(running.pid)  # the worker starts
            if seen >= part * (len(found) + 1) or seen == count:
                rate, used_s = (seen - last) / max(1e-9, at_s - last_s), cpu_s(running.pid)
                cpu_ms = (used_s - last_cpu_s) * 1000 / (seen - last)
                found.append(Part(seen, rate, cpu_ms, resident_mb(running.pid)))
                last_s, last, last_cpu_s = at_s, seen, used_s
            if at_s > ends_s:
                break
    return found


def growth_mb(parts: list[Part]) -> float:
    """How much the memory grows per 100,000 events: the slope after the first part."""
    if len(parts) < 3:
        return 0.0
    later = parts[1:]
    events = [part.events / 100_000 for part in later]
    return statistics.linear_regression(events, [part.resident_mb for part in later]).slope
