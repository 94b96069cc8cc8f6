"""`python -m benchmarks.throughput`: the model alone, `triage classify`, the pipeline, and memory.

All in one run, so that the ratios hold on a noisy machine.
"""

import argparse
import asyncio
import itertools
import statistics
import tempfile
from pathlib import Path

from benchmarks import bare, command, pipeline
from benchmarks.load import mixed, samples, short
from benchmarks.rows import THREADS, Measurement, fix_threads, show, write
from inference.classifier import Classifier
from streams.local.brokers.kafka import KafkaCluster

RESULTS = Path(__file__).parent / "results.ndjson"


def main() -> None:
    """Measure, print the rows and write them to a file."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput", description=main.__doc__
    )
    parser.add_argument(
        "--events",
        type=int,
        default=3000,
        help="number of events of mixed length for the throughput rows",
    )
    parser.add_argument(
        "--soak",
        type=int,
        default=100_000,
        help="number of events for the memory rows; 0 leaves these rows out",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file for the rows")
    arguments = parser.parse_args()
    fix_threads()
    with tempfile.TemporaryDirectory() as directory, KafkaCluster() as broker:
        rows = asyncio.run(
            _run(arguments.events, arguments.soak, Path(directory), broker.bootstrap_servers)
        )
    show(rows)
    write(rows, arguments.out)


async def _run(count: int, soak: int, directory: Path, servers: str) -> list[Measurement]:
    rows = await _throughput_rows(count, directory, servers)
    if soak:
        rows += await _memory_rows(servers, soak)
    return rows


async def _throughput_rows(count: int, directory: Path, servers: str) -> list[Measurement]:
    """The throughput rows.

    The bare model is measured three times, before, between and after the others, because the speed
    of the machine may change during the run.
    """
    events = list(mixed(count))
    decoded = list(itertools.islice(itertools.cycle(samples()), count))
    classifier = Classifier.open(threads=THREADS, max_cached=0)
    before = await bare.batched_rate(decoded, classifier)
    naive = bare.naive_rate(decoded)
    by_command, start_s = command.classify_rate(events, directory)
    between = await bare.batched_rate(decoded, classifier)
    by_pipeline = await pipeline.throughput(await pipeline.prepare(servers, "throughput"), events)
    after = await bare.batched_rate(decoded, classifier)
    await classifier.close()
    bare_rate = statistics.mean((before, between, after))
    note = f"{before:.0f}, {between:.0f}, {after:.0f} around the others"
    return [
        Measurement("bare model", bare_rate, "events/s", note=note),
        _rate_row("same encoder, arrival order, batches of 32", naive, bare_rate),
        _rate_row("triage classify", by_command, bare_rate, f"start {start_s:.1f} s"),
        _rate_row("pipeline on real Kafka", by_pipeline, bare_rate, "one node, backlog"),
    ]


def _rate_row(name: str, rate: float, bare_rate: float, note: str = "") -> Measurement:
    return Measurement(name, rate, "events/s", "bare model", rate / bare_rate, note)


async def _memory_rows(servers: str, soak: int) -> list[Measurement]:
    marks = (soak // 10, soak // 2, soak)
    settings = await pipeline.prepare(servers, "memory")
    resident_mb = await pipeline.memory(settings, list(short(soak)), marks)
    return [
        Measurement(
            f"resident memory after {mark:,} events",
            megabytes,
            "MB",
            f"after {marks[0]:,}",
            megabytes / resident_mb[marks[0]],
        )
        for mark, megabytes in resident_mb.items()
    ]


if __name__ == "__main__":
    main()
