"""`python -m benchmarks.learning`: how much a desk's model decides after so many verdicts.

Each desk is lived through with several seeds (`benchmarks.learning.replay` says how). The rows are
embedded once, and only heads are fitted.
"""

import argparse
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.learning.plot import draw
from benchmarks.learning.replay import Line, keep_stream, live
from benchmarks.learning.streams import DESKS, Desk, open_stream
from benchmarks.learning.summary import DeskFigures, summarize
from benchmarks.rows import machine

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
ENCODER = ROOT.parent / "shared" / "models" / "bge-small-en"
RESULTS = ROOT / "benchmarks" / "learning.ndjson"
PLOT = ROOT / "docs" / "learning.svg"
COLUMNS = ("verdicts", "accepted", "risk", "risk until then", "LLM calls", "cost", "static", "0.9")


def main() -> None:
    """Replay the desks, print a table, and write the rows and the plot."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="the directory of the rows")
    parser.add_argument("--encoder", type=Path, default=ENCODER, help="the general encoder")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "learning")
    parser.add_argument("--seeds", type=int, default=20, help="how often each desk is replayed")
    parser.add_argument("--desk", action="append", help="only desks whose name begins like this")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file for the rows")
    parser.add_argument("--plot", type=Path, default=PLOT, help="the file for the plot")
    arguments = parser.parse_args()
    chosen = [
        desk
        for desk in DESKS
        if not arguments.desk or any(desk.name.startswith(name) for name in arguments.desk)
    ]
    figures: list[DeskFigures] = []
    for desk in chosen:
        replays: list[list[Line]] = []
        before = figures
        for lines in _replays(desk, arguments):
            replays.append(lines)
            figures = [*before, *summarize(desk, replays)]
            # After every replay, so that a run that is interrupted keeps what it has.
            write(figures, arguments.out, arguments.plot)
        show(desk, [row for row in figures if row.desk == desk.name])


def write(figures: Sequence[DeskFigures], out: Path, plot: Path) -> None:
    """Write the rows, with the machine and its load, and the plot."""
    this_machine = machine() | {"load": round(os.getloadavg()[1], 1)}
    rows = [orjson.dumps(row.document() | {"machine": this_machine}) + b"\n" for row in figures]
    out.write_bytes(b"".join(rows))
    plot.write_text(draw(figures), "utf-8")


def _replays(desk: Desk, arguments: argparse.Namespace) -> Iterator[list[Line]]:
    """The replays of a desk as they are finished, each in a process that has the rows already."""
    stream = open_stream(desk, arguments.data, arguments.encoder, arguments.cache)
    context = multiprocessing.get_context("fork")
    with context.Pool(arguments.processes, keep_stream, (stream,)) as pool:
        finished = pool.imap_unordered(live, range(arguments.seeds))
        for number, lines in enumerate(finished):
            Console(stderr=True).print(f"{desk.name}: {number + 1} of {arguments.seeds}")
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
