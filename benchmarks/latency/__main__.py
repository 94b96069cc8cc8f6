"""`python -m benchmarks.latency`: latency against load, before and after a change.

Each side is a worker of its own on the same real broker, and the sides take turns: what else runs
on the machine then meets both. Their figures are divided by the call of the bare model on one event
that was measured just before.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks import bare
from benchmarks.latency.plot import Curve, draw
from benchmarks.latency.session import Plan, Point, Session, measure
from benchmarks.load import samples
from benchmarks.rows import THREADS, Measurement, fix_threads, show, write
from inference.classifier import Classifier
from streams.local.brokers.kafka import KafkaCluster

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "latency.ndjson"
PLOT = ROOT / "docs" / "latency.svg"
BARE_SINGLE, BARE_BATCH = 60, 600
AFTER, BEFORE = "after", "before"
PROFILE = "processor time of an event, "
BARE = "the model by itself, a part of the worker"


@dataclass(frozen=True, slots=True)
class Turn:
    """One session of a side, and the bare model just before it.

    `single_ms` is the call with one event in milliseconds, `batch_per_s` the rate of many events,
    and `batch_cpu_ms` the processor time of each of these in milliseconds.
    """

    side: str
    single_ms: float
    batch_per_s: float
    batch_cpu_ms: float
    session: Session


def main() -> None:
    """Measure, print the rows, and write them and the plot."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument(
        "--before", type=_directory, help="a work tree of the commit to compare with"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often the sides take turns")
    parser.add_argument("--backlog", type=int, default=1500, help="events of the backlog")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each steady rate")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file for the rows")
    parser.add_argument("--plot", type=Path, default=PLOT, help="the file for the plot")
    arguments = parser.parse_args()
    fix_threads()
    plan = Plan(backlog=arguments.backlog, seconds=arguments.seconds)
    with KafkaCluster() as broker:
        turns = asyncio.run(take_turns(broker, plan, arguments.rounds, arguments.before))
    rows = rows_of(turns)
    show(rows)
    write(rows, arguments.out)
    arguments.plot.write_text(draw(curves_of(turns)), "utf-8")


def _directory(path: str) -> Path:
    return Path(path).resolve()


async def take_turns(
    broker: KafkaCluster, plan: Plan, rounds: int, before: Path | None = None
) -> list[Turn]:
    """Measure each side `rounds` times, one after the other.

    All sides get the rates of the first session, so that they can be compared.
    """
    sides = {AFTER: None, BEFORE: before} if before else {AFTER: None}
    events = list(itertools.islice(itertools.cycle(samples()), BARE_BATCH))
    classifier = Classifier.open(threads=THREADS, max_cached=0)
    capacity: float | None = None
    turns: list[Turn] = []
    for number in range(rounds):
        for side, source in sides.items():
            await bare.single_ms(events[:10], classifier)
            single_ms = await bare.single_ms(events[:BARE_SINGLE], classifier)
            used_s = time.process_time()
            batch_per_s = await bare.batched_rate(events, classifier)
            batch_cpu_ms = (time.process_time() - used_s) * 1000 / len(events)
            session = await measure(
                broker,
                f"latency-{side}-{os.getpid()}-{number}",
                plan,
                source=source,
                capacity=capacity,
            )
            capacity = capacity or session.drained_per_s
            turns.append(Turn(side, single_ms, batch_per_s, batch_cpu_ms, session))
            _tell(turns[-1])
    await classifier.close()
    return turns


