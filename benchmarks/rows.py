"""Benchmark rows: what was measured, on which machine, and compared with which baseline."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from inference.model.threads import Threads, usable_cores

THREADS = Threads(usable_cores(), 1)
"""All measurements use these threads, the worker processes too. Otherwise each process would choose
its threads by a self-test, and a different choice would change the figures."""
PACKAGES = ("faust-streaming", "aiokafka", "ctranslate2", "sentencepiece", "numpy")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure. `ratio` compares it with the row `baseline` of the same run."""

    name: str
    value: float
    unit: str
    baseline: str = ""
    ratio: float | None = None
    note: str = ""
    machine: dict[str, Any] = field(default_factory=dict)


def fix_threads() -> None:
    """Have the processes that are started from now on use `THREADS`, and all the same instructions.

    They keep no vectors: the events of benchmarks repeat a few samples.
    """
    os.environ |= {
        "TRIAGE_MODEL__REPLICAS": str(THREADS.replicas),
        "TRIAGE_MODEL__THREADS_PER_REPLICA": str(THREADS.per_replica),
        "TRIAGE_MODEL__INSTRUCTION_SET": "default",
        "TRIAGE_MODEL__CACHED_TEXTS": "0",
    }


def machine() -> dict[str, Any]:
    """The hardware and its load, the versions of Python and of the main packages, and the date."""
    return {
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "load": round(os.getloadavg()[1], 1),
        "at": datetime.now(UTC).date().isoformat(),
    }


def processor() -> str:
    """The name of the processor; ``unknown`` if the system does not give it."""
    with Path("/proc/cpuinfo").open(encoding="utf-8") as info:
        return next(
            (line.split(":", 1)[1].strip() for line in info if line.startswith("model name")),
            "unknown",
        )


def write(rows: Sequence[Measurement], file: Path) -> None:
    """Write one JSON object per row; a row of an earlier run keeps its machine."""
    this_machine = machine()
    documents = [asdict(row) | {"machine": row.machine or this_machine} for row in rows]
    file.write_bytes(b"".join(orjson.dumps(document) + b"\n" for document in documents))


def show(rows: Sequence[Measurement]) -> None:
    """Print the rows as a table for a person."""
    console = Console()
    console.print(", ".join(f"{key} {value}" for key, value in machine().items()))
    table = Table("what", "figure", "unit", "ratio", "to", "note")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.name, _figure(row.value), row.unit, ratio, row.baseline, row.note)
    console.print(table)


def _figure(value: float) -> str:
    return f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
