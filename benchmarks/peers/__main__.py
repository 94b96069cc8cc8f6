"""The command: measure us and the peers, print a table, and write one row each."""

import argparse
import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.load import NO_CACHE, mixed
from benchmarks.peers.environments import (
    PEERS,
    PINS,
    STEPS,
    NotRunError,
    Peer,
    python_of,
)
from benchmarks.peers.measurement import Events, Running, Speed, measure, ours, running
from benchmarks.peers.quality import (
    NEEDS_ENCODER,
    Quality,
    Rows,
    model_of,
    our_quality,
    peer_quality,
)
from benchmarks.refit import DATA, FILES
from benchmarks.rows import machine
from inference.model.threads import Threads, usable_cores
from schemas.event import DOMAINS
from streams.local.brokers.kafka import KafkaCluster

RESULTS = Path(__file__).parents[1] / "peers.ndjson"
ENCODER = DATA.parent / "models" / "bge-small-en"
OURS = "triage worker"
EVENTS = 2_000
LOW_RATE = 20.0
SHARE_OF_OUR_RATE = 0.4
LATENCY_SECONDS = 30.0
COLUMNS = (
    "worker", "events/s", "ratio", "p50 / p99 ms", "MB", "CPU s per 1,000", "accuracy", "coverage",
    "note",
)  # fmt: skip
NOT_RUN = "not run: "
MISSING = "peers have no calibration, promise, revisions, audit chain or other axes than the queue"


@dataclass(slots=True)
class Result:
    """One row of the table. Its figures are missing if it was not run."""

    worker: str
    events: int
    threads: int
    versions: Sequence[str] = ()
    speed: Speed | None = None
    ratio: float | None = None
    quality: dict[str, Quality] = field(default_factory=dict)
    note: str = ""


def main() -> None:
    """Run us and the peers on the same events, and print and write their figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=main.__doc__)
    add_arguments(parser)
    parser.add_argument("--peer", action="append", help="a part of the name of the peers to run")
    parser.add_argument("--events", type=int, default=EVENTS, help="number of events of a backlog")
    parser.add_argument("--seconds", type=float, default=LATENCY_SECONDS, help="at each rate")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file for the rows")
    arguments = parser.parse_args()
    asked = arguments.peer or [""]
    compare(
        Rows(arguments.data),
        arguments.encoder,
        peers=[peer for peer in PEERS if any(part in peer.name for part in asked)],
        count=arguments.events,
        seconds=arguments.seconds,
        out=arguments.out,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say where the rows and the encoder are."""
    parser.add_argument(
        "--data", type=Path, default=DATA, help=f"directory of {FILES}; without it, only speed"
    )
    parser.add_argument(
        "--encoder", type=Path, default=ENCODER, help="bge-small-en-v1.5 in Hugging Face layout"
    )


def compare(
    rows: Rows,
    encoder: Path,
    *,
    peers: Sequence[Peer] = PEERS,
    count: int = EVENTS,
    seconds: float = LATENCY_SECONDS,
    out: Path = RESULTS,
) -> None:
    """Make the models, measure everyone on one broker, print the table and write the rows."""
    threads = Threads(usable_cores(), 1)
    results = {OURS: Result(OURS, count, threads.replicas)}
    models: dict[str, Path] = {}
    for peer in peers:
        results[peer.name] = Result(peer.name, count, threads.replicas, PINS[peer.environment])
        try:
            models[peer.name] = _prepare(peer, rows, encoder, threads.replicas)
        except NotRunError as error:
            results[peer.name].note = f"{NOT_RUN}{error}"
    results[OURS].quality = asyncio.run(our_quality(rows, threads))
    for name, directory in models.items():
        results[name].quality = peer_quality(directory, rows, results[OURS].quality)
    os.environ |= {
        "TRIAGE_MODEL__REPLICAS": str(threads.replicas),
        "TRIAGE_MODEL__THREADS_PER_REPLICA": "1",
        **NO_CACHE,
    }
    runs = {
        peer.name: running(peer, python_of(peer.environment), models[peer.name], threads.replicas)
        for peer in peers
        if peer.name in models
    }
    with KafkaCluster() as broker:
        asyncio.run(
            _measure_all(results, runs, broker.bootstrap_servers, list(mixed(count)), seconds)
        )
    show(list(results.values()))
    write(list(results.values()), out)


def _prepare(peer: Peer, rows: Rows, encoder: Path, threads: int) -> Path:
    steps = {step for _, step in STEPS[peer.model]}
    if steps & set(NEEDS_ENCODER) and not (encoder / "config.json").is_file():
        raise NotRunError(f"{encoder} holds no encoder; name one with --encoder")
    python_of(peer.environment)
    return model_of(peer, rows, encoder, threads)


async def _measure_all(
    results: dict[str, Result],
    runs: dict[str, Running],
    servers: str,
    events: Events,
    seconds: float,
) -> None:
    """Measure us first, because our rate says at which rate everyone's latency is measured."""
    our_speed = await measure(ours, servers, "ours", events, [LOW_RATE], seconds)
    rates = [LOW_RATE, SHARE_OF_OUR_RATE * our_speed.events_per_s]
    again = await measure(ours, servers, "ours-again", events, rates[1:], seconds)
    our_speed.latencies.extend(again.latencies)
    results[OURS].speed, results[OURS].ratio = our_speed, 1.0
    results[OURS].note = f"a second backlog: {again.events_per_s:.0f} events/s"
    for number, (name, run) in enumerate(runs.items()):
        result = results[name]
        try:
            result.speed = await measure(run, servers, f"peer-{number}", events, rates, seconds)
        except NotRunError as error:
            result.note = f"{NOT_RUN}{error}"
            continue
        result.ratio = result.speed.events_per_s / our_speed.events_per_s


def show(results: list[Result]) -> None:
    """Print the table for a person."""
    console = Console()
    console.print(", ".join(f"{key} {value}" for key, value in machine().items()))
    table = Table(*COLUMNS)
    for result in results:
        table.add_row(*_cells(result))
    console.print(table)
    console.print(f"ratio to {OURS}; {MISSING}.")
    for result in results:
        if result.note.startswith(NOT_RUN):
            console.print(f"{result.worker} was {result.note}")


def write(results: list[Result], file: Path) -> None:
    """Write one JSON object per row."""
    described: dict[str, Any] = {"machine": machine() | {"load": os.getloadavg()[0]}}
    file.write_bytes(
        b"".join(orjson.dumps(asdict(result) | described) + b"\n" for result in results)
    )


def _cells(result: Result) -> list[str]:
    accuracy = " / ".join(f"{each.accuracy:.1%}" for each in _by_domain(result))
    coverage = " / ".join(f"{each.coverage:.1%}" for each in _by_domain(result))
    speed = result.speed
    if speed is None or result.ratio is None:
        return [result.worker, "", "", "", "", "", accuracy, coverage, result.note]
    latencies = "\n".join(
        f"{each.p50_ms:.0f} / {each.p99_ms:.0f} at {each.rate:.0f}/s" for each in speed.latencies
    )
    return [
        result.worker,
        f"{speed.events_per_s:.0f}",
        f"{result.ratio:.2f}",
        latencies or "does not keep up",
        f"{speed.resident_mb:.0f}",
        f"{speed.cpu_s_per_1000:.2f}",
        accuracy,
        coverage,
        result.note,
    ]


def _by_domain(result: Result) -> list[Quality]:
    return [result.quality[domain] for domain in DOMAINS if domain in result.quality]


if __name__ == "__main__":
    main()
