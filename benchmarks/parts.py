"""The parts of `make bench`: each is a program of its own, and writes rows to a file."""

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEFORE = "b68ae35"
"""The commit that published a whole batch together: the state before latency was worked on."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part: what it measures, and about how many minutes it takes on two cores.

    `arguments` go to the module `benchmarks.{module}` and `quick` after them in a quick run.
    `rows` is the file that it writes; its own rows there have names that begin with `prefix`. Its
    plot is written to `docs`, or beside the rows of a quick run.
    """

    name: str
    measures: str
    minutes: float
    module: str
    rows: str
    prefix: str = ""
    arguments: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()
    plot: str = ""
    has_before: bool = False

    def command(
        self, folder: Path, *, quick: bool, before: Path | None, options: tuple[str, ...] = ()
    ) -> list[str]:
        """The command line that writes the rows to a folder; a quick run's plots go there, too."""
        command = [sys.executable, "-m", f"benchmarks.{self.module}", *self.arguments]
        command += ["--out", str(folder / self.rows)]
        if quick:
            command += self.quick
        if self.plot:
            command += ["--plot", str((folder if quick else ROOT / "docs") / self.plot)]
        if self.has_before and before is not None:
            command += ["--before", str(before)]
        return [*command, *options]


PARTS = (
    Part(
        "throughput",
        "the model alone, `triage classify`, the pipeline from a backlog, and its memory",
        8,
        "throughput",
        "results.ndjson",
        quick=("--events", "200", "--soak", "600"),
    ),
    Part(
        "latency",
        "latency against load on a real Kafka, before and after, and where processor time goes",
        12,
        "latency",
        "latency.ndjson",
        quick=("--rounds", "1", "--backlog", "200", "--seconds", "1"),
        plot="latency.svg",
        has_before=True,
    ),
    Part(
        "vendors",
        "`triage classify` on documents of vendors, before and after, without and with the cache",
        4,
        "repeats",
        "repeats.ndjson",
        arguments=("--rules", "25", "--times", "16"),
        quick=("--rules", "10", "--times", "2"),
        has_before=True,
    ),
    Part(
        "instructions",
        "the encoder with AVX2 and with AVX512",
        2,
        "instructions",
        "instructions.ndjson",
        quick=("--pairs", "1"),
    ),
    Part(
        "pauses",
        "how long partitions stand still while workers come and go",
        4,
        "scaling",
        "scaling.ndjson",
        prefix="pause ",
        arguments=("--only", "pauses"),
        quick=("--way", "usual"),
    ),
    Part(
        "curve",
        "the rate of 1, 2, 4 and 8 workers with a stand-in of the model",
        4,
        "scaling",
        "scaling.ndjson",
        prefix="curve;",
        arguments=("--only", "curve"),
        quick=("--most", "2", "--seconds", "3"),
        plot="scaling.svg",
    ),
    Part(
        "backlog",
        "a million short events through one worker with a stand-in: rate, processor and memory",
        20,
        "scaling",
        "scaling.ndjson",
        prefix="backlog;",
        arguments=("--only", "backlog"),
        quick=("--events", "6000", "--part", "2000"),
    ),
    Part(
        "peers",
        "other libraries at the same job; the first time, this downloads gigabytes",
        20,
        "peers",
        "peers.ndjson",
        quick=("--peer", "TF-IDF", "--events", "200", "--seconds", "3"),
    ),
)


def run(command: list[str]) -> bool:
    """Whether a command ended well. Ctrl-C is passed on, so that it can end what it started."""
    process = subprocess.Popen(command, cwd=ROOT, process_group=0)
    try:
        return process.wait() == 0
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