def rows_of(turns: Sequence[Turn]) -> list[Measurement]:
    """The rows of a run: the median over the turns of each side."""
    rows: list[Measurement] = []
    for side in dict.fromkeys(turn.side for turn in turns):
        ours = [turn for turn in turns if turn.side == side]
        prefix = "" if side == AFTER else f"{side}: "
        rows += [
            Measurement(
                f"{prefix}bare model, one event",
                statistics.median(turn.single_ms for turn in ours),
                "ms",
                note=f"{len(ours)} turns, load {os.getloadavg()[1]:.1f}",
            ),
            Measurement(
                f"{prefix}a backlog drains",
                statistics.median(turn.session.drained_per_s for turn in ours),
                "events/s",
                "bare model, batches",
                statistics.median(turn.session.drained_per_s / turn.batch_per_s for turn in ours),
            ),
        ]
        rows += _profile(prefix, ours)
        for place in range(len(ours[0].session.points)):
            points = [turn.session.points[place] for turn in ours]
            singles_ms = [turn.single_ms for turn in ours]
            rows += [_row(prefix, percent, points, singles_ms) for percent in (50, 99)]
            rows.append(_rate_row(prefix, points))
    return rows


def _profile(prefix: str, turns: Sequence[Turn]) -> list[Measurement]:
    """Where the processor time of an event of the backlog goes: the reason for the drain rate."""
    parts_ms = {
        name: statistics.median(turn.session.cpu_ms[name] for turn in turns)
        for name in turns[0].session.cpu_ms
    }
    total_ms = sum(parts_ms.values())
    parts_ms[BARE] = statistics.median(turn.batch_cpu_ms for turn in turns)
    return [
        Measurement(f"{prefix}{PROFILE}{name}", ms, "ms", "all of it", ms / total_ms)
        for name, ms in parts_ms.items()
    ]


def _row(
    prefix: str, percent: int, points: Sequence[Point], singles_ms: Sequence[float]
) -> Measurement:
    values_ms = [point.p50_ms if percent == 50 else point.p99_ms for point in points]
    ratios = [value / single for value, single in zip(values_ms, singles_ms, strict=True)]
    sustained = sum(point.is_sustained for point in points)
    return Measurement(
        f"{prefix}{_where(points[0])}, p{percent}",
        statistics.median(values_ms),
        "ms",
        "bare model, one event",
        statistics.median(ratios),
        f"{statistics.median(point.rate for point in points):.0f} events/s, sustained in "
        f"{sustained} of {len(points)}",
    )


def _rate_row(prefix: str, points: Sequence[Point]) -> Measurement:
    """How many events come out of those that come in."""
    return Measurement(
        f"{prefix}{_where(points[0])}, out",
        statistics.median(point.out_rate for point in points),
        "events/s",
        "events/s in",
        statistics.median(point.out_rate / point.rate for point in points),
    )


def _where(point: Point) -> str:
    return "alone" if not point.share else f"at {point.share:.0%} of the drain rate"


def curves_of(turns: Sequence[Turn]) -> list[Curve]:
    """What the plot shows: the median and the 99th percentile of each side, by the load."""
    curves = []
    for side in dict.fromkeys(turn.side for turn in turns):
        sessions = [turn.session for turn in turns if turn.side == side]
        places = range(len(sessions[0].points))
        columns = [[session.points[place] for session in sessions] for place in places]
        shares = [points[0].share for points in columns]
        for percent, of in ((50, lambda point: point.p50_ms), (99, lambda point: point.p99_ms)):
            medians = [statistics.median(map(of, points)) for points in columns]
            curves.append(Curve(side, percent, list(zip(shares, medians, strict=True))))
    return curves


def _tell(turn: Turn) -> None:
    """Say on stderr what a turn has measured, for whoever waits."""
    console = Console(stderr=True)
    console.print(
        f"{turn.side}: one event {turn.single_ms:.1f} ms, batches {turn.batch_per_s:.0f}/s, "
        f"backlog {turn.session.drained_per_s:.0f}/s, load {os.getloadavg()[0]:.1f}"
    )
    for point in turn.session.points:
        console.print(
            f"  {point.share:4.0%} {point.rate:5.0f}/s -> {point.out_rate:5.0f}/s  "
            f"p50 {point.p50_ms:6.1f}  p99 {point.p99_ms:7.1f}  pass {point.inference_ms:5.1f} ms"
        )


if __name__ == "__main__":
    main()
