"""`triage classify` as a process of its own."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from schemas.event import Domain


def classify_rate(events: Sequence[tuple[Domain, bytes]], directory: Path) -> tuple[float, float]:
    """Events per second of a whole run less that of a run of one event, and the seconds that one takes (the start)."""
    start_s = _run_s(events[:1], directory)
    return (len(events) - 1) / (_run_s(events, directory) - start_s), start_s


def _run_s(events: Sequence[tuple[Domain, bytes]], directory: Path) -> float:
    file = directory / "events.ndjson"
    file.write_bytes(b"".join(line + b"\n" for _, line in events))
    command = [sys.executable, "-m", "streams.cli", "classify", str(file)]
    started_s = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started_s
