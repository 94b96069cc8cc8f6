"""The rate of 1, 2, 4 and 8 workers from a backlog, with even and with uneven partitions."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.scaling.workers import (
    PARTITIONS,
    Workers,
    fill,
    output_counts,
    prepare,
    rate_between,
    short_tickets,
    working,
)

COST_MS = 40.0
"""A stand-in of this cost does 25 events a second, so eight of them fit on two cores."""
SECONDS = 12.0
FROM, TO = 0.1, 0.8
"""The rate is measured between these shares of the events: before, not all workers have begun, and
after, some of them have nothing left. With uneven partitions just that is the question: there it is
measured to the last event."""
HOT_SHARE = 0.25
"""Of the uneven events, so many are on one partition: those of one large tenant, for instance."""
TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Events per second of some workers, and what the stand-in and the partitions allow."""

    workers: int
    uneven: bool
    events_per_s: float
    possible_per_s: float


def even(count: int) -> Iterator[int]:
    """Partitions in turn."""
    return itertools.islice(itertools.cycle(range(PARTITIONS)), count)


def uneven(count: int) -> Iterator[int]:
    """Partitions in turn, with more on the first one."""
    every = round(1 / HOT_SHARE)
    others = itertools.cycle(range(1, PARTITIONS))
    for number in range(count):
        yield 0 if number % every == 0 else next(others)


def possible_per_s(workers: int, *, is_uneven: bool) -> float:
    """The rate that the busiest worker leaves: it has this share of the events."""
    share = 1 / workers
    if is_uneven:
        # It reads the hot partition, and as many others as each of the other workers less one.
        share = HOT_SHARE + (PARTITIONS / workers - 1) * (1 - HOT_SHARE) / (PARTITIONS - 1)
    return 1000 / COST_MS / share


async def measure(servers: str, workers: int, seconds: float, *, is_uneven: bool = False) -> Rate:
    """The rate of so many workers, who have work for so many seconds if it is even."""
    count = int(1000 / COST_MS * workers * seconds)
    partitions = list(uneven(count) if is_uneven else even(count))
    name = f"curve-{workers}-{'uneven' if is_uneven else 'even'}"
    settings = await prepare(servers, name)
    # They start first: a backlog would be half done before the last one has joined.
    async with working(Workers(settings, COST_MS)) as group:
        await group.start(*(f"w{number}" for number in range(workers)))
        await fill(settings, short_tickets(partitions))
        counts = [each async for each in output_counts(settings, count, TIMEOUT_S)]
    return Rate(
        workers,
        is_uneven,
        rate_between(counts, FROM, 1.0 if is_uneven else TO),
        possible_per_s(workers, is_uneven=is_uneven),
    )
