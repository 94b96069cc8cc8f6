"""`make bench`: all measurements in one run, so that their ratios hold on a noisy machine."""

import argparse
import asyncio
import itertools
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import bare, command, pipeline
from benchmarks.load import mixed, samples, short
from benchmarks.peers import __main__ as peers
from benchmarks.peers.quality import Rows
from benchmarks.rows import Measurement, show, write
from inference.classifier import Classifier
from inference.model.threads import Threads, usable_cores
from streams.local.brokers.kafka import KafkaCluster

RESULTS = Path(__file__).parent / "results.ndjson"
LATENCY_SECONDS = 30
# All measurements use these threads, the worker processes too. Otherwise each process would choose
# its threads by a self-test, and a different choice would change the figures.
THREADS = Threads(usable_cores(), 1)
os.environ |= {
    "TRIAGE_MODEL__REPLICAS": str(THREADS.replicas),
    "TRIAGE_MODEL__THREADS_PER_REPLICA": "1",
}


def main() -> None:
    """Run the benchmarks, print their rows and write them to a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
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
    parser.add_argument(
        "--peers",
        action="store_true",
        help="also compare with other ways to do the job; downloads gigabytes the first time",
    )
    peers.add_arguments(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, KafkaCluster() as broker:
        rows = asyncio.run(
            _run(arguments.events, arguments.soak, Path(directory), broker.bootstrap_servers)
        )
    show(rows)
    write(rows, arguments.out)
    if arguments.peers:
        peers.compare(Rows(arguments.data), arguments.encoder)


async def _run(count: int, soak: int, directory: Path, servers: str) -> list[Measurement]:
    rows, pipeline_rate = await _throughput_rows(count, directory, servers)
    rows += await _latency_rows(count, servers, pipeline_rate / 2)
    if soak:
        rows += await _memory_rows(servers, soak)
    return rows


async def _throughput_rows(
    count: int, directory: Path, servers: str
) -> tuple[list[Measurement], float]:
    """The throughput rows, and the rate of the pipeline in events per second.

    The bare model is measured three times, before, between and after the others, because the speed
    of the machine may change during the run.
    """
    events = list(mixed(count))
    decoded = list(itertools.islice(itertools.cycle(samples()), count))
    classifier = Classifier.open(threads=THREADS)
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
    ], by_pipeline


def _rate_row(name: str, rate: float, bare_rate: float, note: str = "") -> Measurement:
    return Measurement(name, rate, "events/s", "bare model", rate / bare_rate, note)


async def _latency_rows(count: int, servers: str, rate: float) -> list[Measurement]:
    """The latency rows, measured at a rate in events per second."""
    events = list(mixed(min(count, int(rate * LATENCY_SECONDS))))
    arrivals = await pipeline.latency(await pipeline.prepare(servers, "latency"), events, rate)
    added_ms = _percentiles_ms([arrival.added_s for arrival in arrivals])
    model_ms = _percentiles_ms([arrival.triaged.timing.inference_s for arrival in arrivals])
    note = f"{len(arrivals)} events at {rate:.0f}/s, half the pipeline's rate"
    model_rows = [
        Measurement(f"model call, p{percent}", model_ms[percent - 1], "ms", note=note)
        for percent in (50, 99)
    ]
    return [*model_rows, *(_added_row(added_ms, model_ms, percent, note) for percent in (50, 99))]


def _percentiles_ms(seconds: Sequence[float]) -> list[float]:
    """The percentiles 1 to 99, in milliseconds."""
    return statistics.quantiles([value * 1000 for value in seconds], n=100)


def _added_row(
    added_ms: Sequence[float], model_ms: Sequence[float], percent: int, note: str
) -> Measurement:
    added, model = added_ms[percent - 1], model_ms[percent - 1]
    return Measurement(
        f"added by the pipeline, p{percent}",
        added,
        "ms",
        f"model call, p{percent}",
        added / model,
        note,
    )


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
