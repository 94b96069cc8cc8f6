"""`python -m benchmarks.hostile`: what one hostile record in a hundred costs the good ones.

The same tickets go through a worker twice, without and with hostile records between them: batches
that grow when they are decompressed, texts that are slow to normalise, and documents that are too
deep, too large or have too many values. It prints the throughput of the good events of both runs,
the longest stall of the event loop, the worker's largest memory, and how many records ended in no
output. The model is a tiny one, so that the rest of the pipeline is what is measured.
"""

import argparse
import asyncio
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
from aiokafka import AIOKafkaProducer

from streams.config import Settings
from streams.kafka.admin import create_topics
from streams.kafka.connection import connection
from streams.kafka.reader import reading
from streams.local.brokers.kafka import KafkaCluster
from streams.topics import MAX_MESSAGE_BYTES, Topics
from tests.conftest import settings_for
from tests.processes import WorkerProcess
from tests.tiny_model import build_tiny_model

EVENTS, HOSTILE_SHARE = 100_000, 0.01
PATIENCE_S = 900.0
WINDOW = 2_000


@dataclass(frozen=True, slots=True)
class Run:
    """What one run measured; the rate is that of the good events, memory in bytes."""

    events_per_s: float
    memory: int
    longest_stall: str
    records: int
    unaccounted: int


def hostile() -> tuple[bytes, ...]:
    """One record of each kind, in JSON where it is JSON at all."""
    marks = "a" + "\u0315\u0316" * 50_000
    nested = b'{"event":' + b'{"a":' * 119 + b'"' + b"x" * 1_000_000 + b'"' + b"}" * 120
    return (
        orjson.dumps({"text": "card", "event": {"note": marks}}),
        nested,
        orjson.dumps({"text": "card", "event": {"values": [0] * 2_000_000}}),
        orjson.dumps({"text": "card", "event": {"values": ["x"] * 24_000}}),
        orjson.dumps({"text": "x" * 3_000_000}),
        b"[" * 100_000,
        b"\x00" * 4_000_000,
    )


def tickets(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of good events."""
    for number in range(count):
        id_ = f"good-{number}"
        yield id_.encode(), orjson.dumps({"id": id_, "text": f"card payment {number} failed"})


async def send(settings: Settings, count: int, *, share: float) -> int:
    """Send the tickets, and a hostile record after every so many; returns how many were sent."""
    topic = Topics(settings.topics.prefix).input("tickets")
    arguments = connection(settings.kafka)
    good = AIOKafkaProducer(**arguments, linger_ms=20, max_batch_size=128 * 1024)
    # One batch for each record: what lies in a batch that is too large is not read at all.
    bad = AIOKafkaProducer(
        **arguments, compression_type="zstd", max_request_size=MAX_MESSAGE_BYTES, linger_ms=0
    )
    await good.start()
    await bad.start()
    kinds, sent = hostile(), 0
    every = int(1 / share) if share else count + 1
    try:
        for number, (key, value) in enumerate(tickets(count)):
            await good.send(topic, value, key=key)
            sent += 1
            if number % every == every - 1:
                kind = kinds[number // every % len(kinds)]
                await bad.send_and_wait(topic, kind, key=f"bad-{number}".encode())
                sent += 1
            if number % WINDOW == 0:
                await good.flush()
        await good.flush()
    finally:
        await good.stop()
        await bad.stop()
    return sent


async def run(servers: str, model: Path, directory: Path, count: int, share: float) -> Run:
    """Send everything, then start a worker and follow its outputs."""
    settings = settings_for(servers, model)
    await create_topics(settings)
    records = await send(settings, count, share=share)
    worker = WorkerProcess(settings, directory / f"worker-{share}.log")
    await asyncio.to_thread(worker.start)
    try:
        seen, rate = await follow(settings, records)
        metrics = worker.get("/metrics")[1]
        return Run(rate, worker.peak_memory(), longest_stall(metrics), records, records - len(seen))
    finally:
        worker.kill()


async def follow(settings: Settings, records: int) -> tuple[set[tuple[int, int]], float]:
    """Partition and offset of every record with an output, and the good events in a second."""
    names = Topics(settings.topics.prefix)
    seen: set[tuple[int, int]] = set()
    good: list[float] = []
    deadline_s = time.monotonic() + PATIENCE_S
    async with reading(
        settings.kafka, [names.triaged("tickets"), names.deadletter], from_beginning=True
    ) as consumer:
        while len(seen) < records and time.monotonic() < deadline_s:
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                for record in batch:
                    seen.add(_origin(record))
                    if record.topic != names.deadletter and b'"revision":0,' in record.value:
                        good.append(time.monotonic())
    return seen, (len(good) - 1) / (good[-1] - good[0])


def _origin(record: object) -> tuple[int, int]:
    headers = dict(record.headers)  # type: ignore[attr-defined] # aiokafka has no types
    if "__connect.errors.offset" in headers:
        return int(headers["__connect.errors.partition"]), int(headers["__connect.errors.offset"])
    origin = orjson.loads(record.value)["origin"]  # type: ignore[attr-defined]
    return origin["partition"], origin["offset"]


def longest_stall(metrics: str) -> str:
    """The bucket of the longest stall of the event loop, as the worker's metrics count it."""
    buckets = re.findall(r'triage_event_loop_stall_seconds_bucket{le="([^"]+)"} ([\d.]+)', metrics)
    most = float(buckets[-1][1])
    return next(f"at most {le} s" for le, count in buckets if float(count) == most)


def compare(count: int) -> None:
    """Run both, and print their figures."""
    with tempfile.TemporaryDirectory() as scratch, KafkaCluster() as broker:
        model = build_tiny_model(Path(scratch) / "model")
        runs = [
            asyncio.run(run(broker.bootstrap_servers, model, Path(scratch), count, share))
            for share in (0.0, HOSTILE_SHARE)
        ]
    for name, measured in zip(("good events alone", "one hostile in 100"), runs, strict=True):
        print(
            f"{name}: {measured.records} records, {measured.events_per_s:.0f} good events/s, "
            f"stalls {measured.longest_stall}, memory {measured.memory >> 20} MB, "
            f"{measured.unaccounted} unaccounted"
        )
    print(f"throughput of the good events: {runs[1].events_per_s / runs[0].events_per_s:.2f}")


def main() -> None:
    """Compare a stream with hostile records to one without."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=main.__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help="number of good events")
    compare(parser.parse_args().events)


if __name__ == "__main__":
    main()
