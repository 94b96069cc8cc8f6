"""`make bench`: all measurements, one after the other, and a table of what we aim at."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson
from rich.console import Console

from benchmarks import aims
from benchmarks.earlier import work_tree
from benchmarks.parts import BEFORE, PARTS, ROOT, Part, run
from benchmarks.peers import __main__ as peers

RESULTS = Path(__file__).parent
QUICK_RESULTS = ROOT / "build" / "bench-quick"
TREES = ROOT / "build" / "before"


def main() -> None:
    """Run the parts and print the table. The exit code is 1 if a part failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    names = [part.name for part in PARTS]
    parser.add_argument("--parts", nargs="+", choices=names, default=names, help="only these")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="try the chain in a few minutes; the rows go to build/bench-quick",
    )
    parser.add_argument(
        "--before", default=BEFORE, help=f"the commit to compare with (default: {BEFORE})"
    )
    parser.add_argument(
        "--table", action="store_true", help="only print the table of the rows that are there"
    )
    peers.add_arguments(parser)
    arguments = parser.parse_args()
    # A time limit from outside ends what the parts started, too. Started in the background by a
    # shell, this process and its parts would ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    chosen = [part for part in PARTS if part.name in arguments.parts]
    folder = QUICK_RESULTS if arguments.quick else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    failed = set() if arguments.table else run_parts(chosen, folder, arguments)
    console = Console()
    rows: dict[str, list[aims.Row]] = {part.name: [] for part in chosen}
    rows |= {part.name: rows_of(part, folder) for part in chosen if part not in failed}
    aims.show(rows, console)
    if arguments.quick:
        console.print("This was a quick run: its figures say only that everything works.")
    sys.exit(1 if failed else 0)


def run_parts(chosen: Sequence[Part], folder: Path, arguments: argparse.Namespace) -> set[Part]:
    """Run the parts, and return those that failed."""
    before = _before(arguments.before) if any(part.has_before for part in chosen) else None
    minutes = "a few" if arguments.quick else f"about {sum(part.minutes for part in chosen):g}"
    _tell(f"{len(chosen)} parts, {minutes} minutes")
    failed = set()
    for number, part in enumerate(chosen, start=1):
        length = "quick" if arguments.quick else f"about {part.minutes:g} minutes"
        _tell(f"part {number} of {len(chosen)}, {part.name}: {part.measures} ({length})")
        where = ("--data", str(arguments.data), "--encoder", str(arguments.encoder))
        options = where if part.name == "peers" else ()
        command = part.command(folder, quick=arguments.quick, before=before, options=options)
        if not run(command):
            _tell(f"{part.name} failed, see above; repeat it with PARTS={part.name}")
            failed.add(part)
    return failed


def rows_of(part: Part, folder: Path) -> list[aims.Row]:
    """The rows of a part in its file; none if there is no file."""
    file = folder / part.rows
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [row for row in map(orjson.loads, lines) if aims.name(row).startswith(part.prefix)]


def _before(commit: str) -> Path | None:
    try:
        return work_tree(commit, TREES)
    except (OSError, subprocess.CalledProcessError):
        _tell(f"there is no comparison with before, because git has no commit {commit} here")
        return None


def _tell(text: str) -> None:
    """Say what happens, between the tables of the parts."""
    load = f"load {os.getloadavg()[0]:.1f}"
    Console(stderr=True).print(f"[bold]{text}[/bold]; {load}", highlight=False)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
