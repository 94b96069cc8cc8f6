"""`python -m benchmarks.scaling`: pauses in changes of the group, workers' curve, a long backlog.

Everything runs on one machine, on a real Kafka of one node, with workers whose model is a stand-in
of fixed cost (`benchmarks.scaling.stand_in`). The pauses are measured with the assignment of today,
and with that of aiokafka.
"""

import argparse
import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson

from benchmarks.rows import Measurement, machine, show, write
from benchmarks.scaling import backlog, curve, pause
from benchmarks.scaling.plot import draw
from benchmarks.scaling.workers import Workers, prepare, working
from streams.local.brokers.kafka import KafkaCluster

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "scaling.ndjson"
PLOT = ROOT / "docs" / "scaling.svg"
WORKERS = (1, 2, 4, 8)
PAUSE_COST_MS = 5.0
MEASURED = ("pauses", "curve", "backlog")
USUAL, STATIC = "usual", "static"
WAYS = (USUAL, STATIC)
"""The kinds of membership. Restarts of the second are compared with those of the first."""


def main() -> None:
    """Measure, print the rows and write them to a file, with the plot."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument(
        "--only", choices=MEASURED, action="append", help="only this; repeat it for several"
    )
    parser.add_argument(
        "--way", choices=WAYS, action="append", help="only the pauses of this membership"
    )
    parser.add_argument(
        "--most", type=int, default=max(WORKERS), help="number of workers at the end of the curve"
    )
    parser.add_argument(
        "--seconds", type=float, default=curve.SECONDS, help="of each number of workers"
    )
    parser.add_argument(
        "--events", type=int, default=1_000_000, help="number of events of the long backlog"
    )
    parser.add_argument(
        "--part", type=int, default=100_000, help="a row for each so many events of the backlog"
    )
    parser.add_argument(
        "--limit-s", type=float, default=7200.0, help="seconds after which the backlog is left"
    )
    parser.add_argument(
        "--cost-ms", type=float, default=0.0, help="cost of an event in the long backlog"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file for the rows")
    parser.add_argument("--plot", type=Path, default=PLOT, help="the file for the plot")
    arguments = parser.parse_args()
    # A time limit from outside ends the workers too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with KafkaCluster() as broker:
        measured = asyncio.run(_run(broker.bootstrap_servers, arguments))
    show([row for row in _known(arguments.out) if row.name in measured])


async def _run(servers: str, arguments: argparse.Namespace) -> set[str]:
    """Keep the rows in the file as they are measured; returns their names."""
    chosen = arguments.only or MEASURED
    names: set[str] = set()
    if "pauses" in chosen:
        for way in arguments.way or WAYS:
            names |= _keep(await _pause_rows(servers, way), arguments.out)
    if "curve" in chosen:
        rates = [
            await curve.measure(servers, workers, arguments.seconds, is_uneven=is_uneven)
            for workers in WORKERS
            if workers <= arguments.most
            for is_uneven in (False, True)
        ]
        names |= _keep(_curve_rows(rates), arguments.out)
        arguments.plot.write_text(draw(rates), "utf-8")
    if "backlog" in chosen:
        parts = await backlog.measure(
            servers,
            arguments.events,
            arguments.part,
            cost_ms=arguments.cost_ms,
            limit_s=arguments.limit_s,
        )
        names |= _keep(_backlog_rows(parts), arguments.out)
    return names


def _keep(rows: Sequence[Measurement], file: Path) -> set[str]:
    """Replace the rows of the same measures in the file, and compare all ways with the first.

    Returns the names of these rows.
    """
    measured = {_measure_of(row) for row in rows}
    all_rows = [*(row for row in _known(file) if _measure_of(row) not in measured), *rows]
    values = {row.name: row.value for row in all_rows}
    compared = [
        replace(row, ratio=row.value / values[row.baseline])
        if row.ratio is None and values.get(row.baseline)
        else row
        for row in all_rows
    ]
    write(compared, file)
    return {row.name for row in rows}


def _known(file: Path) -> list[Measurement]:
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [Measurement(**orjson.loads(line)) for line in lines]


def _measure_of(row: Measurement) -> str:
    return row.name.partition(";")[0]


async def _pause_rows(servers: str, way: str) -> list[Measurement]:
    """The longest pause of partitions in each change, with this membership."""
    settings = await prepare(servers, f"pause-{WAYS.index(way)}")
    group = Workers(settings, PAUSE_COST_MS, static=way == STATIC)
    async with working(group) as workers:
        if way == STATIC:
            restart, observer = await pause.measure_restart(settings, workers)
            pauses = [restart]
        else:
            pauses, observer = await pause.measure(settings, workers)
    note = f"{observer.sent} events, {observer.lost} lost, {observer.copies} twice; {_load()}"
    return [
        Measurement(
            f"pause {way}; {each.change}; {what}",
            pause.worst(values),
            "s",
            f"pause {USUAL}; {each.change}; {what}",
            note=f"longest of {len(values)} partitions, median {pause.usual(values):.2f} s; {note}",
        )
        for each in pauses
        for what, values in (("untouched", each.untouched), ("moved", each.moved))
        if values
    ]


def _curve_rows(rates: Sequence[curve.Rate]) -> list[Measurement]:
    alone = next(rate for rate in rates if rate.workers == 1 and not rate.uneven)
    return [
        Measurement(
            f"curve; {rate.workers} workers, {_evenness(rate)} partitions",
            rate.events_per_s,
            "events/s",
            "curve; 1 workers, even partitions",
            rate.events_per_s / alone.events_per_s,
            f"{rate.events_per_s / rate.possible_per_s:.2f} of the possible "
            f"{rate.possible_per_s:.0f}; stand-in of {curve.COST_MS:.0f} ms; {_load()}",
        )
        for rate in rates
    ]


def _evenness(rate: curve.Rate) -> str:
    return "uneven" if rate.uneven else "even"


def _backlog_rows(parts: Sequence[backlog.Part]) -> list[Measurement]:
    first = parts[0]
    rows = []
    for part in parts:
        rows += [
            Measurement(
                f"backlog; rate until {part.events:,} events",
                part.events_per_s,
                "events/s",
                f"backlog; rate until {first.events:,} events",
                part.events_per_s / first.events_per_s,
                _load(),
            ),
            Measurement(
                f"backlog; processor time until {part.events:,} events",
                part.cpu_ms,
                "ms per event",
                f"backlog; processor time until {first.events:,} events",
                part.cpu_ms / first.cpu_ms,
            ),
            Measurement(
                f"backlog; resident memory after {part.events:,} events",
                part.resident_mb,
                "MB",
                f"backlog; resident memory after {first.events:,} events",
                part.resident_mb / first.resident_mb,
            ),
        ]
    growth = backlog.growth_mb(list(parts))
    return [*rows, Measurement("backlog; memory growth per 100,000 events", growth, "MB")]


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {machine()['cores']} cores"


if __name__ == "__main__":
    main()
