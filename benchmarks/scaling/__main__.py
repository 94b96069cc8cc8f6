"""`python -m benchmarks.scaling`: pauses in changes of the group, workers' curve, a long backlog.

Everything runs on one machine, on a real Kafka of one node, with workers whose model is a stand-in
of fixed cost (`benchmarks.scaling.stand_in`). The pauses are measured with the assignment of today,
and with that of aiokafka.
"""

import argparse
import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import orjson

from benchmarks.rows import Measurement, machine, show, write
from benchmarks.scaling import curve, pause, soak
from benchmarks.scaling.plot import draw
from benchmarks.scaling.stand_in import EAGER
from benchmarks.scaling.workers import Workers, prepare, working
from streams.local.brokers.kafka import KafkaCluster

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "scaling.ndjson"
PLOT = ROOT / "docs" / "scaling.svg"
WORKERS = (1, 2, 4, 8)
PAUSE_COST_MS = 5.0
MEASURED = ("pauses", "curve", "soak")
STATIC = {
    "TRIAGE_KAFKA__GROUP_INSTANCE_ID": "{name}",
    "TRIAGE_KAFKA__SESSION_TIMEOUT_S": "60",
}
WAYS: dict[str, dict[str, str]] = {
    "as aiokafka does it": {EAGER: "1", "TRIAGE_KAFKA__HEARTBEAT_INTERVAL_S": "3"},
    "sticky": {},
}


def main() -> None:
    """Measure, print the rows and write them to a file, with the plot."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument(
        "--only", choices=MEASURED, action="append", help="only this; repeat it for several"
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
    with KafkaCluster() as broker:
        rows, rates = asyncio.run(
            _run(arguments.only or MEASURED, broker.bootstrap_servers, arguments)
        )
    show(rows)
    write([*_others(arguments.out, rows), *rows], arguments.out)
    if rates:
        arguments.plot.write_text(draw(rates), "utf-8")


def _others(file: Path, rows: Sequence[Measurement]) -> list[Measurement]:
    """The rows of what was not measured this time, as the file has them."""
    measured = {_measure_of(row.name) for row in rows}
    if not file.exists():
        return []
    known = [Measurement(**orjson.loads(line)) for line in file.read_bytes().splitlines()]
    return [row for row in known if _measure_of(row.name) not in measured]


def _measure_of(name: str) -> str:
    return name.partition(":")[0]


async def _run(
    chosen: Sequence[str], servers: str, arguments: argparse.Namespace
) -> tuple[list[Measurement], list[curve.Rate]]:
    rows: list[Measurement] = []
    rates: list[curve.Rate] = []
    if "pauses" in chosen:
        rows += await _pause_rows(servers)
    if "curve" in chosen:
        rates = [
            await curve.measure(servers, workers, is_uneven=is_uneven)
            for workers in WORKERS
            for is_uneven in (False, True)
        ]
        rows += _curve_rows(rates)
    if "soak" in chosen:
        rows += _soak_rows(
            await soak.measure(
                servers,
                arguments.events,
                arguments.part,
                cost_ms=arguments.cost_ms,
                limit_s=arguments.limit_s,
            )
        )
    return rows, rates


async def _pause_rows(servers: str) -> list[Measurement]:
    """The longest pause of partitions in each change, in each way of assigning them."""
    rows: list[Measurement] = []
    before: dict[tuple[str, str], float] = {}
    for number, (way, keys) in enumerate(WAYS.items()):
        settings = await prepare(servers, f"pause-{number}")
        async with working(Workers(settings, PAUSE_COST_MS, keys)) as workers:
            pauses, observer = await pause.measure(settings, workers)
        note = f"{observer.sent} events, {observer.lost} lost, {observer.copies} twice; {_load()}"
        for each in pauses:
            for what, values in (("untouched", each.untouched), ("moved", each.moved)):
                if values:
                    rows.append(
                        _pause_row(f"{each.change}, {way}", what, values, before, each.change, note)
                    )
    settings = await prepare(servers, "pause-static")
    async with working(Workers(settings, PAUSE_COST_MS, STATIC)) as workers:
        restart, observer = await pause.measure_restart(settings, workers)
    note = f"{observer.sent} events, {observer.lost} lost, {observer.copies} twice; {_load()}"
    for what, values in (("other's", restart.untouched), ("restarted", restart.moved)):
        if values:
            rows.append(
                _pause_row(f"{restart.change}, static", what, values, before, restart.change, note)
            )
    return rows


def _pause_row(
    name: str,
    what: str,
    values: tuple[float, ...],
    before: dict[tuple[str, str], float],
    change: str,
    note: str,
) -> Measurement:
    worst = pause.worst(values)
    first = before.setdefault((change, what), worst)
    return Measurement(
        f"pause: {name}, {len(values)} {what}",
        worst,
        "s",
        "as aiokafka does it",
        worst / max(1e-9, first),
        f"median {pause.usual(values):.2f} s; {note}",
    )


def _curve_rows(rates: Sequence[curve.Rate]) -> list[Measurement]:
    alone = next(rate for rate in rates if rate.workers == 1 and not rate.uneven)
    return [
        Measurement(
            f"curve: {rate.workers} workers, {_evenness(rate)} partitions",
            rate.events_per_s,
            "events/s",
            "1 worker, even",
            rate.events_per_s / alone.events_per_s,
            f"{rate.events_per_s / rate.possible_per_s:.2f} of the possible "
            f"{rate.possible_per_s:.0f}; stand-in of {curve.COST_MS:.0f} ms; {_load()}",
        )
        for rate in rates
    ]


def _evenness(rate: curve.Rate) -> str:
    return "uneven" if rate.uneven else "even"


def _soak_rows(parts: Sequence[soak.Part]) -> list[Measurement]:
    first = parts[0]
    rows = []
    for part in parts:
        rows += [
            Measurement(
                f"backlog: rate until {part.events:,} events",
                part.events_per_s,
                "events/s",
                f"until {first.events:,}",
                part.events_per_s / first.events_per_s,
                _load(),
            ),
            Measurement(
                f"backlog: resident memory after {part.events:,} events",
                part.resident_mb,
                "MB",
                f"after {first.events:,}",
                part.resident_mb / first.resident_mb,
            ),
        ]
    growth = soak.growth_mb(list(parts))
    return [*rows, Measurement("backlog: memory growth per 100,000 events", growth, "MB")]


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {machine()['cores']} cores"


if __name__ == "__main__":
    main()
