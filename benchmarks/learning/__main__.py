"""`python -m benchmarks.learning`: how much a desk's model decides after so many verdicts.

Each desk is lived through with several seeds (`benchmarks.learning.replay` says how). The rows are
embedded once, and only heads are fitted. A replay that is finished is kept in the cache, so a run
that was interrupted goes on. Remove the cache after a change of the method.
"""

import argparse
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.learning.plot import draw
from benchmarks.learning.replay import Line, keep_stream, live
from benchmarks.learning.streams import DESKS, Desk, open_stream
from benchmarks.learning.summary import DeskFigures, summarize
from benchmarks.rows import machine
from streams.disk import write_atomically

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
ENCODER = ROOT.parent / "shared" / "models" / "bge-small-en"
RESULTS = ROOT / "benchmarks" / "learning.ndjson"
PLOT = ROOT / "docs" / "learning.svg"
COLUMNS = ("verdicts", "accepted", "risk", "risk until then", "LLM calls", "cost", "static", "0.9")


def main(given: Sequence[str] | None = None) -> None:
    """Replay the desks, print a table, and write the rows and the plot.

    `given` are the arguments, if they are not those of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="the directory of the rows")
    parser.add_argument("--encoder", type=Path, default=ENCODER, help="the general encoder")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "learning")
    parser.add_argument("--seeds", type=int, default=20, help="how often each desk is replayed")
    parser.add_argument("--desk", action="append", help="only desks whose name begins like this")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file for the rows")
    parser.add_argument("--plot", type=Path, default=PLOT, help="the file for the plot")
    arguments = parser.parse_args(given)
    chosen = [
        desk
        for desk in DESKS
        if not arguments.desk or any(desk.name.startswith(name) for name in arguments.desk)
    ]
    figures = {desk.name: read_figures(arguments.out, desk) for desk in DESKS}
    for desk in chosen:
        replays: list[list[Line]] = []
        for lines in _replays(desk, arguments):
            replays.append(lines)
            figures[desk.name] = [
                replace(row, machine=machine()) for row in summarize(desk, replays)
            ]
            # After every replay, so that a run that is interrupted keeps what it has.
            write([row for of_desk in figures.values() for row in of_desk], arguments)
        show(desk, figures[desk.name])


def read_figures(file: Path, desk: Desk) -> list[DeskFigures]:
    """The figures of a desk that were written before; they stay if it is not replayed."""
    if not file.is_file():
        return []
    rows = [
        msgspec.convert(orjson.loads(line), DeskFigures) for line in file.read_bytes().splitlines()
    ]
    return [row for row in rows if row.desk == desk.name]


def write(figures: Sequence[DeskFigures], arguments: argparse.Namespace) -> None:
    """Write the rows and the plot."""
    arguments.out.write_bytes(b"".join(orjson.dumps(row.document()) + b"\n" for row in figures))
    arguments.plot.write_text(draw(figures), "utf-8")


def _replays(desk: Desk, arguments: argparse.Namespace) -> Iterator[list[Line]]:
    """The replays of a desk: those of the cache, then the others as they are finished."""
    directory = arguments.cache / desk.name.split(",")[0].replace(" ", "-")
    directory.mkdir(parents=True, exist_ok=True)
    files = {seed: directory / f"{seed}.json" for seed in range(arguments.seeds)}
    missing = [seed for seed, file in files.items() if not file.is_file()]
    for seed, file in files.items():
        if seed not in missing:
            yield msgspec.json.decode(file.read_bytes(), type=list[Line])
    if not missing:
        return
    stream = open_stream(desk, arguments.data, arguments.encoder, arguments.cache)
    context = multiprocessing.get_context("fork")
    # Each process has the rows already.
    with context.Pool(arguments.processes, keep_stream, (stream,)) as pool:
        for seed, lines in pool.imap_unordered(live, missing):
            write_atomically(files[seed], msgspec.json.encode(lines))
            Console(stderr=True).print(f"{desk.name}: seed {seed} of {arguments.seeds}")
            yield lines


def show(desk: Desk, rows: list[DeskFigures]) -> None:
    """Print the figures of a desk for a person."""
    table = Table(*COLUMNS, title=desk.name)
    for row in rows:
        table.add_row(
            f"{row.verdicts:,}",
            f"{row.accepted:.0%} ({row.accepted_low:.0%} to {row.accepted_high:.0%})",
            _percent(row.risk),
            f"{_percent(row.risk_until_then)}; {row.above_alpha:.0%} of replays above",
            f"{row.llm_calls:,}",
            f"{row.cost_share:.0%}",
            f"{row.static_accepted:.0%}, {_percent(row.static_risk)} wrong",
            f"{row.confident_accepted:.0%}, {_percent(row.confident_risk)} wrong",
        )
    Console().print(table)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


if __name__ == "__main__":
    main()
