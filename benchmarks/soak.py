"""A worker under a steady load for half an hour: does anything grow that should not?

    python -m benchmarks.soak [--minutes 30] [--share 0.7]

The rate is a share of what the same worker drains from a backlog at the start of the run. Every
half minute the worker's memory, descriptors and threads, the events in flight and the latency are
noted. A figure is compared between the first and the last third, after a fifth of the run as
warm-up, and its trend is the median of the slopes between all pairs of moments (Theil and Sen).
"""

import argparse
import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import pipeline
from benchmarks.load import mixed
from benchmarks.rows import Measurement, show, write
from schemas.codec import decode
from schemas.event import DOMAINS
from schemas.triaged import TriagedEvent
from streams.config import Settings
from streams.kafka.reader import reading
from streams.local.brokers.kafka import KafkaCluster
from streams.local.demo import worker
from streams.topics import Topics

RESULTS = Path(__file__).parent / "soak.ndjson"
BACKLOG = 2_000
WINDOW_S = 30.0
WARM_UP = 0.2
SECONDS_PER_HOUR = 3_600.0
PATIENCE_S = 60.0
"""How long the last events may take after the load has ended."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What was seen in one window; times in seconds since the load began."""

    at_s: float
    memory_mb: float
    descriptors: int
    threads: int
    in_flight: int
    p50_ms: float
    p99_ms: float


UNITS = {
    "memory_mb": "MB",
    "descriptors": "descriptors",
    "threads": "threads",
    "in_flight": "events",
    "p50_ms": "ms",
    "p99_ms": "ms",
}


@dataclass(slots=True)
class Load:
    """When each event was sent, and how long those that came out took since the last window."""

    sent_at_s: dict[str, float] = field(default_factory=dict)
    sent: int = 0
    out: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    all_out: asyncio.Event = field(default_factory=asyncio.Event)

    def note_sent(self, number: int) -> None:
        """An event of `mixed` is on its way."""
        self.sent_at_s[f"bench-{number}"] = time.monotonic()
        self.sent += 1
        self.all_out.clear()

    def note_out(self, triaged: TriagedEvent) -> None:
        """A subscriber has revision 0 of an event; a copy of one counts once."""
        sent_at_s = self.sent_at_s.pop(triaged.id, None)
        if sent_at_s is not None:
            self.out += 1
            self.latencies_ms.append(1e3 * (time.monotonic() - sent_at_s))
        if not self.sent_at_s:
            self.all_out.set()

    def take_latencies(self) -> tuple[float, float]:
        """The median and the 99th percentile since the last call, in milliseconds."""
        taken, self.latencies_ms = self.latencies_ms, []
        if len(taken) < 2:
            return float("nan"), float("nan")
        percentiles = statistics.quantiles(taken, n=100)
        return percentiles[49], percentiles[98]


def main() -> None:
    """Load a worker, and print and write how its figures changed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long the load lasts")
    parser.add_argument("--share", type=float, default=0.7, help="of the rate of a backlog")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file for the rows")
    arguments = parser.parse_args()
    with KafkaCluster() as broker:
        rows = asyncio.run(_run(broker.bootstrap_servers, arguments.minutes * 60, arguments.share))
    show(rows)
    write(rows, arguments.out)


async def _run(servers: str, seconds: float, share: float) -> list[Measurement]:
    backlog = await pipeline.prepare(servers, "soak-backlog")
    capacity = await pipeline.throughput(backlog, list(mixed(BACKLOG)))
    rate = share * capacity
    load, moments = Load(), list[Moment]()
    async with _loaded(await pipeline.prepare(servers, "soak"), rate, load) as pid:
        started_s = time.monotonic()
        while (at_s := time.monotonic() - started_s) < seconds:
            await asyncio.sleep(min(WINDOW_S, seconds - at_s))
            moments.append(_look(pid, time.monotonic() - started_s, load))
    note = f"{load.sent} events in {seconds / 60:.0f} minutes, {rate:.0f}/s of {capacity:.0f}/s"
    missing = Measurement("events without an answer", load.sent - load.out, "events", note=note)
    return [missing, *trends(moments)]


def trends(moments: Sequence[Moment]) -> list[Measurement]:
    """A row for each figure: its median in the last third, compared with that of the first.

    Args:
        moments: of the whole run, in order; the warm-up is left out here.
    """
    settled = moments[int(WARM_UP * len(moments)) :]
    third = max(1, len(settled) // 3)
    rows = []
    for name, unit in UNITS.items():
        values = [float(getattr(moment, name)) for moment in settled]
        first, last = statistics.median(values[:third]), statistics.median(values[-third:])
        ratio = last / first if first else None
        per_hour = slope([moment.at_s for moment in settled], values) * SECONDS_PER_HOUR
        note = f"{per_hour:+.2f} {unit} an hour; {min(values):.1f} to {max(values):.1f}"
        rows.append(Measurement(name, last, unit, f"first third: {first:.1f}", ratio, note))
    return rows


def slope(times_s: Sequence[float], values: Sequence[float]) -> float:
    """The median of the slopes between all pairs of points, per second (Theil and Sen)."""
    points = list(zip(times_s, values, strict=True))
    slopes = [
        (later - earlier) / (to_s - from_s)
        for (from_s, earlier), (to_s, later) in itertools.combinations(points, 2)
    ]
    return statistics.median(slopes) if slopes else 0.0


@asynccontextmanager
async def _loaded(settings: Settings, rate: float, load: Load) -> AsyncIterator[int]:
    """A worker that gets events at a rate; yields its process id. All is read at the end."""
    async with worker(settings) as process:
        reader = asyncio.create_task(_read(settings, load))
        sender = asyncio.create_task(
            pipeline.send(settings, mixed(sys.maxsize), rate=rate, on_sent=load.note_sent)
        )
        try:
            yield process.pid
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            with suppress(TimeoutError):
                await asyncio.wait_for(load.all_out.wait(), PATIENCE_S)
        finally:
            for task in (sender, reader):
                task.cancel()
            await asyncio.gather(sender, reader, return_exceptions=True)


async def _read(settings: Settings, load: Load) -> None:
    topics = Topics(settings.topics.prefix)
    names = [topics.triaged(domain) for domain in DOMAINS]
    async with reading(settings.kafka, names, from_beginning=True) as consumer:
        while True:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    triaged = decode(record.value, TriagedEvent)
                    if triaged.revision == 0:
                        load.note_out(triaged)


def _look(pid: int, at_s: float, load: Load) -> Moment:
    folder = Path(f"/proc/{pid}")
    return Moment(
        at_s,
        pipeline.resident_mb(pid),
        sum(1 for _ in (folder / "fd").iterdir()),
        sum(1 for _ in (folder / "task").iterdir()),
        len(load.sent_at_s),
        *load.take_latencies(),
    )


if __name__ == "__main__":
    main()
