"""`make bench`: everything in one run, so that the ratios hold on a noisy machine."""

import argparse
import asyncio
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import bare, command, pipeline
from benchmarks.load import mixed, samples, short
from benchmarks.pipeline import Arrival
from benchmarks.rows import Measurement, show, write
from inference.classifier import Classifier
from inference.model.threads import Threads, usable_cores
from streams.local.brokers.kafka import KafkaCluster

RESULTS = Path(__file__).parent / "results.ndjson"
LATENCY_SECONDS = 30
# The same for every row, the processes' too: a self-test that chose differently would be measured instead.
THREADS = Threads(usable_cores(), 1)
os.environ |= {
    "TRIAGE_MODEL__REPLICAS": str(THREADS.replicas),
    "TRIAGE_MODEL__THREADS_PER_REPLICA": "1",
}


def main() -> None:
    """Run the benchmarks, print their rows and write them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument(
        "--events", type=int, default=3000, help="events of mixed length for the throughput rows"
    )
    parser.add_argument(
        "--soak", type=int, default=100_000, help="events for the memory rows; 0 leaves them out"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, KafkaCluster() as broker:
        rows = asyncio.run(
            _run(arguments.events, arguments.soak, Path(directory), broker.bootstrap_servers)
        )
    show(rows)
    write(rows, arguments.out)


async def _run(count: int, soak: int, directory: Path, servers: str) -> list[Measurement]:
    events, decoded = list(mixed(count)), [samples()[i % len(samples())] for i in range(count)]
    classifier = Classifier.open(threads=THREADS)
    before = await bare.batched_rate(decoded, classifier)
    naive = bare.naive_rate(decoded)
    by_command, start_s = command.classify_rate(events, directory)
    between = await bare.batched_rate(decoded, classifier)
    whole = await pipeline.throughput(await pipeline.prepare(servers, "throughput"), events)
    after = await bare.batched_rate(decoded, classifier)
    await classifier.close()
    rate = statistics.mean((before, between, after))
    half = events[: int(whole / 2 * LATENCY_SECONDS)]
    arrivals = await pipeline.latency(await pipeline.prepare(servers, "latency"), half, whole / 2)
    return [
        Measurement(
            "bare model",
            rate,
            "events/s",
            note=f"{before:.0f}, {between:.0f}, {after:.0f} around the others",
        ),
        Measurement(
            "same encoder, arrival order, batches of 32",
            naive,
            "events/s",
            "bare model",
            naive / rate,
        ),
        Measurement(
            "triage classify",
            by_command,
            "events/s",
            "bare model",
            by_command / rate,
            f"start {start_s:.1f} s",
        ),
        Measurement(
            "pipeline on real Kafka",
            whole,
            "events/s",
            "bare model",
            whole / rate,
            "one node, backlog",
        ),
        *_latency_rows(arrivals, whole / 2),
        *(await _memory_rows(servers, soak) if soak else []),
    ]


async def _memory_rows(servers: str, soak: int) -> list[Measurement]:
    marks = (soak // 10, soak // 2, soak)
    resident = await pipeline.memory(
        await pipeline.prepare(servers, "memory"), list(short(soak)), marks
    )
    return [
        Measurement(
            f"resident memory after {mark:,} events",
            megabytes,
            "MB",
            f"after {marks[0]:,}",
            megabytes / resident[marks[0]],
        )
        for mark, megabytes in resident.items()
    ]


def _latency_rows(arrivals: Sequence[Arrival], rate: float) -> list[Measurement]:
    added = statistics.quantiles([arrival.added_s * 1000 for arrival in arrivals], n=100)
    model = statistics.quantiles(
        [arrival.triaged.timing.inference_s * 1000 for arrival in arrivals], n=100
    )
    note = f"{len(arrivals)} events at {rate:.0f}/s, half the pipeline's rate"
    return [
        Measurement("model call, p50", model[49], "ms", note=note),
        Measurement("model call, p99", model[98], "ms", note=note),
        Measurement(
            "added by the pipeline, p50",
            added[49],
            "ms",
            "model call, p50",
            added[49] / model[49],
            note,
        ),
        Measurement(
            "added by the pipeline, p99",
            added[98],
            "ms",
            "model call, p99",
            added[98] / model[98],
            note,
        ),
    ]


if __name__ == "__main__":
    main()
